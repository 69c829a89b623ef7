"""Conditions that need no engine: ``has()``, and fields compared with literals, joined by ``&&`` and ``||``.

Most filters are no more than that, and the engine takes longer to be called than to compare. A comparison is decided
here only where the value has the literal's own type, for which Python and CEL agree. Everything else is CEL's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bridge.core.expressions.fields import FieldVariable
from bridge.core.expressions.tree import Node

Shortcut = Callable[[Mapping[str, Any]], bool | None]
"""Returns whether the condition holds; None where only CEL can tell."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "_==_": operator.eq,
    "_!=_": operator.ne,
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "contains": operator.contains,
    "endsWith": str.endswith,
    "startsWith": str.startswith,
}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


def shortcut(tree: Node, picks: tuple[FieldVariable, ...]) -> Shortcut | None:
    """Return how the condition is decided without the engine; None if it holds more than comparisons."""
    if tree.kind == "ident" and tree.name.startswith("@v"):
        return _asked(picks[int(tree.name[2:])])
    if tree.kind != "call":
        return None
    if tree.name in {"_&&_", "_||_"}:
        first, other = (shortcut(part, picks) for part in tree.parts)
        return None if first is None or other is None else _joined(first, other, is_or=tree.name == "_||_")
    if tree.name in _TESTS and tree.target is not None:
        return _of_field(tree.target, tree.parts[0], picks, _TESTS[tree.name], {str}) if len(tree.parts) == 1 else None
    if tree.name not in _OPERATORS:
        return None
    left, right, name = tree.parts[0], tree.parts[1], tree.name
    if left.kind == "const":
        left, right, name = right, left, _MIRRORED.get(name, name)
    return _of_field(left, right, picks, _OPERATORS[name], {str, int, float, bool})


def _of_field(
    field: Node,
    literal: Node,
    picks: tuple[FieldVariable, ...],
    compare: Callable[[Any, Any], bool],
    kinds: Collection[type],
) -> Shortcut | None:
    is_literal = literal.kind == "const" and literal.name != "uint" and type(literal.value) in kinds
    if field.kind != "ident" or not field.name.startswith("@v") or not is_literal:
        return None
    pick = picks[int(field.name[2:])]
    return _compared(pick, literal.value, compare) if pick.use == "value" and pick.steps else None


def _asked(pick: FieldVariable) -> Shortcut | None:
    """Return how ``has(...)`` is decided."""
    if pick.use != "has":
        return None

    def is_there(variables: Mapping[str, Any]) -> bool | None:
        value = pick.value(variables)
        return value if type(value) is bool else None

    return is_there


def _compared(pick: FieldVariable, literal: Any, compare: Callable[[Any, Any], bool]) -> Shortcut:
    kind = type(literal)
    root, steps = pick.root, pick.steps

    def field(variables: Mapping[str, Any]) -> bool | None:
        value = variables[root]
        for step in steps:
            value = value[step]
        return compare(value, literal) if type(value) is kind else None

    def is_so(variables: Mapping[str, Any]) -> bool | None:
        try:
            return field(variables)
        except (KeyError, TypeError, IndexError):
            return None

    return is_so


def _joined(shortcut: Shortcut, other: Shortcut, *, is_or: bool) -> Shortcut:
    def both(variables: Mapping[str, Any]) -> bool | None:
        found = shortcut(variables)
        return other(variables) if found is (not is_or) else found

    return both
