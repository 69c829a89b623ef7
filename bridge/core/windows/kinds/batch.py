"""The kind ``batch``: arrivals are taken together at a size, or a time after the first of them."""

from __future__ import annotations

from bridge.core.event import Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.boundaries import FAR_AHEAD
from bridge.core.windows.kinds.groups import GroupKind
from bridge.core.windows.window import Group


class Batch(GroupKind):
    """A group ends with the arrival that completes its size, or by a tick at ``wait`` after its first arrival."""

    name = "batch"
    keeps_order = False
    uses_grace = False

    def size_of(self, plan: WindowPlan) -> int | None:
        """Return the size of the batch."""
        return plan.size

    def reaches_back(self, trigger: Trigger) -> Micros | None:
        """Return ``wait``; a batch that waits for its size alone may wait for ever."""
        return self.plan_of(trigger).length or None

    def ends_at(self, trigger: Trigger, plan: WindowPlan, group: Group) -> Micros:
        """Return the end of ``wait``; the end of time for a batch that waits only for its size."""
        return group.first + plan.length if plan.length else FAR_AHEAD
