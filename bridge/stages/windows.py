"""The windows of one partition of arrivals in memory: what waits, what is remembered, and what ends when.

What they take in memory is counted as it changes: what each arrival brings, and what Python needs to keep it. Measured
with 200,000 of each kind: an identity that is remembered takes 550 bytes and its texts, an arrival that waits 400 bytes
and its value more.
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import getsizeof

from bridge.core.boundaries import LONG_AGO
from bridge.core.ending import UNTICKED, Clock, needs_clock, next_due, waits_alone
from bridge.core.event import EventIdentity, Micros
from bridge.core.fate import Step
from bridge.core.sliding import deadline
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival, Spent, Window, empty_window
from bridge.stages.timers import Condition, Timer, Timers
from bridge.stages.window_records import Place, WindowKey

Remembered = dict[Place, Arrival | Spent]

_PLACE_BYTES = 550  # the place and its tuples, its entry among those remembered, its timer, what has been spent
_WAITING_BYTES = 400  # the arrival, and a window of its own

_SHARE = 3
"""A condition may hold so many times what is free in its partition."""


def held_bytes(place: Place, one: Arrival | Spent) -> int:
    """Return the bytes of memory that an arrival takes which waits or is remembered."""
    (_, _, key), _, (_, source, id_) = place
    return _PLACE_BYTES + getsizeof(key) + getsizeof(source) + getsizeof(id_) + _waiting_bytes(one)


def _waiting_bytes(one: Arrival | Spent) -> int:
    """Return the bytes that an arrival takes only while it waits."""
    if isinstance(one, Spent):
        return 0
    return _WAITING_BYTES + len(one.value) + (getsizeof(one.key) if one.key else 0)


class Windows:
    """Windows, remembered identities and timers of one partition.

    Attributes:
        open: The windows in which something waits or is marked.
        remembered: What is known of each event at each slot.
        counts: How much of that there is, by condition.
        sizes: How many bytes of memory that takes, by condition.
        size: How many bytes of memory all of it takes.
        clocks: How far time has come, by condition, where its rules ask for that.
        retiring: The conditions that the tick at the committed offset retires, once its first slice has ended and until
            it is passed; else None.
        timers: By trigger and condition, a heap of what ends when. An entry whose arrival has left meanwhile is stale.

    """

    def __init__(self) -> None:
        self.open: dict[WindowKey, Window] = {}
        self.remembered: Remembered = {}
        self.counts: dict[Condition, int] = {}
        self.sizes: dict[Condition, int] = {}
        self.size = 0
        self.clocks: dict[Condition, Clock] = {}
        self.retiring: tuple[Condition, ...] | None = None
        self.timers = Timers()

    def window(self, key: WindowKey, slots: int) -> Window:
        """Return a window; an empty one if nothing has happened in it."""
        return self.open.get(key) or empty_window(slots)

    def known(self, key: WindowKey, event: EventIdentity, trigger: Trigger) -> dict[int, Arrival | Spent]:
        """Return, by slot, what is remembered of an event in a window."""
        found = {}
        for slot in range(len(trigger.slots)):
            one = self.remembered.get((key, slot, event))  # type: ignore[call-overload]  # equal to a Place
            if one is not None:
                found[slot] = one
        return found

    def clock(self, condition: Condition) -> Clock:
        """Return the clock of a condition."""
        return self.clocks.get(condition, UNTICKED)

    def ticked(self, condition: Condition, trigger: Trigger) -> Micros | None:
        """Return the time of a condition's last tick, where its rules ask for that."""
        return self.clock(condition).ticked if needs_clock(trigger) else None

    def put(self, key: WindowKey, window: Window, trigger: Trigger) -> None:
        """Keep a window, or let go of one in which nothing waits, and set its timer."""
        if window.is_empty:
            self.open.pop(key, None)
        else:
            self.open[key] = window
        if not trigger.is_plain:
            self._set_whole(key, window, trigger)

    def keep(self, place: Place, arrival: Arrival, trigger: Trigger) -> None:
        """Remember an arrival that waits, and set its timer if it has one of its own."""
        self._remember(place, arrival)
        if waits_alone(trigger):
            self.timers.set(deadline(trigger, arrival), place)

    def spend(self, place: Place, spent: Spent) -> None:
        """Remember an arrival that has left, and set the timer by which it is forgotten."""
        self._remember(place, spent)
        self.timers.set(spent.until, place)

    def set_clock(self, condition: Condition, clock: Clock, trigger: Trigger) -> None:
        """Keep a condition's clock, and set the timer of a dead man's switch that follows from it."""
        self.clocks[condition] = clock
        if trigger.is_switch:
            key = WindowKey(*condition, "")
            self._set_whole(key, self.window(key, len(trigger.slots)), trigger)

    def arm(self, condition: Condition) -> None:
        """Ask for a tick that arms a dead man's switch, unless it is armed."""
        if self.clock(condition).through is None:
            self.timers.set_whole(WindowKey(*condition, ""), LONG_AGO)

    def due(self, condition: Condition, time: Micros, trigger: Trigger) -> Timer | None:
        """Return the first timer of a condition that is due at ``time``; stale ones are passed over."""
        while (timer := self.timers.first(condition)) is not None and timer.due <= time:
            if not timer.is_whole:
                if self._is_current(timer, trigger):
                    return timer
                self.timers.drop_first(condition)
            elif self.timers.alarms.get(timer.place.window) != timer.due:
                self.timers.drop_first(condition)
            elif self._moved(condition, timer, trigger) is None:
                return timer
        return None

    def next_due(self, condition: Condition) -> Micros | None:
        """Return when the first timer of a condition is due; one that is stale may make it earlier than needed."""
        timer = self.timers.first(condition)
        return timer.due if timer is not None else None

    def has_room(self, condition: Condition, size: int, bound: int) -> bool:
        """Tell whether a condition may hold so many bytes more.

        Each may hold three times what is then free in the partition. So a single one has at most three quarters of the
        bound, there is always room for one that holds little, and together they never hold more than the bound.
        """
        return self.sizes.get(condition, 0) + size <= _SHARE * (bound - self.size - size)

    def growth(self, key: WindowKey, came: Step) -> int:
        """Return how many bytes a step adds to what is held."""
        size = 0
        if came.kept is not None:
            size += held_bytes(Place(key, came.kept.slot, came.kept.event), came.kept)
        for arrival, spent in came.spent:
            place = Place(key, arrival.slot, arrival.event)
            before = self.remembered.get(place)
            size += held_bytes(place, spent) if before is None else -_waiting_bytes(before)
        return size

    def forget(self, place: Place) -> None:
        """Remember an event at a slot no longer."""
        one = self.remembered.pop(place, None)
        if one is not None:
            self._count(place.window[:2], -1, -held_bytes(place, one))

    def count_restored(self) -> None:
        """Count what was restored into :attr:`remembered`."""
        for place, one in self.remembered.items():
            self._count(place.window[:2], 1, held_bytes(place, one))

    def _remember(self, place: Place, one: Arrival | Spent) -> None:
        before, condition = self.remembered.get(place), place.window[:2]
        if before is None:
            grown = held_bytes(place, one)
            self.counts[condition] = self.counts.get(condition, 0) + 1
        else:
            grown = _waiting_bytes(one) - _waiting_bytes(before)
        self.size += grown
        self.sizes[condition] = self.sizes.get(condition, 0) + grown
        self.remembered[place] = one

    def _count(self, condition: Condition, number: int, size: int) -> None:
        self.size += size
        self.sizes[condition] = self.sizes.get(condition, 0) + size
        self.counts[condition] = self.counts.get(condition, 0) + number
        if not self.counts[condition]:
            del self.counts[condition], self.sizes[condition]

    def conditions(self) -> Iterator[Condition]:
        """Yield each trigger and condition hash of which something is held."""
        yield from list(self.timers)
        yield from [condition for condition in self.clocks if condition not in self.timers]

    def _set_whole(self, key: WindowKey, window: Window, trigger: Trigger) -> None:
        due = next_due(trigger, window, self.clock(key[:2]))
        if due is not None:
            self.timers.set_whole(key, due)

    def _moved(self, condition: Condition, timer: Timer, trigger: Trigger) -> Micros | None:
        """Move the timer of a window that is not due yet, or never; None if it is due."""
        key = timer.place.window
        due = next_due(trigger, self.window(key, len(trigger.slots)), self.clock(condition))
        if due is not None and due <= timer.due:
            return None
        self.timers.drop_first(condition)
        if due is not None:
            self.timers.set_whole(key, due)
        return timer.due

    def _is_current(self, timer: Timer, trigger: Trigger) -> bool:
        window, slot, _ = timer.place
        one = self.remembered.get(timer.place)
        if isinstance(one, Spent):
            return one.until == timer.due
        if one is None or deadline(trigger, one) != timer.due:
            return False
        return not trigger.absent_slots or one in self.open[window].waiting[slot]  # else it waits in a pending match
