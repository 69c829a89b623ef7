"""Absence in a sliding window: a match that holds only if none of certain events happens soon after it.

Once the required events of a match have come, it is *pending*: until a tick at its newest event time + ``within`` +
``grace`` finds that no event of an absent slot has come with an event time in (newest, newest + ``within``]. Then it
is a match. Such an event cancels all pending matches that it fits; those that come later, out of order, it cancels as
well for as long as it is remembered. One that fits nothing waits as others do. An absent event that reached us later
than a pending match could have waited for it cancels nothing, whether or not a tick came meanwhile.
"""

from __future__ import annotations

from bridge.core.decision import Reason
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Trigger
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.window import Arrival, Match, Pending, Window, between
from bridge.core.windows.window_step import RemovedArrivals, Step, decide, events_text


def cancel(trigger: Trigger, window: Window, key: str, new: Arrival) -> Step | None:
    """Let an event of an absent slot cancel the pending matches that it fits; None if it fits none."""
    fitting = [
        pending
        for pending in window.pending
        if new.reached <= pending.due and _is_in(new.time, _interval(trigger, pending))
    ]
    if not fitting:
        return None
    removed = RemovedArrivals(trigger, key)
    cancelled = events_text(arrival for match in fitting for arrival in match.arrivals)
    removed.remove((new,), Reason.MATCHED, {"cancelled": cancelled}, new.reached + trigger.dedupe)
    for match in fitting:
        removed.remove(match.arrivals, Reason.CANCELLED, {"by": new.event.text()}, match.until)
    left = window._replace(
        pending=tuple([pending for pending in window.pending if pending not in fitting]),
        cancelling=tuple(sorted((*window.cancelling, new.age))),
    )
    return Step(left, tuple(removed.decisions), spent=tuple(removed.spent))


def pend(trigger: Trigger, window: Window, removed: RemovedArrivals, new: Arrival, match: Match, until: Micros) -> Step:
    """Let a match wait for the absence, or be cancelled at once by events that have come already.

    Returns:
        The step so far. The arrivals that leave are in ``removed``, and still in the window's slots.

    """
    used = [arrival for slot in match for arrival in slot]
    newest = max([arrival.time for arrival in used])
    due = _due(trigger, newest)
    pending = Pending(due, new.offset, max(until, due), match)
    interval, events = _interval(trigger, pending), {arrival.event for arrival in used}
    arrived = [
        arrival
        for index in trigger.absent_slots
        for arrival in between(window.waiting[index], interval[0] + 1, interval[1])
        if arrival.reached <= due and new.reached <= arrival.reached + trigger.span and arrival.event not in events
    ]
    before = [age for age in window.cancelling if _is_in(age[0], interval)]
    if not arrived and not before:
        evidence = {"for": f"the absence of {_absent(trigger)}", "until": time_text(due)}
        decision = decide(trigger, removed.key, new, Reason.WAITING, evidence)
        return Step(window.with_pending(pending), (decision,), kept=new, waits_for_absence=pending)
    by = events_text(arrived) if arrived else f"an event at {time_text(before[0][0])}, which has cancelled others"
    removed.remove(used, Reason.CANCELLED, {"by": by}, until)
    for arrival in arrived:
        evidence = {"cancelled": events_text(used)}
        removed.remove((arrival,), Reason.MATCHED, evidence, arrival.reached + trigger.dedupe)
    cancelling = tuple(sorted((*window.cancelling, *[arrival.age for arrival in arrived])))
    return Step(window._replace(cancelling=cancelling), ())


def end(trigger: Trigger, window: Window, key: str, *, is_retired: bool = False) -> Step:
    """End the first pending match: it holds, a boundary has reset it, or its trigger has changed."""
    pending = window.pending[0]
    removed = RemovedArrivals(trigger, key)
    left = window._replace(pending=window.pending[1:])
    if is_retired:
        removed.remove(
            pending.arrivals, Reason.CANCELLED, {"because": "the trigger changed, or is gone"}, pending.until
        )
    elif pending.due < _newest(pending) + trigger.span:
        # Remembered as cancelled: the match has taken them.
        evidence = {"boundary": time_text(pending.due - trigger.grace)}
        removed.remove(pending.arrivals, Reason.RESET, evidence, pending.until, Reason.CANCELLED)
    else:
        removed.remove(pending.arrivals, Reason.MATCHED, {"absent": _absent(trigger)}, pending.until)
        return Step(left, tuple(removed.decisions), spent=tuple(removed.spent), match=pending.match)
    return Step(left, tuple(removed.decisions), spent=tuple(removed.spent))


def restored(trigger: Trigger, offset: int, until: Micros, arrivals: list[Arrival]) -> Pending:
    """Return a pending match from its parts."""
    match = tuple(
        tuple(sorted(arrival for arrival in arrivals if arrival.slot == index)) for index in range(len(trigger.slots))
    )
    return Pending(_due(trigger, max(arrival.time for arrival in arrivals)), offset, until, match)


def _due(trigger: Trigger, newest: Micros) -> Micros:
    reset = trigger.window.reset if trigger.window is not None else None
    last = newest + (trigger.within or 0)
    boundary = frame_of(reset, newest)[1] if reset is not None else last + 1
    return min(last, boundary) + trigger.grace


def _interval(trigger: Trigger, pending: Pending) -> tuple[Micros, Micros]:
    """Return after which, and until when, the events happen that cancel a match."""
    newest = _newest(pending)
    reset = trigger.window.reset if trigger.window is not None else None
    last = newest + (trigger.within or 0)
    return newest, last if reset is None else min(last, frame_of(reset, newest)[1] - 1)


def _newest(pending: Pending) -> Micros:
    return max([arrival.time for arrival in pending.arrivals])


def _is_in(time: Micros, interval: tuple[Micros, Micros]) -> bool:
    return interval[0] < time <= interval[1]


def _absent(trigger: Trigger) -> str:
    return ", ".join([trigger.slots[index].variable for index in trigger.absent_slots])
