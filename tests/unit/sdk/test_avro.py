"""The SDK's own Avro against fastavro's: whatever one writes, both read alike."""

import io
import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from flowbridge_sdk.avro.checks import Measures, UnusableSchemaError, parse
from flowbridge_sdk.avro.reading import Read, ReaderCompiler
from flowbridge_sdk.avro.writing import WriterCompiler
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.errors import BadPayloadError
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.sdk.generated_schemas import Schema, record_of, typed


@given(st.data())
def test_both_read_what_either_writes(data: st.DataObject) -> None:
    schema, values = data.draw(typed)
    value = data.draw(values)
    types: dict[str, Any] = {}
    try:
        parsed = parse(json.dumps(schema), types)
    except UnusableSchemaError:  # refused before anything is read or written with it: items that take no bytes
        reject()
    ours = bytearray()
    WriterCompiler(types).compile(parsed)(ours, value, 0)
    theirs = io.BytesIO()
    fastavro.schemaless_writer(theirs, parsed, value)
    # fastavro writes -128 of a decimal in two bytes; one is enough, and what Java writes
    assert bytes(ours) == theirs.getvalue() or "decimal" in json.dumps(schema)
    assert ReaderCompiler(types, Measures(types).parts).compile(parsed)(bytes(ours), 0, 0) == (value, len(ours))
    assert fastavro.schemaless_reader(io.BytesIO(bytes(ours)), parsed, None) == value


@given(st.data())
def test_statements_in_a_row_and_functions_read_any_bytes_alike(data: st.DataObject) -> None:
    schema, values = data.draw(st.lists(typed, min_size=1, max_size=5).map(record_of))
    types: dict[str, Any] = {}
    try:
        parsed = parse(json.dumps(schema), types)
    except UnusableSchemaError:
        reject()
    body = bytearray()
    WriterCompiler(types).compile(parsed)(body, data.draw(values), 0)
    for _ in range(data.draw(st.integers(0, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body))) :]
    compiler = ReaderCompiler(types, Measures(types).parts)
    straight, careful = compiler.compile(parsed), compiler.careful(parsed)
    assert straight is not careful
    assert _read(straight, bytes(body)) == _read(careful, bytes(body))


def _read(read: Read, body: bytes) -> str:
    """Return the value and where it ends as text, so that NaN equals itself; or the error."""
    try:
        return repr(read(body, 0, 0))
    except Exception as error:  # noqa: BLE001 - any error, and both have to raise the same
        return f"{type(error).__name__}: {error}"


def _encoder(fields: list[dict[str, Any]]) -> Encoder:
    schema = json.dumps({"type": "record", "name": "R", "fields": fields})
    return Encoder(EventSchemas.of([EventSchema.parse("order.created", schema, "R.avsc")]))


LINE = {"type": "record", "name": "Line", "fields": [{"name": "price", "type": "double"}]}
MISFITS: list[tuple[Schema, Any, str, str]] = [
    ("int", 2**31, "v", "32 bits"),
    ("int", 1.5, "v", "an int"),
    ("int", True, "v", "an int"),
    ("boolean", "no", "v", "True or False"),
    ("string", b"x", "v", "a str"),
    ("bytes", "x", "v", "bytes"),
    ("double", "1", "v", "a float"),
    ("double", 2**60 + 1, "v", "2**53"),
    ("float", 1e300, "v", "32-bit"),
    (["null", "long"], "x", "v", "None or an int"),
    ({"type": "array", "items": LINE}, [{"price": 1.0}, {"price": "x"}], "v[1].price", "a float"),
    (["null", {"type": "array", "items": LINE}], [{"price": "x"}], "v[0].price", "a float"),
    ({"type": "map", "values": "int"}, {"a": {}}, "v.a", "an int"),
    (LINE, {"price": 1.0, "cost": 2}, "v.cost", "only price"),
    (LINE, {}, "v.price", "no default"),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "C", "v", "one of A, B"),
    ({"type": "fixed", "name": "F", "size": 4}, b"abc", "v", "4 bytes"),
    ({"type": "string", "logicalType": "uuid"}, "nonsense", "v", "a UUID"),
    ({"type": "long", "logicalType": "timestamp-micros"}, True, "v", "a datetime"),
    (["null", {"type": "long", "logicalType": "timestamp-micros"}], 2**63, "v", "a number is"),
    ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2026, 1, 1), "v", "time zone"),  # noqa: DTZ001 - refused
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1.005"), "v", "2 of them"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal(100), "v", "at most 4"),
]


@pytest.mark.parametrize(("schema", "value", "path", "right"), MISFITS)
def test_a_value_that_does_not_fit_is_refused_with_its_field(schema: Schema, value: Any, path: str, right: str) -> None:
    with pytest.raises(BadPayloadError) as refused:
        _encoder([{"name": "v", "type": schema}]).encode("order.created", {"v": value})
    assert refused.value.path == path
    assert right in refused.value.right


def test_defaults_fill_what_is_missing() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "n", "type": ["null", "string"], "default": None},
        {"name": "raw", "type": "bytes", "default": "\u00ff"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 7},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    ]
    value = _encoder(fields).encode("order.created", {})
    assert value[10:] == b"\x00" + b"\x02\xff" + b"\x0e" + b"\x00"


def test_an_int_in_a_union_stays_an_int() -> None:
    encoder = _encoder([{"name": "v", "type": ["null", "double", "long"]}])
    assert encoder.encode("order.created", {"v": 3})[10:] == b"\x04\x06"


def test_convenient_values_fit_logical_types() -> None:
    uuid = "12345678-1234-5678-1234-567812345678"
    encoder = _encoder(
        [
            {"name": "u", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "f", "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}},
            {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        ],
    )
    payload = {"u": uuid, "f": UUID(uuid), "d": 5, "day": date(1970, 1, 2), "clock": time(0, 0, 1)}
    assert encoder.encode("order.created", payload)[47:] == UUID(uuid).bytes + b"\x04\x01\xf4\x02\xd0\x0f"
