"""The kind ``within``: sliding windows.

An arrival completes a match, waits, or is ``superseded`` when a ``latest`` match has taken a newer one of its slot. A
match takes its events out of every slot of its trigger. ``first`` removes the arrivals that it used. ``latest`` removes
these and all older ones of the same slots, and marks how far it took. A match of a trigger with absent slots is not
over yet (:mod:`bridge.core.windows.absence`). Such a trigger has no marks: each match that it makes is an alarm, and an
event that reaches us late has the alarm that it would have had in time.

Time ends the wait of arrivals. An arrival that no event can complete any more is ``expired``, or ``reset`` when a
boundary came first. An arrival that comes behind its boundary and ``grace`` is ``reset`` at once, so that the decision
does not depend on the times of ticks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from typing_extensions import override

from bridge.core.decision import Decision, EvidenceOnDemand, Reason
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows import absence
from bridge.core.windows.boundaries import reset_boundary
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.sliding_match import find_match
from bridge.core.windows.window import Arrival, Frame, Mark, Match, Spent, Window, empty_window
from bridge.core.windows.window_step import (
    KEPT_FOR_EVIDENCE,
    RemovedArrivals,
    Step,
    decide,
    is_closed,
    missing,
    over_bound,
    refuse_arrival,
)

_NOTHING: dict[str, str] = {}
_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class Within(Kind):
    """Newest minus oldest event time of a match is at most a length."""

    name = "within"
    has_own_deadlines = True
    needs_partners = True
    closes = False

    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Complete a match, wait, or be superseded."""
        if not trigger.is_plain:
            boundary = reset_boundary(trigger, new.time)
            if boundary is not None and is_closed(boundary + trigger.grace, new, ticked):
                return refuse_arrival(trigger, window, key, new, Reason.RESET, {"boundary": time_text(boundary)})
            if trigger.slots[new.slot].absent:
                return absence.cancel(trigger, window, key, new) or self._wait(trigger, window, key, new, bound)
        mark = window.marks[new.slot]
        if mark is not None and new.age < mark:
            return refuse_arrival(trigger, window, key, new, Reason.SUPERSEDED, {"older_than": time_text(mark[0])})
        match = find_match(trigger, window, new)
        if match is None:
            return self._wait(trigger, window, key, new, bound)
        if not trigger.absent_slots:
            return _used(trigger, window, key, match, [new])
        removed = RemovedArrivals(trigger, key)
        until = max([arrival.reached for slot in match for arrival in slot]) + trigger.dedupe
        step = absence.pend(trigger, window, removed, new, match, until)
        _remove_passed_over(trigger, window, removed, match, until)
        leaving = [arrival for arrival, _ in removed.spent]
        if step.waits_for_absence is not None:
            leaving += step.waits_for_absence.arrivals
        left = step.window.without([arrival for arrival in leaving if arrival is not new])
        return step._replace(window=left, decisions=(*step.decisions, *removed.decisions), spent=tuple(removed.spent))

    def next_due(self, trigger: Trigger, window: Window, through: Micros | None) -> Micros | None:
        """Return when the first match that waits for an absence is due."""
        return window.pending[0].due if window.pending else None

    def end(self, trigger: Trigger, window: Window, key: str, through: Micros | None) -> Step:
        """End the first match that waits for an absence."""
        return absence.end(trigger, window, key)

    def retire(self, trigger: Trigger, window: Window, key: str) -> Step | None:
        """Cancel the matches that wait for an absence, then expire the waiting arrivals by offset."""
        if window.pending:
            return absence.end(trigger, window, key, is_retired=True)
        waiting = [arrival for slot in window.waiting for arrival in slot]
        if not waiting:
            return None
        return self.expire(trigger, window, key, min(waiting, key=attrgetter("offset")), is_retired=True)

    def deadline(self, trigger: Trigger, arrival: Arrival) -> Micros:
        """Return the end of ``within`` and ``grace``, or of ``grace`` after the boundary that comes first."""
        end = arrival.reached + trigger.span
        boundary = None if trigger.is_plain else reset_boundary(trigger, arrival.time)
        return end if boundary is None else min(end, boundary + trigger.grace)

    def expire(self, trigger: Trigger, window: Window, key: str, arrival: Arrival, *, is_retired: bool = False) -> Step:
        """End the wait of an arrival whose deadline a tick has passed, or whose trigger has changed."""
        end, reason = self.deadline(trigger, arrival), Reason.EXPIRED
        if is_retired:
            evidence = {"because": "the trigger changed, or is gone"}
        elif end < arrival.reached + trigger.span:
            reason, evidence = Reason.RESET, {"boundary": time_text(end - trigger.grace)}
        else:
            evidence = {"missing": missing(trigger, window.waiting, arrival.slot), "deadline": time_text(end)}
        spent = Spent(*arrival.age, end + trigger.dedupe, reason)
        decision = decide(trigger, key, arrival, reason, evidence)
        return Step(window.without((arrival,)), (decision,), spent=((arrival, spent),))

    def forget(self, window: Window, slot: int, spent: Spent) -> Window:
        """Take away the mark, or the age of a cancelling arrival, that rested on the identity."""
        age = (spent.time, spent.offset)
        mark = window.marks[slot]
        if mark is not None and mark[:2] == age:
            return window.with_mark(slot, None)
        if age in window.cancelling:
            return window._replace(cancelling=tuple([other for other in window.cancelling if other != age]))
        return window

    def restore(
        self, trigger: Trigger, window: Window, waiting: Sequence[Arrival], spent: Sequence[tuple[int, Spent]]
    ) -> Window:
        """Restore the marks, and the arrivals at absent slots that have cancelled matches."""
        if not spent:
            return window
        cancelling = [
            (taken.time, taken.offset)
            for slot, taken in spent
            if trigger.slots[slot].absent and taken.fate is Reason.MATCHED
        ]
        window = window._replace(cancelling=tuple(sorted(cancelling)))
        if trigger.collect != "latest" or trigger.absent_slots:
            return window
        newest: dict[int, Mark] = {}
        for slot, taken in spent:
            mark = (taken.time, taken.offset, taken.until)
            newest[slot] = max(mark, newest.get(slot, mark))
        return window._replace(marks=tuple([newest.get(slot) for slot in range(len(trigger.slots))]))

    def force(self, trigger: Trigger, window: Window, key: str, match: Match) -> Step:
        """Use up the events of the match, and remove and mark what a match of them removes and marks."""
        return _used(trigger, window, key, match, [arrival for slot in match for arrival in slot])

    def reaches_back(self, trigger: Trigger) -> Micros:
        """Return the length and ``grace``; twice that with absent events."""
        return trigger.span * (2 if trigger.absent_slots else 1)

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the last event reached us, or when an absence was complete."""
        return max(reached, event_time + trigger.span) if trigger.absent_slots else reached

    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return the length and ``grace``; twice that with absent events."""
        return (plan.length + grace) * (2 if has_absent else 1)

    def _wait(self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int) -> Step:
        if window.size >= bound:
            return over_bound(trigger, window, key, new, bound)
        waiting = _Waiting(trigger, window, new, self.deadline(trigger, new))
        evidence = waiting if window.size <= KEPT_FOR_EVIDENCE else waiting.made()
        return Step(window.with_arrival(new), (decide(trigger, key, new, Reason.WAITING, evidence),), kept=new)


