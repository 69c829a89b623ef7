"""Sessions, batches and `settle`: arrivals form groups, and each group ends as a whole.

=========== ======================================= ==============================================================
kind        events of one group                     its end
=========== ======================================= ==============================================================
``session`` event times that follow each other by   a tick at its newest event time + gap + ``grace``, or at
            at most the gap                         ``maxWait`` after the first of it reached us
``batch``   all that come                           the arrival that makes its size full, or a tick at ``wait``
                                                    after the first of it reached us
``settle``  all that come                           a tick when no event reached us for that long, or at
                                                    ``maxWait`` after the first of it reached us
=========== ======================================= ==============================================================

An arrival between two sessions makes them one. With ``reset`` no group reaches across a boundary, and a tick at the
boundary + ``grace`` resets the groups that have not ended before it. An arrival is ``late`` when the session that it
would belong to would be over by event time, or by a tick. It is ``reset`` when its boundary is over. Only ticks enforce
``wait``, ``settle`` and ``maxWait``, so that a backlog makes groups larger, but loses nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from typing_extensions import override

from bridge.core.decision import EvidenceOnDemand, Reason
from bridge.core.event import HOUR, Micros, time_text
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.boundaries import FAR_AHEAD, LONG_AGO, frame_of
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.window import Arrival, Frame, Group, Spent, Window, all_between
from bridge.core.windows.window_close import close_window
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


class GroupKind(Kind):
    """A kind of window in which arrivals gather in groups. Each kind says how far a group reaches and when it ends."""

    default_collect = "all"
    takes_absent = False

    def reach(self, plan: WindowPlan, time: Micros) -> Frame:
        """Return from which event time on, and before which, a group belongs to an arrival of this event time."""
        return _frame(plan, time)

    def closes_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros | None:
        """Return the time after which an arrival is late for the group that it makes; None if it is never late."""
        return None

    def size_of(self, plan: WindowPlan) -> int | None:
        """Return how many arrivals make a group full; None without a bound."""
        return None

    @abstractmethod
    def ends_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
        """Return when a group ends by a tick, without regard to ``reset``."""

    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Join a group, complete it, or be refused because it is over."""
        plan = self.plan_of(trigger)
        frame = _frame(plan, new.time)
        if plan.reset is not None and is_closed(frame[1] + trigger.grace, new, ticked):
            return refuse_arrival(trigger, window, key, new, Reason.RESET, {"boundary": time_text(frame[1])})
        group, others = self._join(plan, window.groups, new)
        closed = self.closes_at(trigger, plan, group)
        if closed is not None and is_closed(closed, new, ticked):
            return refuse_arrival(trigger, window, key, new, Reason.LATE, {f"{self.name}_closed": time_text(closed)})
        size = self.size_of(plan)
        if size is not None:
            held = all_between(window, group.oldest, group.newest)
            if sum(map(len, held)) + 1 >= size:
                gathered = all_between(window.with_arrival(new), group.oldest, group.newest)
                return close_window(trigger, window.with_groups(others), key, gathered, new.reached, new=new)
        if window.size >= bound:
            return over_bound(trigger, window, key, new, bound)
        groups = tuple(sorted((*others, group))) if others else (group,)
        left = window.with_arrival(new).with_groups(groups)
        waiting = _Gathering(self.name, trigger, left, group, self._due(trigger, plan, group))
        evidence = waiting if window.size <= KEPT_FOR_EVIDENCE else waiting.made()
        return Step(left, (decide(trigger, key, new, Reason.WAITING, evidence),), kept=new)

    def next_due(self, trigger: Trigger, window: Window, through: Micros | None) -> Micros | None:
        """Return when the first group ends by a tick; None if there is none.

        A batch that waits for its size alone is due when time ends (:data:`bridge.core.windows.boundaries.FAR_AHEAD`).
        """
        if not window.groups:
            return None
        plan, groups = self.plan_of(trigger), window.groups
        if len(groups) == 1:  # nearly always
            return self._due(trigger, plan, groups[0])
        return min([self._due(trigger, plan, group) for group in groups])

    def end(self, trigger: Trigger, window: Window, key: str, through: Micros | None) -> Step:
        """End the group that is the first to end by a tick."""
        if not window.groups:
            return Step(window, ())
        plan = self.plan_of(trigger)
        due, group, gathered, left = self._first(trigger, plan, window)
        if due < self.ends_at(trigger, plan, group):
            removed, boundary = RemovedArrivals(trigger, key), time_text(due - trigger.grace)
            everything = [arrival for slot in gathered for arrival in slot]
            removed.remove(everything, Reason.RESET, {"boundary": boundary}, due + trigger.dedupe)
            return removed.step(left)
        return close_window(trigger, left, key, gathered, due)

    def retire(self, trigger: Trigger, window: Window, key: str) -> Step | None:
        """End the first group with the arrivals that it holds."""
        if not window.groups:
            return None
        due, group, gathered, left = self._first(trigger, self.plan_of(trigger), window)
        at = group.last if due == FAR_AHEAD else due
        return close_window(trigger, left, key, gathered, at, because="the trigger changed, or is gone")

    def can_be_forced(self, trigger: Trigger) -> bool:
        """Return whether a match takes its whole group, so that it passes nothing over."""
        return trigger.collect == "all"

    def restore(
        self, trigger: Trigger, window: Window, waiting: Sequence[Arrival], spent: Sequence[tuple[int, Spent]]
    ) -> Window:
        """Restore how the waiting arrivals are grouped."""
        plan = self.plan_of(trigger)
        groups: tuple[Group, ...] = ()
        for arrival in sorted(waiting):  # in order of event time, an arrival can only belong to the last group
            group, others = self._join(plan, groups[-1:], arrival)
            groups = (*groups[:-1], *others, group)
        return window._replace(groups=groups)

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the wait after the last arrival was over."""
        return reached + self.plan_of(trigger).length

    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return the length or ``maxWait``, and ``grace``; an hour and ``grace`` for a batch without a wait."""
        return max(plan.length or HOUR, plan.max_wait or 0) + grace

    @staticmethod
    def plan_of(trigger: Trigger) -> WindowPlan:
        """Return how a trigger's arrivals gather."""
        if trigger.window is None:
            raise ValueError(f"{trigger.identity} has no window")
        return trigger.window

    def _first(
        self, trigger: Trigger, plan: WindowPlan, window: Window
    ) -> tuple[Micros, Group, tuple[tuple[Arrival, ...], ...], Window]:
        """Return when the first group is due, the group, its arrivals, and the window without the group."""
        if len(window.groups) == 1:  # nearly always, and all that waits is of it
            group = window.groups[0]
            return self._due(trigger, plan, group), group, window.waiting, window.with_groups(())
        due, group = min([(self._due(trigger, plan, group), group) for group in window.groups])
        gathered = all_between(window, group.oldest, group.newest)
        return due, group, gathered, window.with_groups(tuple([other for other in window.groups if other != group]))

    def _join(self, plan: WindowPlan, groups: tuple[Group, ...], new: Arrival) -> tuple[Group, tuple[Group, ...]]:
        """Return the group that an arrival makes with those that it belongs to, and the other groups."""
        if not groups:
            return Group(new.time, new.time, new.reached, new.reached), ()
        start, end = self.reach(plan, new.time)
        if len(groups) == 1:  # nearly always
            oldest, newest, first, last = groups[0]
            if newest < start or oldest >= end:
                return Group(new.time, new.time, new.reached, new.reached), groups
            merged = Group(
                min(oldest, new.time), max(newest, new.time), min(first, new.reached), max(last, new.reached)
            )
            return merged, ()
        joined = [group for group in groups if group.newest >= start and group.oldest < end]
        merged = Group(
            min([new.time, *[group.oldest for group in joined]]),
            max([new.time, *[group.newest for group in joined]]),
            min([new.reached, *[group.first for group in joined]]),
            max([new.reached, *[group.last for group in joined]]),
        )
        return merged, tuple([group for group in groups if group not in joined])

    def _due(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
        """Return when a group ends, or is reset, by a tick."""
        end = self.ends_at(trigger, plan, group)
        return end if plan.reset is None else min(end, _frame(plan, group.oldest)[1] + trigger.grace)


class _Gathering(EvidenceOnDemand):
    """What an arrival waits for with its group, and until when."""

    __slots__ = ("_due", "_group", "_kind", "_trigger", "_window")

    def __init__(self, kind: str, trigger: Trigger, window: Window, group: Group, due: Micros) -> None:
        self._kind = kind
        self._trigger = trigger
        self._window = window
        self._group = group
        self._due = due

    @override
    def made(self) -> dict[str, str]:
        lacking = missing(self._trigger, all_between(self._window, self._group.oldest, self._group.newest))
        until = time_text(self._due) if self._due < FAR_AHEAD else "it is full"
        return {"for": lacking or f"the {self._kind} to end", "until": until}


def capped(plan: WindowPlan, group: Group, end: Micros) -> Micros:
    """Return the end of a group, at ``maxWait`` after its first arrival at the latest."""
    return end if plan.max_wait is None else min(end, group.first + plan.max_wait)


def _frame(plan: WindowPlan, time: Micros) -> Frame:
    return frame_of(plan.reset, time) if plan.reset is not None else (LONG_AGO, FAR_AHEAD)
