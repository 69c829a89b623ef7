"""Boundaries as docs/triggers/every.md and until.md tell them, minute by minute: slow, and free of cleverness.

Written from these pages alone, without knowledge of bridge/core. It knows no zone whose clocks change by less than an
hour together with steps of an hour or less: the pages do not say what happens then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bridge.core.trigger import Schedule

DAY_MINUTES = 24 * 60
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
HOUR_MICROS = 3_600_000_000


@lru_cache(maxsize=20_000)
def minutes_of(timezone: str, day: date) -> tuple[tuple[datetime, int], ...]:
    """Return every minute of a day as its zone's clocks show it: the moment, and the minute since midnight shown."""
    zone = ZoneInfo(timezone)
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    shown: list[tuple[datetime, int]] = []
    for _ in range(16 * 60 + DAY_MINUTES + 16 * 60):
        clock = moment.astimezone(zone)
        if clock.date() == day:
            shown.append((moment, clock.hour * 60 + clock.minute))
        moment += timedelta(minutes=1)
    return tuple(shown)


def moments_at(timezone: str, day: date, minute: int) -> list[datetime]:
    """Return when the clocks show that minute of that day: never, once or twice."""
    return [moment for moment, shown in minutes_of(timezone, day) if shown == minute]


def moment_of_change(timezone: str, day: date, minute: int) -> datetime:
    """Return the moment at which the clocks jump over that minute of that day."""
    for step in range(-1, 3):  # a whole day may be left out
        for moment, shown in minutes_of(timezone, day + timedelta(days=step)):
            if (day + timedelta(days=step), shown) > (day, minute):
                return moment
    raise AssertionError(timezone, day, minute)


def at_clock_time(timezone: str, day: date, minute: int) -> datetime:
    """Return the one moment for a time of day: where the clock changes if it never comes, else the first."""
    moments = moments_at(timezone, day, minute)
    return moments[0] if moments else moment_of_change(timezone, day, minute)


def boundaries_of_day(schedule: Schedule, day: date) -> set[datetime]:
    """Return the boundaries that the schedule's calendar puts on that day."""
    return _cron_boundaries(schedule, day) if schedule.cron else _every_boundaries(schedule, day)


def _every_boundaries(schedule: Schedule, day: date) -> set[datetime]:
    assert schedule.every is not None
    step, later = schedule.every // 60_000_000, schedule.offset // 60_000_000
    if schedule.every <= HOUR_MICROS:  # as the clock shows it, each time
        return {moment for moment, shown in minutes_of(schedule.timezone, day) if (shown - later) % step == 0}
    at = {
        (day_on, minute)
        for back in range(16)
        for day_on, minute in [_later(day - timedelta(days=back), 0, later)]
        if day_on == day and step >= DAY_MINUTES and _begins(day - timedelta(days=back), step // DAY_MINUTES)
    }
    if step < DAY_MINUTES:
        at = {(day, minute) for minute in range(DAY_MINUTES) if (minute - later) % step == 0}
    return {at_clock_time(schedule.timezone, *place) for place in at}


def _begins(day: date, days: int) -> bool:
    """Whole days are counted from 1970-01-01, whole weeks from Monday."""
    since = (day - date(1970, 1, 1)).days
    if days % 7 == 0:
        since = (day - date(1970, 1, 5)).days  # a Monday
    return since % days == 0


def _later(day: date, minute: int, minutes: int) -> tuple[date, int]:
    days, rest = divmod(minute + minutes, DAY_MINUTES)
    return day + timedelta(days=days), rest


def _cron_boundaries(schedule: Schedule, day: date) -> set[datetime]:
    assert schedule.cron is not None
    minute, hour, *_ = schedule.cron.split()
    if not _is_day(schedule.cron, day):
        return set()
    is_minute, is_hour = _numbers(minute, 0, 59), _numbers(hour, 0, 23)

    def is_shown(shown: int) -> bool:
        return shown % 60 in is_minute and shown // 60 in is_hour

    if minute.startswith("*") or hour.startswith("*"):
        return {moment for moment, shown in minutes_of(schedule.timezone, day) if is_shown(shown)}
    return {at_clock_time(schedule.timezone, day, shown) for shown in range(DAY_MINUTES) if is_shown(shown)}


def _is_day(cron: str, day: date) -> bool:
    _, _, of_month, month, of_week = cron.split()
    if day.month not in _numbers(month, 1, 12, MONTHS, 1):
        return False
    last = ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
    in_month = any(day.day == last if part == "L" else day.day in _numbers(part, 1, 31) for part in of_month.split(","))
    in_week = any(_is_weekday(part, day) for part in of_week.split(","))
    if not of_month.startswith("*") and not of_week.startswith("*"):
        return in_month or in_week
    return in_month and in_week


def _is_weekday(part: str, day: date) -> bool:
    name, _, which = part.partition("#")
    return day.isoweekday() % 7 in {number % 7 for number in _numbers(name, 0, 7, WEEKDAYS)} and (
        not which or (day.day - 1) // 7 + 1 == int(which)
    )


def _numbers(field: str, low: int, high: int, names: list[str] | None = None, first: int = 0) -> set[int]:
    def number(text: str) -> int:
        return names.index(text) + first if names and text in names else int(text)

    numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            begin, end = low, high if names is not WEEKDAYS else 6
        elif "-" in span:
            begin, end = (number(text) for text in span.split("-"))
        else:
            begin = end = number(span)
        numbers |= set(range(begin, end + 1, int(step or 1)))
    return numbers


def frame_around(schedule: Schedule, time: datetime) -> tuple[datetime, datetime]:
    """Return the boundaries between which a moment lies; a boundary belongs to the window that it begins."""
    here = time.astimezone(ZoneInfo(schedule.timezone)).date()
    return (
        _nearest(schedule, here, -1, lambda boundary: boundary <= time, max),
        _nearest(schedule, here, 1, lambda boundary: boundary > time, min),
    )


def _nearest(
    schedule: Schedule,
    here: date,
    towards: int,
    is_wanted: Callable[[datetime], bool],
    pick: Callable[[set[datetime]], datetime],
) -> datetime:
    for days in _outwards():
        near = {
            boundary
            for day in (days - 1, days, days + 1)  # a boundary that is left out may lie on the day after
            for boundary in boundaries_of_day(schedule, here + towards * timedelta(days=day))
            if is_wanted(boundary)
        }
        if near:
            return pick(near)
    raise AssertionError(schedule, here)


def _outwards() -> Iterator[int]:
    return iter(range(800))
