"""What the expressions of a trigger may name, and whether they can be anything: checked before any event comes."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.correlation import UnkeyedError, key_text
from bridge.core.expression import Expression, ExpressionError, ExpressionSyntaxError
from bridge.core.expression_source import read_source
from bridge.triggers.errors import FieldPath, Misfit, MisfitError
from bridge.triggers.model import SpecPart
from bridge.triggers.slots import is_list, variable_of

EVENT_VARIABLES = frozenset({"payload", "event"})
"""What ``where`` and ``key`` are evaluated over."""


def expression_misfits(spec: SpecPart, *, collects_all: bool) -> Iterator[Misfit]:
    """Yield what is wrong with the expressions.

    Args:
        spec: The condition and the run.
        collects_all: Whether each slot of a match holds all events that came.

    """
    yield from _checked(spec.key, EVENT_VARIABLES, ("spec", "key"))
    yield from _key_misfits(spec.key, ("spec", "key"))
    for index, slot in enumerate(spec.events):
        place: FieldPath = ("spec", "events", index)
        yield from _checked(slot.where, EVENT_VARIABLES, (*place, "where"))
        yield from _where_misfits(slot.where, (*place, "where"))
        yield from _checked(slot.key, EVENT_VARIABLES, (*place, "key"))
        yield from _key_misfits(slot.key, (*place, "key"))
    variables = frozenset(variable_of(slot) for slot in spec.events if not slot.absent)
    lists = frozenset(variable_of(slot) for slot in spec.events if is_list(slot, collects_all=collects_all))
    for name, source in spec.run.parameters:
        yield from _match_misfits(source, variables, lists, ("spec", "run", "parameters", name))
    if spec.run.id is not None:
        yield from _match_misfits(spec.run.id, variables, lists, ("spec", "run", "id"))


def _match_misfits(source: str, variables: frozenset[str], lists: frozenset[str], path: FieldPath) -> Iterator[Misfit]:
    """Yield what is wrong with an expression over a match, in which some variables are lists of events."""
    wrong = list(_checked(source, variables, path))
    yield from wrong
    taken = [] if wrong else [use for use in read_source(source).fields if use.root in lists]
    for use in taken[:1]:
        found = f"{use.root}.{use.steps[0]}, but {use.root} is a list of events here"
        right = f"write {use.root}[0].{'.'.join(use.steps)}, or {use.root}.map(e, e.{'.'.join(use.steps)})"
        yield path, MisfitError(found, right)


def _checked(source: str | None, variables: frozenset[str], path: FieldPath) -> Iterator[Misfit]:
    """Yield what is wrong with one expression, at its line and column."""
    if source is None:
        return
    try:
        Expression(source).check(variables)
    except ExpressionSyntaxError as error:
        place = f"line {error.line}, column {error.column}" if "\n" in source.strip() else f"column {error.column}"
        right = f"write CEL over {', '.join(sorted(variables))}" if variables else "no event is there to be named"
        yield path, MisfitError(f"{error.reason} (at {place} of the expression)", right)


def _where_misfits(source: str | None, path: FieldPath) -> Iterator[Misfit]:
    """Yield an error for a filter that no event can pass."""
    constant = _constant(source)
    if constant is None:
        return
    try:
        is_true = constant.holds({})
    except ExpressionError as error:
        yield path, MisfitError(f"it has no value for any event: {error}", "write what is true for some events")
        return
    if not is_true:
        yield path, MisfitError("it is never true", "write what is true for some events; suspend stops a trigger")


def _key_misfits(source: str | None, path: FieldPath) -> Iterator[Misfit]:
    """Yield an error for a key that no event can have."""
    constant = _constant(source)
    if constant is None:
        return
    try:
        key_text(constant.evaluate({}))
    except (ExpressionError, UnkeyedError) as error:
        yield path, MisfitError(f"it is a key for no event: {error}", "write a field, as payload.customer")


def _constant(source: str | None) -> Expression | None:
    """Return the expression if it names nothing of an event; None for a bad one as well, which is told elsewhere."""
    if source is None:
        return None
    try:
        expression = Expression(source)
    except ExpressionSyntaxError:
        return None
    return expression if not expression.names else None
