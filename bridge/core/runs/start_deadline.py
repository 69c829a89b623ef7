"""The start deadline of a run: ``run.startDeadline`` counts from the moment when its match was complete.

That moment follows from the match alone, so that it is the same whenever the run is made: when its last event reached
us, or, where the end of a window completes a match, when that end was due. How much later than that the run was asked
for (a backlog, an outage) is what the deadline is about.
"""

from __future__ import annotations

from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.kinds.all_kinds import kind_of_window


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
    if deadline is None:
        return None
    if trigger.window is None:
        return reached + deadline
    return kind_of_window(trigger).complete_at(trigger, event_time, reached, frame) + deadline
