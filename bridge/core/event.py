"""The event as the rules see it, from any wire format.

Times are whole microseconds since the epoch (UTC) everywhere in the rules, so that comparing, adding and hashing
them is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Micros = int
"""Microseconds: since the epoch for a moment, in all for a duration."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_new_tuple = tuple.__new__


def moment(time: Micros) -> datetime:
    """Return microseconds since the epoch as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=time)


def time_text(time: Micros) -> str:
    """Return a time for people: RFC 3339 in UTC; the bare number where the calendar ends."""
    try:
        return moment(time).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    except OverflowError:
        return str(time)


class EventIdentity(NamedTuple):
    """Name, source and id of an event. Two records with the same identity are the same event."""

    name: str
    source: str
    id: str

    def text(self) -> str:
        """Return the identity for people: ``name id from source``."""
        return f"{self.name} {self.id} from {self.source}"


class Event(NamedTuple):
    """One event.

    Attributes:
        name: Name of the event: the topic's name, unescaped.
        source: Value of the event's ``source`` attribute: the publisher.
        id: Value of its ``id`` attribute, unique for its source and name.
        time: When it happened, by its publisher's clock.
        reached: When it reached us: the timestamp of its record.
        key: The record's key, when it has one.
        payload: Its fields; nested mappings and lists of plain Python values.
        traceparent: The trace context that it belongs to (W3C Trace Context); empty for none.

    """

    name: str
    source: str
    id: str
    time: Micros
    reached: Micros
    key: str | None
    payload: Mapping[str, Any]
    traceparent: str = ""

    @property
    def identity(self) -> EventIdentity:
        """Return name, source and id."""
        return _new_tuple(EventIdentity, self[:3])  # a third of what calling EventIdentity costs
