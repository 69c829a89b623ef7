"""Records of ``arrivals``: the router writes them, and the matcher reads them."""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.event import Micros
from bridge.kafka.records import ARRIVAL, NAMED_ARRIVAL, TRACED_ARRIVAL

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class ArrivalRecord(NamedTuple):
    """The fields of an arrival.

    Attributes:
        trigger: The trigger, ``namespace/name``.
        definition: Hash of the definition under which it was routed.
        slot: Index of the slot that it may fill.
        key: Correlation key in canonical text; empty without one.
        source: The event's source.
        id: The event's id.
        time: When the event happened.
        reached: When the event reached us. It counts no later than the append of this record.
        event_key: Key of the event's record.
        value: The event's value as it travelled, its framing included.
        name: The event's name, where it is not the one that the slot asks for; otherwise empty.
        traceparent: The trace context that the event belongs to; empty for none.

    """

    trigger: str
    definition: str
    slot: int
    key: str
    source: str
    id: str
    time: Micros
    reached: Micros
    event_key: str | None
    value: bytes
    name: str = ""
    traceparent: str = ""


_plain_fields = ArrivalRecord._fields[:-2]
_named_fields = ArrivalRecord._fields[:-1]
_moments = ("time", "reached")
_plain = ARRIVAL.only(*_plain_fields, moments=_moments)
_named = NAMED_ARRIVAL.only(*_named_fields, moments=_moments)
_traced = TRACED_ARRIVAL.only("traceparent", "arrival")
_encode = ARRIVAL.value_encoder("trigger", "definition", moments=_moments)
_UNNAMED, _UNTRACED = ("", ""), ("",)  # what a plain, and a named, arrival does not say


def arrival_key(trigger: str, key: str) -> bytes:
    """Return the key of arrivals: the trigger and the correlation key, which say in which partition they meet."""
    return f"{trigger}\0{key}".encode()


def encode_arrival(arrival: ArrivalRecord) -> bytes:
    """Return the record of an arrival.

    An event that has another name than its slot, or a trace context, has a record that 0.1.0 does not know.
    """
    value = NAMED_ARRIVAL.encode(arrival._asdict()) if arrival.name else _encode(*arrival[:-2])
    if not arrival.traceparent:
        return value
    return TRACED_ARRIVAL.encode({"traceparent": arrival.traceparent, "arrival": value})


def decode_arrival(value: bytes) -> ArrivalRecord:
    """Return the fields of an arrival.

    Raises:
        RecordError: The value is no arrival.

    """
    if value.startswith(TRACED_ARRIVAL.prefix):
        traceparent, value = _traced(value)
        return decode_arrival(value)._replace(traceparent=traceparent)
    if value.startswith(NAMED_ARRIVAL.prefix):
        return _new_tuple(ArrivalRecord, _named(value) + _UNTRACED)
    return _new_tuple(ArrivalRecord, _plain(value) + _UNNAMED)
