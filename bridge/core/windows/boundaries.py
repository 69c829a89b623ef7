"""Boundaries in the calendar: where calendar windows begin and end, and where ``reset`` forgets.

A schedule's boundaries cut time into *frames*: each moment lies in exactly one, in every time zone, also on days when
clocks change. Boundaries are wall-clock times (multiples of ``every`` since the local midnight, or the times of the
cron expression), taken to moments by these rules, which are those of Debian's cron:

===========================  ====================================  ==============================================
the wall-clock time          steps of an hour or less; cron with   longer steps; cron with given hours and minutes
                             hours or minutes that begin with *
===========================  ====================================  ==============================================
comes once                   a boundary                            a boundary
comes twice (clocks back)    a boundary each time                  a boundary the first time only
never comes (clocks ahead)   none                                  a boundary at the moment when the clocks change
===========================  ====================================  ==============================================

So an hourly window stays an hour long, and a daily one is 23 or 25 hours long on such days. Whole days are counted
from 1970-01-01, whole weeks from Monday 1970-01-05, by the wall clock of the schedule's zone.

The calendar is that of the years 1900 to 9000. All times before belong to one endless frame, and so do all times after.
Nothing here raises for any time. A schedule is checked with :func:`schedule_fault` when it is loaded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from bridge.core.event import DAY, HOUR, Micros

if TYPE_CHECKING:
    from bridge.core.trigger import Schedule, Trigger  # which reads the default grace of a schedule from here

LONG_AGO: Micros = -(2**62)
"""Start of the frame that has none; far enough from the ends of 64 bits to add any duration."""

FAR_AHEAD: Micros = 2**62
"""End of the frame that has none."""

CLOCK_SHIFT: Micros = 3 * HOUR
"""No zone's clocks change by more at once today: frames are at most this much longer than by the wall clock."""

_WEEK: Micros = 7 * DAY
_MONDAY: Micros = 4 * DAY  # 1970-01-05
_FIRST: Micros = -2_208_988_800_000_000  # 1900-01-01
_LAST: Micros = 221_845_392_000_000_000  # 9000-01-01
_AROUND: Micros = 26 * HOUR  # once, clocks changed by a whole day (Apia, 2011)
_CRON_FIELDS = 5
_RAREST: Micros = 50 * 366 * DAY  # more than between a 29 February and the next on the same day of the week
_STEPS_KEPT = 60  # boundaries in a piece of time that is looked up at once
_PIECES_KEPT = 4_096
_LOOKED_AT = 12 * 366  # days in which the longest step of a cron expression is looked for
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clocks have no zone


