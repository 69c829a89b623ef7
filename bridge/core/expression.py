"""CEL expressions: compiled once when a trigger is loaded, evaluated for every event, never a crash.

Everything that the binding can raise becomes an :class:`ExpressionError` with a text for people. What an expression
may cost is bounded: its length, the nesting of its macros, and the elements that macros may walk over.

Speed: the binding converts all variables at each call. ``payload.rows > 0 && payload.region == "eu"`` is therefore
rewritten into ``_v0 > 0 && _v1 == "eu"`` and given two scalars (measured: 2.5 to 5 times faster than with the payload).
An expression that only names a field is not evaluated at all: its value is the field's, exactly.

Values: str, int, float, bool, None, bytes, datetime (one without a zone is UTC), timedelta, lists and mappings pass
through CEL. UUID, date and time become their texts. Decimal, and an int outside of 64 bits, are floats inside CEL,
and stay themselves only where the expression is no more than the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import cel

from bridge.core.expression_fields import ABSENT, Pick, narrowed
from bridge.core.expression_source import SourceReading, read_source
from bridge.core.expression_values import SCALARS, elements, ordered, plain

LENGTH_LIMIT = 4_096
"""Characters in an expression."""

NESTING_LIMIT = 2
"""Macros inside each other: ``a.all(x, b.exists(y, ...))``."""

ELEMENT_LIMITS = {(1, False): 100_000, (1, True): 1_000, (2, False): 300, (2, True): 100}
"""Elements that macros may walk over, by their nesting and whether one of them collects (``map``, ``filter``).

The binding copies the list for each element that it collects: 90,000 elements took 460 s, 1,000 take 60 ms. These
limits keep each evaluation below about 0.2 s.
"""

FUNCTIONS = frozenset(
    {
        "bytes",
        "contains",
        "double",
        "duration",
        "dyn",
        "endsWith",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
        "int",
        "matches",
        "size",
        "startsWith",
        "string",
        "timestamp",
        "type",
        "uint",
    }
)
"""The functions that exist (the binding's standard library)."""

TYPE_NAMES = frozenset(
    {"bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint"}
)
"""Names that CEL gives a meaning of their own, for ``type(x) == int``."""

RESERVED_WORDS = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    }
)
"""Words that cannot be variables."""

_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_UNDEFINED = re.compile(r"Undefined variable or function: '([^']*)'")


class ExpressionError(ValueError):
    """An expression that has no value for what it was given; its text says why."""


class ExpressionSyntaxError(ValueError):
    """An expression that can never be evaluated.

    Attributes:
        reason: What is wrong.
        line: Line in the expression, from 1.
        column: Column in that line, from 1.

    """

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


