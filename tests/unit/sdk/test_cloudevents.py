"""Whole CloudEvents in one document: what is read, within which bounds, and what a refusal says."""

from __future__ import annotations

import base64
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbridge_sdk
from flowbridge_sdk.errors import BadCloudEventError, DecodeError, UnreadContentTypeError
from flowbridge_sdk.payloads.cloudevents import (
    ATTRIBUTES_LIMIT,
    STRUCTURED_AVRO,
    STRUCTURED_JSON,
    CloudEvent,
    read_structured,
    structured_type,
)

ATTRIBUTES: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.created"}
DATA: dict[str, Any] = {"order_id": "o-1", "amount": 12.5}
AVRO = fastavro.parse_schema(
    json.loads((Path(flowbridge_sdk.__file__).parent / "avsc" / "cloudevent.avsc").read_text())
)


def _json(**changes: Any) -> CloudEvent:
    return read_structured(STRUCTURED_JSON, json.dumps({**ATTRIBUTES, "data": DATA, **changes}).encode())


def _avro(data: Any, **changes: Any) -> CloudEvent:
    return read_structured(STRUCTURED_AVRO, _document({**ATTRIBUTES, **changes}, data))


def _document(attributes: dict[str, Any], data: Any) -> bytes:
    """Write a document with fastavro, which knows nothing of our reader."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, AVRO, {"attribute": attributes, "data": data})
    return out.getvalue()


@pytest.mark.parametrize(
    ("headers", "media"),
    [
        (None, None),
        ([("content-type", b"application/json")], None),
        ([("content-type", b"application/cloudevents+json")], STRUCTURED_JSON),
        ([("Content-Type", b" Application/CloudEvents+JSON ; charset=UTF-8")], STRUCTURED_JSON),
        ([("ce_id", b"e"), ("content-type", b"application/cloudevents+avro")], STRUCTURED_AVRO),
        ([("content-type", None), ("content-type", b"application/cloudevents")], "application/cloudevents"),
        ([("ce_datacontenttype", b"application/cloudevents+json")], None),
    ],
)
def test_a_header_says_that_a_value_is_a_whole_cloudevent(headers: Any, media: str | None) -> None:
    assert structured_type(headers) == media


@pytest.mark.parametrize("event", [_json(), _avro(json.dumps(DATA).encode(), datacontenttype="application/json")])
def test_both_formats_give_one_event(event: CloudEvent) -> None:
    assert event[:6] == ("order.created", "e-1", "/shop", None, DATA, None)


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:00.5+01:00", 500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        (None, None),
    ],
)
def test_its_time_is_read_to_the_microsecond_and_may_be_missing(time: str | None, micros: int | None) -> None:
    assert _json(time=time).time_us == micros


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "text/json", "Application/X+JSON"])
def test_data_of_json_is_the_payload_whatever_its_type_is_called(content_type: str | None) -> None:
    assert _json(datacontenttype=content_type).payload == DATA


@pytest.mark.parametrize("changes", [{"data": None}, {"data": None, "datacontenttype": "text/plain"}])
def test_an_event_without_data_has_an_empty_payload(changes: dict[str, Any]) -> None:
    assert _json(**changes).payload == {}
    assert _avro(None).payload == {}


def test_data_of_avro_is_left_to_the_caller() -> None:
    event = _json(data=None, data_base64=base64.b64encode(b"\xc3\x01x").decode(), datacontenttype="application/avro")
    assert (event.payload, event.value) == (None, b"\xc3\x01x")
    assert _avro(b"\xc3\x01x", datacontenttype="application/avro").value == b"\xc3\x01x"


def test_what_kafka_connect_puts_around_a_value_is_taken_off() -> None:
    schema = {"type": "struct", "fields": [{"field": "op", "type": "string"}]}
    assert _json(data={"schema": schema, "payload": {"op": "u"}}).payload == {"op": "u"}
    for other in (
        {"schema": schema, "payload": {"op": "u"}, "more": 1},
        {"schema": "s", "payload": {"op": "u"}},
        {"schema": {"type": "string"}, "payload": {"op": "u"}},
        {"schema": schema, "payload": "u"},
    ):
        assert _json(data=other).payload == other


DATA_OF_AVRO = {"n": None, "b": True, "d": 1.5, "s": "x", "r": {"value": {"a": 1.0, "m": {"k": {"value": {"z": "y"}}}}}}


def test_data_in_avros_own_form_becomes_values_of_json() -> None:
    assert _avro(DATA_OF_AVRO).payload == {
        "n": None,
        "b": True,
        "d": 1.5,
        "s": "x",
        "r": {"a": 1.0, "m": {"k": {"z": "y"}}},
    }
    assert _avro({"r": {"value": {"l": [{"value": {"x": 1.0}}]}}}).payload == {"r": {"l": [{"x": 1.0}]}}
    assert _avro('{"x": 1}', datacontenttype="application/json").payload == {"x": 1}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"specversion": "0.3"}, "^specversion: expected 1.0, found '0.3'"),
        ({"specversion": None}, "^specversion: expected 1.0, found None"),
        ({"id": ""}, "^id: expected a text that is not empty, found ''"),
        ({"source": 7}, "^source: expected a text that is not empty, found 7"),
        ({"type": None}, "^type: expected a text that is not empty, found None"),
        ({"type": "a\nb"}, r"^type: found 'a\\nb'; an event's name has no control characters"),
        ({"id": "\ud83d"}, "^id: found half a character"),
        ({"source": "x" * ATTRIBUTES_LIMIT}, "^id, source and type: found 16400 bytes; at most 16384 are read"),
        ({"time": "2026-01-31"}, "^time: expected RFC 3339 .*, found '2026-01-31'"),
        ({"time": 7}, "^time: expected RFC 3339 .*, found 7"),
        ({"datacontenttype": 7}, "^datacontenttype: expected a text, found 7"),
        ({"data": [1]}, "^data: expected a JSON object; .* Found an array"),
        ({"data": "x"}, "^data: expected a JSON object; .* Found a text"),
        ({"data_base64": "e30="}, "^expected data or data_base64, found both"),
        ({"data": None, "data_base64": "e30="}, "^datacontenttype: expected it, since the data is bytes"),
        ({"data": None, "data_base64": "e3"}, "^data_base64: expected base64, found 'e3'"),
        ({"data": None, "data_base64": 7}, "^data_base64: expected base64, found 7"),
        ({"data": None, "data_base64": "Iw==", "datacontenttype": "text/json"}, "^data: no JSON: Expecting value"),
    ],
)
def test_what_is_no_event_is_refused_with_the_attribute(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadCloudEventError, match=text) as error:
        _json(**changes)
    assert error.value.permanent
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "no JSON: Expecting value"),
        (b"[]", "expected a JSON object, found an array"),
        (b'{"a": NaN}', "no JSON: NaN is no JSON number"),
        (b'"\xff"', "no JSON: no UTF-8 at byte 1"),
        (b'{"a":' * 100_000, "no JSON: nested too deeply; expected at most 64 levels"),
        (b" " * (1 << 20) + b"{}", "no JSON: it has 1048578 bytes; at most 1048576 are read"),
    ],
)
def test_a_document_that_is_no_json_says_why(document: bytes, text: str) -> None:
    with pytest.raises(BadCloudEventError, match=text):
        read_structured(STRUCTURED_JSON, document)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "no Avro of the schema io.cloudevents.AvroCloudEvent: field attribute: the message ends too early"),
        (b"\x00\x02", "specversion: expected 1.0, found None"),
        (_document(ATTRIBUTES, None) + b"x", "found 1 bytes behind its end"),
        (_document(ATTRIBUTES, b"{}"), "datacontenttype: expected it, since the data is bytes"),
        (_document({**ATTRIBUTES, "id": 7}, None), "id: expected a text that is not empty, found 7"),
        (_document(ATTRIBUTES, "x"), "data: expected a JSON object; .* Found a text"),
        (_document(ATTRIBUTES, [{"value": {}}]), "data: expected a JSON object; .* Found an array"),
        (b"\x00\x06\x02\x02a\x04" + b"\x02\x02v\x04\x02\x02k" * 200, "no Avro of the schema .*: field data"),
    ],
)
def test_a_document_that_is_no_avro_of_the_format_says_why(document: bytes, text: str) -> None:
    with pytest.raises(BadCloudEventError, match=text):
        read_structured(STRUCTURED_AVRO, document)


@pytest.mark.parametrize(
    ("media", "text"),
    [
        ("application/cloudevents+xml", r"content-type application/cloudevents\+xml is not read; these"),
        ("application/cloudevents-batch+json", "Kafka has no batches of CloudEvents: send each in a record of its own"),
        ("application/cloudevents+avro-compact", r"avro-compact is not read; .* application/cloudevents\+avro$"),
    ],
)
def test_other_formats_are_refused_with_those_that_are_read(media: str, text: str) -> None:
    with pytest.raises(UnreadContentTypeError, match=text):
        read_structured(media, b"{}")


@pytest.mark.parametrize("content_type", ["application/xml", "text/plain; charset=utf-8", "application/protobuf"])
def test_data_of_another_type_is_refused_with_the_types_that_are_read(content_type: str) -> None:
    with pytest.raises(UnreadContentTypeError, match=r"^datacontenttype '.*' is not read; .*application/json") as error:
        _json(data="<a/>", datacontenttype=content_type)
    assert "application/cloudevents+json" in str(error.value)
    with pytest.raises(UnreadContentTypeError):
        _avro(b"<a/>", datacontenttype=content_type)


def test_a_document_behind_a_prefix_is_read_by_its_own_schema() -> None:
    asked: list[bytes] = []

    def framed(fields: dict[str, Any]) -> Any:
        def read(document: bytes) -> dict[str, Any]:
            asked.append(document)
            return fields

        return read

    flat = {**ATTRIBUTES, "datacontenttype": "application/avro", "data": DATA, "time": "1970-01-01T00:00:01Z"}
    event = read_structured(STRUCTURED_AVRO, b"framed", framed(flat))
    assert event[:6] == ("order.created", "e-1", "/shop", 1_000_000, DATA, None)
    assert asked == [b"framed"]
    nested = {"attribute": ATTRIBUTES, "data": DATA_OF_AVRO}
    assert read_structured(STRUCTURED_AVRO, b"framed", framed(nested)).payload == _avro(DATA_OF_AVRO).payload


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
ANY = st.sampled_from([*ATTRIBUTES, "time", "data", "data_base64", "datacontenttype", "ext"])


@given(st.dictionaries(ANY, json_values | st.sampled_from(list(ATTRIBUTES.values()))), st.booleans())
def test_any_object_is_an_event_or_refused(changes: dict[str, Any], is_whole: bool) -> None:  # noqa: FBT001 - drawn
    document = json.dumps({**(ATTRIBUTES if is_whole else {}), **changes}).encode()
    with suppress(DecodeError):
        event = read_structured(STRUCTURED_JSON, document)
        assert (event.payload is None) != (event.value is None)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_are_an_event_of_avro_or_refused(noise: bytes, at: int) -> None:
    document = _document({**ATTRIBUTES, "time": "1970-01-01T00:00:01Z"}, DATA_OF_AVRO)
    with suppress(DecodeError):
        event = read_structured(STRUCTURED_AVRO, document[:at] + noise + document[at + len(noise) :])
        assert event.id
