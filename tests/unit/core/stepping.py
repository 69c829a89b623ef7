"""The real rules with somebody to hold their state: windows by key, identities by event, ticks in order of deadlines.

What the matcher stage does around the rules, without Kafka: enough to run any sequence of arrivals and ticks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import RunPlan, Schedule, Slot, Trigger, WindowPlan
from bridge.core.windows.apply import apply_arrival
from bridge.core.windows.expiry import (
    UNTICKED,
    ConditionClock,
    advanced,
    deadline,
    end,
    expire,
    forget,
    has_own_deadlines,
    needs_clock,
    next_due,
    retire,
)
from bridge.core.windows.window import Arrival, Frame, Match, Spent, Window, empty_window
from bridge.core.windows.window_step import Step


class Held(NamedTuple):
    """What is held of an event at a slot, and for which key."""

    key: str
    slot: int
    event: EventIdentity


class Stepping:
    """One trigger's windows and identities, of all keys.

    Attributes:
        windows: The windows that are not empty, by key.
        held: What waits or is remembered.
        clock: The clock of the condition.
        matches: Every match so far: its key, its arrivals, its calendar window.

    """

    def __init__(self, trigger: Trigger, bound: int = 10_000) -> None:
        self.trigger = trigger
        self.bound = bound
        self.windows: dict[str, Window] = {}
        self.held: dict[Held, Arrival | Spent] = {}
        self.clock: ConditionClock = UNTICKED
        self.matches: list[tuple[str, Match, Frame | None]] = []

    def arrive(self, key: str, new: Arrival) -> Step:
        """Apply one arrival."""
        places = {slot: Held(key, slot, new.event) for slot in range(len(self.trigger.slots))}
        known = {slot: self.held[place] for slot, place in places.items() if place in self.held}
        ticked = self.clock.ticked if needs_clock(self.trigger) else None
        stepped = apply_arrival(self.trigger, self.window(key), key, new, known, bound=self.bound, ticked=ticked)
        self._keep(key, stepped)
        return stepped

    def tick(self, time: Micros) -> list[Decision]:
        """End all that is due at ``time``, what that sets included, in the order in which it is due."""
        decided: list[Decision] = []
        while (due := self._first_due()) is not None and due[0] <= time:
            _, key, place = due
            if place is None:
                decided += self._keep(key, end(self.trigger, self.window(key), key, self.clock))
                continue
            held = self.held[place]
            if isinstance(held, Spent):
                del self.held[place]
                self._hold_window(key, forget(self.trigger, self.window(key), place.slot, held))
            else:
                decided += self._keep(key, expire(self.trigger, self.window(key), key, held))
        self.clock = advanced(self.trigger, self.clock, time)
        return decided

    def retire(self) -> list[Decision]:
        """End everything, as when the trigger's condition has changed."""
        decided: list[Decision] = []
        for key in list(self.windows):
            while (step := retire(self.trigger, self.window(key), key)) is not None:
                decided += self._keep(key, step)
        self.windows.clear()
        self.held.clear()
        return decided

    def window(self, key: str) -> Window:
        """Return the window of a key."""
        return self.windows.get(key, empty_window(len(self.trigger.slots)))

    def _first_due(self) -> tuple[Micros, str, Held | None] | None:
        dues: list[tuple[Micros, str, Held | None]] = [
            (due, place.key, place) for place, held in self.held.items() if (due := self._due(held)) is not None
        ]
        for key in {*self.windows, *([""] if self.trigger.is_switch else [])}:
            due = next_due(self.trigger, self.window(key), self.clock)
            if due is not None:
                dues.append((due, key, None))
        return min(dues, key=lambda due: (due[0], due[1], due[2] or ()), default=None)

    def _due(self, held: Arrival | Spent) -> Micros | None:
        if isinstance(held, Spent):
            return held.until
        is_pending = any(held in pending.arrivals for window in self.windows.values() for pending in window.pending)
        return None if is_pending or not has_own_deadlines(self.trigger) else deadline(self.trigger, held)

    def _keep(self, key: str, stepped: Step) -> tuple[Decision, ...]:
        self._hold_window(key, stepped.window)
        if stepped.through is not None:
            self.clock = self.clock._replace(through=stepped.through)
        if stepped.match is not None:
            self.matches.append((key, stepped.match, stepped.frame))
        if stepped.kept is not None:
            self.held[Held(key, stepped.kept.slot, stepped.kept.event)] = stepped.kept
        for arrival, spent in stepped.spent:
            self.held[Held(key, arrival.slot, arrival.event)] = spent
        return stepped.decisions

    def _hold_window(self, key: str, window: Window) -> None:
        if window.is_empty:
            self.windows.pop(key, None)
        else:
            self.windows[key] = window


