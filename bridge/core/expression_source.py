"""How the text of a CEL expression reads: which names are free, which fields it takes, how deep its macros nest.

The CEL binding converts everything that it is given at each evaluation, and that is most of its cost. So
:mod:`bridge.core.expression` gives it only the fields that the text names, as found here. This is a reader of tokens,
not a parser: it is only asked about text that has compiled, and whatever it does not recognise counts as a *bare* use
of a name, for which the whole value is handed over.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
"""Macros that bind a variable: ``list.map(x, ...)``."""

COLLECTING_MACROS = frozenset({"filter", "map"})
"""Macros that build a list."""

_TOKEN = re.compile(
    r"""
      (?P<space> \s+ | //[^\n]* )
    | (?P<string> (?:[bB]?[rR]|[rR][bB]) (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n\r]*" | '[^'\n\r]*' )
                | [bB]? (?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}
                          | "(?:[^"\\\n\r]|\\.)*" | '(?:[^'\\\n\r]|\\.)*' ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number> 0x[0-9A-Fa-f]+[uU]? | (?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]? )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_STRING = re.compile(r"""(["'])[^\\"']*\1""")
_LITERALS = frozenset({"true", "false", "null", "in"})


class Token(NamedTuple):
    """A piece of the text: its kind, itself, and where it stands (``text[start:end]``)."""

    kind: str
    text: str
    start: int
    end: int


class FieldUse(NamedTuple):
    """One place where a field of a free name is used.

    Attributes:
        root: The free name (``payload``).
        steps: Names below it, one or more (``customer``, ``id``).
        start: Where its text starts.
        end: Where its text ends.
        tested: It stands in ``has(...)`` with one step; the text then covers the whole macro.

    """

    root: str
    steps: tuple[str, ...]
    start: int
    end: int
    tested: bool = False


@dataclass(slots=True)
class SourceReading:
    """What a text uses.

    Attributes:
        free: Names that no macro around them binds.
        bound: Names that a macro binds.
        bare: Those of the free ones that are used as a whole somewhere.
        fields: Uses of fields of free names, in order of the text.
        nesting: How many macros stand inside each other, at most.
        collects: A macro among them builds a list (``map``, ``filter``).

    """

    free: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    fields: list[FieldUse] = field(default_factory=list)
    nesting: int = 0
    collects: bool = False


def read_source(text: str) -> SourceReading:
    """Return what ``text``, which compiles as CEL, uses."""
    tokens = [*_tokens(text), *[Token("end", "", len(text), len(text))] * 4]
    reading = SourceReading()
    scopes: list[str | None] = []  # for each open bracket the name that its macro binds
    at = 0
    while tokens[at].kind != "end":
        token = tokens[at]
        if token.text in {"(", "[", "{"} and token.kind == "sign":
            binder = _bound_name(tokens, at)
            scopes.append(binder)
            reading.bound |= {binder} if binder else set()
            reading.collects |= binder is not None and tokens[at - 1].text in COLLECTING_MACROS
            at += 1 if binder is None else 2
            reading.nesting = max(reading.nesting, sum(name is not None for name in scopes))
            continue
        if token.text in {")", "]", "}"} and token.kind == "sign" and scopes:
            scopes.pop()
        at = _read_name(tokens, at, scopes, reading) if _is_root(tokens, at) else at + 1
    return reading


def _tokens(text: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "sign"
        if kind != "space":
            yield Token(kind, found.group(), found.start(), found.end())


def _bound_name(tokens: list[Token], at: int) -> str | None:
    """Return the name that a macro binds whose bracket stands at ``at``."""
    is_macro = at > 1 and tokens[at].text == "(" and tokens[at - 1].text in MACROS and tokens[at - 2].text == "."
    is_binding = tokens[at + 1].kind == "name" and tokens[at + 2].text == ","
    return tokens[at + 1].text if is_macro and is_binding else None


def _is_root(tokens: list[Token], at: int) -> bool:
    """Tell whether a variable starts at ``at``: a name that is no field, function or literal."""
    token = tokens[at]
    if token.kind != "name" or token.text in _LITERALS or tokens[at + 1].text == "(":
        return False
    return at == 0 or tokens[at - 1].text != "."


def _read_name(tokens: list[Token], at: int, scopes: list[str | None], reading: SourceReading) -> int:
    """Note the variable at ``at`` with the fields behind it; return where reading goes on."""
    root = tokens[at]
    if root.text in scopes:
        return at + 1
    reading.free.add(root.text)
    steps, behind = _steps(tokens, at + 1)
    is_tested = at > 1 and tokens[at - 1].text == "(" and tokens[at - 2].text == "has" and tokens[behind].text == ")"
    if is_tested and len(steps) > 1:
        steps, behind = steps[:-1], behind - 2  # has(a.b.c) stays a has() of `c` in a.b
        is_tested = False
    if not steps or tokens[behind].text == "{":
        reading.bare.add(root.text)
        return at + 1
    start, end = (tokens[at - 2].start, tokens[behind].end) if is_tested else (root.start, tokens[behind - 1].end)
    reading.fields.append(FieldUse(root.text, tuple(steps), start, end, tested=is_tested))
    return behind


def _steps(tokens: list[Token], at: int) -> tuple[list[str], int]:
    """Return the names in ``.name`` and ``["name"]`` from ``at`` on, and the place behind them."""
    steps: list[str] = []
    while True:
        sign, step, after = tokens[at : at + 3]
        if sign.text == "." and step.kind == "name" and after.text != "(":
            steps.append(step.text)
            at += 2
        elif sign.text == "[" and step.kind == "string" and after.text == "]" and _PLAIN_STRING.fullmatch(step.text):
            steps.append(ast.literal_eval(step.text))
            at += 3
        else:
            return steps, at
