"""Which waiting arrivals, together with a new one, satisfy a condition.

Two arrivals fit when they happened within ``within`` of each other and reached us within ``within`` + ``grace`` of
each other. So arrivals fit together when all their event times lie in one closed interval [t, t + within] that starts
at one of them, and all their reached times in one closed interval that starts at one of them.

Before the new arrival no complete set exists (the one who stepped before took it); so a match always holds the new
arrival. ``latest`` takes the latest such interval, by event time before reached time, and in it the newest of each
slot; ``first`` the earliest, and the oldest of each. The slots choose in their order; slots of one match hold distinct
events, so a slot leaves an event to a later slot that could not be filled otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival, Window, between

Match = tuple[Arrival | None, ...]
"""The arrival of each slot, in slot order; None for a slot that the match leaves out."""

Slots = Sequence[Sequence[Arrival]]


def find_match(trigger: Trigger, window: Window, new: Arrival) -> Match | None:
    """Return the match that ``new`` completes, or None when it has to wait.

    Args:
        trigger: The trigger, with its ``within``.
        window: The window before ``new``; no complete set is in it.
        new: The arrival that came.

    """
    within = trigger.within or 0
    near = [_near(arrivals, new, trigger) for arrivals in window.waiting]
    near[new.slot] = (new,)
    if _filled(near) < trigger.require:
        return None
    backwards = trigger.collect == "latest"
    for start in _starts((arrival.time for slot in near for arrival in slot), new.time, within, backwards=backwards):
        together = tuple(between(slot, start, start + within) for slot in near)
        if _filled(together) < trigger.require:
            continue
        for candidates in _reach_intervals(together, new, trigger.span, backwards=backwards):
            match = _choose(candidates, new, trigger.require, backwards=backwards)
            if match is not None:
                return match
    return None


def _near(waiting: tuple[Arrival, ...], new: Arrival, trigger: Trigger) -> tuple[Arrival, ...]:
    within, span, reached = trigger.within or 0, trigger.span, new.reached
    arrivals = between(waiting, new.time - within, new.time + within)
    if all(abs(arrival.reached - reached) <= span for arrival in arrivals):
        return arrivals
    return tuple(arrival for arrival in arrivals if abs(arrival.reached - reached) <= span)


def _filled(slots: Slots) -> int:
    return sum(1 for slot in slots if slot)


def _starts(moments: Iterator[Micros], new: Micros, length: Micros, *, backwards: bool) -> list[Micros]:
    """Return the starts of the intervals of ``length`` that hold ``new``, in order of preference."""
    return sorted({moment for moment in moments if new - length <= moment <= new}, reverse=backwards)


def _reach_intervals(slots: Slots, new: Arrival, span: Micros, *, backwards: bool) -> Iterator[Slots]:
    """Yield the arrivals that reached us in one interval of ``span`` with ``new``, in order of preference."""
    reached = [arrival.reached for slot in slots for arrival in slot]
    if max(reached) - min(reached) <= span:
        yield slots
        return
    for start in _starts(iter(reached), new.reached, span, backwards=backwards):
        yield [[arrival for arrival in slot if start <= arrival.reached <= start + span] for slot in slots]


def _choose(slots: Slots, new: Arrival, require: int, *, backwards: bool) -> Match | None:
    """Let each slot in its order take the newest (or oldest) event that still lets ``require`` slots be filled."""
    # A slot is never pushed further than by one event for each other slot, so more candidates change nothing.
    ranked = [(slot[::-1] if backwards else slot)[:require] for slot in slots]
    ranked[new.slot] = [new]
    taken = {new.event}
    match: list[Arrival | None] = [None] * len(slots)
    match[new.slot] = new
    missing = require - 1
    others = [index for index in range(len(slots)) if index != new.slot]
    if _fillable([ranked[index] for index in others], taken) < missing:
        return None
    for position, index in enumerate(others):
        later = [ranked[other] for other in others[position + 1 :]]
        for candidate in ranked[index] if missing else ():
            if candidate.event not in taken and _fillable(later, taken | {candidate.event}) >= missing - 1:
                match[index] = candidate
                taken.add(candidate.event)
                missing -= 1
                break
    return tuple(match)


def _fillable(slots: Slots, taken: set[EventIdentity]) -> int:
    """Return how many of the slots can hold distinct events at once, none of them taken (augmenting paths)."""
    holder: dict[EventIdentity, int] = {}

    def place(slot: int, tried: set[EventIdentity]) -> bool:
        for arrival in slots[slot]:
            event = arrival.event
            if event in taken or event in tried:
                continue
            tried.add(event)
            if event not in holder or place(holder[event], tried):
                holder[event] = slot
                return True
        return False

    return sum(place(slot, set()) for slot in range(len(slots)))
