"""The real rules with somebody to hold their state: windows by key, identities by event, ticks in order of deadlines.

What the matcher stage does around the rules, without Kafka: enough to run any sequence of arrivals and ticks.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.step import Step, deadline, expire, forget, step
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.core.window import Arrival, Spent, Window, empty_window


class Held(NamedTuple):
    """What is held of an event at a slot, and for which key."""

    key: str
    slot: int
    event: EventIdentity


class Stepping:
    """One trigger's windows and identities, of all keys."""

    def __init__(self, trigger: Trigger, bound: int = 10_000) -> None:
        self.trigger = trigger
        self.bound = bound
        self.windows: dict[str, Window] = {}
        self.held: dict[Held, Arrival | Spent] = {}

    def arrive(self, key: str, new: Arrival) -> Step:
        """Apply one arrival."""
        slots = range(len(self.trigger.slots))
        places = {slot: Held(key, slot, new.event) for slot in slots}
        known = {slot: self.held[place] for slot, place in places.items() if place in self.held}
        window = self.windows.get(key, empty_window(len(slots)))
        stepped = step(self.trigger, window, key, new, known, bound=self.bound)
        self._keep(key, stepped)
        return stepped

    def tick(self, time: Micros) -> list[Decision]:
        """Fire all timers that are due at ``time``, those that firing sets included."""
        timers = [timer for timer in map(self._timer, self.held) if timer[0] <= time]
        heapq.heapify(timers)
        decided: list[Decision] = []
        while timers:
            _, place = heapq.heappop(timers)
            held = self.held[place]
            if isinstance(held, Spent):
                del self.held[place]
                self._hold_window(place.key, forget(self.windows.get(place.key, self._empty()), place.slot, held))
                continue
            stepped = expire(self.trigger, self.windows[place.key], place.key, held)
            self._keep(place.key, stepped)
            decided += stepped.decisions
            if self._timer(place)[0] <= time:
                heapq.heappush(timers, self._timer(place))
        return decided

    def _timer(self, place: Held) -> tuple[Micros, Held]:
        held = self.held[place]
        return (held.until if isinstance(held, Spent) else deadline(self.trigger, held)), place

    def _keep(self, key: str, stepped: Step) -> None:
        self._hold_window(key, stepped.window)
        if stepped.kept is not None:
            self.held[Held(key, stepped.kept.slot, stepped.kept.event)] = stepped.kept
        for arrival, spent in stepped.spent:
            self.held[Held(key, arrival.slot, arrival.event)] = spent

    def _hold_window(self, key: str, window: Window) -> None:
        if window.is_empty:
            self.windows.pop(key, None)
        else:
            self.windows[key] = window

    def _empty(self) -> Window:
        return empty_window(len(self.trigger.slots))


def trigger_of(
    events: str,
    *,
    require: int | None = None,
    within: Micros = 10,
    grace: Micros = 5,
    dedupe: Micros | None = None,
    first: bool = False,
) -> Trigger:
    """Return a trigger with a slot for each word of ``events``; a slot's variable is ``event`` and its index."""
    slots = tuple(Slot(event, f"{event}{index}") for index, event in enumerate(events.split()))
    return Trigger(
        "ml",
        "refresh",
        slots,
        RunPlan("refresh-model", "ml"),
        require=len(slots) if require is None else require,
        window=WindowPlan("within", within),
        grace=grace,
        dedupe=within + grace if dedupe is None else dedupe,
        collect="first" if first else "latest",
    )


class Story:
    """Arrivals one after the other, told by slot name, id and time; an offset is a line of the story."""

    def __init__(self, trigger: Trigger, bound: int = 10_000) -> None:
        self.trigger = trigger
        self.stepping = Stepping(trigger, bound)
        self.offset = 0

    def arrival(self, slot: str, name: str, time: Micros, reached: Micros | None = None) -> Arrival:
        """Return the next arrival, of event ``name`` at ``slot``; it reached us when it happened unless told."""
        index = [one.variable for one in self.trigger.slots].index(slot)
        event = EventIdentity(self.trigger.slots[index].event, "shop", name)
        self.offset += 1
        return Arrival(time, self.offset, index, event, time if reached is None else reached, "", (None, b""))

    def comes(self, slot: str, name: str, time: Micros, *, reached: Micros | None = None, key: str = "") -> Step:
        """Let the event ``name`` arrive at ``slot``."""
        return self.stepping.arrive(key, self.arrival(slot, name, time, reached))

    def tick(self, time: Micros) -> list[tuple[str, str, str]]:
        """Let time come to ``time``; return what was decided."""
        return [(decision.slot, decision.event.id, decision.reason.value) for decision in self.stepping.tick(time)]


def ids(stepped: Step) -> str:
    """Return the ids of the match, in slot order, ``-`` for a slot left out; empty when nothing matched."""
    return " ".join(arrival.event.id if arrival else "-" for arrival in stepped.match or ())


def reason(stepped: Step) -> Reason:
    """Return what became of the arrival that came."""
    return stepped.decisions[0].reason


def superseded(stepped: Step) -> list[tuple[str, str]]:
    """Return the slot and id of each event that the step superseded."""
    return [(one.slot, one.event.id) for one in stepped.decisions if one.reason is Reason.SUPERSEDED]
