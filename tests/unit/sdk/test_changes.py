"""What is called compatible can be read, what is not cannot, and what changed is told in plain words."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from flowbridge_sdk.avro.changes import changes, incompatibilities
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.schemas import EventSchema
from unit.sdk.generated_schemas import Schema, covering, events, readers, without_logical_types

LOGICAL = "the logical types differ", "the digits differ"
"""Rules that are ours: the specification's resolution looks at plain types, but for decimals."""


def parsed(schema: Schema) -> EventSchema:
    return EventSchema.parse("order", json.dumps(schema), "order.avsc")


def record(*fields: dict[str, Any], name: str = "Order", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def one(kind: Schema, **more: Any) -> EventSchema:
    return parsed(record({"name": "v", "type": kind, **more}))


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Status", "symbols": list(symbols), **more}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


LINE = record({"name": "price", "type": "long"}, name="Line")
LINE_AS_TEXT = record({"name": "price", "type": "string"}, name="Line")
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}


def tree(kind: str) -> dict[str, Any]:
    return record(
        {"name": "left", "type": ["null", "Order"]}, {"name": "n", "type": kind}, {"name": "right", "type": "Leaf"}
    ) | {
        "fields": [
            {"name": "left", "type": ["null", "Order"]},
            {
                "name": "leaf",
                "type": record({"name": "n", "type": kind}, {"name": "up", "type": ["null", "Order"]}, name="Leaf"),
            },
        ]
    }


COMPATIBLE: list[tuple[str, EventSchema, EventSchema]] = [
    ("promotion", one("double"), one("int")),
    ("text to bytes", one("bytes"), one("string")),
    ("a value becomes optional", one(["null", "long"]), one("long")),
    ("a union of what can be read", one("double"), one(["int", "float"])),
    ("a branch more", one(["null", "string", "long"]), one(["null", "long"])),
    ("a symbol more", one(enum("A", "B")), one(enum("A"))),
    ("a symbol less, with a default", one(enum("A", default="A")), one(enum("A", "B"))),
    ("a field more, with a default", parsed(record({"name": "n", "type": "int", "default": 1})), parsed(record())),
    ("a field less", parsed(record()), one("int")),
    ("a field's alias", parsed(record({"name": "w", "type": "int", "aliases": ["v"]})), one("int")),
    (
        "a record's alias in its namespace",
        parsed(record(name="New", namespace="shop", aliases=["Old"])),
        parsed(record(name="Old", namespace="shop")),
    ),
    ("another namespace", parsed(record(namespace="b")), parsed(record(namespace="a"))),
    ("a logical type more", one(MILLIS), one("long")),
    ("a logical type less", one("long"), one(MILLIS)),
    ("recursion", parsed(tree("long")), parsed(tree("int"))),
]


@pytest.mark.parametrize(("reader", "writer"), [pair[1:] for pair in COMPATIBLE], ids=[pair[0] for pair in COMPATIBLE])
def test_what_can_be_read_is_compatible(reader: EventSchema, writer: EventSchema) -> None:
    assert incompatibilities(reader, writer) == []


INCOMPATIBLE: list[tuple[EventSchema, EventSchema, list[tuple[str, str, str, str]]]] = [
    (one("int"), one("long"), [("v", "the types differ", "int", "long")]),
    (one("long"), one(["null", "long"]), [("v", "the types differ", "long", "null")]),
    (
        one(["null", "long"]),
        one("string"),
        [("v", "no branch of the reader's union takes it", "null | long", "string")],
    ),
    (
        one(["null", {"type": "array", "items": LINE}]),
        one(["null", {"type": "array", "items": LINE_AS_TEXT}]),
        [("v[].price", "the types differ", "long", "string")],
    ),
    (
        one({"type": "map", "values": LINE}),
        one({"type": "map", "values": LINE_AS_TEXT}),
        [("v{}.price", "the types differ", "long", "string")],
    ),
    (
        one(enum("A")),
        one(enum("A", "B")),
        [("v", "the reader has no symbol B, and no default for those that it does not know", "A", "A, B")],
    ),
    (
        parsed(record({"name": "n", "type": "int"})),
        parsed(record()),
        [("n", "the reader asks for the field and has no default for it", "int", "no such field")],
    ),
    (
        one({"type": "fixed", "name": "F", "size": 4}),
        one({"type": "fixed", "name": "F", "size": 3}),
        [("v", "the sizes differ", "fixed F of 4 bytes", "fixed F of 3 bytes")],
    ),
    (
        parsed(record(name="New")),
        parsed(record(name="Old")),
        [("", "the names differ, and no alias of the reader says so", "record New", "record Old")],
    ),
    (one(MICROS), one(MILLIS), [("v", LOGICAL[0], "timestamp-micros on long", "timestamp-millis on long")]),
    (one(decimal(9, 3)), one(decimal(9, 2)), [("v", LOGICAL[1], "decimal(9, 3)", "decimal(9, 2)")]),
    (
        parsed(record({"name": "n", "type": "int", "default": "many"})),
        parsed(record()),
        [
            (
                "n",
                "the reader's default does not fit the field: found a str 'many', expected an int",
                "int",
                "no such field",
            )
        ],
    ),
    (parsed(tree("int")), parsed(tree("long")), [("leaf.n", "the types differ", "int", "long")]),
    (
        parsed(record({"name": "a", "type": "int"}, {"name": "b", "type": "int"})),
        parsed(record({"name": "a", "type": "string"}, {"name": "b", "type": "boolean"})),
        [("a", "the types differ", "int", "string"), ("b", "the types differ", "int", "boolean")],
    ),
]


