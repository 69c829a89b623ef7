"""Restore the state of one partition's windows from the records of their changelog. The window store takes it over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from math import inf
from typing import NamedTuple
from zlib import crc32

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
from bridge.stages.matcher.window_indexes import Condition, Timer, held_bytes
from bridge.stages.matcher.window_records import (
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
from bridge.stages.shared.spill_file import explained_spill_errors, spill_file

Kept = tuple[bytes, bytes]
"""Key and last value of a record of a changelog."""

_CREATE = """
CREATE TABLE records (window_group INTEGER, key BLOB, value BLOB, PRIMARY KEY (window_group, key)) WITHOUT ROWID;
BEGIN;
"""
_ALL = "SELECT window_group, key, value FROM records ORDER BY window_group"
_GROUPS = 1_024  # of windows; a batch has at least one
_PARTS = 8  # a batch is about this part of the bound
_RECORD_BYTES = 300  # of a record in memory, besides its value

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class LastRecords:
    """The last record of each key of a changelog, tombstones left out.

    They are in memory up to a bound. If they are more, they go to a spill file while the changelog is read, and come
    back in batches.

    Args:
        bound: Bytes in memory; None for any number.

    """

    def __init__(self, bound: float | None = None) -> None:
        self._bound = inf if bound is None else bound
        self._size = 0
        self._last: dict[bytes, bytes | None] = {}  # None for a key that may be in the file, and is gone
        self._file: sqlite3.Connection | None = None

    def __len__(self) -> int:
        """Return how many records there are."""
        if self._file is None:
            return len(self._last)
        self._write(self._file)
        row: tuple[int] = self._file.execute("SELECT count(*) FROM records").fetchone()
        return row[0]

    def get(self, key: bytes) -> bytes | None:
        """Return the last value of a key."""
        if self._file is None or key in self._last:
            return self._last.get(key)
        row = self._file.execute(
            "SELECT value FROM records WHERE window_group = ? AND key = ?", (_group(key), key)
        ).fetchone()
        return None if row is None else row[0]

    def put(self, key: bytes, value: bytes | None) -> None:
        """Keep a record in place of the last one of its key; None removes it.

        Raises:
            SpillFileError: The disk is full, or cannot be written.

        """
        if key in self._last:
            self._size -= _RECORD_BYTES + len(self._last.pop(key) or b"")
        if value is not None or self._file is not None:
            self._last[key] = value
            self._size += _RECORD_BYTES + len(value or b"")
        if self._size > self._bound:
            if self._file is None:
                with explained_spill_errors():
                    self._file = spill_file(_CREATE)
            self._write(self._file)

    def batches(self) -> Iterator[list[Kept]]:
        """Yield the records in batches, and release them.

        All records of a window are in one batch. Those that belong to no window are in the first.

        Raises:
            SpillFileError: The disk is full, or cannot be read.

        """
        if self._file is None:
            last, self._last = self._last, {}
            yield [(key, value) for key, value in last.items() if value is not None]
            return
        self._write(self._file)
        with explained_spill_errors(), closing(self._file):
            records: list[Kept] = []
            size, last_group = 0, -1
            for group, key, value in self._file.execute(_ALL):
                if group != last_group and size > self._bound / _PARTS:
                    yield records
                    records, size = [], 0
                last_group = group
                records.append((key, value))
                size += _RECORD_BYTES + len(value)
            yield records

    def _write(self, file: sqlite3.Connection) -> None:
        """Move what is in memory to the file, in the order of the file: fewer of its pages are touched."""
        rows = sorted([(_group(key), key, value) for key, value in self._last.items()])
        with explained_spill_errors():
            file.executemany(
                "DELETE FROM records WHERE window_group = ? AND key = ?", [row[:2] for row in rows if not row[2]]
            )
            file.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", [row for row in rows if row[2]])
        self._last.clear()
        self._size = 0


def read_last_records(reader: Reader, admin: Admin, partition: Partition, bound: float | None = None) -> LastRecords:
    """Return the last value of each key of a compacted partition, tombstones left out.

    The former owner has been fenced: nothing of it is open, and the true end is what it committed.

    Args:
        reader: Reads the partition.
        admin: Says where it ends.
        partition: The partition.
        bound: Bytes of records in memory; more than that are on disk.

    Raises:
        UnreadableRecordError: A record has a format that only a newer version reads.
        SpillFileError: The disk is full, or cannot be written.

    """
    end = admin.all_ends([partition])[partition]
    last = LastRecords(bound)
    of_newer: dict[bytes, Record] = {}  # records that say from which version on their format is read
    for records in reader.read(partition, 0, end):
        for record in records:
            if record.key is None:
                continue
            last.put(record.key, record.value)
            if record.value is not None and record.headers:
                of_newer[record.key] = record
    for key, record in of_newer.items():
        if last.get(key) == record.value:
            try:
                kind_of(record.value or b"")
            except NewerFormatError as error:
                raise UnreadableRecordError(record[:3], record.headers or (), error) from error
    return last


def read_changelog(reader: Reader, admin: Admin, partition: Partition) -> list[Kept]:
    """Return all that :func:`read_last_records` reads, in memory."""
    (records,) = read_last_records(reader, admin, partition).batches()
    return records


def _group(record_key: bytes) -> int:
    """Return the group of a record: that of its window; -1 if it belongs to none."""
    try:
        window = read_place(record_key).window
    except RecordError:
        try:
            window = read_key_beside(record_key)[0]
        except RecordError:
            return -1
    return crc32("\0".join(window).encode()) % _GROUPS


def restored_state(
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


class RestoredCondition:
    """What the windows of one condition have in common, and what was counted of them.

    Attributes:
        trigger: A trigger of the condition.
        ends_arrivals: Each waiting arrival ends by a deadline of its own.
        timers: The timers of places, in any order.
        count: Arrivals that wait or are remembered.
        size: Bytes of memory that they take.

    """

    __slots__ = ("count", "ends_arrivals", "size", "timers", "trigger")

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.ends_arrivals = has_own_deadlines(trigger)
        self.timers: list[Timer] = []
        self.count = 0
        self.size = 0


class Restored:
    """What the records of a changelog describe.

    Args:
        definitions: A definition of each condition, by its hash.

    Attributes:
        windows: What is held of each window.
        conditions: The conditions of these windows.
        clocks: How far time has come, by condition.
        retiring: The conditions whose retirement is under way, or None.

    """

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions
        self.windows: dict[WindowKey, Held] = {}
        self.conditions: dict[Condition, RestoredCondition] = {}
        self.clocks: dict[Condition, ConditionClock] = {}
        self.retiring: tuple[Condition, ...] | None = None
        self._states: dict[WindowKey, WindowState] = {}
        self._beside: dict[WindowKey, _Beside] = {}

    def add(self, key: bytes, value: bytes) -> None:
        """Apply one record."""
        if value.startswith(WAITING.prefix):
            place = read_place(key)
            arrival, window = decode_waiting(place, value), place.window
            condition = self.conditions.get(window[:2]) or self._condition(window)
            trigger = condition.trigger
            if window in self.windows or not trigger.is_plain:
                self._state(window)[place[1:]] = arrival
            else:
                self.windows[window] = arrival
            condition.count += 1
            condition.size += held_bytes(place, arrival)
            if condition.ends_arrivals:
                condition.timers.append(_new_tuple(Timer, (deadline(trigger, arrival), *place)))
        elif value.startswith(SPENT.prefix):
            place = read_place(key)
            spent, window = decode_spent(value), place.window
            condition = self.conditions.get(window[:2]) or self._condition(window)
            self._state(window)[place[1:]] = spent
            condition.count += 1
            condition.size += held_bytes(place, spent)
            condition.timers.append(_new_tuple(Timer, (spent.until, *place)))
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

    def states(self) -> Iterator[tuple[WindowKey, WindowState]]:
        """Yield each window that is more than one waiting arrival, once all records are applied."""
        for key in self._beside:
            self._state(key)
        for key, state in self._states.items():
            state.window = self._window(key, state)
            yield key, state

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
        held = self.windows.get(key)
        if isinstance(held, WindowState):
            return held
        state = self.windows[key] = self._states[key] = new_state()
        if held is not None:
            state[held.slot, held.event] = held
        return state

    def _beside_of(self, key: WindowKey) -> _Beside:
        return self._beside.setdefault(key, _Beside([], []))

    def _condition(self, key: WindowKey) -> RestoredCondition:
        return self.conditions.setdefault(key[:2], RestoredCondition(self._trigger(key)))

    def _trigger(self, key: WindowKey) -> Trigger:
        return self._definitions[key.condition_hash].trigger
