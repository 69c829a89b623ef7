"""Which arrivals a match takes, once more, naive and slow: try every way to fill the slots and keep the best one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise, product

from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival

Choice = tuple[tuple[Arrival, ...], ...]
"""The arrivals of each slot, oldest first."""


def every_choice(trigger: Trigger, arrivals: Sequence[Arrival]) -> list[Choice]:
    """Return every way to fill exactly the required number of slots with distinct events in the order asked for."""
    ways: list[list[tuple[Arrival, ...]]] = []
    for index, slot in enumerate(trigger.slots):
        here = sorted(arrival for arrival in arrivals if arrival.slot == index and not slot.absent)
        ways.append([(), *combinations(here, slot.count)])
    return [choice for choice in product(*ways) if is_filled(trigger, choice)]


def is_filled(trigger: Trigger, choice: Choice) -> bool:
    """Tell whether a choice fills exactly what is required, with distinct events in the order asked for."""
    used = [arrival for slot in choice for arrival in slot]
    filled = [slot for slot in choice if slot]
    in_order = all(
        arrival.time <= other.time for slot, after in pairwise(filled) for arrival in slot for other in after
    )
    return (
        len(filled) == trigger.require
        and all(len(there) in (0, slot.count) for slot, there in zip(trigger.slots, choice, strict=True))
        and len({arrival.event for arrival in used}) == len(used)
        and (trigger.order == "any" or in_order)
    )


def best_choice(trigger: Trigger, arrivals: Sequence[Arrival]) -> Choice | None:
    """Return the best choice where all arrivals may be together."""
    return min(every_choice(trigger, arrivals), key=lambda choice: rank(trigger, choice), default=None)


def rank(trigger: Trigger, choice: Choice) -> list[object]:
    """Return what the best choice has the least of: by slot, filled before left out, then newest (or oldest) first."""
    latest = trigger.collect == "latest"
    ages = [
        [(-arrival.time, -arrival.offset) for arrival in slot[::-1]] if latest else list(map(age, slot))
        for slot in choice
    ]
    by_slot: list[object] = [(not slot, slot) for slot in ages]
    return by_slot[::-1] if latest and trigger.order == "sequence" else by_slot


def best_within(trigger: Trigger, waiting: Sequence[Arrival], new: Arrival, frames: dict[int, object]) -> Choice | None:
    """Return the match of a sliding window that contains ``new``, by the rules of sliding windows.

    Args:
        trigger: The trigger.
        waiting: What waits for the same key.
        new: The arrival that came.
        frames: By offset: between which boundaries of ``reset`` an arrival lies.

    """
    near = [
        arrival for arrival in waiting if fit(trigger, [arrival, new]) and frames[arrival.offset] == frames[new.offset]
    ]
    times, sign = [arrival.time for arrival in (*near, new)], -1 if trigger.collect == "latest" else 1

    def preference(choice: Choice) -> tuple[Micros, list[object]]:
        used = [arrival.time for slot in choice for arrival in slot]
        starts = [start for start in times if start <= min(used) and max(used) <= start + (trigger.within or 0)]
        return min(sign * start for start in starts), rank(trigger, choice)

    complete = [
        choice
        for choice in every_choice(trigger, [*near, new])
        if any(new in slot for slot in choice) and fit(trigger, [arrival for slot in choice for arrival in slot])
    ]
    return min(complete, key=preference, default=None)


def fit(trigger: Trigger, arrivals: Sequence[Arrival]) -> bool:
    """Tell whether arrivals happened, and reached us, near enough to each other."""
    within = trigger.within or 0
    times, reached = [arrival.time for arrival in arrivals], [arrival.reached for arrival in arrivals]
    return max(times) - min(times) <= within and max(reached) - min(reached) <= within + trigger.grace


def age(arrival: Arrival) -> tuple[Micros, int]:
    """Return what newer and older compare."""
    return (arrival.time, arrival.offset)
