"""Windows on disk: those of one partition that do not fit into its share of memory.

They are in a spill file, which is a cache of the changelog and never the truth. It ends with its store. A row holds all
of a window: what is remembered of it, the window itself, and its timers. An index by time says which window is due
first, so a window on disk has no timer in memory. A small table of counts answers for most windows that are not on
disk, so a new window rarely costs a query. The table is all that memory keeps of these windows: at most 8 bytes for
each.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator
from sys import intern
from typing import Any, NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.windows.window import Arrival, Group, Pending, Spent, Window
from bridge.stages.matcher.window_indexes import NOTHING, WHOLE, Condition, Timer
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.matcher.window_states import Held, WindowState, new_state, places
from bridge.stages.shared.spill_file import explained_spill_errors, spill_file

_CREATE = """
CREATE TABLE windows (
    id INTEGER PRIMARY KEY, condition INTEGER, key BLOB, due INTEGER, size INTEGER, body BLOB, UNIQUE (condition, key)
);
CREATE INDEX by_due ON windows (condition, due, key);
BEGIN;
"""
_INSERT = "INSERT INTO windows (condition, key, due, size, body) VALUES (?, ?, ?, ?, ?)"
_FIRST = "SELECT due, key FROM windows WHERE condition = ? ORDER BY due, key LIMIT 1"
_NEXT = "SELECT id, key, due, size, body FROM windows WHERE condition = ? ORDER BY due, key"
_ONE = "SELECT id, key, due, size, body FROM windows WHERE condition = ? AND key = ?"
_ALL = "SELECT condition, key, body FROM windows ORDER BY id"

_WINDOW_BYTES = 1_024  # what a window takes at least of the bound, about
_COUNTS = 8  # counts for each window that fits on disk
_LEAST_COUNTS = 1_024
_MOST = 255  # of a count, which then stays: it only costs queries
_NEVER: Micros = 2**62


class SpilledWindow(NamedTuple):
    """A window on its way to disk, or back from it.

    Attributes:
        key: Its identity.
        held: What is held of it.
        timers: Its timers.
        size: Bytes of memory that it takes, as they are counted.

    """

    key: WindowKey
    held: Held
    timers: list[Timer]
    size: int


class SpilledWindows:
    """The windows of one partition that are on disk.

    Args:
        bound: Bytes that they take at most, counted as in memory.

    Attributes:
        size: Bytes that they take, counted as in memory. On disk they take less.
        is_read_only: The file stays as it is. So it is in a child process, which has its parent's file.

    """

    def __init__(self, bound: int) -> None:
        self.size = 0
        self.is_read_only = False
        self._counts = bytearray(max(_LEAST_COUNTS, bound // _WINDOW_BYTES * _COUNTS))
        self._numbers: dict[Condition, int] = {}
        self._conditions: list[Condition] = []
        self._kept: list[int] = []  # windows of each condition
        self._first: dict[Condition, tuple[Micros, bytes] | None] = {}
        with explained_spill_errors():
            self._database = spill_file(_CREATE)

    def conditions(self) -> Iterator[Condition]:
        """Yield each condition that has windows on disk."""
        yield from [condition for condition, number in self._numbers.items() if self._kept[number]]

    def put(self, windows: Iterable[SpilledWindow]) -> None:
        """Write windows, none of which is on disk.

        Raises:
            SpillFileError: The disk is full, or cannot be written.

        """
        rows = []
        for key, held, timers, size in windows:
            condition = key[:2]
            number = self._numbers.get(condition)
            if number is None:
                number = self._numbers[condition] = len(self._conditions)
                self._conditions.append(condition)
                self._kept.append(0)
            self._kept[number] += 1
            self.size += size
            place = hash(key) % len(self._counts)
            if self._counts[place] < _MOST:
                self._counts[place] += 1
            due = min([timer.due for timer in timers], default=_NEVER)
            text = key.key.encode()
            first = self._first.get(condition)
            if self._kept[number] == 1 or (first is not None and (due, text) < first):
                self._first[condition] = (due, text)
            rows.append((number, text, due, size, _packed(held, timers)))
        with explained_spill_errors():
            self._database.executemany(_INSERT, rows)

    def take(self, key: WindowKey) -> SpilledWindow | None:
        """Return a window and remove it; None if it is not on disk.

        Raises:
            SpillFileError: The disk cannot be read.

        """
        if not self._counts[hash(key) % len(self._counts)]:
            return None
        condition = key[:2]
        number = self._numbers.get(condition)
        if number is None or not self._kept[number]:
            return None
        with explained_spill_errors():
            row = self._database.execute(_ONE, (number, key.key.encode())).fetchone()
        return None if row is None else self._taken(condition, number, row)

    def first_due(self, condition: Condition) -> tuple[Micros, str] | None:
        """Return when the first window of a condition is due, and its correlation key; None if none is on disk."""
        number = self._numbers.get(condition)
        if number is None or not self._kept[number]:
            return None
        first = self._first.get(condition)
        if first is None:
            with explained_spill_errors():
                first = self._first[condition] = self._database.execute(_FIRST, (number,)).fetchone()
        return first[0], first[1].decode()

    def take_due(self, condition: Condition, time: Micros, size: int) -> Iterator[SpilledWindow]:
        """Yield the windows of a condition that are due first, and remove them.

        Args:
            condition: The condition.
            time: Windows that are due later stay.
            size: Bytes of windows, about; at least one is taken.

        Raises:
            SpillFileError: The disk cannot be read.

        """
        number = self._numbers[condition]
        taken: list[tuple[Any, ...]] = []
        with explained_spill_errors():
            for row in self._database.execute(_NEXT, (number,)):
                if row[2] > time or (taken and size <= 0):
                    break
                taken.append(row)
                size -= row[3]
        for row in taken:
            yield self._taken(condition, number, row)

    def windows(self) -> Iterator[tuple[WindowKey, Held]]:
        """Yield each window on disk. They stay there."""
        with explained_spill_errors():
            for number, text, body in self._database.execute(_ALL):
                trigger, condition_hash = self._conditions[number]
                key = WindowKey(trigger, condition_hash, text.decode())
                yield key, _unpacked(key, body)[0]

    def _taken(self, condition: Condition, number: int, row: tuple[Any, ...]) -> SpilledWindow:
        id_, text, due, size, body = row
        if not self.is_read_only:
            with explained_spill_errors():
                self._database.execute("DELETE FROM windows WHERE id = ?", (id_,))
        key = WindowKey(*condition, text.decode())
        self._kept[number] -= 1
        self.size -= size
        place = hash(key) % len(self._counts)
        if self._counts[place] < _MOST:
            self._counts[place] -= 1
        if self._first.get(condition) == (due, text):
            self._first[condition] = None
        held, timers = _unpacked(key, body)
        return SpilledWindow(key, held, timers, size)


def _packed(held: Held, timers: Iterable[Timer]) -> bytes:
    """Return all of a window as bytes that only this process reads."""
    known = places(held)
    numbers = {spot: number for number, (spot, _) in enumerate(known)}
    dues = [(timer.due, WHOLE if timer.is_whole else numbers[timer[2:]]) for timer in timers]
    packed = [
        (slot, *event, what.time, what.offset, what.until, what.fate._value_)
        if isinstance(what, Spent)
        else (slot, *event, what.time, what.offset, *what[4:])
        for (slot, event), what in known
    ]
    return marshal.dumps((packed, dues, _packed_window(held.window) if isinstance(held, WindowState) else 0))


def _packed_window(window: Window | None) -> tuple[Any, ...] | None:
    """Return a window as plain tuples, with an offset in place of each arrival."""
    if window is None:
        return None
    waiting, marks, pending, cancelling, fired, groups = window
    return (
        _offsets(waiting),
        marks,
        tuple([(due, offset, until, _offsets(match)) for due, offset, until, match in pending]),
        cancelling,
        fired,
        tuple([tuple(group) for group in groups]),
    )


def _offsets(slots: tuple[tuple[Arrival, ...], ...]) -> tuple[tuple[int, ...], ...]:
    return tuple([tuple([arrival.offset for arrival in slot]) for slot in slots])


def _unpacked(key: WindowKey, body: bytes) -> tuple[Held, list[Timer]]:
    packed, dues, window = marshal.loads(body)  # noqa: S302 - of this process alone: the file has no name
    spots: list[tuple[int, EventIdentity]] = []
    state, arrivals = new_state(), {}
    for slot, name, source, id_, time, offset, third, fourth, *more in packed:
        event = EventIdentity(intern(name), intern(source), id_)
        spots.append((slot, event))
        if more:
            what = Arrival(time, offset, slot, event, third, intern(fourth), *more)
            arrivals[offset] = state[slot, event] = what
        else:
            state[slot, event] = Spent(time, offset, third, Reason(fourth))
    timers = [Timer(due, key, *((WHOLE, NOTHING) if number == WHOLE else spots[number])) for due, number in dues]
    if window == 0:
        return next(iter(arrivals.values())), timers
    if window is not None:
        waiting, marks, pending, cancelling, fired, groups = window
        state.window = Window(
            _arrivals(waiting, arrivals),
            marks,
            tuple([Pending(due, offset, until, _arrivals(match, arrivals)) for due, offset, until, match in pending]),
            cancelling,
            fired,
            tuple([Group(*group) for group in groups]),
        )
    return state, timers


def _arrivals(slots: tuple[tuple[int, ...], ...], by_offset: dict[int, Arrival]) -> tuple[tuple[Arrival, ...], ...]:
    return tuple([tuple([by_offset[offset] for offset in slot]) for slot in slots])
