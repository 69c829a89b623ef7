"""CEL expressions: compiled once when a trigger is loaded, evaluated for every event, never a crash.

The engine is Google's (cel-cpp). Everything that it can raise becomes an :class:`ExpressionError` with a text for
people. The cost of an evaluation is bounded before it begins (:mod:`bridge.core.expressions.cost`) and, where that is
impossible, while it runs (:mod:`bridge.core.expressions.meter`).

Speed: the engine converts all its variables. So ``payload.rows > 0 && payload.region == "eu"`` gets two scalars
(:mod:`bridge.core.expressions.fields`). Such a condition does not even need the engine where Python and CEL agree
about its values (:mod:`bridge.core.expressions.shortcut`). An expression that only names a field is not evaluated at
all: its value is the field's, exactly.

Values: str, int, float, bool, None, bytes, datetime (one without a zone is UTC), timedelta, lists and mappings pass
through CEL. UUID, date and time become their texts. Decimal, and an int outside of 64 bits, are floats inside CEL,
and stay themselves only where the expression is no more than the field's name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal
from weakref import WeakValueDictionary

from cel_expr_python import cel
from typing_extensions import override

from bridge.core.expressions.cost import LIMIT, Cost
from bridge.core.expressions.equality import Equality, equality
from bridge.core.expressions.errors import ExpressionError, ExpressionSyntaxError, failure_text, syntax_error
from bridge.core.expressions.fields import ABSENT, TYPE_NAMES, FieldVariable, names_of, narrowed
from bridge.core.expressions.meter import (
    Meter,
    Metered,
    arenas,
    guarded,
    is_extended,
    makes_optionals,
    metered,
    parse,
    program,
    value_of,
)
from bridge.core.expressions.shortcut import Shortcut, shortcut
from bridge.core.expressions.tree import Node
from bridge.core.expressions.values import SCALARS, ZERO, Shape, admitted, plain, small_size, total

__all__ = ["LENGTH_LIMIT", "RESERVED_WORDS", "TYPE_NAMES", "Expression", "ExpressionError", "ExpressionSyntaxError"]

LENGTH_LIMIT = 4_096
"""Characters in an expression."""

RESERVED_WORDS = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
"""Words that cannot be variables."""

_SMALL = (16, 64, 256, 1024, 4096)
_PLAIN_LIMIT = 5_000_000  # nanoseconds that the engine may be left alone with a loop
_DIRECT = frozenset({bool, float, type(None)})
_ERROR = cel.Type.ERROR


class _Evaluation:
    """A tree over variables of its own, ready to be evaluated by the engine within the bound of its cost.

    Args:
        tree: The tree.
        picks: The fields that the variables of the whole expression stand for; the tree names all or some of them.

    Raises:
        RuntimeError: It is nested too deep.

    """

    def __init__(self, tree: Node, picks: tuple[FieldVariable, ...]) -> None:
        names = {node.name for node in tree.walk() if node.kind == "ident"}
        self._all_picks = picks
        self._picks = picks = tuple([pick for pick in picks if pick.variable in names])
        self._tree, needs_meter = guarded(tree)
        self._program = program(self._tree)
        self._metered: Metered | None = None
        self._makes_optionals = makes_optionals(self._tree)
        self._has_loops = any(node.kind == "loop" for node in self._tree.walk())
        self._small = _small(self._tree, picks)
        self._is_light = not needs_meter  # the sizes of its variables then decide

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Return the value over ``variables``.

        Raises:
            ExpressionError: There is none.

        """
        arguments: dict[str, Any] = {}
        is_light, small = self._is_light, 0
        for pick in self._picks:
            value = pick.value(variables)
            kind = type(value)
            if kind is str:
                small += 4 * len(value)
                is_light = is_light and ZERO not in value
            elif kind is int:
                is_light = is_light and -(2**63) <= value < 2**63
            elif value is ABSENT:
                continue
            elif kind not in _DIRECT and is_light:
                size = small_size(value, self._small)
                small += size
                is_light = size <= self._small
            arguments[pick.variable] = value
        try:
            result = (
                self._program.eval(None, arguments, None, arenas.next())
                if is_light and small <= self._small
                else self._weighed(arguments)
            )
            value = result.value()
            if value is True or value is False:
                return value
            return value_of(result, has_optionals=self._makes_optionals)
        except Exception as error:
            raise ExpressionError(failure_text(error, self._all_picks)) from error

    def _weighed(self, arguments: Mapping[str, Any]) -> cel.Value:
        """Return the engine's result; the cost is bounded before, or paid while the engine works."""
        meter = Meter()
        values: dict[str, Any] = {}
        shapes: dict[str, Shape] = {}
        for variable, value in arguments.items():
            values[variable], shapes[variable] = admitted(value, meter.spend)
        size = total(shapes.values())
        meter.spend(size)
        if size > self._small:
            cost = Cost(shapes)
            spent = cost.of_whole(self._tree)
            if spent > _PLAIN_LIMIT and self._has_loops:
                return self._paid(meter, values, shapes)
            meter.spend(spent)
        try:
            return metered(meter, lambda: self._program.eval(None, values))
        except RuntimeError as error:
            if "Iteration budget" not in str(error):
                raise
            return self._paid(meter, values, shapes)

    def _paid(self, meter: Meter, values: Mapping[str, Any], shapes: dict[str, Shape]) -> cel.Value:
        if self._metered is None:
            self._metered = Metered(self._tree)
        return self._metered.evaluate(meter, values, shapes)


