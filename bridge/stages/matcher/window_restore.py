"""What the records of the windows' changelog describe, as values. The window store takes it over."""

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
            _check_format(record)
    return list(last.items())


def _check_format(record: Record) -> None:
    try:
        kind_of(record.value or b"")
    except NewerFormatError as error:
        raise UnreadableRecordError(record[:3], record.headers or (), error) from error


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


class _Found:
    """What was found of one window."""

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
        self._alone: dict[WindowKey, Arrival] = {}  # the one thing that was found of its window, as of most
        self._found: dict[WindowKey, _Found] = {}

    def add(self, key: bytes, value: bytes) -> None:
        """Apply one record."""
        if value.startswith(WAITING.prefix):
            place = read_place(key)
            self._add_waiting(place, decode_waiting(place, value))
        elif value.startswith(SPENT.prefix):
            place = read_place(key)
            self._add_spent(place, decode_spent(value))
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
        for key, found in self._found.items():
            yield key, _window(self._trigger(key), found)

    def _of(self, key: WindowKey) -> _Found:
        """Return what was found of a window of which there is more than one arrival that waits."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = _Found()
            if key in self._alone:
                found.waiting.append(self._alone.pop(key))
        return found

    def _add_waiting(self, place: Place, arrival: Arrival) -> None:
        key, trigger = place.window, self._trigger(place.window)
        if key in self._alone or key in self._found:
            self._of(key).waiting.append(arrival)
        else:
            self._alone[key] = arrival
        self.remembered[place] = arrival
        if has_own_deadlines(trigger):
            self._add_timer(deadline(trigger, arrival), place)

    def _add_spent(self, place: Place, spent: Spent) -> None:
        trigger = self._trigger(place.window)
        self.remembered[place] = spent
        self._add_timer(spent.until, place)
        if has_own_deadlines(trigger) and spent.fate in USED:
            self._of(place.window).spent.append((place.slot, spent))

    def _add_timer(self, due: Micros, place: Place) -> None:
        self.timers.setdefault(place.window[:2], []).append(Timer(due, place))

    def _trigger(self, key: WindowKey) -> Trigger:
        return self._definitions[key.condition].trigger


def _window(trigger: Trigger, found: _Found) -> Window:
    """Return a window of what was found of it."""
    window = empty_window(len(trigger.slots))
    taken = {offset for _, _, offsets in found.pending for offset in offsets}
    waiting: list[list[Arrival]] = [[] for _ in trigger.slots]
    for arrival in found.waiting:
        if arrival.offset not in taken:
            waiting[arrival.slot].append(arrival)
    window = window._replace(waiting=tuple([tuple(sorted(slot)) for slot in waiting]), fired=tuple(sorted(found.fired)))
    for offset, until, offsets in found.pending:
        arrivals = [kept for kept in found.waiting if kept.offset in offsets]
        window = window.with_pending(absence.restored(trigger, offset, until, arrivals))
    return kind_of_window(trigger).restore(trigger, window, found.waiting, found.spent)
