"""Indexes over the windows of one partition: what is due when, and how much each condition holds.

The window store keeps both in step with its windows; nothing else writes them.

A timer is of one place (an arrival that waits by itself, an identity that will be forgotten), or of a window as a
whole. A heap has no way to take out what is not needed any more, so a timer that comes first is checked whether it is
still current. Of a window as a whole one timer is enough, at the earliest time at which anything in it could be due:
when that comes and the window is due later by then, the timer moves.

Memory is counted as it changes: what each arrival brings, and what Python needs to keep it. Measured with 200,000 of
each kind: an identity that is remembered takes 550 bytes and its texts, an arrival that waits 400 bytes and its value
more.
"""

from __future__ import annotations

import heapq
from sys import getsizeof
from typing import NamedTuple

from bridge.core.event import EventIdentity, Micros
from bridge.core.windows.window import Arrival, Spent
from bridge.stages.matcher.window_records import Place, WindowKey

NOTHING = EventIdentity("", "", "")
"""The event of a place that stands for its whole window."""

WHOLE = -1
"""The slot of such a place."""

Condition = tuple[str, str]
"""Trigger and condition hash."""

_PLACE_BYTES = 550  # the place and its tuples, its entry among those remembered, its timer, what has been spent
_WAITING_BYTES = 400  # the arrival, and a window of its own

_SHARE = 3
"""A condition may hold so many times what is free in its partition."""


class Timer(NamedTuple):
    """Something that ends by a tick; ordered as timers of a condition fire."""

    due: Micros
    place: Place

    @property
    def is_whole(self) -> bool:
        """Tell whether it is of a window as a whole."""
        return self.place.slot == WHOLE


class Timers(dict[Condition, list[Timer]]):
    """Heaps of timers, by condition.

    Attributes:
        alarms: When the timer of a window as a whole is set for; others of that window are stale.

    """

    def __init__(self) -> None:
        super().__init__()
        self.alarms: dict[WindowKey, Micros] = {}

    def set(self, due: Micros, place: Place) -> None:
        """Set a timer."""
        condition = place.window[:2]
        heap = self.get(condition)
        if heap is None:
            heap = self[condition] = []
        heapq.heappush(heap, Timer(due, place))

    def set_whole(self, key: WindowKey, due: Micros) -> None:
        """Set the timer of a window as a whole, unless it is set for an earlier time already."""
        if due < self.alarms.get(key, due + 1):
            self.alarms[key] = due
            self.set(due, Place(key, WHOLE, NOTHING))

    def restore(self, heaps: dict[Condition, list[Timer]]) -> None:
        """Take over timers of places in any order: putting a list in order at once is faster than each by itself."""
        self.update(heaps)
        for heap in heaps.values():
            heapq.heapify(heap)

    def first(self, condition: Condition) -> Timer | None:
        """Return the first timer of a condition."""
        heap = self.get(condition)
        return heap[0] if heap else None

    def drop_first(self, condition: Condition) -> None:
        """Take out the first timer of a condition."""
        timer = heapq.heappop(self[condition])
        if timer.is_whole and self.alarms.get(timer.place.window) == timer.due:
            del self.alarms[timer.place.window]
        if not self[condition]:
            del self[condition]


class Usage:
    """How much is held.

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
        """Count an arrival more."""
        self.counts[condition] = self.counts.get(condition, 0) + 1
        self.sizes[condition] = self.sizes.get(condition, 0) + size
        self.size += size

    def resize(self, condition: Condition, size: int) -> None:
        """Count so many bytes more, or less, for arrivals that are counted already."""
        self.sizes[condition] += size
        self.size += size

    def remove(self, condition: Condition, size: int) -> None:
        """Count an arrival less."""
        self.size -= size
        self.sizes[condition] -= size
        self.counts[condition] -= 1
        if not self.counts[condition]:
            del self.counts[condition], self.sizes[condition]

    def has_room(self, condition: Condition, size: int, bound: int) -> bool:
        """Tell whether a condition may hold so many bytes more.

        Each may hold three times what is then free in the partition. So a single one has at most three quarters of the
        bound, there is always room for one that holds little, and together they never hold more than the bound.
        """
        return self.sizes.get(condition, 0) + size <= _SHARE * (bound - self.size - size)


def held_bytes(place: Place, held: Arrival | Spent) -> int:
    """Return the bytes of memory that an arrival takes which waits or is remembered."""
    (_, _, key), _, (_, source, id_) = place
    return _PLACE_BYTES + getsizeof(key) + getsizeof(source) + getsizeof(id_) + waiting_bytes(held)


def waiting_bytes(held: Arrival | Spent) -> int:
    """Return the bytes that an arrival takes only while it waits."""
    if isinstance(held, Spent):
        return 0
    return _WAITING_BYTES + len(held.value) + (getsizeof(held.key) if held.key else 0)
