"""The CloudEvents Kafka binding, binary mode: an event's attributes as record headers.

Written: ``ce_specversion``, ``ce_id``, ``ce_source``, ``ce_type`` (the event's name), ``ce_time`` (RFC 3339, UTC,
microseconds) and ``content-type``. Read: any of them may be missing, and the record then says it: id =
``topic/partition/offset``, source = the topic, name = what the topic stands for, time = the record's. Reading runs
for every event the bridge consumes, so it is one dictionary and four look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from flowbridge_sdk.errors import BadHeaderError
from flowbridge_sdk.payloads.times import RIGHT, read_micros
from flowbridge_sdk.topics import CONTROL, name_of

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""As confluent-kafka gives them."""

OwnHeaders: TypeAlias = list[tuple[str, str | bytes | None]]
"""As confluent-kafka takes them."""

CONTENT_TYPE = "application/avro"

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", CONTENT_TYPE.encode())
_NONE: dict[str, bytes | None] = {}
_new_tuple = tuple.__new__


class EventHead(NamedTuple):
    """What an event says of itself besides its payload.

    Attributes:
        name: The event's name.
        id: Its id; (name, source, id) is its identity.
        source: Who published it.
        time_us: When it happened, in microseconds since 1970 in UTC.

    """

    name: str
    id: str
    source: str
    time_us: int


def write_headers(name: str, event_id: str, source: str, time: datetime) -> OwnHeaders:
    """Return the headers of an event; ``time`` has a time zone."""
    moment = time.astimezone(UTC).isoformat(timespec="microseconds")
    return [
        _SPEC_VERSION,
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", name.encode()),
        ("ce_time", moment.removesuffix("+00:00").encode() + b"Z"),
        _CONTENT_TYPE,
    ]


def read_headers(headers: Headers | None, topic: str, partition: int, offset: int, timestamp_ms: int) -> EventHead:
    """Return what a record says of its event.

    Args:
        headers: The record's headers; None for none. Of two with one name the last counts.
        topic: The record's topic.
        partition: Its partition.
        offset: Its offset.
        timestamp_ms: Its timestamp, in milliseconds since 1970.

    Raises:
        BadHeaderError: A header is empty, no UTF-8, ``ce_time`` is no RFC 3339 time, or ``ce_type`` holds a control
            character, which no trigger can name.

    """
    given = dict(headers) if headers else _NONE
    name, event_id, source = given.get("ce_type"), given.get("ce_id"), given.get("ce_source")
    time = given.get("ce_time")
    try:
        head = (
            name_of(topic) if name is None else _name(name),
            f"{topic}/{partition}/{offset}" if event_id is None else event_id.decode(),
            topic if source is None else source.decode(),
            timestamp_ms * 1000 if time is None else _micros(time),
        )
    except UnicodeDecodeError:
        raise _not_text(given) from None
    if "" in head:
        raise BadHeaderError(_first_empty(given), "found nothing in it; leave the header out, or fill it")
    return _new_tuple(EventHead, head)  # a third of what calling EventHead costs


@lru_cache(maxsize=512)  # a topic has few names, and each would be decoded and searched for every record
def _name(given: bytes) -> str:
    name = given.decode()
    if CONTROL.search(name):
        raise BadHeaderError("ce_type", f"found {name[:40]!r}; an event's name has no control characters")
    return name


def _micros(time: bytes) -> int:
    try:
        return read_micros(time)
    except ValueError:
        raise BadHeaderError("ce_time", f"expected {RIGHT}; found {time[:40]!r}") from None


def _not_text(given: dict[str, bytes | None]) -> BadHeaderError:
    for header in ("ce_id", "ce_source", "ce_type"):
        try:
            (given.get(header) or b"").decode()
        except UnicodeDecodeError as error:
            return BadHeaderError(header, f"no UTF-8 at byte {error.start}")
    return BadHeaderError("ce_time", "no UTF-8")


def _first_empty(given: dict[str, bytes | None]) -> str:
    return next(header for header in ("ce_id", "ce_source", "ce_type") if given.get(header) == b"")
