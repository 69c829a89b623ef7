"""Write what happened as a test file: the events of the log, and what became of them as what is expected.

Values of sensitive fields are replaced by stand-ins of the same type. Equal values get equal stand-ins, so that keys
still join events, and a trigger that compares two events still does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.core.decision import Reason
from bridge.core.definition import Definition
from bridge.core.event import moment
from bridge.core.evidence import is_sensitive, reads_sensitive
from bridge.explain.case import BEGIN, Case, CaseEvent, case_text
from bridge.explain.story import Story
from bridge.explain.tracing import Traced
from bridge.explain.trial import Trial, try_out
from bridge.stages.matcher.window_store import Bounds
from flowbridge_sdk.schemas import EventSchemas


class Redaction:
    """Replaces the values of sensitive fields.

    Args:
        sensitive: The fields, as dotted paths.

    """

    def __init__(self, sensitive: Sequence[str]) -> None:
        self._sensitive = sensitive
        self._known: dict[tuple[str, str], int] = {}

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload with stand-ins in place of sensitive values."""
        return {name: self._field(f"payload.{name}", value) for name, value in payload.items()}

    def _field(self, path: str, value: Any) -> Any:
        if not self._sensitive or not is_sensitive(path, self._sensitive):
            return value
        if isinstance(value, Mapping):
            is_all = any(f"{path.partition('.')[2]}.".startswith(f"{hidden}.") for hidden in self._sensitive)
            return {
                name: self._stand_in(member) if is_all else self._field(f"{path}.{name}", member)
                for name, member in value.items()
            }
        return self._stand_in(value)

    def _stand_in(self, value: Any) -> Any:
        """Return a value of the same type that tells nothing of this one."""
        if value is None or isinstance(value, bool):
            return value if value is None else False
        if isinstance(value, Mapping):
            return {name: self._stand_in(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self._stand_in(member) for member in value]
        number = self._known.setdefault((type(value).__name__, repr(value)), len(self._known) + 1)
        stand_ins: tuple[tuple[type | tuple[type, ...], Any], ...] = (
            (int, number),
            (float, float(number)),
            (Decimal, Decimal(number)),
            ((bytes, bytearray), f"redacted-{number}".encode()),
            (datetime, moment(BEGIN) + timedelta(seconds=number)),
            (timedelta, timedelta(seconds=number)),
            (UUID, UUID(int=number)),
        )
        return next((stand_in for kind, stand_in in stand_ins if isinstance(value, kind)), f"redacted-{number}")


def record_case(
    definition: Definition,
    story: Story,
    traced: Sequence[Traced],
    triggers: Sequence[str],
    schemas: EventSchemas,
    bounds: Bounds,
) -> str:
    """Return the YAML of a test file with these events, and what became of them.

    Args:
        definition: The trigger.
        story: What happened to the events.
        traced: The events.
        triggers: The files with the trigger, as the test names them.
        schemas: The schemas of events.
        bounds: How much windows may hold.

    """
    redaction = Redaction(definition.trigger.sensitive)
    events: list[CaseEvent] = []
    for seen in traced:
        name, source, id_ = seen.identity
        for event in seen.events:
            if event is None:
                events.append(CaseEvent(name, id_, source, None, seen.time, seen.reached, None, seen.value or b""))
                continue
            key = None if definition.hides_key else event.key
            payload = redaction.payload(event.payload)
            events.append(CaseEvent(name, id_, source, key, event.time, event.reached, payload))
    events.sort(key=lambda event: event.reached)
    case = Case("", (), None, events[0].reached if events else BEGIN, None, tuple(events), None)
    trial = try_out(case, definition, schemas, bounds)
    closed = {reason.value for reason in Reason}
    decisions: list[dict[str, str]] = []
    for told in story.events:
        last = {decision.slot: decision for decision in told.decisions if decision.reason in closed}
        decisions += [{"event": told.id, "slot": slot, "reason": decision.reason} for slot, decision in last.items()]
    expect = {"runs": _runs(story, trial), "decisions": decisions}
    comment = [
        f"Recorded from {story.begin} to {story.end}. What is expected here is what happened.",
        "Write what should have happened in its place; flowbridge test shows the difference.",
    ]
    if definition.trigger.sensitive:
        comment.append(f"Redacted: {', '.join(definition.trigger.sensitive)}.")
    hidden = [
        slot.slot.variable
        for slot in definition.slots
        if any(
            part is not None and reads_sensitive(part, definition.trigger.sensitive) for part in (slot.where, slot.key)
        )
    ]
    if hidden:
        comment.append(f"The filter or the key of {', '.join(hidden)} reads a redacted field: decisions may differ.")
    if story.unshown:
        comment.append(f"{story.unshown} further events are left out (--limit).")
    return case_text(events, definition.identity, triggers, expect, comment)


def _runs(story: Story, trial: Trial) -> list[dict[str, Any]]:
    """Return the runs that there were; their parameters are those of the redacted events."""
    parameters = {
        frozenset((event["slot"], event["id"]) for event in run.events): {
            parameter.name: parameter.value for parameter in run.parameters if not parameter.name.startswith("(")
        }
        for run in trial.runs
    }
    runs = []
    for run in story.runs:
        if run.known != "recorded" or run.replay:
            continue
        expected: dict[str, Any] = {"events": [event["id"] for event in run.events]}
        known = parameters.get(frozenset((event["slot"], event["id"]) for event in run.events))
        if known:
            expected["parameters"] = known
        runs.append(expected)
    return runs
