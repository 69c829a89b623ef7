"""Indexes over the windows of one partition: timers, the open windows by age, and the memory of each condition.

Only the window store writes them, together with its windows.

A timer belongs to one place (an arrival that waits by itself, an identity that will be forgotten), or to a window as a
whole. It names the parts of its place, so that a place whose timer is set takes no object of its own. A heap cannot
remove a timer that is no longer needed, so the store checks whether the first timer is still current. A window as a
whole has one timer, at the earliest time at which anything in it could be due. If the window is due later when that
time comes, the timer moves.

Memory is counted as it changes: the bytes of each arrival, and those that Python needs to keep it. Measured with
200,000 of each kind, a remembered identity takes 550 bytes and its texts, and a waiting arrival takes 400 bytes and its
value more.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from bridge.core.event import SECOND, EventIdentity, Micros
from bridge.core.windows.window import Arrival, Spent
from bridge.stages.matcher.window_records import Place, WindowKey
from bridge.stages.matcher.window_states import Held, at, places

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs

NOTHING = EventIdentity("", "", "")
"""The event of a place that stands for its whole window."""

WHOLE = -1
"""The slot of a place that stands for its whole window."""

Condition = tuple[str, str]
"""A condition of a trigger: the trigger and the condition hash."""

_PLACE_BYTES = 550  # the place and its tuples, its entry in the dict of remembered places, its timer, its `Spent`
_WAITING_BYTES = 400  # the arrival, and a window of its own

_PUSHES = 8  # timers that join a heap one by one are fewer than a part of it; more are ordered with all of it

_AGES = 10 * SECOND  # the ages of windows are known to

_SHARE = 3
"""A condition may hold this many times the free bytes of its partition."""


class Timer(NamedTuple):
    """Something that ends by a tick; ordered as timers of a condition fire.

    Attributes:
        due: When it ends.
        window: Its window.
        slot: Its slot, or :data:`WHOLE`.
        event: Its event, or :data:`NOTHING`.

    """

    due: Micros
    window: WindowKey
    slot: int
    event: EventIdentity

    @property
    def place(self) -> Place:
        """Return the place to which the timer belongs."""
        return Place(self.window, self.slot, self.event)

    @property
    def is_whole(self) -> bool:
        """Return True if the timer belongs to a window as a whole."""
        return self.slot == WHOLE


class Timers(dict[Condition, list[Timer]]):
    """Heaps of timers, by condition.

    Attributes:
        alarms: The time of the timer of each window as a whole; its other timers are stale.

    """

    def __init__(self) -> None:
        super().__init__()
        self.alarms: dict[WindowKey, Micros] = {}

    def set(self, due: Micros, key: WindowKey, slot: int, event: EventIdentity) -> None:
        """Set a timer."""
        condition = key[:2]
        heap = self.get(condition)
        if heap is None:
            heap = self[condition] = []
        heapq.heappush(heap, _new_tuple(Timer, (due, key, slot, event)))

    def set_whole(self, key: WindowKey, due: Micros) -> None:
        """Set the timer of a window as a whole, unless it is set for an earlier time already."""
        if due < self.alarms.get(key, due + 1):
            self.alarms[key] = due
            self.set(due, key, WHOLE, NOTHING)

    def restore(self, heaps: dict[Condition, list[Timer]]) -> None:
        """Take over timers of places in any order: one heapify is faster than a push for each timer."""
        for condition, timers in heaps.items():
            heap = self.get(condition)
            if heap is not None and len(timers) * _PUSHES < len(heap):
                for timer in timers:
                    heapq.heappush(heap, timer)
            elif timers:
                self[condition] = [*timers, *(heap or ())]
                heapq.heapify(self[condition])

    def take(self, windows: Collection[WindowKey]) -> dict[WindowKey, list[Timer]]:
        """Remove the timers of windows and return them, by window."""
        taken: dict[WindowKey, list[Timer]] = {key: [] for key in windows}
        for condition in {key[:2] for key in windows} & self.keys():
            kept: list[Timer] = []
            for timer in self[condition]:
                taken.get(timer.window, kept).append(timer)
            heapq.heapify(kept)
            self[condition] = kept
            if not kept:
                del self[condition]
        for key, timers in taken.items():
            alarm = self.alarms.pop(key, None)
            timers[:] = [timer for timer in timers if not timer.is_whole or timer.due == alarm]
        return taken

    def first(self, condition: Condition) -> Timer | None:
        """Return the first timer of a condition."""
        heap = self.get(condition)
        return heap[0] if heap else None

    def drop_first(self, condition: Condition) -> None:
        """Remove the first timer of a condition."""
        timer = heapq.heappop(self[condition])
        if timer.is_whole and self.alarms.get(timer.window) == timer.due:
            del self.alarms[timer.window]
        if not self[condition]:
            del self[condition]


class OpenWindows:
    """The windows in which something waits or is marked: how many, and how old.

    Their ages are counts by periods of ten seconds. So a window that opens or ends costs the same, however many there
    are.

    Attributes:
        count: How many there are.

    """

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[Condition, dict[int, int]] = {}  # windows with waiting events, by period

    def add(self, condition: Condition, since: Micros | None) -> None:
        """Count a window, since when its oldest event waits; None if it only has marks."""
        self.count += 1
        if since is not None:
            counts = self._counts.get(condition)
            if counts is None:
                counts = self._counts[condition] = {}
            period = since // _AGES
            counts[period] = counts.get(period, 0) + 1

    def add_all(self, condition: Condition, since: Iterable[Micros]) -> None:
        """Count windows, each by since when its oldest event waits."""
        periods = Counter([moment // _AGES for moment in since])
        counts = self._counts.setdefault(condition, {})
        for period, number in periods.items():
            counts[period] = counts.get(period, 0) + number
            self.count += number

    def remove(self, condition: Condition, since: Micros | None) -> None:
        """Count a window no longer, by what it was counted with."""
        self.count -= 1
        if since is not None:
            counts, period = self._counts[condition], since // _AGES
            if counts[period] > 1:
                counts[period] -= 1
            else:
                del counts[period]
                if not counts:
                    del self._counts[condition]

    def oldest(self) -> dict[Condition, Micros]:
        """Return since when the oldest event of each condition waits, to ten seconds."""
        return {condition: min(counts) * _AGES for condition, counts in self._counts.items()}


class Usage:
    """The arrivals that are held, and their memory.

    Attributes:
        counts: Arrivals that wait or are remembered, by condition.
        sizes: Bytes of memory that they take, by condition.
        size: Bytes of memory that all of them take.

    """

    def __init__(self) -> None:
        self.counts: dict[Condition, int] = {}
        self.sizes: dict[Condition, int] = {}
        self.size = 0

    def add(self, condition: Condition, size: int) -> None:
        """Count one more arrival."""
        counts, sizes = self.counts, self.sizes
        counts[condition] = counts.get(condition, 0) + 1
        sizes[condition] = sizes.get(condition, 0) + size
        self.size += size

    def add_all(self, condition: Condition, count: int, size: int) -> None:
        """Count more arrivals, and the bytes of all of them."""
        self.counts[condition] = self.counts.get(condition, 0) + count
        self.sizes[condition] = self.sizes.get(condition, 0) + size
        self.size += size

    def resize(self, condition: Condition, size: int) -> None:
        """Count ``size`` bytes more, or less, for arrivals that are counted already."""
        self.sizes[condition] += size
        self.size += size

    def remove(self, condition: Condition, size: int) -> None:
        """Count one arrival less."""
        self.resize(condition, -size)
        self.counts[condition] -= 1
        if not self.counts[condition]:
            del self.counts[condition], self.sizes[condition]

    def has_room(self, condition: Condition, size: int, bound: int) -> bool:
        """Return True if a condition may hold ``size`` bytes more.

        Each condition may hold three times the bytes that are free in the partition after that. So a single condition
        has at most three quarters of the bound, a condition that holds little always has room, and all conditions
        together never hold more than the bound.
        """
        return self.sizes.get(condition, 0) + size <= _SHARE * (bound - self.size - size)


def held_bytes(place: Place, held: Arrival | Spent) -> int:
    """Return the bytes of memory that a waiting or remembered arrival takes."""
    (_, _, key), _, (_, source, id_) = place
    # of a text `sys.getsizeof` says the same, and takes six times as long
    return _PLACE_BYTES + key.__sizeof__() + source.__sizeof__() + id_.__sizeof__() + waiting_bytes(held)


def size_of(key: WindowKey, held: Held) -> int:
    """Return the bytes of memory that all of a window takes."""
    return sum([held_bytes(Place(key, slot, event), what) for (slot, event), what in places(held)])


def is_of(timer: Timer, held: Held) -> bool:
    """Return True if what is held of a window has the place of a timer, and an identity is forgotten at its time."""
    what = at(held, (timer.slot, timer.event))
    return what.until == timer.due if isinstance(what, Spent) else what is not None


def waiting_bytes(held: Arrival | Spent) -> int:
    """Return the bytes that an arrival takes only while it waits."""
    if isinstance(held, Spent):
        return 0
    size = _WAITING_BYTES + len(held.value)
    if held.key:
        size += held.key.__sizeof__()
    if held.traceparent:
        size += held.traceparent.__sizeof__()
    return size
