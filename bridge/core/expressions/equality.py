"""The value of a field that a condition asks for: ``payload.country == "nz"``, alone or joined with more by ``&&``.

Without that value the condition is not true: it is false, or it has no value at all. So an index over many conditions
can find those that an event may meet. A literal and a field are compared as CEL does, for which types matter: ``1`` is
``1.0``, and neither is ``"1"`` or ``true``. Where that is not certain, the index does not decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.core.event import Event
from bridge.core.expressions.fields import FieldVariable
from bridge.core.expressions.tree import Node
from bridge.core.expressions.values import ZERO

UNSURE = object()
"""Stands for a value of which only CEL can tell what it equals."""

_NOTHING = object()  # stands for a value that no literal equals
_EXACT = 2**53  # up to here a float is an integer exactly
_WIDEST = 2**63
_NEVER = frozenset({type(None), bytes, list, dict, dt.datetime, dt.timedelta})
_ATTRIBUTES = frozenset({"name", "id", "source", "key"})


class Equality(NamedTuple):
    """What a condition asks for.

    Attributes:
        field: The root (``payload``, ``event``) and the steps below it.
        values: The values, any of which is enough, as :func:`sought` returns them.

    """

    field: tuple[str, tuple[str, ...]]
    values: frozenset[Any]


def equality(tree: Node, picks: tuple[FieldVariable, ...]) -> Equality | None:
    """Return what a condition asks for; None if it does not ask for a field's value.

    Args:
        tree: The condition, with fields as variables (:func:`bridge.core.expressions.fields.narrowed`).
        picks: The fields.

    """
    if tree.kind != "call" or tree.target is not None:
        return None
    if tree.name == "_&&_":
        asked = [found for found in (equality(part, picks) for part in tree.parts) if found is not None]
        return min(asked, key=lambda found: len(found.values), default=None)
    if tree.name == "_==_":
        field, literals = tree.parts[0], [tree.parts[1]]
        if field.kind == "const":
            field, literals = tree.parts[1], [tree.parts[0]]
    elif tree.name == "@in" and tree.parts[1].kind == "list" and not tree.parts[1].optional:
        field, literals = tree.parts[0], tree.parts[1].parts
    else:
        return None
    if field.kind != "ident" or not field.name.startswith("@v"):
        return None
    pick = picks[int(field.name[2:])]
    is_attribute = pick.root == "event" and len(pick.steps) == 1 and pick.steps[0] in _ATTRIBUTES
    if pick.use != "value" or not (is_attribute or (pick.root == "payload" and pick.steps)):
        return None
    values: set[Any] = set()
    for literal in literals:
        kind = type(literal.value)
        is_plain = literal.kind == "const" and literal.name != "uint" and kind in {str, int, bool}
        if not is_plain or (kind is str and ZERO in literal.value):
            return None
        values.add((literal.value,) if kind is bool else literal.value)
    return Equality((pick.root, pick.steps), frozenset(values))


def sought(field: tuple[str, tuple[str, ...]], event: Event) -> Any:
    """Return the value of a field of an event as an :class:`Equality` has it, or :data:`UNSURE`."""
    root, steps = field
    value: Any
    if root == "event":
        value = getattr(event, steps[0])
    else:
        value = event.payload
        try:
            for step in steps:
                value = value[step]
        except (KeyError, TypeError, IndexError):
            return _NOTHING
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:  # as a tuple: to Python, True is 1
        return (value,)
    if kind is int:
        return value if -_WIDEST <= value < _WIDEST else UNSURE
    if kind is float:
        if -_EXACT < value < _EXACT:
            return int(value) if value.is_integer() else _NOTHING
        return UNSURE
    if kind in _NEVER or isinstance(value, Mapping):
        return _NOTHING
    return UNSURE
