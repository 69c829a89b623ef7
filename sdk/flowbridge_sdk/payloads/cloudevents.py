"""Whole CloudEvents in one document: the structured mode of CloudEvents 1.0, on Kafka and over HTTP.

The bridge and the gateway share this reader. The document gives an event its name, id, source and time. Its
extension attributes are not part of an event, in this mode as in the others.

============================================  =====================================================================
the document's ``data``                       the payload
============================================  =====================================================================
none, or null                                 empty
an object, ``datacontenttype`` of JSON        its fields
bytes (``data_base64``), of JSON              the same, read as JSON
bytes, ``application/avro``                   in the framing of an event, which the caller reads
anything else                                 refused
============================================  =====================================================================
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from flowbridge_sdk.avro.logical import UnreadableError
from flowbridge_sdk.errors import BadCloudEventError, UnreadContentTypeError
from flowbridge_sdk.payloads.json_values import KINDS, is_json_type, parse_json, unwrapped
from flowbridge_sdk.payloads.times import TIME_FORM, read_time
from flowbridge_sdk.schemas import EventSchema
from flowbridge_sdk.topics import CONTROL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowbridge_sdk.headers import Headers

STRUCTURED = "application/cloudevents"
"""How the content types of structured mode begin."""

STRUCTURED_JSON = "application/cloudevents+json"
STRUCTURED_AVRO = "application/cloudevents+avro"

ATTRIBUTES_LIMIT = 16 * 1024
"""Bytes of id, source and type together, as in the headers of binary mode."""

REQUIRED = ("id", "source", "type")
"""The attributes that every event has, besides specversion."""

_SHOWN = 60
_MICROSECOND = timedelta(microseconds=1)


class CloudEvent(NamedTuple):
    """A CloudEvent.

    Attributes:
        name: Its ``type``, the event's name.
        id: Its id.
        source: Its source.
        time_us: Its time, in microseconds since 1970 in UTC; None if it has none.
        payload: Its data; None if that is Avro. JSON's own values are not checked yet (``checked_payload``).
        value: Its data where that is Avro, with the prefix that names the schema; None otherwise.
        attributes: All attributes as they stand in the document.

    """

    name: str
    id: str
    source: str
    time_us: int | None
    payload: Mapping[str, Any] | None
    value: bytes | None
    attributes: Mapping[str, Any]


def structured_type(headers: Headers | None) -> str | None:
    """Return the media type of a record whose headers say that its value is a whole CloudEvent, otherwise None."""
    for name, content in headers or ():
        if content and name.lower() == "content-type":
            media = media_type(content.decode("latin-1"))
            return media if media.startswith(STRUCTURED) else None
    return None


def media_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def read_structured(
    media: str, document: bytes, framed: Callable[[bytes], Mapping[str, Any] | None] = lambda _document: None
) -> CloudEvent:
    """Return the event in a document.

    Args:
        media: The document's media type.
        document: Its bytes.
        framed: Reads a document of Avro behind a prefix that names its schema, and returns None without a prefix.

    Raises:
        UnreadContentTypeError: It is of another media type, or its data is.
        BadCloudEventError: It is no CloudEvent 1.0.
        DecodeError: Another error of ``framed``.

    """
    if media == STRUCTURED_JSON:
        try:
            event = parse_json(document)
        except ValueError as error:
            raise BadCloudEventError(f"no JSON: {error}") from None
        if not isinstance(event, dict):
            raise BadCloudEventError(f"expected a JSON object, found {KINDS.get(type(event), 'a value')}")
        return read_object(event)
    if media != STRUCTURED_AVRO:
        batch = "; Kafka has no batches of CloudEvents: send each in a record of its own" if "batch" in media else ""
        raise UnreadContentTypeError(f"content-type {media[:_SHOWN]}{batch}")
    known = framed(document)
    if known is None:
        try:
            known, end = _avro_format().read(document, 0, 0)
        except UnreadableError as error:
            raise BadCloudEventError(f"no Avro of the schema io.cloudevents.AvroCloudEvent: {error}") from None
        if end != len(document):
            raise BadCloudEventError(f"found {len(document) - end} bytes behind its end")
    if known.keys() != {"attribute", "data"}:
        # a schema of the producer's own, with a field for each attribute; a record as data is decoded already
        if isinstance(known.get("data"), dict) and known.get("datacontenttype") == "application/avro":
            known = {**known, "datacontenttype": None}
        return read_object(known)
    attributes, data = known["attribute"], known["data"]
    if isinstance(data, str) and is_json_type(media_type(str(attributes.get("datacontenttype") or ""))):
        data = data.encode()
    elif isinstance(data, dict | list):
        data = _json_data(data)
    return cloud_event(attributes, data)


def read_object(event: Mapping[str, Any]) -> CloudEvent:
    """Return the event of an object whose members are its attributes and its data.

    Raises:
        UnreadContentTypeError: Its data is neither JSON nor Avro.
        BadCloudEventError: It is no CloudEvent 1.0.

    """
    data = event.get("data")
    encoded = event.get("data_base64")
    if encoded is not None:
        if data is not None:
            raise BadCloudEventError("expected data or data_base64, found both")
        try:
            data = b64decode(encoded, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise BadCloudEventError(f"data_base64: expected base64, found {shown(encoded)}") from None
    return cloud_event({name: value for name, value in event.items() if name not in ("data", "data_base64")}, data)


def cloud_event(attributes: Mapping[str, Any], data: Any) -> CloudEvent:
    """Return the event with these attributes.

    Args:
        attributes: Its attributes; one that is None counts as missing.
        data: Its data: values of JSON, or bytes.

    Raises:
        UnreadContentTypeError: Its data is neither JSON nor Avro.
        BadCloudEventError: An attribute is missing or wrong, or the data is no object.

    """
    if attributes.get("specversion") != "1.0":
        raise BadCloudEventError(f"specversion: expected 1.0, found {shown(attributes.get('specversion'))}")
    size = 0
    for name in REQUIRED:
        text = attributes.get(name)
        if not isinstance(text, str) or not text:
            raise BadCloudEventError(f"{name}: expected a text that is not empty, found {shown(text)}")
        try:
            size += len(text.encode())
        except UnicodeEncodeError:
            raise BadCloudEventError(f"{name}: found half a character (a lone surrogate) in {shown(text)}") from None
    if size > ATTRIBUTES_LIMIT:
        raise BadCloudEventError(f"id, source and type: found {size} bytes; at most {ATTRIBUTES_LIMIT} are read")
    if CONTROL.search(attributes["type"]):
        raise BadCloudEventError(f"type: found {shown(attributes['type'])}; an event's name has no control characters")
    time = attributes.get("time")
    try:
        time_us = None if time is None else read_time(time) // _MICROSECOND
    except (TypeError, ValueError):
        raise BadCloudEventError(f"time: expected {TIME_FORM}, found {shown(time)}") from None
    payload, value = _data_of(data, attributes.get("datacontenttype"))
    return CloudEvent(attributes["type"], attributes["id"], attributes["source"], time_us, payload, value, attributes)


def _data_of(data: Any, content_type: Any) -> tuple[Mapping[str, Any] | None, bytes | None]:
    """Return the payload of an event, or its value of Avro."""
    if not isinstance(content_type, str | None):
        raise BadCloudEventError(f"datacontenttype: expected a text, found {shown(content_type)}")
    if data is None:
        return {}, None
    media = None if content_type is None else media_type(content_type)
    if media == "application/avro" and isinstance(data, bytes):
        return None, data
    if not (media is None or is_json_type(media)):
        raise UnreadContentTypeError(f"datacontenttype {shown(content_type)}")
    if isinstance(data, bytes):
        if media is None:
            raise BadCloudEventError("datacontenttype: expected it, since the data is bytes; found none")
        try:
            data = parse_json(data)
        except ValueError as error:
            raise BadCloudEventError(f"data: no JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadCloudEventError(
            f"data: expected a JSON object; its fields are the payload's. Found {KINDS.get(type(data), 'a value')}"
        )
    return unwrapped(data), None


def _json_data(data: Any) -> Any:
    """Return data of the Avro event format as values of JSON.

    In that format a value inside of data is a record with one map in it, and numbers are doubles.
    """

    def opened(record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: inner(value) for name, value in record["value"].items()}

    def inner(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: opened(record) for name, record in value.items()}
        return [opened(record) for record in value] if isinstance(value, list) else value

    if isinstance(data, list):
        return [opened(record) for record in data]
    return {name: opened(value) if isinstance(value, dict) else value for name, value in data.items()}


@cache
def _avro_format() -> EventSchema:
    text = resources.files("flowbridge_sdk").joinpath("avsc", "cloudevent.avsc").read_text("utf-8")
    return EventSchema.parse("", text, "cloudevent.avsc")


def shown(value: object) -> str:
    """Return a value as text that is short enough for an error."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
