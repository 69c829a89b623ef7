"""Checks of a trigger's expressions before any event arrives: the names in them, and whether they can have a value."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from bridge.core.correlation_key import UnkeyedError, key_text
from bridge.core.expressions.expression import Expression, ExpressionError, ExpressionSyntaxError
from bridge.core.expressions.fields import FieldUse
from bridge.triggers.checks.event_types import ANYTHING, EVENT, FieldType, Schemas, payload_type, slot_type
from bridge.triggers.errors import FieldPath, Misfit
from bridge.triggers.model import SlotPart, SpecPart
from bridge.triggers.slots import is_list, variable_of
from flowbridge_sdk.avro.misfit import MisfitError

EVENT_VARIABLES = frozenset({"payload", "event"})
"""The variables of ``where`` and ``key``."""

Variables = Mapping[str, FieldType]
"""The variables of an expression, with their types."""

_Expected = Callable[[FieldUse], str]  # what to write instead of a name that is not known; empty for no idea


def expression_misfits(spec: SpecPart, *, collects_all: bool, schemas: Schemas | None = None) -> Iterator[Misfit]:
    """Yield the misfits of all expressions.

    Args:
        spec: The condition and the run.
        collects_all: Whether each slot of a match holds all events that arrived.
        schemas: The known Avro schemas, by event name.

    """
    known = schemas or {}
    slots = {variable_of(slot): slot for slot in spec.events}
    payloads = {slot.name: payload_type(known.get(slot.name)) for slot in spec.events}
    for name in dict.fromkeys(payloads) if spec.key is not None else ():
        wrong = list(_one_event_misfits(spec.key, payloads[name], slots, ("spec", "key")))
        yield from wrong
        if wrong:
            break
    yield from _key_misfits(spec.key, ("spec", "key"))
    for index, slot in enumerate(spec.events):
        place: FieldPath = ("spec", "events", index)
        yield from _one_event_misfits(slot.where, payloads[slot.name], slots, (*place, "where"))
        constant = _constant(slot.where)
        if constant is not None:  # a filter that no event can pass
            expected = "write what is true for some events"
            try:
                if not constant.holds({}):
                    yield (*place, "where"), MisfitError("it is never true", f"{expected}; suspend stops a trigger")
            except ExpressionError as error:
                yield (*place, "where"), MisfitError(f"it has no value for any event: {error}", expected)
        yield from _one_event_misfits(slot.key, payloads[slot.name], slots, (*place, "key"))
        yield from _key_misfits(slot.key, (*place, "key"))
    lists = frozenset(variable_of(slot) for slot in spec.events if is_list(slot, collects_all=collects_all))
    variables = {
        name: ANYTHING if name in lists else slot_type(payloads[slot.name])
        for name, slot in slots.items()
        if not slot.absent
    }
    events = {variable_of(slot.model_copy(update={"variable": None})): name for name, slot in slots.items()}
    for name, source in spec.run.parameters:
        yield from _match_misfits(source, variables, lists, events, ("spec", "run", "parameters", name))
    if spec.run.id is not None:
        yield from _match_misfits(spec.run.id, variables, lists, events, ("spec", "run", "id"))


def _one_event_misfits(
    source: str | None, payload: FieldType, slots: Mapping[str, SlotPart], path: FieldPath
) -> Iterator[Misfit]:
    """Yield the misfits of an expression over one event."""
    if source is None:
        return

    def expected(use: FieldUse) -> str:
        if use.root not in slots:
            return ""
        steps = use.steps[1:] if use.steps[:1] == ("payload",) else use.steps
        return f"write {'.'.join(('payload', *steps))}: this sees one event, not the slots"

    yield from _checked(source, {"payload": payload, "event": EVENT}, path, expected)


def _match_misfits(
    source: str, variables: Variables, lists: frozenset[str], events: Mapping[str, str], path: FieldPath
) -> Iterator[Misfit]:
    """Yield the misfits of an expression over a match, in which some variables are lists of events.

    ``events`` has the slot's variable by its name without ``as``.
    """

    def expected(use: FieldUse) -> str:
        if use.root in EVENT_VARIABLES and variables:
            front = (next(iter(variables)), *(["payload"] if use.root == "payload" else []))
            return f"write {'.'.join((*front, *use.steps))}: this sees the slots, not one event"
        if events.get(use.root) in variables:
            return f"write {'.'.join((events[use.root], *use.steps))}: the slot is called {events[use.root]}"
        return ""

    wrong = list(_checked(source, variables, path, expected))
    yield from wrong
    taken = [] if wrong else [use for use in _compiled(source).uses if use.root in lists and use.steps]
    for use in taken[:1]:
        found = f"{use.root}.{use.steps[0]}, but {use.root} is a list of events here"
        write = f"write {use.root}[0].{'.'.join(use.steps)}, or {use.root}.map(e, e.{'.'.join(use.steps)})"
        yield path, MisfitError(found, write)


def _checked(source: str, variables: Variables, path: FieldPath, expected: _Expected) -> Iterator[Misfit]:
    """Yield the misfit of one expression, at its line and column."""
    try:
        expression = _compiled(source)
        _refuse_unknown_names(expression, variables, expected)
        _refuse_unknown_fields(expression, variables)
        expression.check(variables, _types(expression, variables))
    except ExpressionSyntaxError as error:
        place = f"line {error.line}, column {error.column}" if "\n" in source.strip() else f"column {error.column}"
        names = ", ".join(sorted(variables))
        general = f"write CEL over {names}" if variables else "no event is there to be named"
        yield path, MisfitError(f"{error.reason} (at {place} of the expression)", error.expected or general, error.line)


def _refuse_unknown_names(expression: Expression, variables: Variables, expected: _Expected) -> None:
    for use in expression.uses:
        if use.root in variables:
            continue
        near = difflib.get_close_matches(use.root, sorted(variables), 1)
        write = expected(use)
        if not write and not use.steps and use.use == "value" and not near:
            whole = expression.source.strip() == use.root
            write = f"write \"'{use.root}'\" for a text: CEL's quotes inside of YAML's" if whole else ""
            write = write or f"write '{use.root}' in quotes for a text"
        if not write and near:
            write = f"write {'.'.join((near[0], *use.steps))}"
        known = f"known are {', '.join(sorted(variables))}" if variables else "nothing is"
        raise ExpressionSyntaxError(f"{use.root!r} is not known here; {known}", *expression.place(use.node), write)


def _refuse_unknown_fields(expression: Expression, variables: Variables) -> None:
    """Refuse fields that no event has. A field in ``has(...)`` may be of another version of the schema."""
    asked = {(use.root, *use.steps) for use in expression.uses if use.use == "has"}
    for use in expression.uses:
        around = variables[use.root]
        for depth, step in enumerate(use.steps):
            fields = around.fields
            if fields is None or any(
                (use.root, *use.steps[: end + 1]) in asked for end in range(depth, len(use.steps))
            ):
                break
            if step not in fields:
                above, steps = (use.root, *use.steps[:depth]), use.steps[depth:]
                near = difflib.get_close_matches(step, sorted(fields), 1, cutoff=0.7)
                if near:
                    expected = f"write {'.'.join((*above, near[0], *steps[1:]))}"
                elif "payload" in fields:
                    expected = f"write {'.'.join((*above, 'payload', *steps))}"
                elif around is EVENT:
                    expected = f"write {'.'.join(('payload', *steps))}"
                else:
                    expected = f"it has {', '.join(sorted(fields)[:20])}" if fields else "it has no fields"
                found = f"{'.'.join(above)} has no field {step!r}"
                raise ExpressionSyntaxError(found, *expression.place(use.node), expected)
            around = fields[step]


def _types(expression: Expression, variables: Variables) -> dict[str, str]:
    """Return the known types of the fields that an expression reads, by dotted name."""
    types: dict[str, str] = {}
    for use in expression.uses:
        around: FieldType = variables[use.root]
        for depth, step in enumerate(use.steps):
            if around.fields is None or step not in around.fields:
                break
            around = around.fields[step]
            if depth == len(use.steps) - 1 and use.use == "value" and around.type != "dyn":
                types[".".join((use.root, *use.steps))] = around.type
    tested = {".".join((use.root, *use.steps)) for use in expression.uses if use.use != "value"}
    return {name: kind for name, kind in types.items() if name not in tested}


def _key_misfits(source: str | None, path: FieldPath) -> Iterator[Misfit]:
    """Yield a misfit for a key that no event can have."""
    constant = _constant(source)
    if constant is None:
        return
    try:
        key_text(constant.evaluate({}))
    except (ExpressionError, UnkeyedError) as error:
        yield path, MisfitError(f"it is a key for no event: {error}", "write a field, as payload.customer")


def _constant(source: str | None) -> Expression | None:
    """Return the expression if it reads no variable; None also for a wrong expression, which has a misfit already."""
    if source is None:
        return None
    try:
        expression = _compiled(source)
        expression.check(())
    except ExpressionSyntaxError:
        return None
    return expression


@lru_cache(maxsize=256)
def _compiled(source: str) -> Expression:
    """Return an expression, which several checks of a trigger look at, and which many triggers may share."""
    return Expression(source)
