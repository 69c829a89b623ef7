"""The kind ``session``: event times follow each other by at most a gap."""

from __future__ import annotations

from bridge.core.event import Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.kinds.groups import GroupKind, capped
from bridge.core.windows.window import Frame, Group


class Session(GroupKind):
    """A group ends by a tick at its newest event time + gap + ``grace``, or at ``maxWait``."""

    name = "session"
    takes_max_wait = True
    needs_clock = True

    def reach(self, plan: WindowPlan, time: Micros) -> Frame:
        """Return the event times at most a gap away, within the same boundaries of ``reset``."""
        start, end = super().reach(plan, time)
        return max(start, time - plan.length), min(end, time + plan.length + 1)

    def closes_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros | None:
        """Return the time after which an arrival is late for the group."""
        return group.newest + plan.length + trigger.grace

    def ends_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
        """Return the end of the gap and ``grace`` after the newest event time, or ``maxWait``."""
        return capped(plan, group, group.newest + plan.length + trigger.grace)

    def reaches_back(self, trigger: Trigger) -> Micros | None:
        """Return ``maxWait``; a session without it has no longest length."""
        return self.plan_of(trigger).max_wait

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the gap and ``grace`` after the newest event time were over."""
        plan = self.plan_of(trigger)
        return max(reached, event_time + plan.length + trigger.grace)
