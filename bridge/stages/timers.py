"""What ends when, in the windows of one partition.

A timer is of one place (an arrival that waits by itself, an identity that will be forgotten), or of a window as a
whole. A heap has no way to take out what is not needed any more, so a timer that comes first is checked whether it is
still current. Of a window as a whole one timer is enough, at the earliest time at which anything in it could be due:
when that comes and the window is due later by then, the timer moves.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from bridge.core.event import EventIdentity, Micros
from bridge.stages.window_records import Place, WindowKey

NOTHING = EventIdentity("", "", "")
"""The event of a place that stands for its whole window."""

WHOLE = -1
"""The slot of such a place."""

Condition = tuple[str, str]
"""Trigger and condition hash."""


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
        heapq.heappush(self.setdefault(place.window[:2], []), Timer(due, place))

    def set_whole(self, key: WindowKey, due: Micros) -> None:
        """Set the timer of a window as a whole, unless it is set for an earlier time already."""
        if due < self.alarms.get(key, due + 1):
            self.alarms[key] = due
            self.set(due, Place(key, WHOLE, NOTHING))

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
