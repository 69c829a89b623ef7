"""A run that the submitter has taken up.

Its states and the events between them are in :mod:`bridge.stages.submitter.run_life`. A run is changed in place,
because workers and queues hold it, and a late result is recognised by the identity of its run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.argo.doubt import Doubt
from bridge.core.event import Micros
from bridge.core.runs.run import Run


class RunState(StrEnum):
    """The states of the table in :mod:`bridge.stages.submitter.run_life`."""

    NEW = "new"
    QUEUED = "queued"
    ASKING = "asking"
    PUT_OFF = "put off"
    AHEAD = "ahead"
    BEGUN = "begun"
    SENT = "sent"
    DOUBTFUL = "doubtful"
    ENDED = "ended"
    DROPPED = "dropped"


@dataclass(slots=True, eq=False)
class OpenRun:
    """A run that the submitter has taken up. Events change it; ``started``, ``written`` and ``body`` have other owners.

    Attributes:
        run: The run; its parameters are resolved once an intent was written.
        partition: Its partition of the ledger.
        since: When it was first taken up.
        body: The record of the run; None where it has to be encoded again. The ledger's writer fills it in.
        is_next: Its record is the first of its partition in the batch that takes it up, and it may be sent ahead.
        state: Its state; :func:`bridge.stages.submitter.run_life.advance` changes it.
        intent: When its intent was written, or up to when looks have shown since that it has no Workflow; None without
            an intent.
        started: The start that its trigger's rate counts for it, its last attempt under the intent. Its lane writes it.
        doubt: The Workflow that attempts under this intent may have made; None: surely none.
        attempts: How many creates were sent.
        refused: When the API server first refused it, or its WorkflowTemplate was first not to be read; None before.
        due: When it is tried again, while it is put off; else None.
        written: When its entry in the ledger was last written, by the ledger's writer; None before the first.
        reason: The result of the last attempt, or the reason for which it waits.

    """

    run: Run
    partition: int
    since: Micros
    body: bytes | None = None
    is_next: bool = False
    state: RunState = RunState.NEW
    intent: Micros | None = None
    started: Micros | None = None
    doubt: Doubt | None = None
    attempts: int = 0
    refused: Micros | None = None
    due: Micros | None = None
    written: Micros | None = None
    reason: str = ""

    @property
    def in_doubt(self) -> bool:
        """Return whether an attempt under its intent may have made the Workflow."""
        return self.doubt is not None

    @property
    def is_dropped(self) -> bool:
        """Return whether its partition has another owner: no worker may create it any more."""
        return self.state is RunState.DROPPED

    def is_too_late(self, now: Micros) -> bool:
        """Return whether its time to start has passed while it surely has no Workflow."""
        return self.intent is None and self.run.start_by is not None and now >= self.run.start_by


def waiting_state(intent: Micros | None, due: Micros | None) -> RunState:
    """Return the state of a run that waits, from its fields in the ledger or on the shelf."""
    if intent is not None:
        return RunState.DOUBTFUL
    return RunState.QUEUED if due is None else RunState.PUT_OFF
