"""What an arrival, or time, does to a window.

An arrival is decided ``duplicate`` (its identity is known at its slot), ``superseded`` (older than what a ``latest``
match has taken, or its event was used at another slot), ``over-bound``, ``waiting``, or it completes a match.
A match takes its events out of every slot of its trigger. ``first`` removes the arrivals that it used; ``latest``
removes these and all older ones of the same slots, and marks how far it took.

Time ends what waits: an arrival that no event can complete any more is ``expired``, and identities are forgotten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import Micros, time_text
from bridge.core.match import Match, find_match
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival, Spent, Window

Known = Mapping[int, Spent | Arrival]
"""By slot: what is known of an event's identity, waiting or spent."""


class Step(NamedTuple):
    """What became of a window.

    Attributes:
        window: The window afterwards.
        decisions: What became of which event.
        kept: The arrival that waits now, if the new one does.
        spent: Arrivals that have left (or never entered) the window and are to be remembered.
        match: The match, if there is one.

    """

    window: Window
    decisions: tuple[Decision, ...]
    kept: Arrival | None = None
    spent: tuple[tuple[Arrival, Spent], ...] = ()
    match: Match | None = None


def step(trigger: Trigger, window: Window, key: str, new: Arrival, known: Known, *, bound: int = 10_000) -> Step:
    """Apply one arrival to its window.

    Args:
        trigger: The definition that the arrival carries.
        window: The window of its correlation key.
        key: The correlation key in canonical text.
        new: The arrival.
        known: What is remembered of the same event at each slot.
        bound: How many arrivals may wait in one window.

    """
    if known:
        if new.slot in known:
            return Step(window, (_decide(trigger, key, new, Reason.DUPLICATE, _duplicate_of(known[new.slot])),))
        for slot, one in known.items():
            if isinstance(one, Spent) and one.fate is Reason.MATCHED:
                return _superseded(trigger, window, key, new, {"used_at": trigger.slots[slot].variable})
    mark = window.marks[new.slot]
    if mark is not None and new.age < mark:
        return _superseded(trigger, window, key, new, {"older_than": time_text(mark[0])})
    match = find_match(trigger, window, new)
    if match is not None:
        return _take(trigger, window, key, new, match)
    if window.size >= bound:
        return Step(window, (_decide(trigger, key, new, Reason.OVER_BOUND, {"bound": str(bound)}),))
    missing = _missing(trigger, window, new.slot)
    evidence = {"for": missing or "an event in time", "until": time_text(deadline(trigger, new))}
    return Step(window.with_arrival(new), (_decide(trigger, key, new, Reason.WAITING, evidence),), kept=new)


def deadline(trigger: Trigger, arrival: Arrival) -> Micros:
    """Return the reached time after which no event can match this arrival any more."""
    return arrival.reached + trigger.span


def expire(trigger: Trigger, window: Window, key: str, arrival: Arrival) -> Step:
    """End the wait of an arrival whose deadline a tick has passed."""
    end = deadline(trigger, arrival)
    evidence = {"missing": _missing(trigger, window, arrival.slot), "deadline": time_text(end)}
    decision = _decide(trigger, key, arrival, Reason.EXPIRED, evidence)
    spent = Spent(*arrival.age, end + trigger.dedupe, Reason.EXPIRED)
    return Step(window.without((arrival,)), (decision,), spent=((arrival, spent),))


def forget(window: Window, slot: int, spent: Spent) -> Window:
    """Return the window after an identity of it was forgotten, and with it the mark that rested on it."""
    if window.marks[slot] == (spent.time, spent.offset):
        return window.with_mark(slot, None)
    return window


def _missing(trigger: Trigger, window: Window, besides: int) -> str:
    """Return the slots in which nothing waits, ``besides`` one."""
    slots = zip(trigger.slots, window.waiting, strict=True)
    return ", ".join(
        [slot.variable for at, (slot, waiting) in enumerate(slots) if not waiting and at != besides],
    )


def _superseded(trigger: Trigger, window: Window, key: str, new: Arrival, evidence: dict[str, str]) -> Step:
    spent = Spent(*new.age, new.reached + trigger.dedupe, Reason.SUPERSEDED)
    return Step(window, (_decide(trigger, key, new, Reason.SUPERSEDED, evidence),), spent=((new, spent),))


def _take(trigger: Trigger, window: Window, key: str, new: Arrival, match: Match) -> Step:
    used = [arrival for arrival in match if arrival is not None]
    until = max(arrival.reached for arrival in used) + trigger.dedupe
    spent = [(arrival, Spent(arrival.time, arrival.offset, until, Reason.MATCHED)) for arrival in used]
    decisions = [_decide(trigger, key, arrival, Reason.MATCHED, {}) for arrival in used]
    for arrival, evidence in _passed_over(trigger, window, match):
        spent.append((arrival, Spent(arrival.time, arrival.offset, until, Reason.SUPERSEDED)))
        decisions.append(_decide(trigger, key, arrival, Reason.SUPERSEDED, evidence))
    left = window.without(arrival for arrival, _ in spent if arrival is not new)
    if trigger.collect == "latest":
        marks = (one.age if one is not None else mark for one, mark in zip(match, window.marks, strict=True))
        left = Window(left.waiting, tuple(marks))
    return Step(left, tuple(decisions), spent=tuple(spent), match=match)


def _passed_over(trigger: Trigger, window: Window, match: Match) -> list[tuple[Arrival, dict[str, str]]]:
    """Return the waiting arrivals that a match removes without using them, with the reason."""
    passed = []
    for slot, waiting in zip(trigger.slots, window.waiting, strict=True):
        if not waiting:
            continue
        used = match[waiting[0].slot]
        if waiting == (used,):
            continue
        older = bisect_left(waiting, used) if used is not None and trigger.collect == "latest" else 0
        elsewhere = {
            one.event: trigger.slots[one.slot].variable
            for one in match
            if one is not None and one is not used and trigger.slots[one.slot].event == slot.event
        }
        for position, arrival in enumerate(waiting if elsewhere else waiting[:older]):
            if arrival.event in elsewhere:
                passed.append((arrival, {"used_at": elsewhere[arrival.event]}))
            elif used is not None and position < older:
                passed.append((arrival, {"by": used.event.text()}))
    return passed


def _duplicate_of(known: Spent | Arrival) -> dict[str, str]:
    return {"duplicate_of": str(known.offset), "which_is": known.fate if isinstance(known, Spent) else Reason.WAITING}


def _decide(trigger: Trigger, key: str, arrival: Arrival, reason: Reason, evidence: Mapping[str, str]) -> Decision:
    return Decision(reason, trigger.identity, trigger.slots[arrival.slot].variable, arrival.event, key, evidence)
