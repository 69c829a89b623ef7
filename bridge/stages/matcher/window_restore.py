"""Restore the state of one partition's windows from the records of their changelog. The window store takes it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

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


class _Parts:
    """The parts of one window that were read so far."""

    __slots__ = ("fired", "pending", "spent", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Arrival] = []
        self.spent: list[tuple[int, Spent]] = []
        self.pending: list[tuple[int, Micros, frozenset[int]]] = []
        self.fired: list[Frame] = []


class Restored:
    """What the records of a changelog describe.

    Args:
        definitions: A definition of each condition, by its hash.

    Attributes:
        remembered: What is known of each event at each slot.
        timers: The timers of places, by condition, in any order.
        clocks: How far time has come, by condition.
        retiring: The conditions whose retirement is under way, or None.

    """

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self._definitions = definitions
        self.remembered: dict[Place, Arrival | Spent] = {}
        self.timers: dict[Condition, list[Timer]] = {}
        self.clocks: dict[Condition, ConditionClock] = {}
        self.retiring: tuple[Condition, ...] | None = None
        self._alone: dict[WindowKey, Arrival] = {}  # windows of which only this arrival was read; most are such
        self._parts: dict[WindowKey, _Parts] = {}

    def add(self, key: bytes, value: bytes) -> None:
        """Apply one record."""
        if value.startswith(WAITING.prefix):
            place = read_place(key)
            arrival, trigger = decode_waiting(place, value), self._trigger(place.window)
            if place.window in self._alone or place.window in self._parts:
                self._of(place.window).waiting.append(arrival)
            else:
                self._alone[place.window] = arrival
            self.remembered[place] = arrival
            if has_own_deadlines(trigger):
                self._add_timer(deadline(trigger, arrival), place)
        elif value.startswith(SPENT.prefix):
            place = read_place(key)
            spent, trigger = decode_spent(value), self._trigger(place.window)
            self.remembered[place] = spent
            self._add_timer(spent.until, place)
            if has_own_deadlines(trigger) and spent.fate in USED:
                self._of(place.window).spent.append((place.slot, spent))
        elif value.startswith(PENDING.prefix):
            window, offset = read_key_beside(key)
            pending = (offset, *decode_pending(value))
            self._of(window).pending.append(pending)
        elif value.startswith(FIRED.prefix):
            window, frame = read_key_beside(key)[0], decode_fired(value)
            self._of(window).fired.append(frame)
        elif value.startswith(CLOCK.prefix):
            self.clocks[read_clock_key(key)] = decode_clock(value)
        elif value.startswith(RETIRING.prefix):
            self.retiring = decode_retiring(value)
        else:
            raise RecordError(f"expected a record of the windows' changelog, found one of kind {kind_of(value)}")

    def windows(self) -> Iterator[tuple[WindowKey, Window]]:
        """Yield each window, once all records are applied."""
        for key in [key for key in self._alone if not self._trigger(key).is_plain]:
            self._of(key)
        for key, arrival in self._alone.items():
            yield key, empty_window(len(self._trigger(key).slots)).with_arrival(arrival)
        for key, parts in self._parts.items():
            trigger = self._trigger(key)
            taken = {offset for _, _, offsets in parts.pending for offset in offsets}
            waiting: list[list[Arrival]] = [[] for _ in trigger.slots]
            for arrival in parts.waiting:
                if arrival.offset not in taken:
                    waiting[arrival.slot].append(arrival)
            window = empty_window(len(trigger.slots))._replace(
                waiting=tuple([tuple(sorted(slot)) for slot in waiting]), fired=tuple(sorted(parts.fired))
            )
            for offset, until, offsets in parts.pending:
                arrivals = [kept for kept in parts.waiting if kept.offset in offsets]
                window = window.with_pending(absence.restored(trigger, offset, until, arrivals))
            yield key, kind_of_window(trigger).restore(trigger, window, parts.waiting, parts.spent)

    def _of(self, key: WindowKey) -> _Parts:
        """Return the parts of a window that has more than one waiting arrival."""
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = _Parts()
            if key in self._alone:
                parts.waiting.append(self._alone.pop(key))
        return parts

    def _add_timer(self, due: Micros, place: Place) -> None:
        self.timers.setdefault(place.window[:2], []).append(Timer(due, place))

    def _trigger(self, key: WindowKey) -> Trigger:
        return self._definitions[key.condition_hash].trigger
