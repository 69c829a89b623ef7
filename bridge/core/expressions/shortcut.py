"""Conditions that need no engine: comparisons, arithmetic, ``matches``, ``in`` and others, joined by ``&&`` and ``||``.

Most filters are no more than that, and the engine takes longer to be called than to compare. A step is decided here
only where the types of its values are such that Python and CEL agree. Everything else is CEL's. If ``&&`` joins a part
that is always CEL's to others, and one of the others is false, then the condition is false. If they all hold, the
engine is asked for that part alone.

=====================================  ===============================================================================
the step                               is decided here for
=====================================  ===============================================================================
``== != < <= > >=``                    two texts, two ints of 64 bits, two floats or two bools
``== null``, ``!= null``               a field that is there
``contains``, ``startsWith`` and       a text and a literal
``endsWith``
``in`` a list                          literals of one type, texts or ints of 64 bits, and a value of that type
``+ - *`` and ``-`` of one value       two floats, or two ints of 64 bits with such a result
``/`` and ``%``                        two ints of 64 bits of which none is negative, or (``/``) two floats; not by zero
``matches``                            a short text in ASCII, and a literal
``size``                               a text; a list or a mapping that is short and flat
``has()``; a field alone               a field of a mapping; a bool
=====================================  ===============================================================================

A condition becomes one function. Its code has no text of the expression in it: names and literals are values beside the
code. Conditions that differ only in these share the code. Each ``&&`` or ``||`` inside another takes one level of
indentation. Python takes a hundred, and the engine refuses a tree of half as many.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, Literal, NamedTuple

from bridge.core.expressions.cost import LIMIT
from bridge.core.expressions.fields import ABSENT, FieldVariable
from bridge.core.expressions.meter import quick_search
from bridge.core.expressions.tree import Node
from bridge.core.expressions.values import ZERO, small_size

REST: Literal["rest"] = "rest"
"""All parts that ``&&`` joins hold but those that are always the engine's, which decide."""

Shortcut = Callable[[Mapping[str, Any]], bool | Literal["rest"] | None]
"""Returns whether the condition holds; ``REST`` where the rest of it tells that, and None where only all of it does."""

_OPERATORS = {"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_ARITHMETIC = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%"}
_DIVISION = frozenset({"_/_", "_%_"})
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "contains": operator.contains,
    "endsWith": str.endswith,
    "startsWith": str.startswith,
}
_COMPARED = frozenset({str, int, float, bool})
_NUMBERS = frozenset({int, float})
_LISTED = frozenset({str, int})
_TEXT_AND_PATTERN = 2
_MATCHED = 1_000  # characters of a text that is searched for a pattern
_SHORT = 4_096  # bytes and members of a list or a mapping that costs the engine next to nothing
_KNOWN: dict[str, Any] = {
    "missing": (KeyError, TypeError, IndexError),
    "numbers": _NUMBERS,
    "is_sized": lambda value: type(value) is str or small_size(value, _SHORT) <= _SHORT,
    "is_short": lambda text: len(text) <= _MATCHED and text.isascii() and ZERO not in text,
    "absent": ABSENT,
    "low": -(2**63),
    "high": 2**63,
    "rest": REST,
}
_SHAPES = 1_000  # of conditions whose code is kept


class _Value(NamedTuple):
    """A value in the code.

    Attributes:
        name: Its variable.
        kind: Its type, where that is certain.

    """

    name: str
    kind: type | None = None


class _UndecidedError(Exception):
    """The condition has a step that only the engine can take."""


def shortcut(tree: Node, picks: tuple[FieldVariable, ...]) -> tuple[Shortcut | None, Node | None]:
    """Return how the condition is decided without the engine, and the rest of it, which is always the engine's.

    The first is None if each of the parts that ``&&`` joins has a step of the engine alone; the second if none has.
    """
    code, rest = _Code(picks), None
    parts = list(_joined(tree))
    for part in parts:
        length = len(code.lines)
        try:
            code.lines.append(f" if not {code.condition(part, ' ')}: return False")
        except _UndecidedError:
            del code.lines[length:]
            rest = part if rest is None else Node("call", tree.id, "_&&_", parts=[rest, part])
    if not code.lines:
        return None, tree
    given, end = _KNOWN | code.given, " return True" if rest is None else " return rest"
    exec(_compiled("\n".join(["def holds(variables):", *code.lines, end])), given)  # noqa: S102 - its text has signs of operators and numbered names alone
    holds: Shortcut = given.pop("holds")  # it is not among its own globals: no cycle, so it goes with its condition
    return holds, rest


