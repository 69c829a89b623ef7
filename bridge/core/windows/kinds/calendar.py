"""The kinds ``every`` and ``until``: calendar windows. Event times between the same two boundaries belong together.

``latest`` and ``first`` match as soon as the condition is filled. The window has then *fired*, and later arrivals in it
are ``superseded``. ``all``, and conditions with absent slots, match when the window closes: by a tick at its end +
``grace``. An arrival that reached us later than that, or comes after a tick has closed the window, is ``late``.

A *dead man's switch* is a calendar window with nothing but absent slots and no key. It is armed by the first tick
that names its trigger, watches each window that begins from then on, and matches when one closes in which no event
happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.decision import Reason
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.core.windows.boundaries import CLOCK_SHIFT, frame_of, longest_frame, longest_step
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.selection import select
from bridge.core.windows.window import Arrival, Frame, Match, Spent, Window, all_between
from bridge.core.windows.window_close import close_window, take_match
from bridge.core.windows.window_step import (
    RemovedArrivals,
    Step,
    decide,
    frame_text,
    is_closed,
    missing,
    over_bound,
    refuse_arrival,
)


class Calendar(Kind):
    """Event times of a match lie between the same two boundaries."""

    needs_clock = True
    takes_only_absent = True
    resets = False

    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Fill the calendar window of the event time, wait in it, or be late."""
        frame = frame_of(schedule_of(trigger), new.time)
        end = frame[1] + trigger.grace
        if is_closed(end, new, ticked):
            evidence = {"window": frame_text(frame), "closed": time_text(end)}
            return refuse_arrival(trigger, window, key, new, Reason.LATE, evidence)
        if frame in window.fired:
            return refuse_arrival(trigger, window, key, new, Reason.SUPERSEDED, {"window": frame_text(frame)})
        held = _within(window, frame)
        if not fires_at_close(trigger) and sum(map(bool, held)) + (not held[new.slot]) >= trigger.require:
            gathered = _within(window.with_arrival(new), frame)
            match = select(trigger, gathered)
            if match is not None:
                removed = RemovedArrivals(trigger, key)
                take_match(trigger, removed, gathered, match)
                step = removed.step(window, new)
                fired = tuple(sorted((*window.fired, frame)))
                return step._replace(window=step.window._replace(fired=fired), match=match, frame=frame)
        if window.size >= bound:
            return over_bound(trigger, window, key, new, bound)
        lacking = missing(trigger, held, new.slot) or "the window to close"
        evidence = {"for": lacking, "until": time_text(end)}
        return Step(window.with_arrival(new), (decide(trigger, key, new, Reason.WAITING, evidence),), kept=new)

    def next_due(self, trigger: Trigger, window: Window, through: Micros | None) -> Micros | None:
        """Return when the first calendar window closes that holds something or is watched."""
        frame = _first(trigger, window, through)
        return None if frame is None else frame[1] + trigger.grace

    def end(self, trigger: Trigger, window: Window, key: str, through: Micros | None) -> Step:
        """Close that calendar window."""
        return _end(trigger, window, key, through)

    def retire(self, trigger: Trigger, window: Window, key: str) -> Step | None:
        """Close the first calendar window with the arrivals that it holds."""
        if not (any(window.waiting) or window.fired):
            return None
        return _end(trigger, window, key, is_retired=True)

    def restore(
        self, trigger: Trigger, window: Window, waiting: Sequence[Arrival], spent: Sequence[tuple[int, Spent]]
    ) -> Window:
        """Return the window as it is: all its parts have records."""
        return window

    def force(self, trigger: Trigger, window: Window, key: str, match: Match) -> Step:
        """Use up the events of the match; their calendar window has fired if it matches before it closes."""
        step = super().force(trigger, window, key, match)
        frame = self.frame(trigger, max([arrival.time for slot in match for arrival in slot]), is_empty=False)
        if frame is None or fires_at_close(trigger) or frame in window.fired:
            return step._replace(frame=frame)
        return step._replace(frame=frame, window=window._replace(fired=tuple(sorted((*window.fired, frame)))))

    def reaches_back(self, trigger: Trigger) -> Micros:
        """Return the length of the longest calendar window, and ``grace``."""
        return longest_frame(schedule_of(trigger)) + trigger.grace

    def frame(self, trigger: Trigger, event_time: Micros, *, is_empty: bool) -> Frame | None:
        """Return the calendar window between whose boundaries the event times of the match lie."""
        return frame_of(schedule_of(trigger), event_time - 1 if is_empty else event_time)

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the calendar window closed, if it matches only then."""
        if frame is not None and fires_at_close(trigger):
            return max(reached, frame[1] + trigger.grace)
        return reached

    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return the longest distance of two boundaries by the wall clock, and ``grace``.

        It is part of the condition hash, so it never changes. It does not count a day on which two distances are one.
        """
        if plan.schedule is None:
            raise ValueError(f"expected a schedule in a window of kind {self.name}, found none")
        return longest_step(plan.schedule) + (0 if plan.schedule.timezone == "UTC" else CLOCK_SHIFT) + grace