def step_alone(trigger: Trigger, lone: Arrival | None, key: str, new: Arrival) -> Step | None:
    """Return the step of an arrival in a plain window in which nothing waits or is remembered but one arrival.

    It is the step that the rules make (:func:`bridge.core.windows.apply.apply_arrival`), in a quarter of their time:
    nearly all arrivals with keys are the first of their window, or complete a pair.

    Args:
        trigger: The definition that the arrival carries; a plain window.
        lone: The arrival that waits alone; None in an empty window.
        key: The correlation key in canonical text.
        new: The arrival.

    Returns:
        The step; None where only the rules as a whole tell.

    """
    require, slots = trigger.require, trigger.slots
    if lone is None:
        if require == 1:
            return None
        empty = empty_window(len(slots))
        waiting = list(empty.waiting)
        waiting[new.slot] = (new,)
        evidence = _Waiting(trigger, empty, new, new.reached + trigger.span)
        about = (Reason.WAITING, trigger.identity, slots[new.slot].variable, new.event, key, evidence)
        window = _new_tuple(Window, (tuple(waiting), *empty[1:]))
        return _new_tuple(Step, (window, (_new_tuple(Decision, about),), new, (), None, None, None, None, False))
    if (
        require != 2  # noqa: PLR2004 - a pair
        or lone.slot == new.slot
        or lone.event == new.event
        or abs(lone.time - new.time) > (trigger.within or 0)
        or abs(lone.reached - new.reached) > trigger.span
    ):
        return None
    until = max(lone.reached, new.reached) + trigger.dedupe
    match: list[tuple[Arrival, ...]] = [()] * len(slots)
    match[lone.slot], match[new.slot] = (lone,), (new,)
    window = empty_window(len(slots))
    if trigger.collect == "latest":
        marks: list[Mark | None] = [None] * len(slots)
        marks[lone.slot], marks[new.slot] = (lone.time, lone.offset, until), (new.time, new.offset, until)
        window = _new_tuple(Window, (window.waiting, tuple(marks), *window[2:]))
    decisions, spent = [], []
    for arrival in (lone, new) if lone.slot < new.slot else (new, lone):
        variable = slots[arrival.slot].variable
        fields = (Reason.MATCHED, trigger.identity, variable, arrival.event, key, _NOTHING)
        decisions.append(_new_tuple(Decision, fields))
        spent.append((arrival, _new_tuple(Spent, (arrival.time, arrival.offset, until, Reason.MATCHED))))
    return _new_tuple(Step, (window, tuple(decisions), None, tuple(spent), tuple(match), None, None, None, False))


