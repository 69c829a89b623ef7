"""Why an expression has no value, or can never have one, in words for people who write triggers."""

from __future__ import annotations

import re

from bridge.core.expressions.fields import FieldVariable


class ExpressionError(ValueError):
    """An expression that has no value for its variables; the text says why."""


class ExpressionSyntaxError(ValueError):
    """An expression that can never be evaluated.

    Attributes:
        reason: The fault.
        line: Line in the expression, from 1.
        column: Column in that line, from 1.
        expected: The text to write instead; empty where that is not known.

    """

    def __init__(self, reason: str, line: int = 1, column: int = 1, expected: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column
        self.expected = expected


_AT = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (?:Syntax error: )?(.*)")
_ANY_TYPE = re.compile(r"T%\d+")  # of the members of an empty list
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_RUN_OVERLOAD = re.compile(r"No matching overloads found : (.*)")
_SIGNATURE = re.compile(r"(?:\((\w+)\)\.)?([^(]*)(?:\((.*)\))?$")  # target, function, types
_CODE = re.compile(r"^[A-Z_]{2,}: ")
_VARIABLE = re.compile(r"@v(\d+)\b")
_OPERATOR = re.compile(r"_?(.{1,2})_$|^@(in)$")
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_TYPE_NAMES = {"int64": "int", "uint64": "uint", "null_type": "null"}
_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_METHODS = {
    "lower": "lowerAscii",
    "lowercase": "lowerAscii",
    "toLower": "lowerAscii",
    "toLowerCase": "lowerAscii",
    "upper": "upperAscii",
    "uppercase": "upperAscii",
    "toUpperCase": "upperAscii",
    "strip": "trim",
    "length": "size",
    "len": "size",
    "count": "size",
    "startswith": "startsWith",
    "starts_with": "startsWith",
    "endswith": "endsWith",
    "ends_with": "endsWith",
    "includes": "contains",
    "match": "matches",
    "any": "exists",
    "some": "exists",
    "every": "all",
    "now": "timestamp",
}


def failure_text(error: Exception, picks: tuple[FieldVariable, ...]) -> str:
    """Return why an evaluation gave no value."""
    if isinstance(error, RecursionError):
        return "what it reads is nested too deep"
    if isinstance(error, TypeError) and "Unable to convert" in str(error):
        return "an optional is no value here; write .orValue(...) behind it"
    text = _CODE.sub("", str(error)).removesuffix(" [INTERNAL]").splitlines()[0] if str(error) else repr(error)
    text = _CODE.sub("", text)
    missing = re.match(r'No value with name "@v(\d+)" found|Key not found in map : "(.*)"$', text)
    if missing:
        name = picks[int(missing[1])].path() if missing[1] else missing[2]
        return f"{name}: there is no such field"
    outside = re.match(r"Index error: index=(-?\d+) size=(\d+)", text)
    if outside:
        return f"index {outside[1]} is outside of a list of {outside[2]}"
    if "Iteration budget exceeded" in text:
        return "more than 10,000 turns of its macros"
    if text == "divide by zero":
        return "division by zero"
    overload = _RUN_OVERLOAD.match(text)
    if overload:  # `_+_(int64, string)` becomes what people write, `int + string`
        signature = _SIGNATURE.match(overload[1])
        if not signature:
            return f"no such operation: {overload[1]}"
        kinds = [kind for kind in (signature[1], *(signature[3] or "").split(", ")) if kind]
        return f"no such operation: {applied(signature[2].strip(), [_TYPE_NAMES.get(kind, kind) for kind in kinds])}"
    return _VARIABLE.sub(lambda match: picks[int(match[1])].path() if int(match[1]) < len(picks) else match[0], text)


def applied(function: str, kinds: list[str]) -> str:
    """Return a function with the types that it is applied to."""
    function = function.removeprefix("@") if function in {"@matches", "@in"} else function
    if function == "<jump_condition>":
        return "the condition of ? : is neither true nor false"
    if function == "_[_]":
        return f"{kinds[0]}[{kinds[1]}]" if len(kinds) > 1 else "[ ]"
    binary = re.fullmatch(r"_(.{1,2})_", function)
    if binary or function == "in":
        sign = binary[1] if binary else "in"
        return f"{kinds[0]} {sign} {kinds[1]}" if len(kinds) > 1 else sign
    unary = re.fullmatch(r"([!-])_", function)
    if unary:
        return f"{unary[1]}{kinds[0]}" if kinds else unary[1]
    return f"{function}({', '.join(kinds)})"


def syntax_error(text: str, source: str) -> ExpressionSyntaxError:
    """Return the fault that the engine's parser found, with the text to write instead."""
    report = _AT.search(text)
    if not report or int(report[1]) < 1:
        if "recursion" in text:
            return ExpressionSyntaxError(
                "nested too deep: at most 31 operators of a kind or brackets inside each other"
            )
        return ExpressionSyntaxError("it is no CEL")
    line, column, reason = int(report[1]), int(report[2]), report[3]
    if "recursion" in reason:
        return ExpressionSyntaxError("nested too deep: at most 31 operators of a kind or brackets inside each other")
    lines = source.split("\n")
    rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    code = _STRING.sub(lambda text: " " * len(text[0]), source)
    if re.match(r"=(?!=)", rest):
        return ExpressionSyntaxError("found =", line, column, "write == to compare")
    if "{{" in code:
        return ExpressionSyntaxError(
            "found {{ }}", 1, code.index("{{") + 1, "write the field without braces, as order.payload.id"
        )
    if "$" in code:
        return ExpressionSyntaxError("found $", line, column, "write the path without it, as order.payload.id")
    word = re.search(r"(?<![\w.])(and|or|not)(?![\w(])", code, re.IGNORECASE)
    if word:
        before = code[: word.start()]
        place = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return ExpressionSyntaxError(f"found {word[0]!r}", *place, f"write {_WORDS[word[0].lower()]}")
    if re.match(r"[&|](?![&|])", rest):
        return ExpressionSyntaxError(f"found {rest[0]}", line, column, f"write {rest[0] * 2}")
    if "<>" in code:
        return ExpressionSyntaxError("found <>", line, code.split("\n")[line - 1].find("<>") + 1, "write !=")
    reason = reason.partition(" expecting ")[0].replace("'<EOF>'", "end of the expression")
    return ExpressionSyntaxError(reason.strip(), line, column)


def type_error(line: int, column: int, reason: str) -> ExpressionSyntaxError:
    """Return the fault that the engine's type checker found, with the text to write instead."""
    reason = _ANY_TYPE.sub("dyn", reason)
    unknown = _UNKNOWN.search(reason)
    if unknown:
        name = unknown[1]
        expected = f"write {_METHODS[name]}" if name in _METHODS else "docs/triggers/README.md lists the functions"
        if name == "now":
            expected = "an expression knows no clock; event.time is when the event happened"
        return ExpressionSyntaxError(f"there is no function {name}()", line, column, expected)
    overload = _OVERLOAD.search(reason)
    if not overload:
        return ExpressionSyntaxError(reason.partition(" (in container")[0], line, column)
    function, signature = overload[1], overload[2]
    member = re.fullmatch(r"(.*)\.\((.*)\)", signature)
    kinds = [type_text(kind) for kind in split_types(f"{member[1]}, {member[2]}" if member else signature[1:-1])]
    reason = f"no such operation: {applied(function, kinds)}"
    numbers = {"int", "uint", "double"}
    expected = ""
    if len(set(kinds)) > 1 and set(kinds) <= numbers:
        expected = "write both as the same type, as 5.0 + 1.5 or double(x) + 1.5"
    elif function == "_+_" and "string" in kinds:
        expected = "write string(x) around what is no text"
    elif function in {"_==_", "_!=_"}:
        expected = "compare values of the same type"
    return ExpressionSyntaxError(reason, line, column, expected)


def type_text(kind: str) -> str:
    """Return a type as people call it."""
    nullable = re.fullmatch(r"wrapper\((.*)\)", kind)
    if nullable:
        return f"{nullable[1]}?"
    return kind.removeprefix("google.protobuf.").lower() if kind.startswith("google.protobuf.") else kind


def split_types(text: str) -> list[str]:
    """Return the types of a signature, whose own brackets hold commas as well."""
    kinds, depth, start = [], 0, 0
    for at, sign in enumerate(f"{text},"):
        depth += (sign in "(<") - (sign in ")>")
        if sign == "," and depth == 0:
            kinds.append(text[start:at].strip())
            start = at + 1
    return [kind for kind in kinds if kind]
