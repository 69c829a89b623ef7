"""From when on it is too late to start a run: ``run.startDeadline`` counts from the moment its match was complete.

That moment follows from the match alone, so that it is the same whenever the run is made: when its last event reached
us, or, where the end of a window completes a match, when that end was due. How much later than that the run was asked
for (a backlog, an outage) is what the deadline is about.
"""

from __future__ import annotations

from bridge.core.event import Micros
from bridge.core.trigger import Trigger


def start_by(
    trigger: Trigger, event_time: Micros, reached: Micros, frame: tuple[Micros, Micros] | None = None
) -> Micros | None:
    """Return the time from which on a run is not created any more; None for a trigger without a deadline.

    Args:
        trigger: What asks for the run.
        event_time: Newest event time of the match.
        reached: When the last event of the match reached us.
        frame: Start and end of the calendar window that it lies in.

    """
    deadline = trigger.run.start_deadline
    return None if deadline is None else _complete_at(trigger, event_time, reached, frame) + deadline


def _complete_at(trigger: Trigger, event_time: Micros, reached: Micros, frame: tuple[Micros, Micros] | None) -> Micros:
    window = trigger.window
    if window is None:
        return reached
    has_absent = any(slot.absent for slot in trigger.slots)
    if window.kind == "session" or (window.kind == "within" and has_absent):
        return max(reached, event_time + window.length + trigger.grace)
    if window.kind in ("batch", "settle"):
        return reached + window.length
    if frame is not None and (has_absent or trigger.collect == "all"):
        return max(reached, frame[1] + trigger.grace)
    return reached
