"""The CloudEvents Kafka binding, binary mode: an event's attributes as record headers.

Written: ``ce_specversion``, ``ce_id``, ``ce_source``, ``ce_type`` (the event's name), ``ce_time`` (RFC 3339, UTC,
microseconds) and ``content-type``. Read: any of them may be missing, and is taken from the record then: id =
``topic/partition/offset``, source = the topic, name = the name of the topic's events, time = the record's. Reading runs
for every event the bridge consumes, so it is one dictionary and four look-ups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from time import time_ns
from typing import NamedTuple, TypeAlias

from flowbridge_sdk.errors import BadHeaderError
from flowbridge_sdk.payloads.times import TIME_FORM, read_micros
from flowbridge_sdk.topics import CONTROL, name_of

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""As confluent-kafka gives them."""

OwnHeader: TypeAlias = tuple[str, bytes]
OwnHeaders: TypeAlias = list[OwnHeader]
"""As an event's own are written."""

CONTENT_TYPE = "application/avro"

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", CONTENT_TYPE.encode())
_TEXTS = ("ce_id", "ce_source", "ce_type")
_NONE: dict[str, bytes | None] = {}
_new_tuple = tuple.__new__


class EventHead(NamedTuple):
    """The attributes of an event: all of it but the payload.

    Attributes:
        name: The event's name.
        id: Its id; (name, source, id) is its identity.
        source: Its ``source`` attribute.
        time_us: When it happened, in microseconds since 1970 in UTC.

    """

    name: str
    id: str
    source: str
    time_us: int


def write_headers(name: str, event_id: str, source: str, time: datetime) -> OwnHeaders:
    """Return the headers of an event; ``time`` has a time zone."""
    return joined_headers(event_id, source_header(source), type_header(name), time)


def source_header(source: str) -> OwnHeader:
    """Return the header of a source."""
    return "ce_source", source.encode()


def type_header(name: str) -> OwnHeader:
    """Return the header of an event's name."""
    return "ce_type", name.encode()


def joined_headers(event_id: str, source: OwnHeader, kind: OwnHeader, time: datetime | None) -> OwnHeaders:
    """Return the headers of an event, two of which are made already; without ``time`` it happens now."""
    if time is None:
        second, micros = divmod(time_ns() // 1000, 1_000_000)
        moment = b"%b.%06dZ" % (_second_text(second), micros)
    else:
        moment = time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00").encode() + b"Z"
    return [_SPEC_VERSION, ("ce_id", event_id.encode()), source, kind, ("ce_time", moment), _CONTENT_TYPE]


@lru_cache(maxsize=2)
def _second_text(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00").encode()


def read_headers(headers: Headers | None, topic: str, partition: int, offset: int, timestamp_ms: int) -> EventHead:
    """Return the attributes of a record's event; see ``read_attributes``."""
    return read_attributes(dict(headers) if headers else _NONE, topic, partition, offset, timestamp_ms)


def read_attributes(
    by_name: Mapping[str, bytes | None], topic: str, partition: int, offset: int, timestamp_ms: int
) -> EventHead:
    """Return the attributes of a record's event.

    Args:
        by_name: The record's headers. Of two with one name the last counts.
        topic: The record's topic.
        partition: Its partition.
        offset: Its offset.
        timestamp_ms: Its timestamp, in milliseconds since 1970.

    Raises:
        BadHeaderError: A header is empty, no UTF-8, ``ce_time`` is no RFC 3339 time, or ``ce_type`` holds a control
            character, which no trigger can name.

    """
    ce_type, ce_id, ce_source = by_name.get("ce_type"), by_name.get("ce_id"), by_name.get("ce_source")
    ce_time = by_name.get("ce_time")
    try:
        name = name_of(topic) if ce_type is None else _name(ce_type)
        event_id = f"{topic}/{partition}/{offset}" if ce_id is None else ce_id.decode()
        source = topic if ce_source is None else ce_source.decode()
    except UnicodeDecodeError:
        for header in _TEXTS:
            try:
                (by_name.get(header) or b"").decode()
            except UnicodeDecodeError as error:
                raise BadHeaderError(header, f"no UTF-8 at byte {error.start}") from None
        raise
    if ce_time is None:
        time_us = timestamp_ms * 1000
    else:
        try:
            time_us = read_micros(ce_time)
        except ValueError:
            raise BadHeaderError("ce_time", f"expected {TIME_FORM}; found {ce_time[:40]!r}") from None
    if not (name and event_id and source):
        empty = next(header for header in _TEXTS if by_name.get(header) == b"")
        raise BadHeaderError(empty, "found nothing in it; leave the header out, or fill it")
    return _new_tuple(EventHead, (name, event_id, source, time_us))  # a third of what calling EventHead costs


@lru_cache(maxsize=512)  # a topic has few names, and each would be decoded and searched for every record
def _name(content: bytes) -> str:
    name = content.decode()
    if CONTROL.search(name):
        raise BadHeaderError("ce_type", f"found {name[:40]!r}; an event's name has no control characters")
    return name
