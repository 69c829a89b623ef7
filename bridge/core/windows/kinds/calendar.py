"""The kinds ``every`` and ``until``: calendar windows."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.event import Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.boundaries import longest_frame
from bridge.core.windows.kinds import calendar_window
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.window import Arrival, Frame, Spent, Window
from bridge.core.windows.window_step import Step


class Calendar(Kind):
    """Event times of a match lie between the same two boundaries."""

    needs_clock = True
    takes_only_absent = True
    resets = False

    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Fill the calendar window of the event time, wait in it, or be late."""
        return calendar_window.arrive(trigger, window, key, new, bound, ticked)

    def next_due(self, trigger: Trigger, window: Window, through: Micros | None) -> Micros | None:
        """Return when the first calendar window closes that holds something or is watched."""
        return calendar_window.next_due(trigger, window, through)

    def end(self, trigger: Trigger, window: Window, key: str, through: Micros | None) -> Step:
        """Close that calendar window."""
        return calendar_window.end(trigger, window, key, through)

    def retire(self, trigger: Trigger, window: Window, key: str) -> Step | None:
        """Close the first calendar window with what it holds."""
        if not (any(window.waiting) or window.fired):
            return None
        return calendar_window.end(trigger, window, key, is_retired=True)

    def restore(
        self, trigger: Trigger, window: Window, waiting: Sequence[Arrival], spent: Sequence[tuple[int, Spent]]
    ) -> Window:
        """Return the window as it is: all its parts have records."""
        return window

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the calendar window closed, if it matches only then."""
        if frame is not None and calendar_window.fires_at_close(trigger):
            return max(reached, frame[1] + trigger.grace)
        return reached

    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return the longest distance of two boundaries, and ``grace``."""
        if plan.schedule is None:
            raise ValueError(f"expected a schedule in a window of kind {self.name}, found none")
        return longest_frame(plan.schedule) + grace


class Every(Calendar):
    """The boundaries are a fixed distance apart by the wall clock."""

    name = "every"


class Until(Calendar):
    """The boundaries are the times of a cron expression."""

    name = "until"
