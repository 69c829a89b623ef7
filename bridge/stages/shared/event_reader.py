"""Read the event of a record: the router reads live records with it, and a replay those of the past."""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.event import Event, EventIdentity, Micros
from bridge.kafka.log import Record
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from flowbridge_sdk.codec import SCHEMA_ID_HEADER, Encoder
from flowbridge_sdk.errors import RefusedError, UndecodableError
from flowbridge_sdk.headers import read_headers

VALUE_LIMIT = 1024 * 1024 + 1024
"""Bytes of an event's value: a payload of 1 MiB and its framing."""

MARGIN_LIMIT = 16 * 1024
"""Bytes of an event's key and headers together."""

_SCHEMA_IDS = {0: 5, 1: 17}  # bytes of a schema id in a header, by its first one
_AVRO = (b"\xc3", b"\x00", b"\x01")  # how values of Avro begin, and JSON does not


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

    def read(self, record: Record, timestamp: int, reached: Micros) -> DecodedEvent:
        """Return the event of a record, with its value as all later stages and releases decode it.

        Its schema id stands in front, also if it travelled in a header. A payload of JSON is kept as Avro.

        Args:
            record: The record.
            timestamp: Its timestamp in milliseconds, or what is taken for it where it cannot be true.
            reached: When the event reached us.

        Raises:
            DecodeError: The record is no event.

        """
        topic, partition, offset, _, key, value, headers = record
        name, id_, source, time = read_headers(headers, topic, partition, offset, timestamp)
        if self._definitions is not None and self._definitions.recreated:
            id_ = self._definitions.id_of(record, id_)
        framed = value
        if value is not None:
            for header, content in headers or ():
                if header == SCHEMA_ID_HEADER and content:
                    if _SCHEMA_IDS.get(content[0]) != len(content):
                        wrong = f"a record of {topic} has a header {header} that holds no whole schema id"
                        raise UndecodableError(wrong)
                    framed = bytes(content) + value
                    break
        payload = self._decoder.decode(topic, framed, headers if framed is value else None)
        text = key.decode(errors="replace") if key is not None else None
        event = Event(name, source, id_, time, reached, text, payload)
        if framed and framed[:1] not in _AVRO:
            try:
                framed = self._generic.encode(topic, payload)
            except RefusedError as error:
                raise UndecodableError(f"a record of {topic} cannot be kept as Avro: {error}") from error
        return DecodedEvent(event, record, framed or b"")


def place_identity(record: Record) -> EventIdentity:
    """Return the identity that decisions give a record that is no event: its place in Kafka."""
    return EventIdentity(record.topic, record.topic, f"{record.topic}/{record.partition}/{record.offset}")


def excess_of(record: Record) -> str | None:
    """Return why a record is too large, or None. Everything made of a record within the limits fits into our topics."""
    if record.value is not None and len(record.value) > VALUE_LIMIT:
        return f"a value of {len(record.value)} bytes; at most {VALUE_LIMIT} are read"
    size = len(record.key or b"") + sum([len(content) for _, content in record.headers or () if content])
    return None if size <= MARGIN_LIMIT else f"key and headers of {size} bytes; at most {MARGIN_LIMIT} are read"