class Expression:
    """A compiled CEL expression.

    Attributes:
        source: Its text.
        names: The variables that it needs; nothing else has to be given.
        reads: The fields that it reads, as it spells them.
        read_whole: The variables of which it reads more than such fields.

    """

    def __init__(self, source: str) -> None:
        """Compile ``source``.

        Raises:
            ExpressionSyntaxError: It is no CEL, too long, nests too deep, or calls a function that does not exist.

        """
        self.source = source
        program = _compiled(source)
        reading = read_source(source)
        _refuse_unbounded(reading)
        _refuse_unknown_functions(program.functions())
        _distrust(reading, set(program.variables()))
        self.names = frozenset(reading.free - TYPE_NAMES)
        self._element_limit = ELEMENT_LIMITS.get((reading.nesting, reading.collects), 0)
        self._own_elements = source.count(",")
        self._picks, self._whole, self._program = narrowed(source, program, reading, self.names)
        self.reads = tuple(dict.fromkeys(pick.path() for pick in self._picks if not pick.tested))
        self.read_whole = frozenset(self._whole)
        is_field = len(self._picks) == 1 and self._program.source.strip() == self._picks[0].variable
        self._only = self._picks[0] if is_field and not self._picks[0].tested else None

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def check(self, allowed: Collection[str]) -> None:
        """Refuse variables that nothing will be given for.

        Raises:
            ExpressionSyntaxError: It uses a variable that is not among ``allowed``.

        """
        unknown = sorted(self.names - set(allowed))
        if unknown:
            found = re.search(rf"(?<![\w.]){re.escape(unknown[0])}(?!\w)", self.source)
            known = ", ".join(sorted(allowed))
            raise ExpressionSyntaxError(
                f"{unknown[0]!r} is not known here; known are {known}",
                *_line_and_column(self.source, found.start() if found else 0),
            )

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Return the value over ``variables``: plain Python values by name; mappings for those with fields.

        Raises:
            ExpressionError: There is no value: a missing field, types that do not go together, a division by zero, ….

        """
        if self._only is not None:
            return self._field(self._only, variables)
        arguments: dict[str, Any] = {}
        for pick in self._picks:
            value = pick.value(variables)
            if value is not ABSENT:
                arguments[pick.variable] = value
        for name in self._whole:
            if name in variables:
                arguments[name] = variables[name]
        if self._element_limit:
            self._refuse_costly(arguments)
        value = self._execute(arguments)
        return value if type(value) in SCALARS else ordered(value)

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Return the value, which must be true or false.

        Raises:
            ExpressionError: There is no value, or it is neither.

        """
        value = self.evaluate(variables)
        if isinstance(value, bool):
            return value
        raise ExpressionError(f"neither true nor false but {type(value).__name__}")

    def values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that it reads and that are there, by how it spells them."""
        found = {pick.path(): pick.value(variables) for pick in self._picks if not pick.tested}
        return {path: plain(value) for path, value in found.items() if value is not ABSENT}

    def _refuse_costly(self, arguments: dict[str, Any]) -> None:
        limit = self._element_limit - self._own_elements
        if elements(arguments.values(), limit) > limit:
            raise ExpressionError(f"more than {self._element_limit} elements for the macros of this expression")

    def _field(self, pick: Pick, variables: Mapping[str, Any]) -> Any:
        value = pick.value(variables)
        if value is ABSENT:
            raise ExpressionError(f"{pick.path()}: there is no such field")
        return value if type(value) in SCALARS else plain(value)

    def _execute(self, arguments: dict[str, Any]) -> Any:
        try:
            try:
                return self._program.execute(arguments)
            except ValueError as error:
                if not str(error).startswith("Conversion Error"):
                    raise
                return self._program.execute(plain(arguments))
        except Exception as error:
            raise ExpressionError(self._explained(error)) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a panic of the binding derives from BaseException
                raise
            raise ExpressionError(f"the CEL library failed: {error}") from error

    def _explained(self, error: Exception) -> str:
        text = str(error)
        undefined = _UNDEFINED.match(text)
        if undefined and undefined[1] in FUNCTIONS:
            return f"{undefined[1]}() does not take such a value"
        if undefined:
            paths = {pick.variable: pick.path() for pick in self._picks}
            return f"{paths.get(undefined[1], undefined[1])}: there is no such field"
        if isinstance(error, KeyError):
            return f"{error.args[0] if error.args else text}: there is no such field"
        return text.partition(", so common causes")[0].partition(". CEL does not coerce")[0].splitlines()[0]


def _compiled(source: str) -> cel.Program:
    if len(source) > LENGTH_LIMIT:
        raise ExpressionSyntaxError(f"{len(source)} characters; an expression has at most {LENGTH_LIMIT}")
    if not source.strip():
        raise ExpressionSyntaxError("an empty expression")
    try:
        return cel.compile(source)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        found = _POSITION.search(str(error))
        if not found:
            raise ExpressionSyntaxError("it is nested too deep, or no CEL") from error
        reason = found[3].partition(" expecting {")[0].replace("'<EOF>'", "end of the expression")
        raise ExpressionSyntaxError(reason, int(found[1]), int(found[2])) from error


def _distrust(reading: SourceReading, variables: set[str]) -> None:
    """Take every name as used whole where our reader of tokens and CEL's parser do not see the same names."""
    if reading.free <= variables <= reading.free | reading.bound:
        return
    reading.free |= variables - reading.bound
    reading.bare |= reading.free


def _refuse_unbounded(reading: SourceReading) -> None:
    if reading.nesting > NESTING_LIMIT:
        raise ExpressionSyntaxError(f"{reading.nesting} macros inside each other; at most {NESTING_LIMIT} may be")


def _refuse_unknown_functions(names: Iterable[str]) -> None:
    unknown = sorted(name for name in names if name.isidentifier() and name not in FUNCTIONS)
    if unknown:
        known = ", ".join(sorted(FUNCTIONS))
        raise ExpressionSyntaxError(
            f"there is no function {unknown[0]}(); there are {known}, and the macros has, all, "
            "exists, exists_one, filter and map"
        )


def _line_and_column(source: str, offset: int) -> tuple[int, int]:
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
