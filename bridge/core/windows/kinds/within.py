"""The kind ``within``: sliding windows."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows import absence
from bridge.core.windows.kinds import sliding
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.window import Arrival, Frame, Mark, Spent, Window
from bridge.core.windows.window_step import Step


class Within(Kind):
    """Newest minus oldest event time of a match is at most a length."""

    name = "within"
    waits_alone = True
    needs_partners = True
    closes = False

    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Complete a match, wait, or be superseded."""
        return sliding.arrive(trigger, window, key, new, bound, ticked)

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
        return sliding.expire(trigger, window, key, min(waiting, key=_offset), is_retired=True)

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

    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return when the last event reached us, or when an absence was complete."""
        return max(reached, event_time + trigger.span) if trigger.absent_slots else reached

    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return the length and ``grace``; twice that with absent events."""
        return (plan.length + grace) * (2 if has_absent else 1)


def _offset(arrival: Arrival) -> int:
    return arrival.offset