def trigger_of(
    events: str,
    *,
    require: int | None = None,
    within: Micros = 10,
    grace: Micros = 5,
    dedupe: Micros | None = None,
    first: bool = False,
    **fields: Any,
) -> Trigger:
    """Return a trigger with a slot for each word of ``events``; a slot's variable is ``event`` and its index.

    ``a*3`` is a slot that three events fill, ``!a`` one that is absent. ``fields`` are of the trigger; its ``window``
    is a sliding one of ``within`` unless given.
    """
    slots = tuple(_slot(word, index) for index, word in enumerate(events.split()))
    present = sum(not slot.absent for slot in slots)
    usual: dict[str, Any] = {
        "window": WindowPlan("within", within),
        "grace": grace,
        "dedupe": within + grace if dedupe is None else dedupe,
        "collect": "first" if first else "latest",
    }
    plan = RunPlan("refresh-model", "ml")
    return Trigger("ml", "refresh", slots, plan, require=present if require is None else require, **{**usual, **fields})


def _slot(word: str, index: int) -> Slot:
    name, _, count = word.lstrip("!").partition("*")
    return Slot(name, f"{name}{index}", count=int(count or 1), absent=word.startswith("!"))


def each(length: Micros) -> Schedule:
    """Return boundaries at all multiples of ``length``."""
    return Schedule(every=length)


class Story:
    """Arrivals one after the other, told by slot name, id and time; an offset is a line of the story."""

    def __init__(self, trigger: Trigger, bound: int = 10_000) -> None:
        self.trigger = trigger
        self.stepping = Stepping(trigger, bound)
        self.offset = 0

    def arrival(self, slot: str, name: str, time: Micros, reached: Micros | None = None) -> Arrival:
        """Return the next arrival, of event ``name`` at ``slot``; it reached us when it happened unless told."""
        index = [other.variable for other in self.trigger.slots].index(slot)
        event = EventIdentity(self.trigger.slots[index].event, "shop", name)
        self.offset += 1
        return Arrival(time, self.offset, index, event, time if reached is None else reached, "", None, b"")

    def comes(self, slot: str, name: str, time: Micros, *, reached: Micros | None = None, key: str = "") -> Step:
        """Let the event ``name`` arrive at ``slot``."""
        return self.stepping.arrive(key, self.arrival(slot, name, time, reached))

    def tick(self, time: Micros) -> list[tuple[str, str, str]]:
        """Let time come to ``time``; return what was decided."""
        return [(decision.slot, decision.event.id, decision.reason.value) for decision in self.stepping.tick(time)]

    def retire(self) -> list[tuple[str, str, str]]:
        """Change the trigger's condition; return what was decided."""
        return [(decision.slot, decision.event.id, decision.reason.value) for decision in self.stepping.retire()]

    @property
    def matches(self) -> list[str]:
        """Return the ids of each match so far."""
        return [match_text(match) for _, match, _ in self.stepping.matches]

    @property
    def frames(self) -> list[Frame | None]:
        """Return the calendar window of each match so far."""
        return [frame for _, _, frame in self.stepping.matches]


def match_text(match: Match | None) -> str:
    """Return the ids of a match, in slot order, ``+`` between those of a slot, ``-`` for a slot left out."""
    return " ".join("+".join(arrival.event.id for arrival in slot) or "-" for slot in match or ())


def ids(stepped: Step) -> str:
    """Return the ids of the match; empty when nothing matched."""
    return match_text(stepped.match)


def reason(stepped: Step) -> Reason:
    """Return what became of the arrival that came."""
    return stepped.decisions[0].reason


def superseded(stepped: Step) -> list[tuple[str, str]]:
    """Return the slot and id of each event that the step superseded."""
    return [
        (decision.slot, decision.event.id) for decision in stepped.decisions if decision.reason is Reason.SUPERSEDED
    ]
