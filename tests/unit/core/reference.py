"""The matching rules once more, naive and slow, written from design.md section 5: what the real ones must equal.

Everything that waits stands in one list, everything that is remembered in one dictionary. A new arrival tries every
assignment of waiting arrivals to slots. Nothing here is shared with the rules under test but the shapes of their data.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival

Assignment = tuple[Arrival | None, ...]
Outcome = tuple[Reason, int, EventIdentity]
"""A decision without its evidence: the reason, the slot, the event."""


class Remembered(NamedTuple):
    """What is known of an event at a slot after it has left the window."""

    arrival: Arrival
    until: Micros
    fate: Reason


class Reference:
    """One trigger's windows and identities, of all keys."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.waiting: list[tuple[str, Arrival]] = []
        self.remembered: dict[tuple[str, int, EventIdentity], Remembered] = {}
        self.marks: dict[tuple[str, int], Arrival] = {}

    def arrive(self, key: str, new: Arrival) -> tuple[Assignment | None, list[Outcome]]:
        """Decide a new arrival; return its match, if it completes one, and all that was decided."""
        mark = self.marks.get((key, new.slot))
        if (key, new.slot, new.event) in self.remembered or (key, new.slot, new.event) in self._waiting_events():
            return None, [(Reason.DUPLICATE, new.slot, new.event)]
        if self._is_used(key, new.event) or (mark and _age(new) < _age(mark)):
            return None, [self._leave(key, new, new.reached, Reason.SUPERSEDED)]
        match = best_assignment(self.trigger, self._waiting_at(key), new)
        self.waiting.append((key, new))
        if match is None:
            return None, [(Reason.WAITING, new.slot, new.event)]
        return match, self._take(key, [arrival for arrival in match if arrival])

    def tick(self, time: Micros) -> list[Outcome]:
        """Expire what waits and forget what is remembered until ``time``; return what was decided."""
        span = (self.trigger.within or 0) + self.trigger.grace
        due = [(key, arrival) for key, arrival in self.waiting if arrival.reached + span <= time]
        decided = [self._leave(key, arrival, arrival.reached + span, Reason.EXPIRED) for key, arrival in due]
        for (key, slot, event), remembered in list(self.remembered.items()):
            if remembered.until <= time:
                del self.remembered[key, slot, event]
                if self.marks.get((key, slot)) == remembered.arrival:
                    del self.marks[key, slot]
        return decided

    def _take(self, key: str, used: list[Arrival]) -> list[Outcome]:
        last_use = max(arrival.reached for arrival in used)
        decided = [self._leave(key, arrival, last_use, Reason.MATCHED) for arrival in used]
        for waiting in self._waiting_at(key):
            used_elsewhere = waiting.event in [arrival.event for arrival in used]
            older = any(waiting.slot == arrival.slot and _age(waiting) < _age(arrival) for arrival in used)
            if used_elsewhere or (older and self.trigger.collect == "latest"):
                decided.append(self._leave(key, waiting, last_use, Reason.SUPERSEDED))
        if self.trigger.collect == "latest":
            self.marks.update({(key, arrival.slot): arrival for arrival in used})
        return decided

    def _leave(self, key: str, arrival: Arrival, last_use: Micros, fate: Reason) -> Outcome:
        self.waiting = [one for one in self.waiting if one != (key, arrival)]
        self.remembered[key, arrival.slot, arrival.event] = Remembered(arrival, last_use + self.trigger.dedupe, fate)
        return fate, arrival.slot, arrival.event

    def _is_used(self, key: str, event: EventIdentity) -> bool:
        return any(
            (at, of) == (key, event) and one.fate is Reason.MATCHED for (at, _, of), one in self.remembered.items()
        )

    def _waiting_at(self, key: str) -> list[Arrival]:
        return [arrival for at, arrival in self.waiting if at == key]

    def _waiting_events(self) -> set[tuple[str, int, EventIdentity]]:
        return {(key, arrival.slot, arrival.event) for key, arrival in self.waiting}


def best_assignment(trigger: Trigger, waiting: Sequence[Arrival], new: Arrival) -> Assignment | None:
    """Return the match of design.md's rules 1 and 2 that contains ``new``, or None."""
    near = [arrival for arrival in waiting if arrival.slot != new.slot and _fit(trigger, [arrival, new])]
    choices: list[list[Arrival | None]] = [
        [None, *(arrival for arrival in near if arrival.slot == slot)] for slot in range(len(trigger.slots))
    ]
    choices[new.slot] = [new]
    complete = [assignment for assignment in product(*choices) if is_complete(trigger, assignment)]
    if not complete:
        return None
    sign = -1 if trigger.collect == "latest" else 1
    times = [arrival.time for arrival in (*near, new)]

    def preference(assignment: Assignment) -> tuple[object, ...]:
        used = [arrival.time for arrival in assignment if arrival]
        starts = [start for start in times if start <= min(used) and max(used) <= start + (trigger.within or 0)]
        filled_first_then_age = [
            (0, sign * arrival.time, sign * arrival.offset) if arrival else (1, 0, 0) for arrival in assignment
        ]
        return (min(sign * start for start in starts), filled_first_then_age)

    return min(complete, key=preference)


def is_complete(trigger: Trigger, assignment: Assignment) -> bool:
    """Tell whether the arrivals fill exactly what is required, with distinct events that fit together."""
    used = [arrival for arrival in assignment if arrival]
    distinct = {arrival.event for arrival in used}
    return len(used) == len(distinct) == trigger.require and _fit(trigger, used)


def _fit(trigger: Trigger, arrivals: list[Arrival]) -> bool:
    within = trigger.within or 0
    times, reached = [arrival.time for arrival in arrivals], [arrival.reached for arrival in arrivals]
    return max(times) - min(times) <= within and max(reached) - min(reached) <= within + trigger.grace


def _age(arrival: Arrival) -> tuple[Micros, int]:
    return (arrival.time, arrival.offset)
