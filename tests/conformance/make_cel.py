"""Makes ``cel.json`` from cel-spec's standard conformance tests, which the Go module ``cel.dev/expr`` has as text.

    go mod download -json cel.dev/expr@v0.26.0        (its `Dir` is FOLDER)
    python tests/conformance/make_cel.py FOLDER

Left out are tests of what expressions of a trigger cannot have: protobuf messages and enums, containers, variables of
the type uint or with a dot in their name, functions that a host declares, and extensions that we do not offer.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "v0.26.0"
FILES = (
    *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
    *("math_ext", "optionals", "parse", "plumbing", "string", "string_ext", "timestamps"),
)
_TOKEN = re.compile(
    r"""
      \s+ | \#[^\n]*
    | (?P<string> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
    | (?P<word> [-\w.+\[\]/]+ )
    | (?P<sign> [{}:,;<>] )
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_MESSAGES = re.compile(r"TestAllTypes|google\.protobuf|NestedEnum|GlobalEnum|proto[23]|cel\.(?:bind|block)")

Fields = list[tuple[str, Any]]


def read(text: str) -> Fields:
    """Return the fields of a message in protobuf's text format: names with bytes, words, or fields."""
    tokens = [found for found in _TOKEN.finditer(text) if found.lastgroup]
    fields, at = _message(tokens, 0)
    if at != len(tokens):
        raise ValueError(f"cannot be read from {tokens[at].group()} on")
    return fields


def _message(tokens: list[re.Match[str]], at: int) -> tuple[Fields, int]:
    fields: Fields = []
    while at < len(tokens) and tokens[at].group() not in "}>":
        name, at = tokens[at].group(), at + 1
        if tokens[at].group() == ":":
            at += 1
        value: Any
        if tokens[at].group() in "{<":
            value, at = _message(tokens, at + 1)
            at += 1
        elif tokens[at].lastgroup == "string":
            value = b""
            while at < len(tokens) and tokens[at].lastgroup == "string":
                value, at = value + _text(tokens[at].group()), at + 1
        else:
            value, at = tokens[at].group(), at + 1
        while at < len(tokens) and tokens[at].group() in ",;":
            at += 1
        fields.append((name, value))
    return fields, at


def _text(token: str) -> bytes:
    def unescaped(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if code[:1] in b"uU":
            return chr(int(code[1:], 16)).encode()
        if code[:1] == b"x":
            return bytes([int(code[1:], 16)])
        return bytes([int(code, 8)]) if code[:1] in b"01234567" else _LETTERS.get(code, code)

    return _ESCAPE.sub(unescaped, token[1:-1].encode())


def _all(fields: Fields, name: str) -> list[Any]:
    return [value for key, value in fields if key == name]


def value(fields: Fields) -> Any:
    """Return a value as a list of its kind and content; None if it has a message in it."""
    ((kind, content),) = fields
    if kind == "list_value":
        members = [value(member) for member in _all(content, "values")]
        return None if None in members else ["list", members]
    if kind == "map_value":
        pairs = [[value(dict(entry)["key"]), value(dict(entry)["value"])] for entry in _all(content, "entries")]
        return None if any(None in pair for pair in pairs) else ["map", pairs]
    if kind == "string_value":
        return ["string", content.decode()]
    if kind == "bytes_value":
        return ["bytes", content.hex()]
    if kind == "type_value":
        return ["type", content.decode()]
    if kind == "object_value":
        return _time(content)
    plain = {"null_value": "null", "bool_value": "bool", "int64_value": "int", "uint64_value": "uint"}
    if kind in plain:
        known = {"true": True, "false": False, "NULL_VALUE": None, "0": None if kind == "null_value" else 0}
        return [plain[kind], known[content] if content in known else int(content, 0)]
    return ["double", str(float(content))] if kind == "double_value" else None


def _time(content: Fields) -> Any:
    """Return a moment or a duration, the only messages that are values of CEL's own."""
    ((name, inside),) = content
    kind = {"Timestamp": "timestamp", "Duration": "duration"}.get(name.strip("[]").rpartition(".")[2])
    if kind is None:
        return None
    parts = dict(inside)
    return [kind, int(parts.get("seconds", 0)), int(parts.get("nanos", 0))]


def tests(folder: Path) -> Iterator[list[Any]]:
    """Yield name, expression, variables and expected value of each test that applies."""
    for file in FILES:
        whole = read((folder / "tests/simple/testdata" / f"{file}.textproto").read_text("utf-8"))
        for section in _all(whole, "section"):
            for test in _all(section, "test"):
                found = _one(test)
                if found is not None:
                    names = (file, dict(section)["name"].decode(), dict(test)["name"].decode())
                    yield ["/".join(names), *found]


def _one(test: Fields) -> list[Any] | None:
    fields = dict(test)
    source = fields["expr"].decode()
    if _MESSAGES.search(source) or {"container", "disable_macros", "check_only", "unknown"} & fields.keys():
        return None
    if any("function" in dict(declared) for declared in _all(test, "type_env")):
        return None
    variables = {}
    for binding in _all(test, "bindings"):
        inner = dict(dict(binding)["value"])
        given = value(inner["value"]) if "value" in inner else None
        name = dict(binding)["key"].decode()
        if given is None or "." in name or re.search('"(?:uint|type)"', json.dumps(given)):
            return None
        variables[name] = given
    if {"eval_error", "any_eval_errors"} & fields.keys():
        return [source, variables, ["error"]]
    result = dict(fields["typed_result"]).get("result") if "typed_result" in fields else fields.get("value")
    expected = value(result) if result is not None else ["bool", True]
    return None if expected is None else [source, variables, expected]


if __name__ == "__main__":
    found = list(tests(Path(sys.argv[1])))
    notice = (
        f"From the conformance tests of cel-spec {VERSION} (https://github.com/google/cel-spec), Copyright Google LLC, "
        "under the Apache License 2.0 (LICENSE); converted by make_cel.py."
    )
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in found)
    target = Path(__file__).with_name("cel.json")
    target.write_text(f'{{"notice":{json.dumps(notice)},"tests":[\n{lines}\n]}}\n', "utf-8")
    print(f"{len(found)} tests in {target}")
