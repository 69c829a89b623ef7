"""The records of the changelog ``windows``: their keys and values.

Each waiting or remembered arrival has one record, under the same key through its whole life: ``waiting``, then
``spent``, then a tombstone. So a completed pair costs its window only three records, or two if it begins and ends in
the same batch, and restoring needs only the last record of each key. The value does not repeat the key. The record of a
waiting arrival contains its record in ``arrivals``, unchanged.

A match that waits for an absence and a calendar window that has matched have records of their own, and so has the clock
of each condition whose rules need it. While a retirement goes on in slices, one record names its conditions.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.windows.expiry import ConditionClock
from bridge.core.windows.window import Arrival, Frame, Pending, Spent, Window
from bridge.kafka.records import (
    ARRIVAL,
    CLOCK,
    FIRED,
    NAMED_ARRIVAL,
    PENDING,
    RETIRING,
    SPENT,
    TRACED_ARRIVAL,
    WAITING,
    RecordError,
)

_waiting = WAITING.only("offset", "reached", "arrival")
_WAITS = ("time", "definition", "event_key", "value")  # the other fields stand in the key of the waiting arrival
_traced = TRACED_ARRIVAL.only("traceparent", "arrival")
_arrival, _named_arrival = ARRIVAL.only(*_WAITS), NAMED_ARRIVAL.only(*_WAITS)
_encode_waiting, _encode_spent = WAITING.value_encoder(), SPENT.value_encoder(moments=("time", "until"))

RETIRING_KEY = b"retiring"
"""The key of the record that names what a tick retires, until its slices are over."""


_new_tuple = tuple.__new__  # a third of what calling a named tuple costs
_SHORT = 256
_NUMBERS = tuple(str(number) for number in range(_SHORT))  # as text, in a third of the time


class WindowKey(NamedTuple):
    """The identity of a window."""

    trigger: str
    condition_hash: str
    key: str


class Place(NamedTuple):
    """One event at one slot of a window."""

    window: WindowKey
    slot: int
    event: EventIdentity


def place_key(place: Place) -> bytes:
    """Return the key of the records of a place; lengths separate the texts, which may contain any character."""
    (trigger, condition, key), slot, (name, source, id_) = place
    a, b, c = len(key), len(source), len(id_)
    if slot | a | b | c < _SHORT:  # each of them is less
        sizes = f"{_NUMBERS[slot]}\0{_NUMBERS[a]}\0{_NUMBERS[b]}\0{_NUMBERS[c]}"
    else:
        sizes = f"{slot}\0{a}\0{b}\0{c}"
    return f"{trigger}\0{condition}\0{sizes}\0{key}{source}{id_}{name}".encode()


def read_place(record_key: bytes) -> Place:
    """Return the place that :func:`place_key` named.

    Raises:
        RecordError: The key is none that it names.

    """
    try:
        trigger, condition, slot, key_size, source_size, id_size, rest = record_key.decode().split("\0", 6)
        index, key_end = int(slot), int(key_size)
        source_end = key_end + int(source_size)
        id_end = source_end + int(id_size)
    except ValueError as error:
        raise _damaged(record_key) from error
    # Texts that many windows have in common are kept once. This saves a fifth of a window's memory.
    event = _new_tuple(
        EventIdentity, (intern(rest[id_end:]), intern(rest[key_end:source_end]), rest[source_end:id_end])
    )
    window = _new_tuple(WindowKey, (intern(trigger), intern(condition), rest[:key_end]))
    return _new_tuple(Place, (window, index, event))


def encode_waiting(arrival: Arrival, record: bytes) -> bytes:
    """Return the record of an arrival that waits.

    Args:
        arrival: The arrival.
        record: The value of its record in ``arrivals``.

    """
    return _encode_waiting(arrival.offset, arrival.reached, record)


def decode_waiting(place: Place, value: bytes) -> Arrival:
    """Return what :func:`encode_waiting` wrote for a place."""
    offset, reached, record = _waiting(value)
    _, slot, event = place
    traceparent, of_kind = "", _arrival
    if not record.startswith(ARRIVAL.prefix):
        if record.startswith(TRACED_ARRIVAL.prefix):
            traceparent, record = _traced(record)
        if record.startswith(NAMED_ARRIVAL.prefix):
            of_kind = _named_arrival
    time, definition, key, body = of_kind(record)
    if reached == time:  # of most arrivals; one object for both
        reached = time
    fields = (time, offset, slot, event, reached, intern(definition), key, body, traceparent)
    return _new_tuple(Arrival, fields)


def encode_spent(spent: Spent) -> bytes:
    """Return the record of an arrival that has left."""
    time, offset, until, fate = spent
    return _encode_spent(time, offset, until, fate._value_)  # `value` is a call


def decode_spent(value: bytes) -> Spent:
    """Return what :func:`encode_spent` wrote."""
    fields = SPENT.decode(value)
    return Spent(fields["time"], fields["offset"], fields["until"], Reason(fields["fate"]))


def beside_records(window: WindowKey, before: Window, after: Window) -> list[tuple[bytes, bytes | None]]:
    """Return the changed records of a window's pending matches and calendar windows; the value None is a tombstone."""
    changed: list[tuple[bytes, bytes | None]] = []
    if before.pending != after.pending:
        changed += [
            (pending_key(window, pending.offset), None) for pending in before.pending if pending not in after.pending
        ]
        added = [pending for pending in after.pending if pending not in before.pending]
        changed += [(pending_key(window, pending.offset), encode_pending(pending)) for pending in added]
    if before.fired != after.fired:
        changed += [(fired_key(window, frame[0]), None) for frame in before.fired if frame not in after.fired]
        fired = [frame for frame in after.fired if frame not in before.fired]
        changed += [(fired_key(window, frame[0]), encode_fired(frame)) for frame in fired]
    return changed