@pytest.mark.parametrize(("reader", "writer", "expected"), INCOMPATIBLE)
def test_each_incompatibility_names_its_place_and_rule_and_both_sides(
    reader: EventSchema, writer: EventSchema, expected: list[tuple[str, str, str, str]]
) -> None:
    found = incompatibilities(reader, writer)
    assert [(part.path, part.rule, part.reader, part.writer) for part in found] == expected


def test_what_rests_on_a_record_that_turns_out_unreadable_is_unreadable_too() -> None:
    """B is looked at while A is under way, and its field ``up`` can be read only if A can."""

    def schema(kind: str, *more: Schema) -> EventSchema:
        inner = record({"name": "up", "type": ["null", "A"]}, name="B")
        first = record({"name": "b", "type": inner}, {"name": "n", "type": kind}, name="A")
        return one([first, *more, "B"])

    writer = schema("string")
    assert incompatibilities(schema("string", record(name="C")), writer) == []
    assert incompatibilities(schema("int", record(name="C", aliases=["A"])), writer)


def test_records_that_share_types_many_times_over_end_in_time() -> None:
    kind: Any = "long"
    types: list[Any] = []
    for depth in range(20):
        types.append(
            {
                "type": "record",
                "name": f"D{depth}",
                "fields": [
                    {"name": "a", "type": ["null", kind]},
                    {"name": "b", "type": ["null", types[-1]["name"] if types else kind]},
                ],
            }
        )
        kind = types[-1]
    schema = parsed(kind)
    assert incompatibilities(schema, schema) == []
    assert changes(schema, schema) == []


@given(st.data())
def test_what_is_called_compatible_fastavro_reads_and_of_what_is_not_it_cannot_read_all(data: st.DataObject) -> None:
    writer, values = data.draw(events)
    reader = data.draw(readers(writer))
    try:
        found = incompatibilities(parsed(reader), parsed(writer))
    except SchemaError:  # items that take no bytes, or a union of one type twice
        reject()
    if not found:
        assert not _unreadable(writer, reader, [data.draw(values)])
    plain_writer, plain_reader = without_logical_types(writer), without_logical_types(reader)
    judged = incompatibilities(parsed(plain_reader), parsed(plain_writer))
    assert bool(_unreadable(plain_writer, plain_reader, covering(plain_writer))) == bool(judged)
    assert judged == [] or found


def _unreadable(writer: Schema, reader: Schema, values: list[Any]) -> list[Any]:
    """Return those values of a writer that fastavro does not read with the schema of a reader."""
    bad = []
    for value in values:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, fastavro.parse_schema(copy.deepcopy(writer)), value)
        body.seek(0)
        try:
            fastavro.schemaless_reader(body, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
        except Exception:  # noqa: BLE001 - SchemaResolutionError, KeyError and others
            bad.append(value)
    return bad


def test_changes_are_told_in_plain_words() -> None:
    before = parsed(
        record(
            {"name": "id", "type": "int"},
            {"name": "lines", "type": {"type": "array", "items": LINE}},
            {"name": "status", "type": enum("A", "B")},
            {"name": "note", "type": "string"},
            {"name": "gone", "type": ["null", "string"], "default": None},
            {"name": "count", "type": "int", "default": 1},
            {"name": "old", "type": "int"},
            {"name": "at", "type": MILLIS},
            {"name": "price", "type": decimal(9, 2)},
            {"name": "mix", "type": ["null", "string", "long"]},
        )
    )
    after = parsed(
        record(
            {"name": "id", "type": "long"},
            {"name": "lines", "type": {"type": "array", "items": LINE_AS_TEXT}},
            {"name": "status", "type": enum("A", "C", default="A")},
            {"name": "note", "type": ["null", "string"], "default": None, "doc": "What the customer wrote"},
            {"name": "count", "type": "int", "default": 2},
            {"name": "new", "type": "int", "aliases": ["old"]},
            {"name": "at", "type": MICROS},
            {"name": "price", "type": decimal(9, 3)},
            {"name": "mix", "type": ["string", "null", "long"]},
            {"name": "extra", "type": "boolean", "default": False},
            {"name": "asked", "type": "string"},
        )
    )
    assert [str(change) for change in changes(before, after)] == [
        "id: type changed from int to long (promoted)",
        "lines[].price: type changed from long to string",
        "status: symbols removed: B; symbols added: C",
        'status: default "A" added',
        "note: may be null now: from string to null | string",
        "note: default null added",
        "note: description changed",
        "count: default changed from 1 to 2",
        "new: renamed from old",
        "new: aliases changed",
        "at: type changed from timestamp-millis on long to timestamp-micros on long",
        "price: type changed from decimal(9, 2) to decimal(9, 3)",
        "mix: branches of the union in another order: from null | string | long to string | null | long",
        "extra: added, boolean, default false",
        "asked: added, string, without a default",
        "gone: removed, was null | string",
    ]


@given(events)
def test_a_schema_does_not_differ_from_itself(pair: tuple[Schema, Any]) -> None:
    try:
        first, second = parsed(pair[0]), parsed(json.loads(json.dumps(pair[0])))
    except SchemaError:
        reject()
    assert changes(first, second) == []
    assert incompatibilities(first, second) == []
