"""What producers of other kinds send: it is read, or the error says what was seen and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import BadPayloadError, SchemaError, UndecodableError
from flowbridge_sdk.schemas import EventSchema, EventSchemas

CREATED = {"type": "record", "name": "Created", "namespace": "shop", "fields": [{"name": "id", "type": "string"}]}
GONE = {"type": "record", "name": "Gone", "namespace": "shop", "fields": [{"name": "id", "type": "string"}]}


def _schemas(schema: Any) -> EventSchemas:
    return EventSchemas.of([EventSchema.parse("t", json.dumps(schema), "t.avsc")])


@pytest.mark.parametrize(
    ("value", "content_type", "seen"),
    [
        (b'{"specversion": "1.0"}', b"application/cloudevents+json; charset=utf-8", "is a structured CloudEvent"),
        (b"\x02\x04", b"Application/CloudEvents+avro", r"CloudEvent .*read it whole, with read_structured"),
        (b"<a/>", b"application/xml; charset=utf-8", "the content-type application/xml, which is not read; .*json"),
        (b'\n {"id": 1}', None, "looks like JSON; publish it with"),
        (b"[1]", None, "looks like JSON; publish it with"),
        (b"Obj\x01\x04", None, "is an Avro file with its schema in front"),
        (b"\x03\x00" + bytes(16), None, "looks like AWS Glue's framing"),
        (b"\x00" + (7).to_bytes(8, "big") + b"\x02a", None, "an id of 8 bytes, as Apicurio's serializers write"),
        (b"\xfftext", None, "begins with ff746578; expected Avro behind a single-object prefix"),
        (b"", None, "begins with nothing; expected Avro"),
    ],
)
def test_what_has_no_framing_of_an_event_is_told_for_what_it_is(
    value: bytes, content_type: bytes | None, seen: str
) -> None:
    headers = [("trace", None), ("content-type", content_type)]
    with pytest.raises(UndecodableError, match=f"^a record of t .*{seen}"):
        Decoder().decode("t", value, headers)


def test_an_event_may_be_one_of_several_records() -> None:
    schemas = _schemas([CREATED, GONE])
    encoder, decoder = Encoder(schemas), Decoder(schemas)
    first, second = encoder.encode("t", {"id": "a"}), encoder.encode("t", ("Gone", {"id": "a"}))
    assert (first[10:], second[10:]) == (b"\x00\x02a", b"\x02\x02a")
    assert decoder.decode("t", first) == decoder.decode("t", second) == {"id": "a"}


def test_an_event_that_has_no_fields_with_names_is_told() -> None:
    schemas = _schemas(["null", "string", CREATED])
    prefix = b"\xc3\x01" + schemas.current["t"].fingerprint
    assert Decoder(schemas).decode("t", prefix + b"\x04\x02a") == {"id": "a"}
    with pytest.raises(UndecodableError, match="expected a record or a map, found NoneType"):
        Decoder(schemas).decode("t", prefix + b"\x00")
    with pytest.raises(UndecodableError, match="expected a record or a map, found str"):
        Decoder(schemas).decode("t", prefix + b"\x02\x02a")


def test_a_record_is_read_with_the_names_that_its_writer_gave_and_not_with_aliases() -> None:
    field = {"name": "id", "type": "string", "aliases": ["key"]}
    schemas = _schemas({**CREATED, "aliases": ["Made"], "fields": [field]})
    value = Encoder(schemas).encode("t", {"id": "a"})
    assert Decoder(schemas).decode("t", value) == {"id": "a"}
    with pytest.raises(BadPayloadError, match=r"field key: .* the schema has no such field, only id"):
        Encoder(schemas).encode("t", {"key": "a"})
    with pytest.raises(SchemaError, match=r"no Avro schema: .*Made"):
        _schemas({**CREATED, "aliases": ["Made"], "fields": [field, {"name": "next", "type": ["null", "shop.Made"]}]})
