"""A run: one Workflow that a match asks for, frozen when the match is made.

It holds all that its Workflow needs. So it runs the same after its trigger was edited or deleted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from bridge.core.event import EventIdentity, Micros

REPLAY_LANE = "#"
"""Separates the trigger and the replay in the name of a lane; no trigger has it in its name."""


class Run(NamedTuple):
    """One Workflow to be created.

    Attributes:
        run_key: Its identity: 52 characters (:mod:`bridge.core.runs.identity`).
        trigger: ``namespace/name`` of its trigger.
        definition_hash: The definition that made it.
        key: Correlation key in canonical text; empty without one.
        namespace: Where its Workflow goes.
        name: Name of its Workflow, derived from the run key.
        template: WorkflowTemplate that the Workflow refers to.
        parameters: Workflow parameters, name and text; None for the default mapping, until it is resolved.
        payload: For the default mapping, the event's payload as JSON text; else None.
        labels: Labels that the trigger asks for.
        annotations: Annotations that the trigger asks for.
        events: Identities of the events of the match, by slot: (variable, identity).
        event_time: Newest event time of the match.
        reached: When the last event of the match reached us.
        allow_template_tags: String parameters may hold ``{{``.
        start_by: Time from which on it is too late to create its Workflow; None for never.
        synchronization: JSON text of the Workflow's ``spec.synchronization``, which Argo queues by; None for none.
        replay: Name of the replay that asks for it; empty for the live bridge.
        replay_id: Id of the second set of runs that it belongs to; empty for the live set.
        repeats: Run key of the run that it is made in place of, since that failed; empty for none.
        traces: The trace contexts of its events, each once; the run continues the first. Empty for none.

    """

    run_key: str
    trigger: str
    definition_hash: str
    key: str
    namespace: str
    name: str
    template: str
    parameters: tuple[tuple[str, str], ...] | None
    payload: str | None
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    events: tuple[tuple[str, EventIdentity], ...]
    event_time: Micros
    reached: Micros
    allow_template_tags: bool = False
    start_by: Micros | None = None
    synchronization: str | None = None
    replay: str = ""
    replay_id: str = ""
    repeats: str = ""
    traces: tuple[str, ...] = ()

    @property
    def lane(self) -> str:
        """Return the name of the queue in which it waits: its trigger, and for a replayed run its replay, too.

        So the runs of a replay wait for each other, and no live run waits behind them.
        """
        return f"{self.trigger}{REPLAY_LANE}{self.replay}" if self.replay else self.trigger


class RunPhase(StrEnum):
    """How far the Workflow of a run has come, as the ledger has it. The order is that of the record's enum.

    ``gone``: the Workflow was deleted before its end was seen. ``unknown``: the Workflow is not followed.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERROR = "error"
    GONE = "gone"
    UNKNOWN = "unknown"


PHASE_OF_ARGO = {"Succeeded": RunPhase.SUCCEEDED, "Failed": RunPhase.FAILED, "Error": RunPhase.ERROR}
"""The phases in which Argo has ended a Workflow."""


class RunFacts(NamedTuple):
    """The facts about a run that the ledger keeps after its end.

    Attributes:
        definition_hash: The definition that made it.
        key: Correlation key in canonical text; empty without one.
        events: Identities of the events of the match, by slot: (variable, identity).
        event_time: Newest event time of the match.
        reached: When the last event of the match reached us.
        frame: Start and end of the calendar window of the match; None for other windows.
        replay: Name of the replay that asked for it; empty for the live bridge.
        replay_id: Id of the second set of runs that it belongs to; empty for the live set.
        repeats: Run key of the run that it was made in place of; empty for none.
        phase: How far its Workflow has come; None for a run without a Workflow, and in older entries.
        ended: When the end of its Workflow was seen; None before, and where it is not known.
        parameters: Name and text of the Workflow's parameters; None where they are not kept.

    """

    definition_hash: str
    key: str
    events: tuple[tuple[str, EventIdentity], ...]
    event_time: Micros
    reached: Micros
    frame: tuple[Micros, Micros] | None = None
    replay: str = ""
    replay_id: str = ""
    repeats: str = ""
    phase: RunPhase | None = None
    ended: Micros | None = None
    parameters: tuple[tuple[str, str], ...] | None = None
