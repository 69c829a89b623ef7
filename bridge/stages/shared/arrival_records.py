"""Records of ``arrivals``: the router writes them, and the matcher reads them."""

from __future__ import annotations

from sys import intern
from typing import Any

from bridge.core.event import EventIdentity, Micros
from bridge.core.windows.window import Arrival
from bridge.kafka.records import ARRIVAL, NAMED_ARRIVAL, TRACED_ARRIVAL

_traced = TRACED_ARRIVAL.only("traceparent", "arrival")
_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


def arrival_key(trigger: str, key: str) -> bytes:
    """Return the key of arrivals: the trigger and the correlation key, which say in which partition they meet."""
    return f"{trigger}\0{key}".encode()


def encode_arrival(fields: dict[str, Any], name: str, slot_name: str, traceparent: str = "") -> bytes:
    """Return the record of an arrival.

    Args:
        fields: Its fields, without the event's name.
        name: The event's name.
        slot_name: The name that its slot asks for. It is not written again where the event's is the same.
        traceparent: The trace context of the event. With one, the arrival has a record around it.

    """
    value = ARRIVAL.encode(fields) if name == slot_name else NAMED_ARRIVAL.encode({**fields, "name": name})
    return TRACED_ARRIVAL.encode({"traceparent": traceparent, "arrival": value}) if traceparent else value


def decode_arrival(value: bytes) -> dict[str, Any]:
    """Return the fields of an arrival.

    They contain ``name`` only if it differs from the name that the slot asks for, and ``traceparent`` only if the event
    belongs to a trace.

    Raises:
        RecordError: The value is no arrival.

    """
    if value.startswith(TRACED_ARRIVAL.prefix):
        traceparent, value = _traced(value)
        return {**decode_arrival(value), "traceparent": traceparent}
    return (NAMED_ARRIVAL if value.startswith(NAMED_ARRIVAL.prefix) else ARRIVAL).decode(value)


def arrival_of(fields: dict[str, Any], event: EventIdentity, offset: int, reached: Micros) -> Arrival:
    """Return the arrival in a record of ``arrivals``.

    Args:
        fields: The record's fields.
        event: Its event.
        offset: Where it stands.
        reached: When it reached us.

    """
    return _new_tuple(
        Arrival,
        (
            fields["time"],
            offset,
            fields["slot"],
            event,
            reached,
            intern(fields["definition"]),
            fields["event_key"],
            fields["value"],
            fields.get("traceparent", ""),
        ),
    )