class Expression:
    """A compiled CEL expression.

    Attributes:
        source: Its text.
        names: The variables that it needs; nothing else has to be given.
        reads: The fields that it reads, as it spells them.
        read_whole: The variables of which it reads more than such fields.
        uses: Where it reads them.
        equality: The value of a field without which it is not true as a condition; None if it asks for none.
        shortcut: How it is decided as a condition without the engine; None where that cannot be.

    """

    def __init__(self, source: str) -> None:
        """Compile ``source``.

        Raises:
            ExpressionSyntaxError: It is no CEL, or too long.

        """
        self.source = source
        if len(source) > LENGTH_LIMIT:
            raise ExpressionSyntaxError(f"{len(source)} characters; an expression has at most {LENGTH_LIMIT}")
        if not source.strip():
            raise ExpressionSyntaxError("an empty expression")
        try:
            tree = parse(source)[0]
        except Exception as error:
            raise syntax_error(str(error), source) from error
        for node in tree.walk():
            if node.kind == "map" and node.name:
                raise ExpressionSyntaxError(
                    f"{node.name}: there are no message types; write a map as {{'name': value}}"
                )
        self._is_extended = is_extended(tree)
        changed, self._picks, self.uses = narrowed(tree)
        try:
            evaluation = _Evaluation(changed, self._picks)
        except RuntimeError as error:  # protobuf reads a hundred messages inside each other
            raise ExpressionSyntaxError("nested too deep: write it flatter") from error
        self.names = frozenset(names_of(self.uses))
        values = [pick for pick in self._picks if pick.use != "has"]
        self.reads = tuple(dict.fromkeys(pick.path() for pick in values if pick.steps))
        self.read_whole = frozenset(pick.root for pick in values if not pick.steps and pick.use == "value")
        self.shortcut: Shortcut | None
        self.shortcut, self._rest_tree = shortcut(changed, self._picks)
        self._rest: _Evaluation | None = None
        self.equality: Equality | None = equality(changed, self._picks)
        self._only = self._picks[0] if changed.kind == "ident" and values and changed.name == "@v0" else None
        is_seldom_asked = self.shortcut is not None or self._only is not None
        self._kept = None if is_seldom_asked else evaluation  # it takes some 3 KB

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def check(self, allowed: Collection[str], types: Mapping[str, Any] | None = None) -> None:
        """Refuse an expression that can never have a value: an unknown variable or function, or types that do not fit.

        Args:
            allowed: The variables that will be given.
            types: Types of their fields as the engine calls them, by dotted name, as far as they are known.

        Raises:
            ExpressionSyntaxError: It can never have a value.

        """
        for use in self.uses:
            if use.root not in allowed:
                known = ", ".join(sorted(allowed)) or "no variables"
                near = difflib.get_close_matches(use.root, sorted(allowed), 1)
                expected = f"write {near[0]}" if near else ""
                raise ExpressionSyntaxError(
                    f"{use.root!r} is not known here; known are {known}", *self.place(use.node), expected
                )
        from bridge.core.expressions.types import refuse_wrong_types  # noqa: PLC0415 - only checks need it

        refuse_wrong_types(self.source, allowed, types or {}, extended=self._is_extended)

    def place(self, node: int) -> tuple[int, int]:
        """Return line and column, from 1, of where a node of it starts."""
        at = parse(self.source)[1].get(node, 0)
        name = re.compile(r"[A-Za-z_][\w.]*$")
        before = self.source[:at]
        if self.source[at : at + 1] in {".", "["}:  # a select stands where its dot stands; people look for its start
            before = name.sub("", before)
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Return the value over ``variables``: plain Python values by name; mappings for those with fields.

        Raises:
            ExpressionError: There is no value: a missing field, types that do not go together, a division by zero, a
                cost above the bound, ….

        """
        if self._only is not None:
            field = self._only.value(variables)
            if field is ABSENT:
                raise ExpressionError(f"{self._only.path()}: there is no such field")
            return field if type(field) in SCALARS else plain(field)
        return self._whole().evaluate(variables)

    def _whole(self) -> _Evaluation:
        """Return the engine's evaluation of the whole expression, which is made again when it is needed."""
        if self._kept is None:
            tree, picks, _ = narrowed(parse(self.source)[0])
            self._kept = _Evaluation(tree, picks)
        return self._kept

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Return the value, which must be true or false.

        Raises:
            ExpressionError: There is no value, or it is neither.

        """
        known = self.shortcut(variables) if self.shortcut is not None else None
        if known is True or known is False:
            return known
        value = self._open(variables, known)
        if isinstance(value, bool):
            return value
        raise ExpressionError(f"neither true nor false but {type(value).__name__}")

    def is_met(self, variables: Mapping[str, Any], known: Literal["rest"] | None) -> bool:
        """Return whether the engine finds it true. An error, or a value other than true, counts as not met.

        Args:
            variables: As for :meth:`evaluate`.
            known: What the shortcut said.

        """
        try:
            return self._open(variables, known) is True
        except ExpressionError:
            return False

    def _open(self, variables: Mapping[str, Any], known: Literal["rest"] | None) -> Any:
        """Return what the engine says of the condition, or of the rest of it after all other parts hold."""
        if known is None or self._rest_tree is None:
            return self.evaluate(variables)
        if self._rest is None:
            self._rest = _Evaluation(self._rest_tree, self._picks)
        return self._rest.evaluate(variables)

    def values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that it reads and that are there, by how it spells them."""
        fields = {pick.path(): pick.found(variables) for pick in self._picks if pick.steps and pick.use != "has"}
        return {path: plain(value) for path, value in fields.items() if value is not ABSENT}


