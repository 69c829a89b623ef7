"""Avro schemas that Hypothesis makes, with values that fit them, and schemas of readers that differ a little."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeAlias

from hypothesis import strategies as st

Schema: TypeAlias = Any
Pair: TypeAlias = tuple[Schema, st.SearchStrategy[Any]]
"""A schema, and its values as Python has them."""

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_names = count()
_MILLISECOND = timedelta(milliseconds=1)

LEAVES: list[Pair] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    ("double", st.floats(allow_nan=False, allow_infinity=False)),
    ("bytes", text.map(str.encode)),  # which may be read as a string
    ("string", text),
    ({"type": "string", "logicalType": "uuid"}, st.uuids()),
    ({"type": "long", "logicalType": "timestamp-micros"}, st.datetimes(timezones=st.just(UTC))),
    (
        {"type": "long", "logicalType": "timestamp-millis"},
        st.integers(-(10**13), 10**14).map(lambda number: datetime(1970, 1, 1, tzinfo=UTC) + number * _MILLISECOND),
    ),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, st.datetimes()),
    ({"type": "int", "logicalType": "date"}, st.dates()),
    ({"type": "long", "logicalType": "time-micros"}, st.times()),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        st.decimals(-9_999_999, 9_999_999, places=2),
    ),
]


def _fresh(prefix: str) -> str:
    return f"{prefix}{next(_names)}"


def _enum(symbols: list[str]) -> Pair:
    return {"type": "enum", "name": _fresh("E"), "symbols": symbols}, st.sampled_from(symbols)


def _fixed(size: int) -> Pair:
    return {"type": "fixed", "name": _fresh("F"), "size": size}, st.binary(min_size=size, max_size=size)


def record_of(fields: list[Pair]) -> Pair:
    named = [(f"f{index}", schema, values) for index, (schema, values) in enumerate(fields)]
    schema = {
        "type": "record",
        "name": _fresh("R"),
        "fields": [{"name": name, "type": kind} for name, kind, _ in named],
    }
    return schema, st.fixed_dictionaries({name: values for name, _, values in named})


def _list_like(fields: list[Pair]) -> Pair:
    """Return a record that may hold another one of its kind."""
    schema, values = record_of(fields)
    schema["fields"].append({"name": "next", "type": ["null", schema["name"]], "default": None})
    last = values.map(lambda value: {**value, "next": None})
    return schema, last | st.tuples(values, last).map(lambda pair: {**pair[0], "next": pair[1]})


def _optional(pair: Pair) -> Pair:
    return (["null", pair[0]] if pair[0] != "null" else ["null", "string"]), st.none() | pair[1]


def _array(pair: Pair) -> Pair:
    items = pair if pair[0] != "null" else ("string", text)  # items of no bytes are refused
    return {"type": "array", "items": items[0]}, st.lists(items[1], max_size=3)


def _map(pair: Pair) -> Pair:
    return {"type": "map", "values": pair[0]}, st.dictionaries(text, pair[1], max_size=3)


leaves = (
    st.sampled_from(LEAVES)
    | st.lists(st.sampled_from(["A", "B", "C", "D"]), min_size=1, unique=True).map(_enum)
    | st.integers(1, 4).map(_fixed)
)
_wide_union: st.SearchStrategy[Pair] = st.permutations(
    [("boolean", st.booleans()), ("long", st.integers(-(2**63), 2**63 - 1)), ("string", text)]
).map(lambda pairs: ([schema for schema, _ in pairs], st.one_of([values for _, values in pairs])))


def _inside(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return (
        st.lists(inner, min_size=1, max_size=4).map(record_of)
        | st.lists(inner, min_size=1, max_size=3).map(_list_like)
        | inner.map(_array)
        | inner.map(_map)
        | leaves.map(_optional)
        | _wide_union
    )


typed: st.SearchStrategy[Pair] = st.recursive(leaves, _inside, max_leaves=8)
"""Any schema with its values."""

events: st.SearchStrategy[Pair] = st.lists(typed, min_size=1, max_size=4).map(record_of)
"""The schema of an event with its payloads."""


def _types(schema: Schema, put: Callable[[Schema], None]) -> Iterator[tuple[Schema, Callable[[Schema], None]]]:
    """Yield every type in a schema, with what puts another in its place."""
    yield schema, put
    if isinstance(schema, list):
        for index, branch in enumerate(schema):
            yield from _types(branch, _putter(schema, index))
    elif isinstance(schema, dict):
        for key in ("items", "values"):
            if key in schema:
                yield from _types(schema[key], _putter(schema, key))
        for field in schema.get("fields", ()):
            yield from _types(field["type"], _putter(field, "type"))


def _putter(place: Any, key: Any) -> Callable[[Schema], None]:
    def put(schema: Schema) -> None:
        if not isinstance(place, list) or not (isinstance(schema, list) or schema in place):  # no union allows these
            place[key] = schema

    return put


_PROMOTED = {"int": "long", "long": "double", "float": "double", "string": "bytes", "bytes": "string"}


@st.composite
def readers(draw: st.DrawFn, writer: Schema) -> Schema:
    """Return the schema of a reader: that of the writer after one to three changes, most of them harmless."""
    root = {"type": copy.deepcopy(writer)}
    for _ in range(draw(st.integers(1, 3))):
        parts = list(_types(root["type"], _putter(root, "type")))
        schema, put = draw(st.sampled_from(parts))
        kind = schema.get("type") if isinstance(schema, dict) else schema
        if isinstance(schema, list):
            change = draw(st.sampled_from(["turn", "narrow", "add"]))
            if change == "turn":
                schema.reverse()
            elif change == "narrow" and len(schema) > 1:
                schema.pop(draw(st.integers(0, len(schema) - 1)))
            elif change == "add" and "double" not in schema:
                schema.append("double")
        elif kind == "record":
            _change_record(draw, schema)
        elif kind == "enum":
            change = draw(st.sampled_from(["add", "remove", "default", "rename", "alias"]))
            if change == "add" and "X" not in schema["symbols"]:
                schema["symbols"].append("X")
            elif change == "remove" and len(schema["symbols"]) > 1:
                schema["symbols"].remove(draw(st.sampled_from(schema["symbols"])))
                schema.pop("default", None)
            elif change == "default":
                schema["default"] = schema["symbols"][0]
            else:
                _rename(schema, alias=change == "alias")
        elif kind == "fixed":
            change = draw(st.sampled_from(["size", "rename", "alias"]))
            if change == "size":
                schema["size"] += 1
            else:
                _rename(schema, alias=change == "alias")
        elif isinstance(schema, str) and schema in _PROMOTED:
            put(draw(st.sampled_from([_PROMOTED[schema], ["null", schema], "boolean"])))
        elif isinstance(schema, dict) and "logicalType" in schema and draw(st.booleans()):
            put(schema["type"])
        _drop_defaults(root["type"])
    return root["type"]


def _change_record(draw: st.DrawFn, record: Schema) -> None:
    change = draw(st.sampled_from(["add", "default", "remove", "rename", "alias", "turn"]))
    fields = record["fields"]
    if change in ("add", "default"):
        fields.append({"name": _fresh("n"), "type": "int", **({"default": 1} if change == "default" else {})})
    elif change == "remove" and len(fields) > 1:
        fields.pop(draw(st.integers(0, len(fields) - 1)))
    elif change == "turn":
        fields.reverse()
    else:
        field = draw(st.sampled_from(fields))
        if change == "alias" and "aliases" not in field:
            field["aliases"] = [field["name"]]
        field["name"] = _fresh("n")


def _rename(named: Schema, *, alias: bool) -> None:
    if alias and "aliases" not in named:
        named["aliases"] = [named["name"]]
    named["name"] = _fresh("N")


def _drop_defaults(schema: Schema) -> None:
    """Remove the defaults that a change of their type has made wrong."""
    for part, _ in _types(schema, lambda _: None):
        for field in part.get("fields", ()) if isinstance(part, dict) else ():
            kind = field["type"]
            fits = kind in ("int", "long", "double") or (isinstance(kind, list) and kind[:1] == ["null"])
            if "default" in field and (not fits or (field["default"] is None) != isinstance(kind, list)):
                del field["default"]


_PLAIN_VALUES = {
    "null": None,
    "boolean": True,
    "int": 7,
    "long": 1 << 40,
    "float": 0.5,
    "double": 0.1,
    "bytes": b"b",
    "string": "text",
}


def covering(schema: Schema) -> list[Any]:
    """Return values without logical types that together use every branch, symbol, item and field of a schema."""
    return _covering(schema, {}, 0)


def _covering(schema: Schema, named: dict[str, Schema], depth: int) -> list[Any]:
    if isinstance(schema, list):
        inner = [branch for branch in schema if depth < _DEEP or not isinstance(branch, str) or branch not in named]
        return [value for branch in inner for value in _covering(branch, named, depth)]
    if isinstance(schema, str):
        return _covering(named[schema], named, depth + 1) if schema in named else [_PLAIN_VALUES[schema]]
    if "name" in schema:
        named[schema["name"]] = schema
    match schema["type"]:
        case "enum":
            return list(schema["symbols"])
        case "fixed":
            return [b"f" * schema["size"]]
        case "array":
            return [[item] for item in _covering(schema["items"], named, depth)]
        case "map":
            return [{"key": item} for item in _covering(schema["values"], named, depth)]
        case "record":
            columns = {field["name"]: _covering(field["type"], named, depth) for field in schema["fields"]}
            rows = max(map(len, columns.values()), default=1)
            return [{name: column[row % len(column)] for name, column in columns.items()} for row in range(rows)]
    return [_PLAIN_VALUES[schema["type"]]]


_DEEP = 2  # records inside themselves


def without_logical_types(schema: Schema) -> Schema:
    """Return a copy of a schema with its plain types alone."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: part for key, part in schema.items() if key not in ("logicalType", "precision", "scale")}
    plain |= {key: without_logical_types(plain[key]) for key in ("type", "items", "values") if key in plain}
    if "fields" in plain:
        plain["fields"] = [without_logical_types(field) for field in plain["fields"]]
    return plain
