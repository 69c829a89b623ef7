"""The next dates at which windows of calendar triggers end and their runs start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from zoneinfo import ZoneInfo

from bridge.core.duration import duration_text
from bridge.core.event import Micros, moment
from bridge.core.trigger import Schedule, Trigger, default_grace
from bridge.core.windows.boundaries import FAR_AHEAD, next_boundary
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger

_SHOWN = 3


def calendar_notes(loaded: Iterable[LoadedTrigger], now: Micros) -> Iterator[TriggerError]:
    """Yield, for each trigger with a calendar window, when its next windows end and what happens then."""
    for source in loaded:
        trigger, window = source.trigger, source.trigger.window
        if window is not None and window.schedule is not None:
            ends = ", ".join(_boundaries(window.schedule, now))
            found = f"the next windows end at {ends} ({window.schedule.timezone})"
            field = f"spec.window.{window.kind}"
            yield TriggerError(*source.origin, field, found, _then(trigger), trigger.identity)


def _then(trigger: Trigger) -> str:
    """Return what happens at the end of a window."""
    is_default = trigger.window is not None and trigger.grace == default_grace(trigger.window)
    grace = f"{duration_text(trigger.grace)} ({'the default grace' if is_default else 'its grace'})"
    if trigger.collect == "all" or trigger.absent_slots:
        return f"a run starts {grace} after each"
    return f"a run starts when a window is filled, and a window takes events that reach us up to {grace} after its end"


def _boundaries(schedule: Schedule, now: Micros) -> Iterator[str]:
    zone = ZoneInfo(schedule.timezone)
    for _ in range(_SHOWN):
        now = next_boundary(schedule, now)
        if now >= FAR_AHEAD:
            return
        yield moment(now).replace(tzinfo=UTC).astimezone(zone).strftime("%a %Y-%m-%d %H:%M %Z")
