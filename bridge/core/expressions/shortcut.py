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
        pick = picks[int(tree.name[2:])]

        def is_present(variables: Mapping[str, Any]) -> bool | None:
            value = pick.value(variables)
            return value if type(value) is bool else None

        return is_present if pick.use == "has" else None
    if tree.kind != "call":
        return None
    if tree.name in {"_&&_", "_||_"}:
        first, second = (shortcut(part, picks) for part in tree.parts)
        if first is None or second is None:
            return None
        undecided = tree.name == "_&&_"  # the value of the first part with which the second one decides

        def joined(variables: Mapping[str, Any]) -> bool | None:
            value = first(variables)
            return second(variables) if value is undecided else value

        return joined
    if tree.name in _TESTS and tree.target is not None:
        return _compared(tree.target, tree.parts[0], picks, _TESTS[tree.name], {str}) if len(tree.parts) == 1 else None
    if tree.name not in _OPERATORS:
        return None
    left, right, name = tree.parts[0], tree.parts[1], tree.name
    if left.kind == "const":
        left, right, name = right, left, _MIRRORED.get(name, name)
    return _compared(left, right, picks, _OPERATORS[name], {str, int, float, bool})


def _compared(
    field: Node,
    literal: Node,
    picks: tuple[FieldVariable, ...],
    compare: Callable[[Any, Any], bool],
    kinds: Collection[type],
) -> Shortcut | None:
    """Return how a field is compared with a literal of one of these types; None if they are something else."""
    is_literal = literal.kind == "const" and literal.name != "uint" and type(literal.value) in kinds
    if field.kind != "ident" or not field.name.startswith("@v") or not is_literal:
        return None
    pick = picks[int(field.name[2:])]
    if pick.use != "value" or not pick.steps:
        return None
    root, steps, expected, kind = pick.root, pick.steps, literal.value, type(literal.value)

    def holds(variables: Mapping[str, Any]) -> bool | None:
        try:
            value = variables[root]
            for step in steps:
                value = value[step]
        except (KeyError, TypeError, IndexError):
            return None
        return compare(value, expected) if type(value) is kind else None

    return holds
