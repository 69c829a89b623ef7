"""Bytes that nobody vouches for end quickly in one error, and never cost more than themselves."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import DecodeError, SchemaError, UndecodableError
from flowbridge_sdk.schemas import GENERIC, EventSchema, EventSchemas

HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # 2**63 - 1 as a varint
GENERIC_PREFIX = b"\xc3\x01" + GENERIC.fingerprint


def _schema(field: Any) -> EventSchema:
    record = {"type": "record", "name": "R", "fields": [{"name": "v", "type": field}]}
    return EventSchema.parse("t", json.dumps(record), "R.avsc")


TREE = _schema({"type": "array", "items": "R"})


def _decode(schema: EventSchema, body: bytes) -> dict[str, Any]:
    return Decoder(EventSchemas.of([schema])).decode("t", b"\xc3\x01" + schema.fingerprint + body)


@contextmanager
def _cheap() -> Iterator[None]:
    """Allow a second and 4 MiB."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        yield
        assert time.monotonic() - begun < 1
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_end_in_the_one_error(body: bytes) -> None:
    for prefix in (b"", GENERIC_PREFIX, b"\x00", b"\x01"):
        try:
            Decoder().decode("t", prefix + body)
        except DecodeError:
            continue


@given(st.data())
def test_a_damaged_event_decodes_or_ends_in_the_one_error(data: st.DataObject) -> None:
    value = bytearray(Encoder().encode("t", {"a": [1, "two", {"b": None}], "c": 2.5}))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(10, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        Decoder().decode("t", bytes(value))
    except UndecodableError:
        return


@pytest.mark.parametrize("body", [HUGE, HUGE + b"abc", b"\x7fabc", b"\x05abc", b"\xff" * 40, b"", b"\x80"])
@pytest.mark.parametrize(
    "field", ["string", "bytes", {"type": "array", "items": "long"}, {"type": "map", "values": "null"}]
)
def test_a_length_beyond_the_message_is_not_believed(field: Any, body: bytes) -> None:
    with _cheap(), pytest.raises(UndecodableError):
        _decode(_schema(field), body)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("boolean", b"\x02"),
        ("int", b"\x80\x80\x80\x80\x80\x80\x01"),
        ("long", b"\xff" * 9 + b"\x02"),
        ("double", b"1234567"),
        ("float", b"123"),
        ("string", b"\x02\xff"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x04"),
        (["null", "string"], b"\x01"),
        (["null", "string"], b"\x04"),
        ({"type": "fixed", "name": "F", "size": 4}, b"abc"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 0}, b"\x04\x7f\xff"),
    ],
)
def test_what_the_schema_does_not_allow_is_undecodable(field: Any, body: bytes) -> None:
    with pytest.raises(UndecodableError):
        _decode(_schema(field), body)


def test_bytes_behind_the_end_are_undecodable() -> None:
    with pytest.raises(UndecodableError, match="1 bytes behind its end"):
        _decode(_schema("long"), b"\x02\x00")


def test_a_megabyte_of_nesting_ends_quickly() -> None:
    with _cheap(), pytest.raises(UndecodableError, match="deeper than 64"):
        Decoder().decode("t", GENERIC_PREFIX + b"\x02\x02a" + b"\x12\x02" * 500_000)
    with _cheap(), pytest.raises(UndecodableError, match="deeper than 64"):
        _decode(TREE, b"\x02" * 1_000_000)


def test_a_decimal_as_long_as_the_message_ends_quickly() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    million = b"\x80\x89\x7a" + b"\x7f" * 1_000_000
    with pytest.raises(UndecodableError), _cheap():
        _decode(_schema(decimal), million)
    with pytest.raises(UndecodableError), _cheap():
        Decoder().decode("t", GENERIC_PREFIX + b"\x02\x02a\x0e" + million + b"\x00\x00")


@pytest.mark.parametrize(
    "items", ["null", {"type": "record", "name": "E", "fields": []}, {"type": "fixed", "name": "F", "size": 0}]
)
def test_a_schema_whose_items_take_no_bytes_is_refused(items: Any) -> None:
    with pytest.raises(SchemaError, match="take no bytes"):
        _schema({"type": "array", "items": items})
