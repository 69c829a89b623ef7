"""The buffered arrivals of one trigger for one correlation key.

A window is immutable: a rule returns another one. Whoever holds windows can therefore forget the effects of an
aborted batch by going back to the windows that it had before.

Arrivals wait in their slots, ordered by (event time, offset in arrivals): "newest" and "oldest" always mean this
order. What has left a window is *spent*: its identity is remembered for the trigger's dedupe horizon, so that a
publisher's repeat is known, and the newest spent arrival of a slot is the slot's *mark*: for ``collect: latest``
nothing older than it may still be used.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros


class Arrival(NamedTuple):
    """An event that passed a slot's filter.

    Attributes:
        time: When the event happened.
        offset: Where the arrival stands in its partition of arrivals; orders arrivals of equal time.
        slot: Index of the slot that it may fill.
        event: The event's identity.
        reached: When the event reached us.
        definition: Hash of the definition under which it was routed.
        body: The event's key and value as they travelled; the rules do not look at them.

    """

    time: Micros
    offset: int
    slot: int
    event: EventIdentity
    reached: Micros
    definition: str
    body: tuple[str | None, bytes]

    @property
    def age(self) -> tuple[Micros, int]:
        """Return what "newer" and "older" compare."""
        return (self.time, self.offset)


class Spent(NamedTuple):
    """An arrival that has left its window, as far as it is remembered.

    Attributes:
        time: Its event time.
        offset: Its offset in arrivals.
        until: The identity is forgotten by a tick at this time or later.
        fate: The decision by which it left: matched, superseded or expired.

    """

    time: Micros
    offset: int
    until: Micros
    fate: Reason


Mark = tuple[Micros, int]
"""(event time, offset) of the newest arrival of a slot that a ``latest`` match took."""


class Window(NamedTuple):
    """Waiting arrivals and marks, one entry a slot each."""

    waiting: tuple[tuple[Arrival, ...], ...]
    marks: tuple[Mark | None, ...]

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing needs the window any more."""
        return not any(self.waiting) and not any(self.marks)

    @property
    def size(self) -> int:
        """Return how many arrivals wait."""
        return sum(map(len, self.waiting))

    def with_arrival(self, arrival: Arrival) -> Window:
        """Return the window with one more waiting arrival."""
        slot = self.waiting[arrival.slot]
        if not slot or slot[-1] < arrival:
            return self._with_slot(arrival.slot, (*slot, arrival))
        ordered = list(slot)
        insort(ordered, arrival)
        return self._with_slot(arrival.slot, tuple(ordered))

    def without(self, arrivals: Iterable[Arrival]) -> Window:
        """Return the window without these arrivals, all of which wait in it."""
        leaving: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            leaving.setdefault(arrival.slot, []).append(arrival)
        waiting = list(self.waiting)
        for slot, gone in leaving.items():
            waiting[slot] = _without(waiting[slot], gone)
        return Window(tuple(waiting), self.marks)

    def with_mark(self, slot: int, mark: Mark | None) -> Window:
        """Return the window with the mark of one slot replaced."""
        return self._replace(marks=(*self.marks[:slot], mark, *self.marks[slot + 1 :]))

    def _with_slot(self, index: int, slot: tuple[Arrival, ...]) -> Window:
        return Window((*self.waiting[:index], slot, *self.waiting[index + 1 :]), self.marks)


def empty_window(slots: int) -> Window:
    """Return the window in which nothing has happened yet."""
    return Window(((),) * slots, (None,) * slots)


def between(slot: tuple[Arrival, ...], start: Micros, end: Micros) -> tuple[Arrival, ...]:
    """Return the arrivals of a slot whose event time lies in the closed interval [start, end]."""
    if slot and start <= slot[0].time and slot[-1].time <= end:
        return slot
    first = bisect_left(slot, start, key=_time)
    return slot[first : bisect_left(slot, end + 1, first, key=_time)]


def _without(slot: tuple[Arrival, ...], gone: list[Arrival]) -> tuple[Arrival, ...]:
    if len(gone) > 1:  # as when a `latest` match takes all older ones: one pass, however many leave
        offsets = {arrival.offset for arrival in gone}
        return tuple(arrival for arrival in slot if arrival.offset not in offsets)
    at = bisect_left(slot, gone[0])
    return slot[:at] + slot[at + 1 :]


def _time(arrival: Arrival) -> Micros:
    return arrival.time
