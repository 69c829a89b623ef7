"""The parts of a condition for people: its conjuncts with their values, and its fields with their types.

``payload.paid == true && payload.amount > 100`` is false as a whole. People ask which part of it is false, and what
stands in the fields that it reads. A conjunct is evaluated as an expression of its own, so it means what it means in
the whole.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.core.expressions.errors import ExpressionError, ExpressionSyntaxError
from bridge.core.expressions.expression import Expression
from bridge.core.expressions.meter import parse
from bridge.core.expressions.tree import Node

_OPEN, _CLOSE = "([{", ")]}"
_COMPARED = frozenset({"_==_", "_!=_"})
_NUMBERS = frozenset({"int", "uint", "double"})
_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "bool"),
    (str, "string"),
    (int, "int"),
    (decimal.Decimal, "double"),
    (float, "double"),
    ((bytes, bytearray), "bytes"),
    (dt.datetime, "timestamp"),
    (dt.timedelta, "duration"),
    ((list, tuple), "list"),
    (Mapping, "map"),
)


class Conjunct(NamedTuple):
    """A part of a condition that must be true for the whole to be true.

    Attributes:
        source: Its text.
        value: True, false, or None where it has no value.
        error: Why it has none; empty if it has.
        hint: What a person may have overlooked: types that are never equal. Empty for none.

    """

    source: str
    value: bool | None
    error: str
    hint: str


def type_name(value: Any) -> str:
    """Return the type of a value as CEL calls it."""
    if value is None:
        return "null"
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "string")


def conjuncts(expression: Expression, variables: Mapping[str, Any]) -> tuple[Conjunct, ...]:
    """Return the parts of a condition that ``&&`` joins, each with its value; the whole of it if it has no such parts.

    Args:
        expression: The condition.
        variables: The variables of its evaluation.

    """
    judged: list[Conjunct] = []
    for source in _sources(expression.source):
        value, error, hint = None, "", ""
        try:
            part = Expression(source)
            hint = _hint(_tree(source), variables)
            value = part.holds(variables)
        except ExpressionSyntaxError as fault:
            error = fault.reason
        except ExpressionError as fault:
            error = str(fault)
        judged.append(Conjunct(source, value, error, hint))
    return tuple(judged)


def _tree(source: str) -> Node | None:
    try:
        return parse(source)[0]
    except Exception:  # noqa: BLE001 - whatever the engine raises: without a tree there is nothing to tell
        return None


def _sources(source: str) -> list[str]:
    """Return the texts of the conjuncts. The engine's own tree says how many there are."""
    tree = _tree(source)
    if tree is None or not _is_and(tree):
        return [source]
    parts = _split(source)
    inner = [part for text in parts for part in (_sources(_unwrapped(text)) if _is_wrapped(text) else [text])]
    return inner if len(inner) == _count(tree) else [source]


def _is_and(node: Node) -> bool:
    return node.kind == "call" and node.name == "_&&_"


def _count(node: Node) -> int:
    return sum(_count(part) for part in node.parts) if _is_and(node) else 1


def _split(source: str) -> list[str]:
    """Return the texts between the ``&&`` that stand in no brackets and in no quotes."""
    parts: list[str] = []
    begin = at = depth = 0
    while at < len(source):
        character = source[at]
        if character in "\"'":
            at = _behind_text(source, at)
            continue
        if source.startswith("//", at):
            at = source.find("\n", at) if "\n" in source[at:] else len(source)
            continue
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth == 0 and source.startswith("&&", at):
            parts.append(source[begin:at].strip())
            at += 2
            begin = at
            continue
        at += 1
    return [*parts, source[begin:].strip()]


def _behind_text(source: str, at: int) -> int:
    """Return the place behind the text in quotes that begins at ``at``."""
    quote = source[at] * 3 if source.startswith(source[at] * 3, at) else source[at]
    is_raw = at > 0 and source[at - 1] in "rR"
    at += len(quote)
    while at < len(source) and not source.startswith(quote, at):
        at += 2 if source[at] == "\\" and not is_raw else 1
    return at + len(quote)


def _is_wrapped(text: str) -> bool:
    """Return whether a text is all in one pair of brackets and holds conjuncts: ``(a && b)``."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    tree, inner = _tree(text), _tree(_unwrapped(text))
    return tree is not None and inner is not None and _is_and(inner)


def _unwrapped(text: str) -> str:
    return text[1:-1].strip()


def _hint(tree: Node | None, variables: Mapping[str, Any]) -> str:
    """Return what is odd about a comparison of a field with a literal of another type."""
    if tree is None or tree.kind != "call" or tree.name not in _COMPARED:
        return ""
    for field, literal in (tree.parts, tree.parts[::-1]):
        path = field.path()
        if not path or literal.kind != "const":
            continue
        value: Any = variables
        try:
            for step in path:
                value = value[step]
        except (KeyError, TypeError, IndexError):
            return ""
        found, expected = type_name(value), "uint" if literal.name == "uint" else type_name(literal.value)
        if found == expected or {found, expected} <= _NUMBERS or "null" in (found, expected):
            return ""
        article = "an" if found == "int" else "a"
        return f"{'.'.join(path)} is {article} {found}, which is never equal to a value of type {expected}"
    return ""
