"""A run that has not ended: what the submitter knows of it, and where it stands.

======== ============================================ ============================================
stands   meaning                                      next
======== ============================================ ============================================
queued   waits for its turn in its trigger's lane     asking, begun, shelved, ended
asking   a worker reads its WorkflowTemplate          queued, shelved, ended
begun    its intent is in the batch being made        sent
sent     a worker tries to create its Workflow        ended, shelved
shelved  lies on disk until its turn or its moment    (read back as queued or doubtful)
doubtful stands under an intent and is tried again    begun, shelved, ended
ended    its final entry is written                   nothing
dropped  its partition has another owner              nothing
======== ============================================ ============================================

Every state but *ended* can become *dropped*, because a partition can be revoked at any time. Any other move is an
error of the program and raises at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.argo.doubt import Doubt
from bridge.core.event import Micros
from bridge.core.run import Run


class Stands(StrEnum):
    """Where a run stands (the table above)."""

    QUEUED = "queued"
    ASKING = "asking"
    BEGUN = "begun"
    SENT = "sent"
    SHELVED = "shelved"
    DOUBTFUL = "doubtful"
    ENDED = "ended"
    DROPPED = "dropped"


MOVES: dict[Stands, frozenset[Stands]] = {
    Stands.QUEUED: frozenset({Stands.ASKING, Stands.BEGUN, Stands.SHELVED, Stands.ENDED, Stands.DROPPED}),
    Stands.ASKING: frozenset({Stands.QUEUED, Stands.SHELVED, Stands.ENDED, Stands.DROPPED}),
    Stands.BEGUN: frozenset({Stands.SENT, Stands.DROPPED}),
    Stands.SENT: frozenset({Stands.ENDED, Stands.SHELVED, Stands.DROPPED}),
    Stands.SHELVED: frozenset({Stands.DROPPED}),
    Stands.DOUBTFUL: frozenset({Stands.BEGUN, Stands.SHELVED, Stands.ENDED, Stands.DROPPED}),
    Stands.ENDED: frozenset(),
    Stands.DROPPED: frozenset(),
}
"""Where a run may go from where it stands."""


@dataclass(slots=True)
class OpenRun:
    """A run that has not ended.

    Attributes:
        run: The run; its parameters are resolved once an intent was written.
        partition: Its partition of the ledger.
        since: When it was first taken up.
        body: The record of the run; None where it has to be encoded again.
        stands: Where it stands; changed by :meth:`move` alone.
        intent: When its intent was written, or up to when looks have shown since that it has no Workflow; None without
            an intent.
        started: The start that its trigger's rate counts for it: its last attempt under the intent.
        doubt: What attempts under this intent may have made; None: surely nothing.
        attempts: How many creates were sent.
        refused: When the API server first refused it, or its WorkflowTemplate was first not to be read; None before.
        due: When it is tried again, while it is put off; else None.
        written: When its entry in the ledger was last written; None before the first.
        reason: The result of the last attempt, or what it waits for.

    """

    run: Run
    partition: int
    since: Micros
    body: bytes | None = None
    stands: Stands = Stands.QUEUED
    intent: Micros | None = None
    started: Micros | None = None
    doubt: Doubt | None = None
    attempts: int = 0
    refused: Micros | None = None
    due: Micros | None = None
    written: Micros | None = None
    reason: str = ""

    def move(self, to: Stands) -> None:
        """Go to another state.

        Raises:
            ValueError: The run cannot go there from where it stands.

        """
        if to not in MOVES[self.stands]:
            raise ValueError(f"run {self.run.run_key} is {self.stands} and cannot become {to}")
        self.stands = to

    @property
    def in_doubt(self) -> bool:
        """Return whether an attempt under its intent may have made the Workflow."""
        return self.doubt is not None

    @property
    def under_way(self) -> bool:
        """Return whether a worker has it."""
        return self.stands in (Stands.ASKING, Stands.SENT)

    @property
    def has_ended(self) -> bool:
        """Return whether its final entry is written."""
        return self.stands is Stands.ENDED

    @property
    def is_dropped(self) -> bool:
        """Return whether its partition has another owner: no worker may create it any more."""
        return self.stands is Stands.DROPPED

    def is_too_late(self, now: Micros) -> bool:
        """Return whether its time to start has passed while surely nothing was made of it."""
        return self.intent is None and self.run.start_by is not None and now >= self.run.start_by
