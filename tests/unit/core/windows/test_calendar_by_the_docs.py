"""Calendar windows lie where docs/triggers/every.md and until.md put them, whatever the clocks do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from bridge.core.event import DAY, HOUR, MINUTE, EventIdentity, moment
from bridge.core.trigger import Schedule, WindowKind, WindowPlan
from bridge.core.windows.boundaries import frame_of, longest_step, schedule_fault
from bridge.core.windows.window import Arrival
from unit.core.seeds import seeded, seeds
from unit.core.stepping import Stepping, trigger_of
from unit.core.windows.reference_calendar import frame_around

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "Europe/Dublin",
    "Asia/Tehran",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Australia/Lord_Howe",
]
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2018, 11, 4, 3, tzinfo=UTC),
    datetime(2018, 2, 18, 2, tzinfo=UTC),
    datetime(2026, 4, 5, 3, tzinfo=UTC),
    datetime(2026, 9, 6, 4, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2021, 9, 21, 19, tzinfo=UTC),
    datetime(2011, 12, 30, 10, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, tzinfo=UTC),
    datetime(2026, 3, 28, 22, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
]
MINUTES = ["0", "30", "15", "59", "0,30", "10-50/20", "*", "*/15", "*/20"]
HOURS = ["2", "0", "1", "3", "23", "0-3", "1-23/2", "2,14", "*", "*/6", "*/2"]
DAYS = ["*", "*", "*", "1", "L", "15,L", "1-7", "*/2", "31", "29"]
MONTHS = ["*", "*", "*", "MAR,OCT", "*/3", "2", "APR-NOV"]
WEEKDAYS = ["*", "*", "MON-FRI", "SUN", "7", "0", "MON#1", "SAT,SUN", "SUN#5", "*/2", "5-7"]


def any_schedule(chance: random.Random) -> Schedule:
    """Draw boundaries of either kind."""
    zone = chance.choice(ZONES)
    if chance.random() < 0.5:
        fields = (chance.choice(choices) for choices in (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS))
        return Schedule(zone, cron=" ".join(fields))
    short = [] if zone == "Australia/Lord_Howe" else [MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR]
    long = [2 * HOUR, 3 * HOUR, 90 * MINUTE, 6 * HOUR, 12 * HOUR, DAY, DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY]
    every = chance.choice([*short, *long])
    offset = chance.choice([0, 0, MINUTE * chance.randrange(every // MINUTE)])
    return Schedule(zone, every=every, offset=offset)


def any_time(chance: random.Random) -> datetime:
    """Draw a moment, mostly near a change of clocks somewhere."""
    reach = chance.choice([90, 600, 2 * 1440, 40 * 1440])
    return chance.choice(CHANGES) + timedelta(minutes=chance.randint(-reach, reach), seconds=chance.choice([0, 0, 30]))


def test_a_moment_lies_in_the_calendar_window_that_the_pages_say() -> None:
    for seed in seeds(150):
        with seeded(seed) as chance:
            schedule, time = any_schedule(chance), any_time(chance)
            if schedule_fault(schedule) is not None or longest_step(schedule) > 366 * DAY:
                continue  # refused when it is loaded
            frame = frame_of(schedule, round(time.timestamp()) * 1_000_000)
            assert (moment(frame[0]), moment(frame[1])) == frame_around(schedule, time), (schedule, time)


def test_events_match_where_no_boundary_of_their_window_or_of_reset_lies_between_them() -> None:
    for seed in seeds(100):
        with seeded(seed) as chance:
            schedule = any_schedule(chance)
            if schedule_fault(schedule) is not None or longest_step(schedule) > 366 * DAY:
                continue  # refused when it is loaded
            first = chance.choice(CHANGES) + timedelta(minutes=chance.randint(-200, 200), seconds=30)
            times = [first, first + timedelta(minutes=chance.choice([0, 1, 30, 61, 130, 400]))]
            kind: WindowKind = "every" if schedule.every else "until"
            plan = chance.choice([WindowPlan(kind, schedule=schedule), WindowPlan("within", DAY, reset=schedule)])
            told = Stepping(trigger_of("a b", window=plan, grace=DAY))
            for offset, time in enumerate(times):
                micros = round(time.timestamp()) * 1_000_000
                identity = EventIdentity("ab"[offset], "shop", str(offset))
                told.arrive("", Arrival(micros, offset, offset, identity, micros, "", None, b""))
            frames = [frame_around(schedule, time) for time in times]
            assert (len(told.matches) == 1) == (frames[0] == frames[1]), (plan, times)
