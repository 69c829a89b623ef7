"""The kind ``settle``: arrivals are taken together when no more arrive for some time."""

from __future__ import annotations

from bridge.core.event import Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.kinds.groups import GroupKind, capped
from bridge.core.windows.window import Group


class Settle(GroupKind):
    """A group ends by a tick when nothing reached us for a length of time, or at ``maxWait``."""

    name = "settle"
    takes_max_wait = True
    uses_grace = False

    def reaches_back(self, trigger: Trigger) -> Micros | None:
        """Return ``maxWait``; without it, arrivals that never settle are taken together at any time."""
        return self.plan_of(trigger).max_wait

    def ends_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
        """Return the end of the quiet time after the last arrival, or ``maxWait``."""
        return capped(plan, group, group.last + plan.length)
