"""End windows by time: when a part of a window is due, and how a tick or a retirement ends it.

Three things end by themselves: an arrival with a deadline of its own (:func:`deadline` and :func:`expire`), an identity
that is forgotten (:func:`forget`), and each thing that a window holds as a whole (:func:`next_due` and :func:`end`): a
pending match, a calendar window, a group. The window's kind decides about each of them.

Some rules ask how far time has come for a condition, or up to where a dead man's switch has watched. The condition's
:class:`ConditionClock` says it. Ticks alone move it.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.kinds.calendar import first_watched
from bridge.core.windows.window import Arrival, Spent, Window
from bridge.core.windows.window_step import Step


class ConditionClock(NamedTuple):
    """How far time has come for the windows of a condition in one partition.

    Attributes:
        ticked: Time of the last tick that is over; None before the first.
        through: Up to where a dead man's switch has been watched, a boundary; None before it is armed.

    """

    ticked: Micros | None = None
    through: Micros | None = None


UNTICKED = ConditionClock()
"""The clock of a condition that no tick has named yet."""


def needs_clock(trigger: Trigger) -> bool:
    """Tell whether a trigger's rules ask for its condition's clock."""
    return trigger.window is not None and (kind_of_window(trigger).needs_clock or trigger.window.reset is not None)


def advanced(trigger: Trigger, clock: ConditionClock, time: Micros) -> ConditionClock:
    """Return the clock once a tick at ``time`` has ended all that it ends."""
    through = clock.through
    if trigger.is_switch and through is None:
        through = first_watched(trigger, time)
    return ConditionClock(time if clock.ticked is None else max(time, clock.ticked), through)


def has_own_deadlines(trigger: Trigger) -> bool:
    """Tell whether each arrival that waits ends by a deadline of its own."""
    return trigger.window is not None and kind_of_window(trigger).has_own_deadlines


def deadline(trigger: Trigger, arrival: Arrival) -> Micros:
    """Return the reached time after which no event can match this arrival any more.

    Raises:
        ValueError: The arrivals of the trigger have no deadlines of their own.

    """
    if trigger.is_plain:  # the usual kind, without a detour: no boundary can come first
        return arrival.reached + trigger.span
    return kind_of_window(trigger).deadline(trigger, arrival)


def expire(trigger: Trigger, window: Window, key: str, arrival: Arrival) -> Step:
    """End the wait of an arrival when a tick has passed its deadline."""
    return kind_of_window(trigger).expire(trigger, window, key, arrival)


def forget(trigger: Trigger, window: Window, slot: int, spent: Spent) -> Window:
    """Return the window after an identity of it was forgotten, without the parts that rested on the identity."""
    return kind_of_window(trigger).forget(window, slot, spent)


def next_due(trigger: Trigger, window: Window, clock: ConditionClock = UNTICKED) -> Micros | None:
    """Return when the first thing ends by a tick that a window holds as a whole; None if there is none."""
    if trigger.is_plain:  # the usual kind, without a detour: nothing waits for an absence
        return None
    return kind_of_window(trigger).next_due(trigger, window, clock.through)


def end(trigger: Trigger, window: Window, key: str, clock: ConditionClock = UNTICKED) -> Step:
    """End the thing that :func:`next_due` names, which a tick has come to."""
    return kind_of_window(trigger).end(trigger, window, key, clock.through)


def retire(trigger: Trigger, window: Window, key: str) -> Step | None:
    """End the next thing that a window of a changed trigger holds; None if it holds nothing but memories.

    Arrivals that wait in a sliding window are ``expired``, an absence is ``cancelled``. Calendar windows and groups
    match with the arrivals that they hold, if these fill them. The window does not remember the arrivals that leave.
    """
    kind = kind_of_window(trigger)
    step = kind.retire(trigger, window, key)
    if step is None:
        return None
    left = step.window
    for arrival, spent in step.spent:
        left = kind.forget(left, arrival.slot, spent)
    return step._replace(window=left)
