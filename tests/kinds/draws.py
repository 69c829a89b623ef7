"""Random durations that several kinds draw, and the times of arrivals."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hypothesis import strategies as st

from bridge.core.event import Micros
from bridge.core.trigger import Schedule
from bridge.core.windows.window import Arrival

STEP = 8
"""Event and reached times of the stories that the pages are asked about are multiples of it."""

schedules = st.sampled_from([Schedule(every=3), Schedule(every=5), Schedule(every=8)])
resets = st.sampled_from([None, None, Schedule(every=8)])
max_waits = st.sampled_from([None, 3, 7])


def max_wait(chance: Random) -> Micros | None:
    """Draw the longest wait, which never ends where another end does."""
    return chance.choice([None, STEP * 5 + 5, STEP * 9 + 5])


def times(arrivals: Iterable[Arrival]) -> list[Micros]:
    """Return when the events of arrivals happened."""
    return [arrival.time for arrival in arrivals]


def moments_reached(arrivals: Iterable[Arrival]) -> list[Micros]:
    """Return when arrivals reached us."""
    return [arrival.reached for arrival in arrivals]