def _joined(tree: Node) -> Iterator[Node]:
    """Yield the parts that ``&&`` joins, in their order; an expression without it is its only part."""
    if tree.kind == "call" and tree.name == "_&&_":
        for part in tree.parts:
            yield from _joined(part)
    else:
        yield tree


class _Code:
    """The code of a condition. A step whose value only CEL can tell returns None from all of it.

    Attributes:
        lines: The statements so far.
        given: The names and literals beside the code.

    """

    def __init__(self, picks: tuple[FieldVariable, ...]) -> None:
        self.lines: list[str] = []
        self.given: dict[str, Any] = {}
        self._picks = picks
        self._count = 0
        self._matching = 0  # nanoseconds that all patterns cost at most

    # -- conditions ----------------------------------------------------------------------------------------------------

    def condition(self, node: Node, indent: str) -> str:
        """Add the statements that decide a condition; return what is true in Python if it holds."""
        if node.kind == "const" and type(node.value) is bool:
            return self._give("literal", node.value)
        if node.kind == "ident":  # a field whose value is the condition, or whether it is there
            pick = self._pick(node)
            name = self._field(pick, indent) if pick.use == "value" else self._asked(pick, indent)
            self.lines.append(f"{indent}if type({name}) is not bool: return None")
            return name
        if node.kind != "call":
            raise _UndecidedError
        if node.name in ("_&&_", "_||_"):  # the second is looked at only if the first does not decide
            first, second = node.parts
            result = self._new("holds")
            self.lines.append(f"{indent}{result} = {self.condition(first, indent)}")
            self.lines.append(f"{indent}if {'' if node.name == '_&&_' else 'not '}{result}:")
            self.lines.append(f"{indent} {result} = {self.condition(second, indent + ' ')}")
            return result
        if node.name == "!_":
            return f"(not {self.condition(node.parts[0], indent)})"
        if node.name in _TESTS and node.target is not None and len(node.parts) == 1:
            literal = node.parts[0]
            if literal.kind != "const" or type(literal.value) is not str:
                raise _UndecidedError
            tested = self._value(node.target, indent)
            self._typed(tested, str, indent)
            return f"{self._give('test', _TESTS[node.name])}({tested.name}, {self._give('literal', literal.value)})"
        if node.name == "matches":
            return self._match(node, indent)
        if node.name == "@in":
            member, listed = node.parts
            kinds = {type(part.value) for part in listed.parts}
            is_plain = all(part.kind == "const" and part.name != "uint" for part in listed.parts)
            if listed.kind != "list" or listed.optional or not is_plain or len(kinds) != 1 or not kinds <= _LISTED:
                raise _UndecidedError
            value, kind = self._value(member, indent), kinds.pop()
            self._typed(value, kind, indent)
            self._bounded([_Value(value.name, kind)], indent)
            return f"({value.name} in {self._give('literal', frozenset([part.value for part in listed.parts]))})"
        if node.name in _OPERATORS:
            return self._comparison(node, indent)
        raise _UndecidedError

    def _match(self, node: Node, indent: str) -> str:
        parts = [part for part in (node.target, *node.parts) if part is not None]
        if len(parts) != _TEXT_AND_PATTERN or parts[1].kind != "const" or type(parts[1].value) is not str:
            raise _UndecidedError
        found = quick_search(parts[1].value, _MATCHED)
        if found is None:
            raise _UndecidedError
        search, cost = found
        self._matching += cost
        if self._matching > LIMIT // 2:  # all of the condition might cost too much, which the engine has to say
            raise _UndecidedError
        text = self._value(parts[0], indent)
        self._typed(text, str, indent)
        self.lines.append(f"{indent}if not is_short({text.name}): return None")
        return f"({self._give('search', search)}({text.name}) is not None)"

    def _comparison(self, node: Node, indent: str) -> str:
        left, right = node.parts
        for field, other in ((left, right), (right, left)):
            if other.kind == "const" and other.value is None:  # the field says no more than whether it is null
                if node.name not in ("_==_", "_!=_"):
                    raise _UndecidedError
                name = self._asked(self._pick(field), indent)
                self.lines.append(f"{indent}if {name} is absent: return None")
                return f"({name} is {'' if node.name == '_==_' else 'not '}None)"
        first, second = self._value(left, indent), self._value(right, indent)
        kind = self._same(first, second, _COMPARED, indent)
        compared = [(part, value) for part, value in ((left, first), (right, second)) if part.kind != "const"]
        self._bounded([_Value(value.name, kind) for _, value in compared], indent)
        return f"({first.name} {_OPERATORS[node.name]} {second.name})"

    # -- values --------------------------------------------------------------------------------------------------------

    def _value(self, node: Node, indent: str) -> _Value:
        """Add the statements that find a value."""
        if node.kind == "const":
            if node.name == "uint" or type(node.value) not in _COMPARED:
                raise _UndecidedError
            return _Value(self._give("literal", node.value), type(node.value))
        if node.kind == "ident":
            pick = self._pick(node)
            if pick.use != "value":
                raise _UndecidedError
            return _Value(self._field(pick, indent))
        if node.kind != "call":
            raise _UndecidedError
        if node.name == "size":
            sized = [part for part in (node.target, *node.parts) if part is not None]
            if len(sized) != 1:
                raise _UndecidedError
            of = self._value(sized[0], indent).name
            self.lines.append(f"{indent}if not is_sized({of}): return None")
            return self._result(f"len({of})", int, indent)
        if node.name == "-_":
            operand = self._value(node.parts[0], indent)
            self.lines.append(f"{indent}if type({operand.name}) not in numbers: return None")
            result = self._result(f"-{operand.name}", operand.kind, indent)
            self._bounded((operand, result), indent)
            return result
        if node.name not in _ARITHMETIC:
            raise _UndecidedError
        first, second = (self._value(part, indent) for part in node.parts)
        kind: type | None = float
        if node.name in _DIVISION:
            kind = int if node.name == "_%_" else first.kind or second.kind or float
            if kind not in _NUMBERS:
                raise _UndecidedError
            for operand in (first, second):
                self._typed(operand, kind, indent)
            self.lines.append(f"{indent}if {second.name} == 0: return None")
            if kind is int:  # of negative ones, Python rounds the quotient down, and CEL towards zero
                self.lines.append(f"{indent}if {first.name} < 0 or {second.name} < 0: return None")
        else:
            kind = self._same(first, second, _NUMBERS, indent)
        sign = "//" if node.name == "_/_" and kind is int else _ARITHMETIC[node.name]
        result = self._result(f"{first.name} {sign} {second.name}", kind, indent)
        self._bounded((_Value(first.name, kind), _Value(second.name, kind), result), indent)
        return result

    def _result(self, text: str, kind: type | None, indent: str) -> _Value:
        name = self._new("value")
        self.lines.append(f"{indent}{name} = {text}")
        return _Value(name, kind)

    def _field(self, pick: FieldVariable, indent: str) -> str:
        """Add the statements that find a field."""
        if not pick.steps:
            raise _UndecidedError
        root = self._give("root", pick.root)
        steps = [self._give("step", step) for step in pick.steps]
        name = self._new("value")
        self.lines.append(f"{indent}try: {name} = variables[{root}]{''.join(f'[{step}]' for step in steps)}")
        self.lines.append(f"{indent}except missing: return None")
        return name

    def _asked(self, pick: FieldVariable, indent: str) -> str:
        """Add the statement that asks whether a field is there, or null."""
        if pick.use == "value":
            raise _UndecidedError
        name = self._new("value")
        self.lines.append(f"{indent}{name} = {self._give('ask', pick.value)}(variables)")
        return name

    def _pick(self, node: Node) -> FieldVariable:
        if node.kind != "ident" or not node.name.startswith("@v"):
            raise _UndecidedError
        return self._picks[int(node.name[2:])]

    # -- what has to be so ---------------------------------------------------------------------------------------------

    def _same(self, first: _Value, second: _Value, kinds: frozenset[type], indent: str) -> type | None:
        """Two values have one type, which is one of some; return it if it is certain."""
        kind = first.kind or second.kind
        if kind is None:
            listed = self._give("kinds", kinds)
            self.lines.append(f"{indent}if type({first.name}) is not type({second.name}): return None")
            self.lines.append(f"{indent}if type({first.name}) not in {listed}: return None")
            return None
        if kind not in kinds:
            raise _UndecidedError
        for value in (first, second):
            self._typed(value, kind, indent)
        return kind

    def _typed(self, value: _Value, kind: type, indent: str) -> None:
        """A value has a type."""
        if value.kind is None:
            self.lines.append(f"{indent}if type({value.name}) is not {self._give('kind', kind)}: return None")
        elif value.kind is not kind:
            raise _UndecidedError

    def _bounded(self, values: Sequence[_Value], indent: str) -> None:
        """The values are no ints beyond 64 bits, which are floats to CEL."""
        for name, kind in values:
            if kind is None:
                self.lines.append(f"{indent}if type({name}) is int and not low <= {name} < high: return None")
            elif kind is int:
                self.lines.append(f"{indent}if not low <= {name} < high: return None")

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _give(self, prefix: str, value: object) -> str:
        name = self._new(prefix)
        self.given[name] = value
        return name


@lru_cache(maxsize=_SHAPES)
def _compiled(text: str) -> CodeType:
    return compile(text, "<condition>", "exec")