class _Waiting(EvidenceOnDemand):
    """What an arrival waits for, and until when."""

    __slots__ = ("_deadline", "_new", "_trigger", "_window")

    def __init__(self, trigger: Trigger, window: Window, new: Arrival, deadline: Micros) -> None:
        self._trigger = trigger
        self._window = window
        self._new = new
        self._deadline = deadline

    @override
    def made(self) -> dict[str, str]:
        lacking = missing(self._trigger, self._window.waiting, self._new.slot)
        return {"for": lacking or "an event that happened closer to it", "until": time_text(self._deadline)}


def _used(trigger: Trigger, window: Window, key: str, match: Match, outside: Sequence[Arrival]) -> Step:
    """Return the step of a match that uses its arrivals; those ``outside`` are not in the window."""
    used = [arrival for slot in match for arrival in slot]
    until, is_latest = max([arrival.reached for arrival in used]) + trigger.dedupe, trigger.collect == "latest"
    has_marks = is_latest and not trigger.absent_slots
    if has_marks and any(window.marks):  # a mark goes with its identity: no older one may be remembered for longer
        until = max([until, *[mark[2] for slot, mark in zip(match, window.marks, strict=True) if slot and mark]])
    removed = RemovedArrivals(trigger, key)
    removed.remove(used, Reason.MATCHED, {}, until)
    _remove_passed_over(trigger, window, removed, match, until)
    left = window.without([arrival for arrival, _ in removed.spent if arrival not in outside])
    if has_marks:
        marks = [
            (slot[-1].time, slot[-1].offset, until) if slot else mark
            for slot, mark in zip(match, left.marks, strict=True)
        ]
        left = Window(left.waiting, tuple(marks), left.pending, left.cancelling, left.fired, left.groups)
    return Step(left, tuple(removed.decisions), spent=tuple(removed.spent), match=match)


def _remove_passed_over(
    trigger: Trigger, window: Window, removed: RemovedArrivals, match: Match, until: Micros
) -> None:
    """Let the waiting arrivals leave that a match removes without using them."""
    slots = zip(window.waiting, match, strict=True)
    others = [(waiting, used) for waiting, used in slots if waiting and waiting != used]
    if not others:  # as mostly with keys
        return
    at = {arrival.event: arrival.slot for slot in match for arrival in slot}
    for waiting, used in others:
        older = bisect_left(waiting, used[-1]) if used and trigger.collect == "latest" else 0
        for position, arrival in enumerate(waiting):
            if arrival in used:
                continue
            if arrival.event in at:
                evidence = {"used_at": trigger.slots[at[arrival.event]].variable}
                removed.remove((arrival,), Reason.SUPERSEDED, evidence, until)
            elif position < older:
                removed.remove((arrival,), Reason.SUPERSEDED, {"by": used[-1].event.text()}, until)
