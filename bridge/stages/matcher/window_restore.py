"""Restore the state of one partition's windows from the records of their changelog. The window store takes it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows import absence
from bridge.core.windows.apply import USED
from bridge.core.windows.expiry import ConditionClock, deadline, has_own_deadlines
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Arrival, Frame, Spent, Window, empty_window
from bridge.kafka.log import Admin, Partition, Reader, Record
from bridge.kafka.records import (
    CLOCK,
    FIRED,
    PENDING,
    RETIRING,
    SPENT,
    WAITING,
    NewerFormatError,
    RecordError,
    UnreadableRecordError,
    kind_of,
)
from bridge.stages.matcher.window_indexes import Condition, Timer
from bridge.stages.matcher.window_records import (
    Place,
    WindowKey,
    decode_clock,
    decode_fired,
    decode_pending,
    decode_retiring,
    decode_spent,
    decode_waiting,
    read_clock_key,
    read_key_beside,
    read_place,
)
from bridge.stages.matcher.window_states import Held, WindowState, new_state

Kept = tuple[bytes, bytes]
"""Key and last value of a record of a changelog."""


def read_changelog(reader: Reader, admin: Admin, partition: Partition) -> list[Kept]:
    """Return the last value of each key of a compacted partition, tombstones left out.

    The former owner has been fenced: nothing of it is open, and the true end is what it committed.

    Raises:
        UnreadableRecordError: A record has a format that only a newer version reads.

    """
    end = admin.all_ends([partition])[partition]
    last: dict[bytes, bytes] = {}
    of_newer: dict[bytes, Record] = {}  # records that say from which version on their format is read
    for records in reader.read(partition, 0, end):
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                last.pop(record.key, None)
            else:
                last[record.key] = record.value
                if record.headers:
                    of_newer[record.key] = record
    for key, record in of_newer.items():
        if last.get(key) == record.value:
            try:
                kind_of(record.value or b"")
            except NewerFormatError as error:
                raise UnreadableRecordError(record[:3], record.headers or (), error) from error
    return list(last.items())


def restored(
    records: list[Kept], definitions: Mapping[str, Definition], unreadable: Callable[[bytes, RecordError], None]
) -> Restored:
    """Return what the records of a changelog describe; the list is used up.

    Each record is released after it has been applied, so that records and windows are never in memory as a whole at
    the same time.

    Args:
        records: The last record of each key.
        definitions: A definition of each condition, by its hash.
        unreadable: Hears of each record that is left out because it cannot be read, by its key.

    Raises:
        NewerFormatError: A newer version has written something that this one cannot read.

    """
    state = Restored(definitions)
    while records:
        key, value = records.pop()
        try:
            state.add(key, value)
        except NewerFormatError:
            raise
        except RecordError as error:
            unreadable(key, error)
    return state


class _Beside(NamedTuple):
    """The pending matches and calendar windows of a window that were read so far."""

    pending: list[tuple[int, Micros, frozenset[int]]]
    fired: list[Frame]


class Restored:
    """What the records of a changelog describe.

    Args:
        definitions: A definition of each condition, by its hash.

    Attributes:
        timers: The timers of places, by condition, in any order.
        clocks: How far time has come, by condition.
        retiring: The conditions whose retirement is under way, or None.

    """

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions
        self.timers: dict[Condition, list[Timer]] = {}
        self.clocks: dict[Condition, ConditionClock] = {}
        self.retiring: tuple[Condition, ...] | None = None
        self._windows: dict[WindowKey, Held] = {}
        self._beside: dict[WindowKey, _Beside] = {}

    def add(self, key: bytes, value: bytes) -> None:
        """Apply one record."""
        if value.startswith(WAITING.prefix):
            place = read_place(key)
            arrival, trigger = decode_waiting(place, value), self._trigger(place.window)
            if place.window in self._windows or not trigger.is_plain:
                self._state(place.window)[place[1:]] = arrival
            else:
                self._windows[place.window] = arrival
            if has_own_deadlines(trigger):
                self._add_timer(deadline(trigger, arrival), place)
        elif value.startswith(SPENT.prefix):
            place = read_place(key)
            spent = decode_spent(value)
            self._trigger(place.window)
            self._state(place.window)[place[1:]] = spent
            self._add_timer(spent.until, place)
        elif value.startswith(PENDING.prefix):
            window, offset = read_key_beside(key)
            self._beside_of(window).pending.append((offset, *decode_pending(value)))
        elif value.startswith(FIRED.prefix):
            window, frame = read_key_beside(key)[0], decode_fired(value)
            self._beside_of(window).fired.append(frame)
        elif value.startswith(CLOCK.prefix):
            self.clocks[read_clock_key(key)] = decode_clock(value)
        elif value.startswith(RETIRING.prefix):
            self.retiring = decode_retiring(value)
        else:
            raise RecordError(f"expected a record of the windows' changelog, found one of kind {kind_of(value)}")

    def windows(self) -> Iterator[tuple[WindowKey, Held]]:
        """Yield each window, once all records are applied."""
        for key in self._beside:
            self._state(key)
        for key, held in self._windows.items():
            if isinstance(held, WindowState):
                held.window = self._window(key, held)
            yield key, held

    def _window(self, key: WindowKey, state: WindowState) -> Window | None:
        """Return the window that follows from what is remembered of it; None if nothing waits or is marked in it."""
        trigger, beside = self._trigger(key), self._beside.get(key)
        read = [arrival for arrival in state.values() if isinstance(arrival, Arrival)]
        spent = []
        if has_own_deadlines(trigger):
            spent = [(slot, held) for (slot, _), held in state.items() if isinstance(held, Spent) and held.fate in USED]
        if not read and not spent and beside is None:
            return None
        pending, fired = beside or _Beside([], [])
        taken = {offset for _, _, offsets in pending for offset in offsets}
        waiting: list[list[Arrival]] = [[] for _ in trigger.slots]
        for arrival in read:
            if arrival.offset not in taken:
                waiting[arrival.slot].append(arrival)
        window = empty_window(len(trigger.slots))._replace(
            waiting=tuple([tuple(sorted(slot)) for slot in waiting]), fired=tuple(sorted(fired))
        )
        for offset, until, offsets in pending:
            arrivals = [kept for kept in read if kept.offset in offsets]
            window = window.with_pending(absence.restored(trigger, offset, until, arrivals))
        return kind_of_window(trigger).restore(trigger, window, read, spent)

    def _state(self, key: WindowKey) -> WindowState:
        """Return the state of a window of which more is known than one waiting arrival."""
        held = self._windows.get(key)
        if isinstance(held, WindowState):
            return held
        state = self._windows[key] = new_state()
        if held is not None:
            state[held.slot, held.event] = held
        return state

    def _beside_of(self, key: WindowKey) -> _Beside:
        return self._beside.setdefault(key, _Beside([], []))

    def _add_timer(self, due: Micros, place: Place) -> None:
        self.timers.setdefault(place.window[:2], []).append(Timer(due, *place))

    def _trigger(self, key: WindowKey) -> Trigger:
        return self._definitions[key.condition_hash].trigger
