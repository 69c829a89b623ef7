"""A run: one Workflow that a match asks for, frozen when the match is made.

It holds all that its Workflow needs. So it runs the same after its trigger was edited or deleted.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.event import EventIdentity, Micros


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
