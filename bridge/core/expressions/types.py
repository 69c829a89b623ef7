"""Whether an expression fits the types of its variables: the engine's own checker, in a user's words.

CEL's checker wants both sides of a comparison to have one type, while CEL compares numbers of all types when it
evaluates. ``payload.amount > 3`` is right for a double. So a comparison of two numbers is no fault here, nor is a
search for a number among other numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from bridge.core.expressions.errors import ExpressionSyntaxError, split_types, type_error
from bridge.core.expressions.meter import extensions

_AT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_COMPARED = re.compile(r"found no matching overload for '(_(?:==|!=|<|<=|>|>=|\[)[_\]]+|@in)' applied to '\((.*)\)'")
_NUMBERS = frozenset({"int", "uint", "double"})


def refuse_wrong_types(source: str, allowed: Collection[str], types: Mapping[str, Any], *, extended: bool) -> None:
    """Refuse an expression that no values of these types make right.

    Args:
        source: The expression, which parses.
        allowed: The variables. A field that ``types`` does not name is of any type.
        types: Types by dotted name, as the engine calls them.
        extended: Whether it may need the extensions of CEL.

    Raises:
        ExpressionSyntaxError: It can never have a value.

    """
    variables = {**dict.fromkeys(allowed, "dyn"), **types}
    try:
        _environment(tuple(sorted(variables.items())), extended).compile(source)
    except Exception as error:
        for line, column, reason in _AT.findall(str(error)):
            compared = _COMPARED.search(reason)
            if not compared or not all(_bare(kind) in _NUMBERS for kind in split_types(compared[2])):
                raise type_error(int(line), int(column), reason) from error
        if not _AT.search(str(error)):
            raise ExpressionSyntaxError("it is no CEL") from error


@lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, str], ...], extended: bool) -> cel.Env:  # noqa: FBT001 - cached
    """Return an environment with variables of these types; most expressions of an installation share a few."""
    kinds = {name: _kind(kind) for name, kind in variables}
    return cel.NewEnv(variables=kinds, extensions=extensions() if extended else [])


def _bare(kind: str) -> str:
    """Return the type of a number that may be null, of the members of a list, or of a map's keys, by itself."""
    inner = re.fullmatch(r"(?:wrapper|list|map)\((.*)\)", kind)
    return _bare(split_types(inner[1])[0]) if inner else kind


def _kind(signature: str) -> cel.Type:
    """Return a type; the engine itself reads no parameters of lists and maps."""
    if signature.startswith("list("):
        return cel.Type.List(_kind(signature[5:-1]))
    if signature.startswith("map("):
        return cel.Type.Map(*[_kind(part) for part in split_types(signature[4:-1])])
    return cel.Type(signature)