class RefusedExpression(Expression):
    """An expression that was taken once, and that this release's engine refuses: it has no value for any event.

    A process that cannot read a definition stops. An older release took a few expressions that are refused today, and
    they are no reason to stop: their events are decided with the reason.
    """

    def __init__(self, source: str, error: ExpressionSyntaxError) -> None:
        self.source = source
        self.uses = ()
        self.names = frozenset()
        self.reads = ()
        self.read_whole = frozenset()
        self.equality = None
        self.shortcut = None
        self._reason = f"this release cannot read the expression: {error.reason}"

    @override
    def check(self, allowed: Collection[str], types: Mapping[str, Any] | None = None) -> None:
        raise ExpressionSyntaxError(self._reason)

    @override
    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        raise ExpressionError(self._reason)

    @override
    def holds(self, variables: Mapping[str, Any]) -> bool:
        raise ExpressionError(self._reason)

    @override
    def values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {}


_recorded: WeakValueDictionary[str, Expression] = WeakValueDictionary()


def recorded(source: str) -> Expression:
    """Return an expression of a trigger that was accepted, maybe by another release.

    An expression that is in use is compiled once: a thousand triggers may have the same key.
    """
    expression = _recorded.get(source)
    if expression is None:
        try:
            expression = Expression(source)
        except ExpressionSyntaxError as error:
            expression = RefusedExpression(source, error)
        _recorded[source] = expression
    return expression


def _small(tree: Node, picks: tuple[FieldVariable, ...]) -> int:
    """Return how large the variables may be for the engine to evaluate the tree without a meter."""
    small = 0
    for size in _SMALL:
        shape = Shape(size, size, size, Shape(size, size, size, Shape(size, size, size, Shape(size, size, size))))
        cost = Cost({pick.variable: shape for pick in picks})
        if cost.of_whole(tree) > min(_PLAIN_LIMIT, LIMIT):
            break
        small = size
    return small
