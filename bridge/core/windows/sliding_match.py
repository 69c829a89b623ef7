"""Which waiting arrivals, together with a new one, satisfy a condition with a sliding window.

Two arrivals fit when they happened within ``within`` of each other and reached us within ``within`` + ``grace`` of
each other; arrivals fit together when every two of them do. So all event times of a match lie in one closed interval
[t, t + within], and all its reached times in one closed interval of ``within`` + ``grace``. With ``reset`` they also
lie between the same two boundaries.

Before the new arrival no complete set exists, because the step before took it. So a match always holds the new
arrival. ``latest`` takes the latest interval of event time that starts at an arrival and holds a complete set, and in
it the newest of each slot; ``first`` the earliest, and the oldest of each (:mod:`bridge.core.windows.selection`).
Reached times only rule sets out: they prefer none.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
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
    require, within = trigger.require, trigger.within or 0
    if require > 1 and not any(window.waiting):
        return None
    if not trigger.is_plain:  # with counts, an order, absent slots or resets
        start, end = new.time - within, new.time + within
        if trigger.window is not None and trigger.window.reset is not None:
            frame = frame_of(trigger.window.reset, new.time)
            start, end = max(start, frame[0]), min(end, frame[1] - 1)
        near = [
            () if slot.absent else between(waiting, start, end)
            for slot, waiting in zip(trigger.slots, window.waiting, strict=True)
        ]
        arrivals = list(near[new.slot]) if trigger.slots[new.slot].count > 1 else []
        insort(arrivals, new)
        near[new.slot] = tuple(arrivals)
        if not _is_enough(trigger, near):
            return None
        everything = [arrival for slot in near for arrival in slot]
        needs = [slot.count for slot, held in zip(trigger.slots, near, strict=True) if held]
        if len(needs) > require or len(everything) > sum(needs):
            return _best(trigger, near, new)
        times = [arrival.time for arrival in everything]  # the usual case with keys: nothing to choose
        is_apart = max(times) - min(times) > within or _is_apart(everything, trigger.span)
        return None if is_apart else select(trigger, near)
    if len([1 for slot in window.waiting if slot]) + (not window.waiting[new.slot]) < require:
        return None
    near = [between(waiting, new.time - within, new.time + within) for waiting in window.waiting]
    near[new.slot] = (new,)
    only = [slot[0] for slot in near if slot]
    if len(only) < require:
        return None
    if len(only) == require == sum(map(len, near)):  # the usual case with keys: nothing to choose
        times = [arrival.time for arrival in only]
        if max(times) - min(times) > within or _is_apart(only, trigger.span):
            return None
        return tuple(near) if len({arrival.event for arrival in only}) == require else None
    return _best(trigger, near, new)


def _is_enough(trigger: Trigger, slots: Slots) -> bool:
    """Tell whether enough slots hold as many arrivals as they need."""
    pairs = zip(trigger.slots, slots, strict=True)
    filled = [1 for slot, arrivals in pairs if arrivals and len(arrivals) >= slot.count]
    return len(filled) >= trigger.require


def _is_apart(arrivals: Sequence[Arrival], span: Micros) -> bool:
    """Tell whether some two of the arrivals reached us further apart than ``span``."""
    reached = [arrival.reached for arrival in arrivals]
    return max(reached) - min(reached) > span


def _best(trigger: Trigger, near: list[tuple[Arrival, ...]], new: Arrival) -> Match | None:
    within, span, backwards = trigger.within or 0, trigger.span, trigger.collect == "latest"
    near = [
        slot
        if not _is_apart((new, *slot), span)
        else tuple([arrival for arrival in slot if abs(arrival.reached - new.reached) <= span])
        for slot in near
    ]
    # The intervals of `within` that hold the new arrival, in order of preference: each starts at an arrival.
    before = [between(slot, new.time - within, new.time) for slot in near]
    if backwards:
        before = [slot[::-1] for slot in before]
    ordered = merge(*before, key=_time, reverse=backwards)  # lazily: mostly the first one does
    for start, _ in groupby(ordered, key=_time):
        together = [between(slot, start, start + within) for slot in near]
        if not _is_enough(trigger, together):
            continue
        arrivals = [arrival for slot in together for arrival in slot]
        choices: list[Slots] = [together]
        if _is_apart(arrivals, span):  # then a choice for each interval of `span` that the new arrival reached us in
            choices = [
                [[arrival for arrival in slot if first <= arrival.reached <= first + span] for slot in together]
                for first in {arrival.reached for arrival in arrivals if arrival.reached <= new.reached}
            ]
        matches = [match for candidates in choices if (match := select(trigger, candidates)) is not None]
        if matches:
            return min(matches, key=lambda match: preference(trigger, match))
    return None


def _time(arrival: Arrival) -> Micros:
    return arrival.time
