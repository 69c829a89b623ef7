"""Apply an arrival to its window.

An arrival is decided ``duplicate`` (its identity is known at its slot), ``superseded`` (its event was used at another
slot), or the rules of its window's kind decide (:mod:`bridge.core.windows.kinds`). The effects of time on a window are
in :mod:`bridge.core.windows.expiry`.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Arrival, Spent, Window
from bridge.core.windows.window_step import Step, decide, refuse_arrival

Known = Mapping[int, Spent | Arrival]
"""By slot: the waiting arrival of an event, or its remembered identity."""

USED = frozenset({Reason.MATCHED, Reason.CANCELLED})
"""Fates of events that a match took out of every slot of its trigger."""


def apply_arrival(
    trigger: Trigger,
    window: Window,
    key: str,
    new: Arrival,
    known: Known,
    *,
    bound: int = 10_000,
    ticked: Micros | None = None,
) -> Step:
    """Apply one arrival to its window.

    Args:
        trigger: The definition that the arrival carries.
        window: The window of its correlation key.
        key: The correlation key in canonical text.
        new: The arrival.
        known: The remembered identity or waiting arrival of the same event at each slot.
        bound: How many arrivals may wait in one window.
        ticked: Time of the last tick of the trigger's condition, where that decides (``Clock``).

    """
    if known:
        if new.slot in known:
            first = known[new.slot]
            fate = first.fate if isinstance(first, Spent) else Reason.WAITING
            evidence = {"duplicate_of": str(first.offset), "which_is": fate}
            return Step(window, (decide(trigger, key, new, Reason.DUPLICATE, evidence),))
        for slot, remembered in known.items():
            if isinstance(remembered, Spent):
                is_used = remembered.fate in USED
            else:  # a match may have taken it that waits for an absence
                is_used = any(remembered in taken for pending in window.pending for taken in pending.match)
            if is_used:
                evidence = {"used_at": trigger.slots[slot].variable}
                return refuse_arrival(trigger, window, key, new, Reason.SUPERSEDED, evidence)
    return kind_of_window(trigger).arrive(trigger, window, key, new, bound, ticked)
