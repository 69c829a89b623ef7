"""The windows of one partition of arrivals: in memory, and as records of the changelog from which they come back.

Each arrival that waits or is remembered has one record, under the same key through its whole life: ``waiting``, then
``spent``, then a tombstone. So a completed pair costs its window three records and no more, and restoring needs
nothing but the last record of each key.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from sys import intern
from typing import Any, NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.step import deadline
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival, Spent, Window, empty_window
from bridge.kafka.records import SPENT, WAITING


class WindowKey(NamedTuple):
    """What a window belongs to."""

    trigger: str
    condition: str
    key: str


class Timer(NamedTuple):
    """Something that ends by a tick; ordered as timers fire, after the trigger's name."""

    due: Micros
    key: str
    slot: int
    event: EventIdentity


Condition = tuple[str, str]
"""Trigger and condition hash."""

Remembered = dict[tuple[WindowKey, int, EventIdentity], Arrival | Spent]


class Windows:
    """Windows, remembered identities and timers of one partition.

    Attributes:
        open: The windows in which something waits or is marked.
        remembered: What is known of each event at each slot.
        timers: By trigger and condition, a heap of what ends when. An entry whose arrival has left meanwhile is stale.

    """

    def __init__(self) -> None:
        self.open: dict[WindowKey, Window] = {}
        self.remembered: Remembered = {}
        self.timers: dict[Condition, list[Timer]] = {}

    def window(self, key: WindowKey, slots: int) -> Window:
        """Return a window; an empty one if nothing has happened in it."""
        return self.open.get(key) or empty_window(slots)

    def known(self, key: WindowKey, event: EventIdentity, trigger: Trigger) -> dict[int, Arrival | Spent]:
        """Return, by slot, what is remembered of an event in a window."""
        found = {}
        for slot, place in enumerate(trigger.slots):
            if place.event == event.name:
                one = self.remembered.get((key, slot, event))
                if one is not None:
                    found[slot] = one
        return found

    def put(self, key: WindowKey, window: Window) -> None:
        """Keep a window, or let go of one in which nothing waits."""
        if window.is_empty:
            self.open.pop(key, None)
        else:
            self.open[key] = window

    def keep(self, key: WindowKey, arrival: Arrival, trigger: Trigger) -> None:
        """Remember an arrival that waits, and set its timer."""
        self.remembered[key, arrival.slot, arrival.event] = arrival
        self._set(key, Timer(deadline(trigger, arrival), key.key, arrival.slot, arrival.event))

    def spend(self, key: WindowKey, slot: int, event: EventIdentity, spent: Spent) -> None:
        """Remember an arrival that has left, and set the timer by which it is forgotten."""
        self.remembered[key, slot, event] = spent
        self._set(key, Timer(spent.until, key.key, slot, event))

    def due(self, condition: Condition, time: Micros, trigger: Trigger) -> Timer | None:
        """Return the first timer of a condition that is due at ``time``; stale ones are passed over."""
        heap = self.timers.get(condition)
        while heap and heap[0].due <= time:
            timer = heap[0]
            if self._is_current(condition, timer, trigger):
                return timer
            heapq.heappop(heap)
        if heap is not None and not heap:
            del self.timers[condition]
        return None

    def next_due(self, condition: Condition) -> Micros | None:
        """Return when the first timer of a condition is due; one that is stale may make it earlier than needed."""
        heap = self.timers.get(condition)
        return heap[0].due if heap else None

    def forget(self, key: WindowKey, slot: int, event: EventIdentity) -> None:
        """Remember an event at a slot no longer."""
        self.remembered.pop((key, slot, event), None)

    def conditions(self) -> Iterator[Condition]:
        """Yield each trigger and condition hash of which something is held."""
        yield from list(self.timers)

    def _set(self, key: WindowKey, timer: Timer) -> None:
        heapq.heappush(self.timers.setdefault(key[:2], []), timer)

    def _is_current(self, condition: Condition, timer: Timer, trigger: Trigger) -> bool:
        one = self.remembered.get((WindowKey(*condition, timer.key), timer.slot, timer.event))
        if isinstance(one, Spent):
            return one.until == timer.due
        return one is not None and deadline(trigger, one) == timer.due


# -- as records --------------------------------------------------------------------------------------------------------


def record_key(key: WindowKey, slot: int, event: EventIdentity) -> bytes:
    """Return the key of an arrival's record: its window, slot and event; lengths keep the parts apart."""
    parts = (key.trigger, key.condition, str(slot), key.key, event.source, event.id, event.name)
    return "\0".join([*(str(len(part)) for part in parts), "".join(parts)]).encode()


def encode_waiting(key: WindowKey, arrival: Arrival) -> bytes:
    """Return the record of an arrival that waits."""
    event_key, value = arrival.body
    return WAITING.encode(
        {
            "trigger": key.trigger,
            "condition": key.condition,
            "key": key.key,
            "slot": arrival.slot,
            "name": arrival.event.name,
            "source": arrival.event.source,
            "id": arrival.event.id,
            "time": arrival.time,
            "offset": arrival.offset,
            "reached": arrival.reached,
            "definition": arrival.definition,
            "event_key": event_key,
            "value": value,
        }
    )


def encode_spent(key: WindowKey, slot: int, event: EventIdentity, spent: Spent) -> bytes:
    """Return the record of an arrival that has left."""
    return SPENT.encode(
        {
            "trigger": key.trigger,
            "condition": key.condition,
            "key": key.key,
            "slot": slot,
            "name": event.name,
            "source": event.source,
            "id": event.id,
            "time": spent.time,
            "offset": spent.offset,
            "until": spent.until,
            "fate": spent.fate.value,
        }
    )


def decode_waiting(value: bytes) -> tuple[WindowKey, Arrival]:
    """Return what :func:`encode_waiting` wrote."""
    fields = WAITING.decode(value)
    arrival = Arrival(
        time=fields["time"],
        offset=fields["offset"],
        slot=fields["slot"],
        event=_event(fields),
        reached=fields["reached"],
        definition=intern(fields["definition"]),
        body=(fields["event_key"], fields["value"]),
    )
    return _window_key(fields), arrival


def decode_spent(value: bytes) -> tuple[WindowKey, int, EventIdentity, Spent]:
    """Return what :func:`encode_spent` wrote."""
    fields = SPENT.decode(value)
    spent = Spent(fields["time"], fields["offset"], fields["until"], Reason(fields["fate"]))
    return _window_key(fields), fields["slot"], _event(fields), spent


def _window_key(fields: dict[str, Any]) -> WindowKey:
    # What many windows have in common is kept once: a fifth of a window's memory.
    return WindowKey(intern(fields["trigger"]), intern(fields["condition"]), fields["key"])


def _event(fields: dict[str, Any]) -> EventIdentity:
    return EventIdentity(intern(fields["name"]), intern(fields["source"]), fields["id"])
