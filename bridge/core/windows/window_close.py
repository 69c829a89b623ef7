"""Close a window: its arrivals become a match, or each gets a decision.

They are a match when the required slots can be filled (:mod:`bridge.core.windows.selection`) and no event came that
should have been absent. ``latest`` and ``first`` take one choice, and the rest is ``superseded``. ``all`` takes
everything at the slots that are filled, each event at one slot only. Without a match all are ``expired``, or
``cancelled`` by the events that should have been absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.decision import Reason
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Trigger
from bridge.core.windows.selection import select
from bridge.core.windows.window import Arrival, Frame, Match, Window
from bridge.core.windows.window_step import RemovedArrivals, Step, events_text, missing

HeldArrivals = Sequence[tuple[Arrival, ...]]
"""Arrivals by slot, the oldest first."""


def close_window(
    trigger: Trigger,
    window: Window,
    key: str,
    held: HeldArrivals,
    at: Micros,
    *,
    frame: Frame | None = None,
    new: Arrival | None = None,
    because: str = "",
) -> Step:
    """Take arrivals out of their window, as a match if they are one.

    Args:
        trigger: The trigger.
        window: The window in which they wait.
        key: Its correlation key in canonical text.
        held: The arrivals that leave.
        at: Reached time at which their wait was over.
        frame: The calendar window that they are of.
        new: The new arrival among them, which does not wait in the window.
        because: Why their wait ends, if time does not end it.

    """
    removed = RemovedArrivals(trigger, key)
    absent = [arrival for index in trigger.absent_slots for arrival in held[index]]
    match = select(trigger, held) if trigger.require else None
    if match is None:
        evidence = {"because": because} if because else {"deadline": time_text(at)}
        lacking = missing(trigger, held) or "events in order, or of their own for each slot"
        everything = [arrival for slot in held for arrival in slot]
        removed.remove(everything, Reason.EXPIRED, {"missing": lacking, **evidence}, at + trigger.dedupe)
        return removed.step(window, new)
    if absent:
        slots = zip(held, trigger.slots, strict=True)
        present = [arrival for arrivals, slot in slots for arrival in arrivals if not slot.absent]
        removed.remove(present, Reason.CANCELLED, {"by": events_text(absent)}, at + trigger.dedupe)
        removed.remove(absent, Reason.MATCHED, {"cancelled": events_text(present)}, at + trigger.dedupe)
        return removed.step(window, new)
    if trigger.collect == "all" and sum(map(len, match)) < sum(map(len, held)):
        # The match takes everything else at the slots that are filled, also at those that were not required. An event
        # that stands at two of them goes to the first.
        taken = {arrival.event for slot in match for arrival in slot}
        whole = []
        for place, chosen, slot in zip(trigger.slots, match, held, strict=True):
            rest = [arrival for arrival in slot if arrival.event not in taken]
            if not chosen and len(rest) < place.count:
                rest = []
            taken.update([left.event for left in rest])
            whole.append(tuple(sorted([*chosen, *rest])))
        match = tuple(whole)
    take_match(trigger, removed, held, match)
    left, decisions, kept, spent, *_ = removed.step(window, new)
    return Step(left, decisions, kept, spent, match, frame)


def take_match(trigger: Trigger, removed: RemovedArrivals, held: HeldArrivals, match: Match) -> None:
    """Let the arrivals of a match leave, and with them the others that were gathered."""
    used = [taken for slot in match for taken in slot]
    until = max([taken.reached for taken in used]) + trigger.dedupe
    removed.remove(used, Reason.MATCHED, {}, until)
    if len(used) == sum(map(len, held)):
        return
    at, offsets = {taken.event: taken.slot for taken in used}, {taken.offset for taken in used}
    for arrival in [left for slot in held for left in slot if left.offset not in offsets]:
        if arrival.event in at:
            evidence = {"used_at": trigger.slots[at[arrival.event]].variable}
        else:
            evidence = {"by": events_text(match[arrival.slot] or used)}
        removed.remove((arrival,), Reason.SUPERSEDED, evidence, until)
