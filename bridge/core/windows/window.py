"""The buffered arrivals of one trigger for one correlation key.

A window is immutable: a rule returns another one. After an aborted batch, the owner of windows therefore goes back to
the windows that it had before.

Arrivals wait in their slots, ordered by (event time, offset in arrivals): "newest" and "oldest" always mean this
order. An arrival that has left its window is *spent*. Its identity is remembered for the trigger's dedupe horizon, so
that a publisher's repeat is recognised. The newest spent arrival of a slot is the slot's *mark*: ``collect: latest``
uses no older arrival of that slot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class Arrival(NamedTuple):
    """An event that passed a slot's filter.

    Attributes:
        time: When the event happened.
        offset: Where the arrival stands in its partition of arrivals; orders arrivals of equal time.
        slot: Index of the slot that it may fill.
        event: The event's identity.
        reached: When the event reached us.
        definition: Hash of the definition under which it was routed.
        key: The key of the event's record; the rules do not look at it, nor at the value.
        value: The event's value as it travelled.
        traceparent: The trace context that the event belongs to; empty for none.

    """

    time: Micros
    offset: int
    slot: int
    event: EventIdentity
    reached: Micros
    definition: str
    key: str | None
    value: bytes
    traceparent: str = ""

    @property
    def age(self) -> tuple[Micros, int]:
        """Return event time and offset, which "newer" and "older" compare."""
        return (self.time, self.offset)


class Spent(NamedTuple):
    """The remembered identity of an arrival that has left its window.

    Attributes:
        time: Its event time.
        offset: Its offset in arrivals.
        until: The identity is forgotten by a tick at this time or later.
        fate: The decision by which it left.

    """

    time: Micros
    offset: int
    until: Micros
    fate: Reason


Mark = tuple[Micros, int, Micros]
"""Event time and offset of the newest arrival of a slot that a ``latest`` match took, and until when it counts."""

Match = tuple[tuple[Arrival, ...], ...]
"""The arrivals of each slot, in slot order, the oldest first; none for a slot that the match leaves out."""

Frame = tuple[Micros, Micros]
"""Start and end of a calendar window: event times from the first on and before the second lie in it."""


class Pending(NamedTuple):
    """A match that waits for an absence.

    Attributes:
        due: A tick at this time or later finds the absence complete.
        offset: Where the arrival that completed it stands in its partition of arrivals; names it in its window.
        until: Until when its identities are remembered, however it ends.
        match: Its arrivals, which wait in no slot any more.

    """

    due: Micros
    offset: int
    until: Micros
    match: Match

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Return its arrivals, slot by slot."""
        return tuple([arrival for slot in self.match for arrival in slot])


class Group(NamedTuple):
    """Arrivals that will be taken together: a session, a batch, or arrivals that have not settled yet.

    Attributes:
        oldest: Its oldest event time. No two groups of a window overlap in event time.
        newest: Its newest event time.
        first: When its first arrival reached us.
        last: When its last arrival reached us.

    """

    oldest: Micros
    newest: Micros
    first: Micros
    last: Micros


class Window(NamedTuple):
    """The state of one correlation key of one trigger.

    Attributes:
        waiting: The arrivals that wait, by slot.
        marks: The mark of each slot.
        pending: Matches that wait for an absence, the first that is due first.
        cancelling: Age of the arrivals at absent slots that have cancelled matches, and still would; in order.
        fired: Calendar windows that have matched and are not closed yet; in order.
        groups: For ``session``, ``batch`` and ``settle``: how the waiting arrivals are grouped; by event time.

    """

    waiting: tuple[tuple[Arrival, ...], ...]
    marks: tuple[Mark | None, ...]
    pending: tuple[Pending, ...] = ()
    cancelling: tuple[tuple[Micros, int], ...] = ()
    fired: tuple[Frame, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether the window holds nothing."""
        return not (any(self.waiting) or any(self.marks) or self.pending or self.cancelling or self.fired)

    @property
    def size(self) -> int:
        """Return how many arrivals wait, for others or for an absence."""
        waiting = sum(map(len, self.waiting))
        if not self.pending:
            return waiting
        return waiting + sum(len(pending.arrivals) for pending in self.pending)

    @property
    def since(self) -> Micros | None:
        """Return when the oldest event that waits in it reached us; None if none waits.

        Of each slot, and of the match that is due first, the oldest event by event time counts.
        """
        since: Micros | None = None
        for slot in self.waiting if not self.pending else (*self.waiting, *self.pending[0].match):
            if slot and (since is None or slot[0].reached < since):
                since = slot[0].reached
        return since

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
        removed: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            removed.setdefault(arrival.slot, []).append(arrival)
        waiting = list(self.waiting)
        for index, gone in removed.items():
            slot = waiting[index]
            if len(gone) == len(slot):
                waiting[index] = ()
            elif len(gone) > 1:  # as when a `latest` match takes all older ones: one pass, however many leave
                offsets = {arrival.offset for arrival in gone}
                waiting[index] = tuple([arrival for arrival in slot if arrival.offset not in offsets])
            else:
                at = bisect_left(slot, gone[0])
                waiting[index] = slot[:at] + slot[at + 1 :]
        return self._with_waiting(tuple(waiting))

    def with_mark(self, slot: int, mark: Mark | None) -> Window:
        """Return the window with the mark of one slot replaced."""
        return self._replace(marks=(*self.marks[:slot], mark, *self.marks[slot + 1 :]))

    def with_pending(self, pending: Pending) -> Window:
        """Return the window with one more match that waits for an absence."""
        return self._replace(pending=tuple(sorted((*self.pending, pending))))

    def with_groups(self, groups: tuple[Group, ...]) -> Window:
        """Return the window with its arrivals grouped in another way."""
        return _new_tuple(Window, (*self[:5], groups))

    def _with_slot(self, index: int, slot: tuple[Arrival, ...]) -> Window:
        return self._with_waiting((*self.waiting[:index], slot, *self.waiting[index + 1 :]))

    def _with_waiting(self, waiting: tuple[tuple[Arrival, ...], ...]) -> Window:
        return _new_tuple(Window, (waiting, *self[1:]))


@cache
def empty_window(slots: int) -> Window:
    """Return the window in which nothing has happened yet; its parts are shared by all that are made of it."""
    return Window(((),) * slots, (None,) * slots)


def between(slot: tuple[Arrival, ...], start: Micros, end: Micros) -> tuple[Arrival, ...]:
    """Return the arrivals of a slot whose event time lies in the closed interval [start, end]."""
    if slot and start <= slot[0].time and slot[-1].time <= end:
        return slot
    first = bisect_left(slot, start, key=_time)
    return slot[first : bisect_left(slot, end + 1, first, key=_time)]


def all_between(window: Window, start: Micros, end: Micros) -> tuple[tuple[Arrival, ...], ...]:
    """Return, by slot, the waiting arrivals whose event time lies in the closed interval [start, end]."""
    return tuple([between(slot, start, end) for slot in window.waiting])


def _time(arrival: Arrival) -> Micros:
    return arrival.time
