"""Make the run of a match, with its identity, name and parameters. It never changes after that.

Each parameter is filled once: by a slot's mapping from a payload field of its newest event (a field that is not there
leaves the WorkflowTemplate's default), or by an expression over the match, for which a slot is one event, or a list of
them, the oldest first, where it may hold several. Without any mapping a trigger of one slot carries its
event's payload along, and the submitter gives each parameter of the template the field of its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.correlation_key import UnkeyedError, key_text
from bridge.core.definition import Definition, filled_slot
from bridge.core.event import SECOND, Event, Micros
from bridge.core.evidence import REDACTED, match_reads_sensitive
from bridge.core.expressions.expression import Expression, ExpressionError
from bridge.core.runs.field_parameters import event_payload, field_text
from bridge.core.runs.identity import RunIdentity, workflow_name
from bridge.core.runs.parameters import ParameterError, carried_payload, check_size, named_text
from bridge.core.runs.run import Run
from bridge.core.runs.start_deadline import start_by
from bridge.core.trigger import Slot, Trigger

PAYLOAD_TEXT_LIMIT = 1_300_000
"""Characters (at most 3 bytes each) of a payload as JSON. All parameters of a run may have 65,536 bytes together."""


class UnrunnableError(ValueError):
    """A match that no run can be made of: its events become a dead letter with the text of :meth:`redacted_text`.

    Args:
        what: What has no value, or what is wrong.
        expression: The expression that has none.
        why: Why, which may quote values that it reads.

    """

    def __init__(self, what: str, expression: Expression | None = None, why: str = "") -> None:
        super().__init__(f"{what}: {why}" if why else what)
        self._what = what
        self._expression = expression

    def redacted_text(self, sensitive: Sequence[str]) -> str:
        """Return the text as it may be shown where these fields are sensitive."""
        if self._expression is not None and match_reads_sensitive(self._expression, sensitive):
            return f"{self._what}: {REDACTED}"
        return str(self)


def make_run(
    definition: Definition,
    installation: str,
    key: str,
    match: Sequence[Sequence[Event]],
    frame: tuple[Micros, Micros] | None = None,
    *,
    ended_early: bool = False,
) -> Run:
    """Return the run of a match.

    Args:
        definition: The definition that the completing arrival carries.
        installation: The bridge's internal prefix.
        key: Correlation key in canonical text.
        match: The events of each slot, the oldest first; none for a slot that is left out.
        frame: Start and end of the calendar window that the match is of; None for other windows.
        ended_early: That window ended before its time. Its events, and not its bounds, say what the match is, since
            later events of the window are another match.

    Raises:
        UnrunnableError: An expression has no value, or a parameter has no text.

    """
    trigger, plan = definition.trigger, definition.trigger.run
    variables = _variables(definition, match)
    slots = zip(trigger.slots, match, strict=True)
    events = tuple([(slot.variable, event.identity) for slot, events in slots for event in events])
    identity = _identity(definition, variables, match, None if ended_early else frame)
    run_key = RunIdentity(installation, definition.identity, key, identity).run_key()
    event_time, reached = _times(trigger, match, frame)
    return Run(  # by position, in the order of its fields: by name takes three times as long
        run_key,
        definition.identity,
        definition.hash,
        key,
        plan.namespace,
        workflow_name(plan.template, run_key),
        plan.template,
        None if definition.is_default_mapped else _parameters(definition, match, variables),
        _payload(match[0][-1]) if definition.is_default_mapped else None,
        plan.labels,
        plan.annotations,
        events,
        event_time,
        reached,
        plan.allow_template_tags,
        None if plan.start_deadline is None else start_by(trigger, event_time, reached, frame),
        plan.synchronization,
    )


def _times(
    trigger: Trigger, match: Sequence[Sequence[Event]], frame: tuple[Micros, Micros] | None
) -> tuple[Micros, Micros]:
    """Return the newest event time of a match, and when the last of it reached us; without events, when it closed."""
    filled = [event for slot in match for event in slot]
    if len(filled) == 1:
        return filled[0].time, filled[0].reached
    if not filled and frame is not None:
        return frame[1], frame[1] + trigger.grace
    return max([event.time for event in filled]), max([event.reached for event in filled])


def _variables(definition: Definition, match: Sequence[Sequence[Event]]) -> Mapping[str, Any]:
    if not definition.parameters and definition.id is None:
        return {}
    trigger = definition.trigger
    return {
        slot.variable: filled_slot(events, is_list=slot.count > 1 or trigger.collect == "all")
        for slot, events in zip(trigger.slots, match, strict=True)
    }


def _identity(
    definition: Definition,
    variables: Mapping[str, Any],
    match: Sequence[Sequence[Event]],
    frame: tuple[Micros, Micros] | None,
) -> tuple[str, ...]:
    """Return what the match is: the trigger's ``run.id``, its calendar window, or the identities of its events.

    What is no event's identity stands behind a word that no slot can be called, so that it never reads like one. An
    event's name is part of its identity; that of its slot goes without saying.
    """
    if definition.id is None:
        if frame is not None:
            return ("window.frame", str(frame[0]), str(frame[1]))
        slots = zip(definition.trigger.slots, match, strict=True)
        return tuple([part for slot, events in slots for event in events for part in _parts(slot, event)])
    try:
        return ("run.id", key_text(definition.id.evaluate(variables)))
    except (ExpressionError, UnkeyedError) as error:
        raise UnrunnableError(f"run.id ({definition.id.source})", definition.id, str(error)) from error


def _parts(slot: Slot, event: Event) -> tuple[str, str, str]:
    variable = slot.variable if event.name == slot.event else f"{slot.variable} {event.name}"
    return variable, event.source, event.id


def _parameters(
    definition: Definition, match: Sequence[Sequence[Event]], variables: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    if definition.trigger.run.texts:
        return _sensor_parameters(definition.trigger, match)
    allow = definition.trigger.run.allow_template_tags
    try:
        mapped = [
            (name, named_text(name, value, allow_template_tags=allow))
            for slot, events in zip(definition.trigger.slots, match, strict=True)
            if events
            for name, path in slot.parameters
            for value in _field(events[-1].payload, path)
        ]
        computed = [
            (name, named_text(name, _evaluate(name, expression, variables), allow_template_tags=allow))
            for name, expression in definition.parameters
        ]
        check_size([*mapped, *computed])
    except ParameterError as error:
        raise UnrunnableError(str(error)) from error
    return (*mapped, *computed)


def _sensor_parameters(trigger: Trigger, match: Sequence[Sequence[Event]]) -> tuple[tuple[str, str], ...]:
    """Return the parameters that a Metaflow Sensor says: its own texts, and in their place what events put there."""
    plan = trigger.run
    texts = dict(plan.texts)
    newest = {slot.variable: events[-1] for slot, events in zip(trigger.slots, match, strict=True) if events}
    try:
        for field in plan.fields:
            event = newest.get(field.slot)
            if event is None:
                texts[field.parameter] = field.left_out if field.left_out is not None else texts[field.parameter]
                continue
            payload = event.payload
            if field.field is None:
                payload = event_payload(payload, event.name, event.id, event.time // SECOND)
            texts[field.parameter] = field_text(field, payload, allow_shell=plan.allow_shell)
        parameters = [(name, text) for name, text in texts.items() if text is not None]
        check_size(parameters)
    except ParameterError as error:
        raise UnrunnableError(str(error)) from error
    return tuple(parameters)


def _evaluate(name: str, expression: Expression, variables: Mapping[str, Any]) -> Any:
    try:
        return expression.evaluate(variables)
    except ExpressionError as error:
        raise UnrunnableError(f"run.parameters.{name} ({expression.source})", expression, str(error)) from error


def _field(payload: Mapping[str, Any], path: str) -> tuple[Any, ...]:
    """Return the field at a dotted path as one value, or nothing where it is missing."""
    if path in payload:
        return (payload[path],)
    value: Any = payload
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ()
        value = value[part]
    return (value,)


def _payload(event: Event) -> str:
    text = carried_payload(event.payload)
    if len(text) > PAYLOAD_TEXT_LIMIT:
        raise UnrunnableError(
            f"the payload has {len(text)} characters as JSON; at most {PAYLOAD_TEXT_LIMIT} can be carried along. "
            "Name the fields that are needed in the slot's parameters"
        )
    return text
