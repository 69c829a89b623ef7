"""Read the event of a record: the router reads live records with it, and a replay those of the past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.core.event import Event, EventIdentity, Micros
from bridge.kafka.log import Headers, Record
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from flowbridge_sdk.attributes.trace import CE_TRACEPARENT, TRACEPARENT, read_traceparent
from flowbridge_sdk.codec import SCHEMA_ID_HEADER, Encoder, is_framed
from flowbridge_sdk.errors import BadCloudEventError, NullValueError, RefusedError, UndecodableError
from flowbridge_sdk.headers import EventHead, read_attributes, read_headers
from flowbridge_sdk.payloads.cloudevents import REQUIRED, CloudEvent, read_object, read_structured, structured_type
from flowbridge_sdk.payloads.json_values import checked_payload

VALUE_LIMIT = 1024 * 1024 + 1024
"""Bytes of an event's value: a payload of 1 MiB and its framing."""

MARGIN_LIMIT = 16 * 1024
"""Bytes of an event's key and headers together."""

_SCHEMA_IDS = {0: 5, 1: 17}  # bytes of a schema id in a header, by its first one
_AVRO = (b"\xc3", b"\x00", b"\x01")  # how values of Avro begin, and JSON does not
_USUAL = frozenset((None, b"application/avro"))  # content types that need no second look at a value of Avro
_NO_HEADERS: dict[str, bytes | None] = {}
_MANDATORY = ("ce_specversion", "ce_id", "ce_source", "ce_type")


_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class DecodedEvent(NamedTuple):
    """An event, its record, and its value with all of its framing in front."""

    event: Event
    record: Record
    value: bytes


class EventReader:
    """Reads events.

    Args:
        decoder: Decodes their payloads.
        definitions: Knows which topics were made again; None where none was.

    """

    def __init__(self, decoder: EventDecoder, definitions: Definitions | None = None) -> None:
        self._decoder = decoder
        self._definitions = definitions
        self._generic = Encoder()

    def head(self, record: Record) -> EventHead:
        """Return the attributes of a record's event. Only a whole CloudEvent is decoded for that.

        Raises:
            DecodeError: The record is no event.

        """
        topic, partition, offset, timestamp, _, value, headers = record
        structured = self._structured(topic, value, headers) if value is not None else None
        if structured is None:
            return read_headers(headers, topic, partition, offset, timestamp)
        return _head_of(structured, timestamp)

    def read(self, record: Record, timestamp: int, reached: Micros) -> DecodedEvent:
        """Return the event of a record, with its value as all later stages and releases decode it.

        Its schema id stands in front, also if it travelled in a header. A payload of JSON is kept as Avro, and so is
        that of a whole CloudEvent.

        Args:
            record: The record.
            timestamp: Its timestamp in milliseconds, or what is taken for it where it cannot be true.
            reached: When the event reached us.

        Raises:
            DecodeError: The record is no event.

        """
        topic, partition, offset, _, key, value, headers = record
        by_name = dict(headers) if headers else _NO_HEADERS
        event: CloudEvent | None = None
        is_avro = value is not None and value[:1] in _AVRO
        if value is not None and not (is_avro and by_name.get("content-type") in _USUAL):
            event = self._structured(topic, value, headers)
        if event is None:
            head = read_attributes(by_name, topic, partition, offset, timestamp)
            if self._definitions is not None and self._definitions.recreated:
                head = head._replace(id=self._definitions.id_of(record, head.id))
            framed = value
            schema_id = by_name.get(SCHEMA_ID_HEADER)
            if value is None:
                if any(not by_name.get(name) for name in _MANDATORY):
                    raise NullValueError(f"a record of {topic} has no value")
                payload: Mapping[str, Any] = {}  # binary mode writes an event without data so
            elif schema_id:
                if _SCHEMA_IDS.get(schema_id[0]) != len(schema_id):
                    wrong = f"a record of {topic} has a header {SCHEMA_ID_HEADER} that holds no whole schema id"
                    raise UndecodableError(wrong)
                framed = bytes(schema_id) + value
                payload = self._decoder.decode(topic, framed)
            else:
                payload = self._decoder.decode(topic, value, headers)
                if (  # a whole CloudEvent in JSON, in a record whose headers do not say so
                    not is_avro
                    and "ce_id" not in by_name
                    and payload.get("specversion") == "1.0"
                    and all(isinstance(payload.get(name), str) and payload[name] for name in REQUIRED)
                ):
                    try:
                        event = read_object(payload)
                    except BadCloudEventError as error:
                        raise _refusal(topic, error) from None
        if event is not None:
            head, framed = _head_of(event, timestamp), event.value
            if event.payload is None:
                payload = self._decoder.decode(topic, framed)
            else:
                payload = checked_payload(topic, event.payload)
        if not (is_avro and framed is value) and (not framed or framed[:1] not in _AVRO):
            try:
                framed = self._generic.encode(topic, payload)
            except RefusedError as error:
                raise UndecodableError(f"a record of {topic} cannot be kept as Avro: {error}") from error
        name, id_, source, time = head
        text = key.decode("utf-8", "replace") if key is not None else None
        is_traced = TRACEPARENT in by_name or CE_TRACEPARENT in by_name
        trace = read_traceparent(by_name) if is_traced else ""
        read = _new_tuple(Event, (name, source, id_, time, reached, text, payload, trace))
        return _new_tuple(DecodedEvent, (read, record, framed))

    def _structured(self, topic: str, value: bytes, headers: Headers | None) -> CloudEvent | None:
        """Return the whole CloudEvent in a value; None if the record's headers do not say that it is one."""
        media = structured_type(headers)
        if media is None:
            return None
        schema_id = next((content for name, content in headers or () if name == SCHEMA_ID_HEADER and content), b"")

        def framed(document: bytes) -> Mapping[str, Any] | None:
            has_prefix = schema_id or is_framed(document)
            return self._decoder.decode(topic, bytes(schema_id) + document) if has_prefix else None

        try:
            return read_structured(media, value, framed)
        except BadCloudEventError as error:
            raise _refusal(topic, error) from None


def _refusal(topic: str, error: BadCloudEventError) -> BadCloudEventError:
    return BadCloudEventError(f"a record of {topic} is a structured CloudEvent that cannot be read: {error}")


def _head_of(event: CloudEvent, timestamp: int) -> EventHead:
    return EventHead(event.name, event.id, event.source, timestamp * 1000 if event.time_us is None else event.time_us)


def place_identity(record: Record) -> EventIdentity:
    """Return the identity that decisions give a record that is no event: its place in Kafka."""
    return EventIdentity(record.topic, record.topic, f"{record.topic}/{record.partition}/{record.offset}")


def excess_of(record: Record) -> str | None:
    """Return why a record is too large, or None. Everything made of a record within the limits fits into our topics."""
    _, _, _, _, key, value, headers = record
    if value is not None and len(value) > VALUE_LIMIT:
        return f"a value of {len(value)} bytes; at most {VALUE_LIMIT} are read"
    size = len(key) if key is not None else 0
    for _, content in headers or ():
        if content is not None:
            size += len(content)
    return None if size <= MARGIN_LIMIT else f"key and headers of {size} bytes; at most {MARGIN_LIMIT} are read"
