"""A schema that anyone may have written costs only the events that name it, and never time or memory beyond them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from flowbridge_sdk.avro.checks import PARTS_LIMIT
from flowbridge_sdk.avro.encoding import PRIMITIVES
from flowbridge_sdk.avro.reading import VALUES_LIMIT
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import BadPayloadError, SchemaError, UndecodableError, UnknownFingerprintError
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.sdk.registry_server import FakeRegistry, serving

NODE = {
    "type": "record",
    "name": "Node",
    "namespace": "com.example",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "left", "type": ["null", "com.example.Node"], "default": None},
        {"name": "kids", "type": {"type": "array", "items": "com.example.Node"}, "default": []},
    ],
}


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with serving() as registry:
        yield registry


def _record(*types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "T", "fields": [{"name": f"f{i}", "type": kind} for i, kind in enumerate(types)]}


def _schema(schema: Any) -> EventSchema:
    return EventSchema.parse("t", json.dumps(schema), "t.avsc")


def _decode(schema: Any, body: bytes) -> dict[str, Any]:
    parsed = _schema(schema)
    return Decoder(EventSchemas.of([parsed])).decode("t", b"\xc3\x01" + parsed.fingerprint + body)


def _encoder(schema: Any) -> Encoder:
    return Encoder(EventSchemas.of([_schema(schema)]))


@contextmanager
def _quick(seconds: float = 2.0) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def _doubling(levels: int, leaf: Any = "null") -> dict[str, Any]:
    """Return records that hold the next one twice each: 2**levels leaves."""
    record: Any = {"type": "record", "name": f"R{levels}", "fields": [{"name": "z", "type": leaf}]}
    for level in reversed(range(levels)):
        fields = [{"name": "a", "type": record}, {"name": "b", "type": f"R{level + 1}"}]
        record = {"type": "record", "name": f"R{level}", "fields": fields}
    return dict(record)


# -- what the specification ignores ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "invalid",
    [
        {"type": "bytes", "logicalType": "decimal"},
        {"type": "bytes", "logicalType": "decimal", "precision": None},
        {"type": "bytes", "logicalType": "decimal", "precision": 0},
        {"type": "bytes", "logicalType": "decimal", "precision": -4},
        {"type": "bytes", "logicalType": "decimal", "precision": "9"},
        {"type": "bytes", "logicalType": "decimal", "precision": True},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 5},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": None},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": -1},
        {"type": "bytes", "logicalType": "timestamp-millis"},
        {"type": "bytes", "logicalType": ["decimal"]},
        {"type": "bytes", "logicalType": {"decimal": 1}},
        {"type": "bytes", "logicalType": "no-such-type"},
        {"type": {"type": "bytes"}, "logicalType": "decimal", "precision": 4},
        {"type": {"type": {"type": "bytes"}}},
    ],
)
def test_an_invalid_logical_type_is_ignored(invalid: Any) -> None:
    assert _decode(_record(invalid), b"\x02\x00") == {"f0": b"\x00"}
    assert _encoder(_record(invalid)).encode("t", {"f0": b"\x00"}).endswith(b"\x02\x00")


def test_a_decimal_that_does_not_fit_its_fixed_bytes_is_fixed_bytes() -> None:
    fixed = {"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 9}
    assert _decode(_record(fixed), b"\x01\x02") == {"f0": b"\x01\x02"}


# -- what would cost too much ------------------------------------------------------------------------------------------


def test_records_of_nothing_that_double_at_each_level_take_no_time() -> None:
    with _quick(), pytest.raises(SchemaError, match=f"{PARTS_LIMIT} is the limit"):
        _schema(_doubling(40))


def test_records_that_double_are_read_while_they_are_few() -> None:
    with _quick():
        assert len(json.dumps(_decode(_doubling(8), b""))) > 2**8


@pytest.mark.parametrize("kind", ["array", "map", "union"])
def test_the_values_of_a_message_are_bounded(kind: str) -> None:
    """Items of one byte that hold a thousand values of none."""
    item = {"type": "record", "name": "Item", "fields": [{"name": "next", "type": ["null", "Item"]}]}
    item["fields"] += [{"name": f"n{i}", "type": "null"} for i in range(1000)]  # type: ignore[operator] # it is a list
    if kind == "array":
        schema, body = _record({"type": "array", "items": item}), b"\xa0\x9c\x01" + b"\x00" * 10_000 + b"\x00"
    elif kind == "map":
        schema, body = _record({"type": "map", "values": item}), b"\xa0\x9c\x01" + b"\x02a\x00" * 10_000 + b"\x00"
    else:
        schema = _record({"type": "array", "items": ["null", item]})
        body = b"\xa0\x9c\x01" + b"\x02\x00" * 10_000 + b"\x00"
    with _quick(5), pytest.raises(UndecodableError, match=f"more than {VALUES_LIMIT} values"):
        _decode(schema, body)


def test_what_one_message_has_used_up_is_not_held_against_the_next() -> None:
    items = _record(
        {"type": "array", "items": {"type": "record", "name": "I", "fields": [{"name": "b", "type": "int"}]}}
    )
    parsed = _schema(items)
    decoder = Decoder(EventSchemas.of([parsed]))
    value = b"\xc3\x01" + parsed.fingerprint + b"\x80\xb5\x18" + b"\x02" * 200_000 + b"\x00"
    for _ in range(4):
        assert len(decoder.decode("t", value)["f0"]) == 200_000


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"type": "fixed", "name": "F", "size": "four"}, "expected a size"),
        ({"type": "fixed", "name": "F", "size": -4}, "expected a size"),
        ({"type": "fixed", "name": "F", "size": True}, "expected a size"),
        ({"type": "fixed", "name": "F", "size": 2**40}, "expected a size"),
        ({"type": "fixed", "name": "F"}, "expected a size"),
        ({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}, "always holds itself"),
        ({"type": "array", "items": {"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}}, "itself"),
        ({"type": "array"}, "no Avro schema"),
        ({"type": "map", "values": 7}, "no Avro schema"),
        ({"type": "enum", "name": "E", "symbols": 7}, "no Avro schema"),
        ({"type": "enum", "name": "E", "symbols": ["A", 7]}, "no Avro schema"),
        ({"type": "record", "name": "R", "fields": 7}, "no Avro schema"),
        ({"type": "record", "name": "R", "fields": ["x"]}, "no Avro schema"),
        ({"type": "record", "name": 7, "fields": []}, "no Avro schema"),
        ({"type": "record", "name": "R", "fields": [{"name": ["x"], "type": "int"}]}, "no Avro schema"),
        ({"type": ["null", {"type": "Missing"}]}, "no Avro schema"),
        ({}, "no Avro schema"),
        (None, "no Avro schema"),
        ({"__fastavro_parsed": True, "type": "record", "name": "R"}, "no Avro schema"),
    ],
)
def test_an_invalid_schema_is_refused_when_it_arrives(field: Any, problem: str) -> None:
    with _quick(), pytest.raises(SchemaError, match=problem):
        _schema(_record(field))


def test_a_schema_that_claims_to_be_checked_is_checked() -> None:
    marked = {**_record({"type": "fixed", "name": "F", "size": -4}), "__fastavro_parsed": True, "__named_schemas": {}}
    with pytest.raises(SchemaError, match="expected a size"):
        _schema(marked)


def test_nesting_through_names_ends_in_an_error() -> None:
    types: dict[str, Any] = {}
    inner: Any = "int"
    texts: list[dict[str, Any]] = []
    for level in range(3000):
        texts.append({"type": "record", "name": f"C{level}", "fields": [{"name": "x", "type": ["null", inner]}]})
        inner = f"C{level}"
    for text in texts:
        types[text["name"]] = {**text, "type": "record"}
    with _quick(10), pytest.raises(SchemaError):
        EventSchema.parse("t", json.dumps(_record(inner)), "t.avsc", types)


# -- records that hold themselves, and defaults ------------------------------------------------------------------------


def test_a_record_that_holds_itself_with_defaults_is_read_and_written() -> None:
    tree = {"id": "a", "left": {"id": "b", "left": None, "kids": []}, "kids": []}
    value = _encoder(NODE).encode("t", {"id": "a", "left": {"id": "b"}})
    assert Decoder(EventSchemas.of([_schema(NODE)])).decode("t", value) == tree


def test_a_recursive_map_with_a_default_is_read() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "kids", "type": {"type": "map", "values": "Node"}, "default": {}}],
    }
    assert _decode(node, b"\x00") == {"kids": {}}
    assert _encoder(node).encode("t", {}).endswith(b"\x00")


def test_a_default_that_holds_itself_costs_only_who_relies_on_it() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "next", "type": ["Node", "null"], "default": {}}, {"name": "n", "type": "int"}],
    }
    assert _encoder(node).encode("t", {"next": None, "n": 1}).endswith(b"\x02\x02")
    with pytest.raises(BadPayloadError, match="give the field a value"):
        _encoder(node).encode("t", {"n": 1})


def test_defaults_that_double_at_each_level_take_no_time() -> None:
    def with_defaults(schema: Any) -> Any:
        if isinstance(schema, dict) and schema["fields"][0]["name"] == "a":
            for field in schema["fields"]:
                field["default"] = {}
                with_defaults(field["type"])
        return schema

    schema = with_defaults(_doubling(12, "long"))
    schema["fields"].append({"name": "n", "type": "int"})
    with _quick(5), pytest.raises(BadPayloadError):
        _encoder(schema).encode("t", {"n": 1})


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("boolean", "false"),
        ("int", "y"),
        ("string", 7),
        (["null", "string"], 3),
        ({"type": "map", "values": "int"}, []),
    ],
)
def test_a_wrong_default_is_no_matter_to_who_reads_or_fills_the_field(kind: Any, default: Any) -> None:
    schema = _record("int", "int")
    schema["fields"][1] = {"name": "f1", "type": kind, "default": default}
    parsed = _schema(schema)
    with pytest.raises(BadPayloadError, match=r"field f1: .*the schema's default is .*; give the field a value"):
        Encoder(EventSchemas.of([parsed])).encode("t", {"f0": 1})
    value = {"boolean": True, "int": 3, "string": "x"}.get(
        kind if isinstance(kind, str) else "", {} if isinstance(kind, dict) else None
    )
    encoded = Encoder(EventSchemas.of([parsed])).encode("t", {"f0": 1, "f1": value})
    assert Decoder(EventSchemas.of([parsed])).decode("t", encoded) == {"f0": 1, "f1": value}


def test_bytes_in_a_default_are_code_points_at_any_depth() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "raw", "type": "bytes"}, {"name": "n", "type": "int"}]}
    schema = {"type": "record", "name": "T", "fields": [{"name": "i", "type": inner, "default": {"raw": "ÿ", "n": 1}}]}
    assert _encoder(schema).encode("t", {}).endswith(b"\x02\xff\x02")


# -- values that Avro allows and Python does not -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "logical", "value"),
    [
        ("long", "timestamp-millis", 253402318799000),  # the year 9999's last second, in New York
        ("long", "timestamp-millis", -(2**63)),
        ("long", "timestamp-micros", 2**63 - 1),
        ("long", "local-timestamp-micros", -(2**63)),
        ("int", "date", -(2**31)),
        ("int", "date", 2**31 - 1),
        ("int", "time-millis", 86_400_000),  # 24:00
        ("long", "time-micros", -1),
        ("string", "uuid", ""),
        ("string", "uuid", "a"),
    ],
)
def test_a_value_beyond_pythons_types_is_its_number_or_text(kind: str, logical: str, value: Any) -> None:
    body = bytearray()
    PRIMITIVES[kind](body, value, 0)
    assert _decode(_record({"type": kind, "logicalType": logical}), bytes(body)) == {"f0": value}


def test_values_within_pythons_types_stay_what_they_are() -> None:
    day = _decode(_record({"type": "int", "logicalType": "date"}), b"\x02")
    moment = _decode(_record({"type": "long", "logicalType": "timestamp-millis"}), b"\x02")
    uuid = "12345678-1234-5678-1234-567812345678"
    text = _decode(_record({"type": "string", "logicalType": "uuid"}), b"\x48" + uuid.encode())
    assert (day["f0"], moment["f0"]) == (date(1970, 1, 2), datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC))
    assert text["f0"] == UUID(uuid)


@pytest.mark.parametrize(
    ("schema", "body", "field"),
    [
        (_record("int", "boolean"), b"\x02\x02", "f1"),
        (_record({"type": "array", "items": _record("boolean") | {"name": "I"}}), b"\x04\x00\x05", r"f0\[1\]\.f0"),
        (_record({"type": "map", "values": "boolean"}), b"\x02\x04no\x07", r"f0\.no"),
        (_record("int", "string"), b"\x02\x10ab", "f1"),
        (_record("int", "long"), b"\x02", "f1: the message ends too early"),
    ],
)
def test_what_is_wrong_with_a_record_names_its_field(schema: Any, body: bytes, field: str) -> None:
    with pytest.raises(UndecodableError, match=rf"a record of t is not what its schema says: field {field}"):
        _decode(schema, body)


# -- from a registry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(_record({"type": "fixed", "name": "F", "size": "four"})),
        json.dumps(_doubling(60)),
        json.dumps("string"),
        "{",
        "[" * 100_000,
        "7",
        '{"type": "record", "name": "T", "fields": [{"name": "x", "type": "gone.Type"}]}',
    ],
)
def test_a_bad_schema_of_a_registry_costs_its_own_events_alone(text: str, server: FakeRegistry) -> None:
    bad = server.register("bad-value", {"schema": text})
    good = server.register("good-value", {"schema": json.dumps(_record("string"))})
    decoder = Decoder(None, Registry(server.url))
    for _ in range(3):
        with _quick(), pytest.raises(UndecodableError, match=f"schema id {bad} ") as undecodable:
            decoder.decode("bad", b"\x00" + bad.to_bytes(4, "big") + b"\x02\x00")
        assert undecodable.value.permanent
    assert server.requests == 1
    assert decoder.decode("good", b"\x00" + good.to_bytes(4, "big") + b"\x02a") == {"f0": "a"}


def test_references_in_a_circle_end_in_an_error(server: FakeRegistry) -> None:
    text = json.dumps({"type": "record", "name": "A", "fields": [{"name": "b", "type": "B"}]})
    references = [{"name": name, "subject": "a", "version": 1} for name in ("B", "C", "D")]
    number = server.register("a", {"schema": text, "references": references})
    with _quick(5), pytest.raises(UndecodableError, match=f"schema id {number}"):
        Decoder(None, Registry(server.url)).decode("a", b"\x00" + number.to_bytes(4, "big"))
    assert server.requests < 5


def test_a_broken_file_is_a_fault_of_its_own_events(tmp_path: Any) -> None:
    (tmp_path / "good.avsc").write_text(json.dumps(_record("string")))
    (tmp_path / "bad.avsc").write_text("{")
    with pytest.raises(SchemaError, match=r"bad\.avsc"):
        EventSchemas.load(tmp_path)
    heard: list[SchemaError] = []
    schemas = EventSchemas.load(tmp_path, on_broken=heard.append)
    assert [error.problem[:7] for error in heard] == ["no JSON"]
    decoder = Decoder(schemas)
    assert decoder.decode("good", Encoder(schemas).encode("good", {"f0": "a"})) == {"f0": "a"}
    with pytest.raises(UnknownFingerprintError, match=r"cannot be used: .*bad\.avsc: no JSON"):
        decoder.decode("bad", b"\xc3\x01" + b"8 bytes." + b"\x00")
