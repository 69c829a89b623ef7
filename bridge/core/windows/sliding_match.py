"""Which waiting arrivals, together with a new one, satisfy a condition with a sliding window.

Two arrivals fit when they happened within ``within`` of each other and reached us within ``within`` + ``grace`` of
each other; arrivals fit together when every two of them do. So all event times of a match lie in one closed interval
[t, t + within], and all its reached times in one closed interval of ``within`` + ``grace``. With ``reset`` they also
lie between the same two boundaries.

Before the new arrival no complete set exists (the one who stepped before took it); so a match always holds the new
arrival. ``latest`` takes the latest interval of event time that starts at an arrival and holds a complete set, and in
it the newest of each slot; ``first`` the earliest, and the oldest of each (:mod:`bridge.core.windows.selection`).
Reached times only rule sets out: they prefer none.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby

from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.selection import Slots, preference, select
from bridge.core.windows.window import Arrival, Match, Window, between


def find_match(trigger: Trigger, window: Window, new: Arrival) -> Match | None:
    """Return the match that ``new`` completes, or None when it has to wait.

    Args:
        trigger: The trigger, with its ``within``.
        window: The window before ``new``; no complete set is in it.
        new: The arrival that came, to a slot that is not absent.

    """
    if not trigger.is_plain:
        return _find_counted(trigger, window, new)
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
        return tuple(near) if _fit_together(trigger, only) else None
    return _best(trigger, near, new)


def _find_counted(trigger: Trigger, window: Window, new: Arrival) -> Match | None:
    """Find the match of a trigger with counts, an order, absent slots or resets."""
    within, reset = trigger.within or 0, trigger.window.reset if trigger.window is not None else None
    start, end = new.time - within, new.time + within
    if reset is not None:
        frame = frame_of(reset, new.time)
        start, end = max(start, frame[0]), min(end, frame[1] - 1)
    near = [
        () if slot.absent else between(waiting, start, end)
        for slot, waiting in zip(trigger.slots, window.waiting, strict=True)
    ]
    beside = list(near[new.slot]) if trigger.slots[new.slot].count > 1 else []
    insort(beside, new)
    near[new.slot] = tuple(beside)
    return _best(trigger, near, new) if _is_enough(trigger, near) else None


def _is_enough(trigger: Trigger, slots: Slots) -> bool:
    """Tell whether enough slots hold as many arrivals as they need."""
    filled = [1 for slot, there in zip(trigger.slots, slots, strict=True) if there and len(there) >= slot.count]
    return len(filled) >= trigger.require


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
        if not _is_enough(trigger, together):
            continue
        matches = [
            match
            for candidates in _reach_intervals(together, new, trigger.span)
            if (match := select(trigger, candidates)) is not None
        ]
        if matches:
            return min(matches, key=lambda match: preference(trigger, match))
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


def _time(arrival: Arrival) -> Micros:
    return arrival.time