def pending_key(window: WindowKey, offset: int) -> bytes:
    """Return the key of the record of a pending match, by the offset of the arrival that completed it."""
    return _key_beside(window, "pending", offset)


def fired_key(window: WindowKey, start: Micros) -> bytes:
    """Return the key of the record of a calendar window that has matched, by its start."""
    return _key_beside(window, "fired", start)


def read_key_beside(record_key: bytes) -> tuple[WindowKey, int]:
    """Return the window and the number that :func:`pending_key` or :func:`fired_key` named.

    Raises:
        RecordError: The key is none that they name.

    """
    try:
        trigger, condition, kind, key = record_key.decode().split("\0", 3)
        return WindowKey(intern(trigger), intern(condition), key), int(kind.partition(" ")[2])
    except ValueError as error:
        raise _damaged(record_key) from error


def clock_key(condition: tuple[str, str]) -> bytes:
    """Return the key of the record of a condition's clock."""
    return "\0".join((*condition, "clock")).encode()


def read_clock_key(record_key: bytes) -> tuple[str, str]:
    """Return the condition that :func:`clock_key` named.

    Raises:
        RecordError: The key is none that it names.

    """
    try:
        trigger, condition, _ = record_key.decode().split("\0")
    except ValueError as error:
        raise _damaged(record_key) from error
    return intern(trigger), intern(condition)


def encode_pending(pending: Pending) -> bytes:
    """Return the record of a match that waits for an absence."""
    return PENDING.encode({"until": pending.until, "arrivals": [arrival.offset for arrival in pending.arrivals]})


def decode_pending(value: bytes) -> tuple[Micros, frozenset[int]]:
    """Return until when a pending match's identities are remembered, and the offsets of its arrivals."""
    fields = PENDING.decode(value)
    return fields["until"], frozenset(fields["arrivals"])


def encode_fired(frame: Frame) -> bytes:
    """Return the record of a calendar window that has matched."""
    return FIRED.encode({"start": frame[0], "end": frame[1]})


def decode_fired(value: bytes) -> Frame:
    """Return what :func:`encode_fired` wrote."""
    fields = FIRED.decode(value)
    return fields["start"], fields["end"]


def encode_clock(clock: ConditionClock) -> bytes:
    """Return the record of a condition's clock."""
    return CLOCK.encode(clock._asdict())


def decode_clock(value: bytes) -> ConditionClock:
    """Return what :func:`encode_clock` wrote."""
    return ConditionClock(**CLOCK.decode(value))


def encode_retiring(conditions: Iterable[tuple[str, str]]) -> bytes:
    """Return the record of what a tick retires, by trigger and condition hash."""
    fields = [{"trigger": trigger, "condition": condition} for trigger, condition in conditions]
    return RETIRING.encode({"conditions": fields})


def decode_retiring(value: bytes) -> tuple[tuple[str, str], ...]:
    """Return what :func:`encode_retiring` wrote."""
    return tuple(
        [
            (intern(condition["trigger"]), intern(condition["condition"]))
            for condition in RETIRING.decode(value)["conditions"]
        ]
    )


def _damaged(record_key: bytes) -> RecordError:
    return RecordError(f"its key {record_key[:200]!r} is none of the windows' changelog")


def _key_beside(window: WindowKey, kind: str, number: int) -> bytes:
    return "\0".join((window.trigger, window.condition_hash, f"{kind} {number}", window.key)).encode()
