"""Which waiting arrivals, together with a new one, satisfy a condition.

Two arrivals fit when they happened within ``within`` of each other and reached us within ``within`` + ``grace`` of
each other; arrivals fit together when every two of them do. So all event times of a match lie in one closed interval
[t, t + within], and all its reached times in one closed interval of ``within`` + ``grace``.

Before the new arrival no complete set exists (the one who stepped before took it); so a match always holds the new
arrival. ``latest`` takes the latest interval of event time that starts at an arrival and holds a complete set, and in
it the newest of each slot; ``first`` the earliest, and the oldest of each. Reached times only rule sets out: they
prefer none. The slots choose in their order; slots of one match hold distinct events, so a slot leaves an event to a
later slot that could not be filled otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby

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
    require = trigger.require
    if _filled(window.waiting) + (not window.waiting[new.slot]) < require:
        return None
    within = trigger.within or 0
    near = [between(waiting, new.time - within, new.time + within) for waiting in window.waiting]
    near[new.slot] = (new,)
    only = [slot[0] for slot in near if slot]
    if len(only) < require:
        return None
    if len(only) == require == sum(map(len, near)):  # the usual case with keys: nothing to choose
        return tuple(slot[0] if slot else None for slot in near) if _fit_together(trigger, only) else None
    return _best(trigger, near, new)


def _fit_together(trigger: Trigger, arrivals: Sequence[Arrival]) -> bool:
    """Tell whether distinct events fit together."""
    times = [arrival.time for arrival in arrivals]
    return (
        max(times) - min(times) <= (trigger.within or 0)
        and not _is_apart(arrivals, trigger.span)
        and len({arrival.event for arrival in arrivals}) == len(arrivals)
    )


def _is_apart(arrivals: Sequence[Arrival], span: Micros) -> bool:
    """Tell whether some two of the arrivals reached us further apart than ``span``."""
    reached = [arrival.reached for arrival in arrivals]
    return max(reached) - min(reached) > span


def _filled(slots: Slots) -> int:
    return len([1 for slot in slots if slot])


def _best(trigger: Trigger, near: list[tuple[Arrival, ...]], new: Arrival) -> Match | None:
    within, backwards = trigger.within or 0, trigger.collect == "latest"
    near = [_reached_near(slot, new, trigger.span) for slot in near]
    for start in _starts(near, new.time, within, backwards=backwards):
        together = [between(slot, start, start + within) for slot in near]
        if _filled(together) < trigger.require:
            continue
        matches = [
            match
            for candidates in _reach_intervals(together, new, trigger.span)
            if (match := _choose(candidates, new, trigger.require, backwards=backwards)) is not None
        ]
        if matches:
            return min(matches, key=lambda match: _preference(match, backwards=backwards))
    return None


def _reached_near(slot: tuple[Arrival, ...], new: Arrival, span: Micros) -> tuple[Arrival, ...]:
    if not _is_apart((new, *slot), span):
        return slot
    return tuple(arrival for arrival in slot if abs(arrival.reached - new.reached) <= span)


def _starts(near: list[tuple[Arrival, ...]], new: Micros, within: Micros, *, backwards: bool) -> Iterator[Micros]:
    """Yield the starts of the intervals of ``within`` that hold ``new``, in order of preference."""
    slots = [between(slot, new - within, new) for slot in near]
    if backwards:
        slots = [slot[::-1] for slot in slots]
    ordered = merge(*slots, key=_time, reverse=backwards)  # lazily: mostly the first one does
    return (time for time, _ in groupby(ordered, key=_time))


def _reach_intervals(slots: Slots, new: Arrival, span: Micros) -> Iterator[Slots]:
    """Yield the arrivals that reached us in one interval of ``span`` with ``new``, for each such interval."""
    arrivals = [arrival for slot in slots for arrival in slot]
    if not _is_apart(arrivals, span):
        yield slots
        return
    for start in {arrival.reached for arrival in arrivals if arrival.reached <= new.reached}:
        yield [[arrival for arrival in slot if start <= arrival.reached <= start + span] for slot in slots]


def _preference(match: Match, *, backwards: bool) -> list[tuple[bool, Micros, int]]:
    """Return what orders matches of one interval: by slot, filled before left out, then the newest (or oldest)."""
    sign = -1 if backwards else 1
    return [(False, sign * one.time, sign * one.offset) if one else (True, 0, 0) for one in match]


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


def _time(arrival: Arrival) -> Micros:
    return arrival.time