class Every(Calendar):
    """The boundaries are a fixed distance apart by the wall clock."""

    name = "every"


class Until(Calendar):
    """The boundaries are the times of a cron expression."""

    name = "until"


def first_watched(trigger: Trigger, time: Micros) -> Micros:
    """Return from where on a dead man's switch watches that is armed at ``time``: a boundary."""
    start, after = frame_of(schedule_of(trigger), time)
    return start if start == time else after


def fires_at_close(trigger: Trigger) -> bool:
    """Tell whether a calendar window matches only when it closes."""
    return trigger.collect == "all" or bool(trigger.absent_slots)


def schedule_of(trigger: Trigger) -> Schedule:
    """Return the boundaries of a trigger's calendar windows."""
    if trigger.window is None or trigger.window.schedule is None:
        raise ValueError(f"{trigger.identity} has no calendar window")
    return trigger.window.schedule


def _end(
    trigger: Trigger, window: Window, key: str, through: Micros | None = None, *, is_retired: bool = False
) -> Step:
    """Close the first calendar window; ``is_retired``: because its trigger has changed."""
    frame = _first(trigger, window, None if is_retired else through)
    if frame is None:
        return Step(window, ())
    if frame in window.fired:
        return Step(window._replace(fired=tuple([other for other in window.fired if other != frame])), ())
    gathered, at = _within(window, frame), frame[1] + trigger.grace
    because = "the trigger changed, or is gone" if is_retired else ""
    removed, until = RemovedArrivals(trigger, key), at + trigger.dedupe
    arrivals = [arrival for slot in gathered for arrival in slot]
    if trigger.is_switch:  # a dead man's switch: the window matches if nothing came in it
        if is_retired or through is None or frame[0] < through:
            because = because or "the trigger was not armed when its window began"
            removed.remove(arrivals, Reason.EXPIRED, {"because": because}, until)
            return removed.step(window)
        if arrivals:
            removed.remove(arrivals, Reason.MATCHED, {"cancelled": frame_text(frame)}, until)
            return removed.step(window)._replace(through=frame[1])
        return Step(window, (), match=((),) * len(trigger.slots), frame=frame, through=frame[1])
    if is_retired and trigger.absent_slots:
        removed.remove(arrivals, Reason.CANCELLED, {"because": because}, until)
        return removed.step(window)
    step = close_window(trigger, window, key, gathered, at, frame=frame, because=because)
    return step._replace(ended_early=True) if is_retired else step


def _first(trigger: Trigger, window: Window, through: Micros | None) -> Frame | None:
    """Return the first calendar window that holds something or is watched."""
    starts = [frame[0] for frame in window.fired[:1]]
    starts += [slot[0].time for slot in window.waiting if slot]
    if through is not None and trigger.is_switch:
        starts.append(through)
    return frame_of(schedule_of(trigger), min(starts)) if starts else None


def _within(window: Window, frame: Frame) -> tuple[tuple[Arrival, ...], ...]:
    return all_between(window, frame[0], frame[1] - 1)
