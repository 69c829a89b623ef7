"""Make the run of a match, with its identity, name and parameters. It never changes after that.

Each parameter is filled once: by a slot's mapping from a payload field of its newest event (a field that is not there
leaves the WorkflowTemplate's default), or by an expression over the match, for which a slot is one event, or a list of
them, the oldest first, where it may hold several. Without any mapping a trigger of one slot carries its
event's payload along, and the submitter gives each parameter of the template the field of its name.

The start deadline of a run, ``run.startDeadline``, counts from the moment when its match was complete. That moment
follows from the match alone, so that it is the same whenever the run is made: when its last event reached us, or, where
the end of a window completes a match, when that end was due. The deadline bounds how much later than that the run may
still start, as after a backlog or an outage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from bridge.core.correlation_key import UnkeyedError, key_text
from bridge.core.definition import Definition, filled_slot
from bridge.core.event import SECOND, Event, EventIdentity, Micros
from bridge.core.evidence import REDACTED, match_reads_sensitive
from bridge.core.expressions.expression import Expression, ExpressionError
from bridge.core.runs.field_parameters import event_payload, field_text
from bridge.core.runs.identity import run_digest, run_keys, workflow_name
from bridge.core.runs.parameters import ParameterError, carried_payload, check_size, named_text
from bridge.core.runs.run import Run
from bridge.core.trigger import Trigger
from bridge.core.windows.kinds.all_kinds import kind_of_window

TRACES_LIMIT = 32
"""Trace contexts that a run keeps of its events, at most."""

PAYLOAD_TEXT_LIMIT = 1_300_000
"""Characters (at most 3 bytes each) of a payload as JSON. All parameters of a run may have 65,536 bytes together."""


_NEVER: Micros = -(2**63)  # before all times
_new_tuple = tuple.__new__


class UnrunnableError(ValueError):
    """A match that makes no run: its events become a dead letter with the text of :meth:`redacted_text`.

    Args:
        what: The part of the trigger that has no value, or the fault.
        expression: The expression that has no value.
        why: The reason, which may quote values that the expression reads.

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
    replay_id: str = "",
) -> Run:
    """Return the run of a match.

    Args:
        definition: The definition that the completing arrival carries.
        installation: The bridge's internal prefix.
        key: Correlation key in canonical text.
        match: The events of each slot, the oldest first; none for a slot that is left out.
        frame: Start and end of the calendar window that the match is of; None for other windows.
        ended_early: That window ended before its time. Its events, and not its bounds, identify the match, since
            later events of the window are another match.
        replay_id: Id of a second set of runs, whose keys differ from those of the live bridge; empty for these.

    Raises:
        UnrunnableError: An expression has no value, or a parameter has no text.

    """
    digest = identify(definition, installation, key, match, frame, ended_early=ended_early, replay_id=replay_id)
    return run_under(run_keys([digest])[0], definition, key, match, frame)


def identify(
    definition: Definition,
    installation: str,
    key: str,
    match: Sequence[Sequence[Event]],
    frame: tuple[Micros, Micros] | None = None,
    *,
    ended_early: bool = False,
    replay_id: str = "",
) -> bytes:
    """Return the digest of the run of a match, which is written as its key; it takes the same as :func:`make_run`.

    Raises:
        UnrunnableError: ``run.id`` has no value.

    """
    parts: Sequence[str]
    if definition.id is not None:
        try:
            parts = ("run.id", key_text(definition.id.evaluate(_variables(definition, match))))
        except (ExpressionError, UnkeyedError) as error:
            raise UnrunnableError(f"run.id ({definition.id.source})", definition.id, str(error)) from error
    elif frame is not None and not ended_early:
        parts = ("window.frame", str(frame[0]), str(frame[1]))
    else:
        parts = _events_parts(definition.trigger, match)
    return run_digest(installation, definition.identity, key, parts, replay_id)


def _events_parts(trigger: Trigger, match: Sequence[Sequence[Event]]) -> Sequence[str]:
    """Return the parts that identify a match by its events.

    Those of ``run.id`` and of a calendar window stand behind a word that cannot be the name of a slot, so that they
    never read like an event's identity. An event's name is part of it only where it differs from that of its slot.
    """
    parts: list[str] = []
    for slot, events in zip(trigger.slots, match, strict=True):
        for event in events:
            name, source, id_ = event[:3]
            parts += (slot.variable if name == slot.event else f"{slot.variable} {name}", source, id_)
    return parts