def frame_of(schedule: Schedule, time: Micros) -> tuple[Micros, Micros]:
    """Return the frame [start, end) that ``time`` (between :data:`LONG_AGO` and :data:`FAR_AHEAD`) lies in."""
    piece = HOUR if schedule.every is None else min(HOUR, schedule.every * _STEPS_KEPT)
    boundaries = _boundaries_around(schedule, time // piece, piece)
    after = bisect_right(boundaries, time)
    return boundaries[after - 1], boundaries[after]


def next_boundary(schedule: Schedule, time: Micros) -> Micros:
    """Return the first boundary after ``time``; :data:`FAR_AHEAD` where there is none."""
    return frame_of(schedule, time)[1]


def longest_step(schedule: Schedule) -> Micros:
    """Return the longest frame of a sound schedule by the wall clock, in the years from 2000 to 2011."""
    return schedule.every if schedule.every is not None else _longest_step(schedule.cron or "")


def longest_frame(schedule: Schedule) -> Micros:
    """Return a length that no frame exceeds, also where clocks change.

    Where the wall-clock times that never come are no boundaries, the frames before and after them are one.
    """
    step = longest_step(schedule)
    if schedule.timezone == "UTC":
        return step
    return step * (2 if _is_repeated(schedule) else 1) + CLOCK_SHIFT


def reset_boundary(trigger: Trigger, time: Micros) -> Micros | None:
    """Return the next boundary of ``reset`` after an event time; None for a trigger without."""
    reset = trigger.window.reset if trigger.window is not None else None
    return None if reset is None else frame_of(reset, time)[1]


def schedule_fault(schedule: Schedule) -> tuple[str, str] | None:
    """Return the fault of a schedule: the attribute and what to write. None for a sound schedule."""
    if schedule.timezone not in _zone_names():
        return "timezone", "write a name of the time zone database, as Europe/Berlin"
    if schedule.every is None:
        cron = schedule.cron or ""
        if len(cron.split()) != _CRON_FIELDS:
            return "cron", "write five fields: minute hour day-of-month month day-of-week, as '0 6 * * MON-FRI'"
        try:
            is_never = next(CronSim(cron, _wall_clock(0)), None) is None
        except CronSimError as error:
            return "cron", f"{str(error)[:1].lower()}{str(error)[1:]}: write an expression as '0 6 * * MON-FRI'"
        return ("cron", "it never comes: write days that there are") if is_never else None
    if schedule.every <= 0 or (DAY % schedule.every and schedule.every % DAY):
        return "every", "write what divides a day (as 10s, 15m, 1h, 6h) or whole days (as 1d, 7d)"
    if not 0 <= schedule.offset < schedule.every:
        return "offset", "write less than every"
    return None


@lru_cache(maxsize=_PIECES_KEPT)
def _boundaries_around(schedule: Schedule, index: int, piece: Micros) -> tuple[Micros, ...]:
    """Return the boundaries in one piece of time (its index counts from the epoch), one before it and one after it.

    Near a change of the clocks a wall-clock time tells little about the moment. So the search covers all wall-clock
    times that an end of the piece could have under any offset in force around it, and one more that clocks really show.
    """
    zone = ZoneInfo(schedule.timezone)
    start, end = (min(max(time, _FIRST), _LAST) for time in (index * piece, (index + 1) * piece))
    from_earliest, from_latest = _wall_clocks(zone, start)
    to_latest = _wall_clocks(zone, end)[1]
    boundaries = {LONG_AGO, FAR_AHEAD}
    is_repeated = _is_repeated(schedule)
    for wall in _steps(schedule, from_latest, backwards=True):
        moments = _moments(zone, wall, is_repeated=is_repeated)
        boundaries.update(moments)
        if (moments and wall <= from_earliest) or wall < from_earliest - _RAREST:
            break
    for wall in _steps(schedule, from_earliest, backwards=False):
        moments = _moments(zone, wall, is_repeated=is_repeated)
        boundaries.update(moments)
        if (moments and wall > to_latest) or wall > to_latest + _RAREST:
            break
    return tuple(sorted(boundaries))


def _is_repeated(schedule: Schedule) -> bool:
    """Return whether a wall-clock time of a schedule is a boundary each time that it comes."""
    if schedule.every is not None:
        return schedule.every <= HOUR
    minutes, hours = (schedule.cron or "").split()[:2]
    return minutes.startswith("*") or hours.startswith("*")


def _wall_clocks(zone: ZoneInfo, time: Micros) -> tuple[Micros, Micros]:
    """Return the earliest and the latest wall-clock time of a moment, by all offsets in force around it."""
    offsets = [_offset(zone, near) for near in (time - _AROUND, time, time + _AROUND)]
    return time + min(offsets), time + max(offsets)


def _steps(schedule: Schedule, wall: Micros, *, backwards: bool) -> Iterator[Micros]:
    """Yield the schedule's wall-clock times from ``wall`` on: those after it, or, backwards, at it and before it."""
    every = schedule.every
    if every is None:
        start = _wall_clock(wall) + (_MICROSECOND if backwards else timedelta())
        for clock in CronSim(schedule.cron or "", start, reverse=backwards):
            yield _micros(clock)
        return
    anchor = schedule.offset + (_MONDAY if not every % _WEEK else 0)
    step = wall - (wall - anchor) % every
    if not backwards:
        step += every
    while True:
        yield step
        step += -every if backwards else every


def _moments(zone: ZoneInfo, wall: Micros, *, is_repeated: bool) -> tuple[Micros, ...]:
    """Return the moments that are boundaries because clocks show ``wall``: none, one or two.

    Args:
        zone: The schedule's zone.
        wall: A wall-clock time of the schedule.
        is_repeated: Whether a wall-clock time counts each time that it comes.

    """
    clock = _wall_clock(wall)
    first, second = (wall - _shift(clock.replace(fold=fold, tzinfo=zone)) for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:
        return (first, second) if is_repeated else (first,)
    if is_repeated:
        return ()
    before, after, offset = second, first, _offset(zone, first)
    while after - before > 1:  # the clocks change after `before`, and not after `after`
        middle = (before + after) // 2
        before, after = (before, middle) if _offset(zone, middle) == offset else (middle, after)
    return (after,)


def _offset(zone: ZoneInfo, time: Micros) -> Micros:
    """Return the zone's offset from UTC at ``time``."""
    return _shift((_EPOCH + timedelta(microseconds=time)).replace(tzinfo=UTC).astimezone(zone))


def _shift(clock: datetime) -> Micros:
    return (clock.utcoffset() or timedelta()) // _MICROSECOND


def _wall_clock(wall: Micros) -> datetime:
    return _EPOCH + timedelta(microseconds=wall)


def _micros(clock: datetime) -> Micros:
    return (clock - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "Factory"}  # these differ from machine to machine


@lru_cache(maxsize=1_024)
def _longest_step(cron: str) -> Micros:
    """Return the longest time between two wall-clock times of a cron expression, in the 12 years from 2000 on.

    The days on which it comes are looked at, and the times of one day, so that few steps need to be made.
    """
    minutes, hours, *days = cron.split()
    start = datetime(2000, 1, 1)  # noqa: DTZ001 - wall clocks have no zone
    times = _within(f"{minutes} {hours} * * *", start, 1)
    within_day = max((after - before for before, after in pairwise(times)), default=0)
    if days == ["*", "*", "*"]:
        between_days = DAY
    else:
        dates = _within(f"0 0 {' '.join(days)}", start, _LOOKED_AT)
        between_days = max((after - before for before, after in pairwise(dates)), default=_LOOKED_AT * DAY)
    return max(within_day, between_days - (times[-1] - times[0]))


def _within(cron: str, start: datetime, days: int) -> list[Micros]:
    """Return the wall-clock times of a cron expression in so many days from ``start`` on."""
    end, times = _micros(start) + days * DAY, []
    for clock in CronSim(cron, start - _MICROSECOND):
        if _micros(clock) >= end:
            break
        times.append(_micros(clock))
    return times
