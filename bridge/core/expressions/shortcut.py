"""Conditions that need no engine: ``has()``, and fields compared with literals, joined by ``&&`` and ``||``.

Most filters are no more than that, and the engine takes longer to be called than to compare. A comparison is decided
here only where the value has the literal's own type, for which Python and CEL agree. Everything else is CEL's.

The parts that ``&&`` joins become one function. Its code has no text of the expression in it: names and literals are
values beside the code. Filters that differ only in these share the code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from bridge.core.expressions.fields import FieldVariable
from bridge.core.expressions.tree import Node

Shortcut = Callable[[Mapping[str, Any]], bool | None]
"""Returns whether the condition holds; None where only CEL can tell."""

_OPERATORS = {"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "contains": operator.contains,
    "endsWith": str.endswith,
    "startsWith": str.startswith,
}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


_SHAPES = 1_000  # of conditions whose code is kept


class _Comparison(NamedTuple):
    """A field that is compared with a literal of its type: by an operator of Python, or by a test."""

    root: str
    steps: tuple[str, ...]
    operator: str
    test: Callable[[Any, Any], bool] | None
    literal: Any


def shortcut(tree: Node, picks: tuple[FieldVariable, ...]) -> Shortcut | None:
    """Return how the condition is decided without the engine; None if it holds more than comparisons."""
    parts = [_part(part, picks) for part in _joined(tree)]
    if any(part is None for part in parts):
        return None
    if len(parts) == 1 and not isinstance(parts[0], _Comparison):
        return parts[0]
    lines = ["def holds(variables):"]
    given: dict[str, Any] = {"missing": (KeyError, TypeError, IndexError)}
    for number, part in enumerate(parts):
        if not isinstance(part, _Comparison):
            given[f"other{number}"] = part
            lines += [f" value = other{number}(variables)", " if value is not True: return value"]
            continue
        steps = [f"step{number}_{index}" for index in range(len(part.steps))]
        given |= {f"root{number}": part.root, **dict(zip(steps, part.steps, strict=True))}
        given |= {f"kind{number}": type(part.literal), f"literal{number}": part.literal}
        path = "".join(f"[{step}]" for step in steps)
        says = f"value {part.operator} literal{number}"
        if part.test is not None:
            given[f"test{number}"], says = part.test, f"test{number}(value, literal{number})"
        lines += [
            f" try: value = variables[root{number}]{path}",
            " except missing: return None",
            f" if type(value) is not kind{number}: return None",
            f" if not {says}: return False",
        ]
    lines.append(" return True")
    exec(_code("\n".join(lines)), given)  # noqa: S102 - its text has signs of operators and numbered names alone
    holds: Shortcut = given["holds"]
    return holds


def _joined(tree: Node) -> Iterator[Node]:
    """Yield the parts that ``&&`` joins, in their order; an expression without it is its only part."""
    if tree.kind == "call" and tree.name == "_&&_":
        for part in tree.parts:
            yield from _joined(part)
    else:
        yield tree


def _part(tree: Node, picks: tuple[FieldVariable, ...]) -> _Comparison | Shortcut | None:
    """Return a comparison, or how another condition without ``&&`` is decided; None if it holds more than those."""
    if tree.kind == "ident" and tree.name.startswith("@v"):
        pick = picks[int(tree.name[2:])]

        def is_present(variables: Mapping[str, Any]) -> bool | None:
            value = pick.value(variables)
            return value if type(value) is bool else None

        return is_present if pick.use == "has" else None
    if tree.kind != "call":
        return None
    if tree.name == "_||_":
        first, second = (shortcut(part, picks) for part in tree.parts)
        if first is None or second is None:
            return None

        def either(variables: Mapping[str, Any]) -> bool | None:
            value = first(variables)
            return second(variables) if value is False else value

        return either
    if tree.name in _TESTS and tree.target is not None:
        test = _TESTS[tree.name]
        return _comparison(tree.target, tree.parts[0], picks, {str}, test=test) if len(tree.parts) == 1 else None
    if tree.name not in _OPERATORS:
        return None
    left, right, name = tree.parts[0], tree.parts[1], tree.name
    if left.kind == "const":
        left, right, name = right, left, _MIRRORED.get(name, name)
    return _comparison(left, right, picks, {str, int, float, bool}, _OPERATORS[name])


def _comparison(
    field: Node,
    literal: Node,
    picks: tuple[FieldVariable, ...],
    kinds: Collection[type],
    sign: str = "",
    test: Callable[[Any, Any], bool] | None = None,
) -> _Comparison | None:
    """Return how a field is compared with a literal of one of these types; None if they are something else."""
    is_literal = literal.kind == "const" and literal.name != "uint" and type(literal.value) in kinds
    if field.kind != "ident" or not field.name.startswith("@v") or not is_literal:
        return None
    pick = picks[int(field.name[2:])]
    if pick.use != "value" or not pick.steps:
        return None
    return _Comparison(pick.root, pick.steps, sign, test, literal.value)


@lru_cache(maxsize=_SHAPES)
def _code(text: str) -> CodeType:
    return compile(text, "<condition>", "exec")