def run_under(
    run_key: str,
    definition: Definition,
    key: str,
    match: Sequence[Sequence[Event]],
    frame: tuple[Micros, Micros] | None = None,
) -> Run:
    """Return the run of a match under the key that its digest gives; the rest is as for :func:`make_run`."""
    trigger, plan = definition.trigger, definition.trigger.run
    used: list[tuple[str, EventIdentity]] = []
    traced: list[tuple[Micros, str]] = []
    event_time = reached = _NEVER
    for slot, events in zip(trigger.slots, match, strict=True):
        for name, source, id_, time, reached_at, _, _, traceparent in events:
            used.append((slot.variable, _new_tuple(EventIdentity, (name, source, id_))))
            event_time = time if time > event_time else event_time  # noqa: FURB136 - a call takes four times as long
            reached = reached_at if reached_at > reached else reached  # noqa: FURB136 - the same
            if traceparent:
                traced.append((reached_at, traceparent))
    if len(traced) > 1:  # the run continues the trace of the event that reached us last: it completed the match
        traced.sort(key=itemgetter(0), reverse=True)
    if not used:  # the absence of all its events is complete when the window closes
        if frame is None:
            raise UnrunnableError("the match has no event, and no window that closes")
        event_time, reached = frame[1], frame[1] + trigger.grace
    payload = None
    if definition.is_default_mapped:
        payload = carried_payload(match[0][-1].payload)
        if len(payload) > PAYLOAD_TEXT_LIMIT:
            raise UnrunnableError(
                f"the payload has {len(payload)} characters as JSON; at most {PAYLOAD_TEXT_LIMIT} can be carried "
                "along. Name the fields that are needed in the slot's parameters"
            )
    return _new_tuple(  # a third of what calling Run costs; in the order of its fields
        Run,
        (
            run_key,
            definition.identity,
            definition.hash,
            key,
            plan.namespace,
            workflow_name(plan.template, run_key),
            plan.template,
            None if definition.is_default_mapped else _parameters(definition, match),
            payload,
            plan.labels,
            plan.annotations,
            tuple(used),
            event_time,
            reached,
            plan.allow_template_tags,
            None if plan.start_deadline is None else start_by(trigger, event_time, reached, frame),
            plan.synchronization,
            "",
            "",
            "",  # a run of no replay
            tuple(dict.fromkeys([trace for _, trace in traced]))[:TRACES_LIMIT] if traced else (),
        ),
    )


def start_by(
    trigger: Trigger, event_time: Micros, reached: Micros, frame: tuple[Micros, Micros] | None = None
) -> Micros | None:
    """Return the time from which on a run is not created any more; None for a trigger without a deadline.

    Args:
        trigger: The trigger of the run.
        event_time: Newest event time of the match.
        reached: When the last event of the match reached us.
        frame: Start and end of the calendar window that it lies in.

    """
    deadline = trigger.run.start_deadline
    if deadline is None:
        return None
    if trigger.window is None:
        return reached + deadline
    return kind_of_window(trigger).complete_at(trigger, event_time, reached, frame) + deadline


def _variables(definition: Definition, match: Sequence[Sequence[Event]]) -> Mapping[str, Any]:
    """Return the variables of expressions over a match, one for each slot."""
    trigger = definition.trigger
    return {
        slot.variable: filled_slot(
            events, is_list=slot.count > 1 or trigger.collect == "all", has_trace=definition.names_trace
        )
        for slot, events in zip(trigger.slots, match, strict=True)
    }


def _parameters(definition: Definition, match: Sequence[Sequence[Event]]) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a run: from payload fields, then from expressions, then those of a Metaflow Sensor."""
    plan, allow = definition.trigger.run, definition.trigger.run.allow_template_tags
    parameters: list[tuple[str, str]] = []
    try:
        for index, name, path in definition.mapped:
            events = match[index]
            if not events:
                continue
            value: Any = events[-1].payload
            if path in value:
                value = value[path]
                if type(value) is str and "{" not in value and value.isascii():  # most are so, and their own text
                    parameters.append((name, value))
                else:
                    parameters.append((name, named_text(name, value, allow_template_tags=allow)))
                continue
            for step in path.split("."):
                if not isinstance(value, Mapping) or step not in value:
                    break  # without the field, the parameter keeps the template's default
                value = value[step]
            else:
                parameters.append((name, named_text(name, value, allow_template_tags=allow)))
        variables = _variables(definition, match) if definition.parameters else {}
        for name, expression in definition.parameters:
            try:
                value = expression.evaluate(variables)
            except ExpressionError as error:
                what = f"run.parameters.{name} ({expression.source})"
                raise UnrunnableError(what, expression, str(error)) from error
            parameters.append((name, named_text(name, value, allow_template_tags=allow)))
        if plan.texts:  # a Sensor's own texts, replaced by the texts that events put there
            texts = dict(plan.texts)
            slots = zip(definition.trigger.slots, match, strict=True)
            newest = {slot.variable: events[-1] for slot, events in slots if events}
            for field in plan.fields:
                event = newest.get(field.slot)
                if event is None:
                    texts[field.parameter] = field.left_out if field.left_out is not None else texts[field.parameter]
                    continue
                payload = event.payload
                if field.field is None:
                    payload = event_payload(payload, event.name, event.id, event.time // SECOND)
                texts[field.parameter] = field_text(field, payload, allow_shell=plan.allow_shell)
            parameters += [(name, text) for name, text in texts.items() if text is not None]
        check_size(parameters)
    except ParameterError as error:
        raise UnrunnableError(str(error)) from error
    return tuple(parameters)
