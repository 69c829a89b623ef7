"""Sessions, batches, and what settles: arrivals gather in groups, and each group ends as a whole.

=========== ======================================= ==============================================================
kind        what belongs to one group               what ends it
=========== ======================================= ==============================================================
``session`` event times that follow each other by   a tick at its newest event time + gap + ``grace``, or at
            at most the gap                         ``maxWait`` after the first of it reached us
``batch``   whatever comes                          the arrival that makes its size full, or a tick at ``wait``
                                                    after the first of it reached us
``settle``  whatever comes                          a tick when for so long nothing reached us, or at ``maxWait``
                                                    after the first of it reached us
=========== ======================================= ==============================================================

An arrival between two sessions makes them one. With ``reset`` no group reaches across a boundary, and a tick at the
boundary + ``grace`` resets what has not ended before it. An arrival is ``late`` when the session that it would belong
to would be over by event time, or a tick has come to that; ``reset`` when its boundary is over. Only ticks enforce
``wait``, ``settle`` and ``maxWait``, so that a backlog makes groups larger, but loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.core.boundaries import FAR_AHEAD, LONG_AGO, frame_of
from bridge.core.closing import close
from bridge.core.decision import Reason
from bridge.core.event import Micros, time_text
from bridge.core.fate import Leaving, Step, decide, missing, over_bound, refused
from bridge.core.sliding import is_closed
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.window import Arrival, Frame, Group, Window, all_between


def arrive(trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None) -> Step:
    """Apply one arrival of an event that is new at its slot."""
    plan = plan_of(trigger)
    frame = _frame(plan, new.time)
    if plan.reset is not None and is_closed(frame[1] + trigger.grace, new, ticked):
        return refused(trigger, window, key, new, Reason.RESET, {"boundary": time_text(frame[1])})
    group, others = join(plan, window.groups, new)
    if plan.kind == "session":
        end = group.newest + plan.length + trigger.grace
        if is_closed(end, new, ticked):
            return refused(trigger, window, key, new, Reason.LATE, {"session_closed": time_text(end)})
    if plan.kind == "batch" and plan.size is not None:
        held = all_between(window, group.oldest, group.newest)
        if sum(map(len, held)) + 1 >= plan.size:
            gathered = all_between(window.with_arrival(new), group.oldest, group.newest)
            return close(trigger, window._replace(groups=others), key, gathered, new.reached, new=new)
    if window.size >= bound:
        return over_bound(trigger, window, key, new, bound)
    left = window.with_arrival(new)._replace(groups=tuple(sorted((*others, group))))
    due = _due(trigger, plan, group)
    lacking = missing(trigger, all_between(left, group.oldest, group.newest)) or f"the {plan.kind} to end"
    evidence = {"for": lacking, "until": time_text(due) if due < FAR_AHEAD else "it is full"}
    return Step(left, (decide(trigger, key, new, Reason.WAITING, evidence),), kept=new)


def next_due(trigger: Trigger, window: Window) -> Micros | None:
    """Return when the first group ends by a tick; None if there is none.

    A batch that waits for its size alone is due when time ends (:data:`bridge.core.boundaries.FAR_AHEAD`).
    """
    plan = plan_of(trigger)
    return min([_due(trigger, plan, one) for one in window.groups], default=None)


def end(trigger: Trigger, window: Window, key: str, *, is_retired: bool = False) -> Step:
    """End the group that is the first to end by a tick, or any, when its trigger has changed."""
    if not window.groups:
        return Step(window, ())
    plan = plan_of(trigger)
    due, group = min([(_due(trigger, plan, one), one) for one in window.groups])
    gathered = all_between(window, group.oldest, group.newest)
    left = window._replace(groups=tuple([one for one in window.groups if one != group]))
    if is_retired:
        at = group.last if due == FAR_AHEAD else due
        return close(trigger, left, key, gathered, at, because="the trigger changed, or is gone")
    if due < _end(trigger, plan, group):
        leaving, boundary = Leaving(trigger, key), time_text(due - trigger.grace)
        everything = [one for slot in gathered for one in slot]
        leaving.leave(everything, Reason.RESET, {"boundary": boundary}, due + trigger.dedupe)
        return leaving.step(left)
    return close(trigger, left, key, gathered, due)


def grouped(trigger: Trigger, arrivals: Iterable[Arrival]) -> tuple[Group, ...]:
    """Return the groups of all that waits in a window."""
    plan = plan_of(trigger)
    groups: tuple[Group, ...] = ()
    for arrival in sorted(arrivals):
        group, others = join(plan, groups[-1:], arrival)  # in order of event time, it can only belong to the last one
        groups = (*groups[:-1], *others, group)
    return groups


def join(plan: WindowPlan, groups: tuple[Group, ...], new: Arrival) -> tuple[Group, tuple[Group, ...]]:
    """Return the group that an arrival makes with those that it belongs to, and the other groups."""
    start, last = _frame(plan, new.time)
    if plan.kind == "session":
        start, last = max(start, new.time - plan.length), min(last, new.time + plan.length + 1)
    joined = [one for one in groups if one.newest >= start and one.oldest < last]
    group = Group(
        min([new.time, *[one.oldest for one in joined]]),
        max([new.time, *[one.newest for one in joined]]),
        min([new.reached, *[one.first for one in joined]]),
        max([new.reached, *[one.last for one in joined]]),
    )
    return group, tuple([one for one in groups if one not in joined])


def plan_of(trigger: Trigger) -> WindowPlan:
    """Return how a trigger's arrivals gather."""
    if trigger.window is None:
        raise ValueError(f"{trigger.identity} has no window")
    return trigger.window


def _due(trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
    """Return when a group ends, or is reset, by a tick."""
    end = _end(trigger, plan, group)
    return end if plan.reset is None else min(end, _frame(plan, group.oldest)[1] + trigger.grace)


def _end(trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
    if plan.kind == "batch":
        return group.first + plan.length if plan.length else FAR_AHEAD
    quiet = group.newest + plan.length + trigger.grace if plan.kind == "session" else group.last + plan.length
    return quiet if plan.max_wait is None else min(quiet, group.first + plan.max_wait)


def _frame(plan: WindowPlan, time: Micros) -> Frame:
    return frame_of(plan.reset, time) if plan.reset is not None else (LONG_AGO, FAR_AHEAD)
