"""The promises of boundaries: frames cut time without gap or overlap, whatever the clocks of a zone do."""

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros, moment
from bridge.core.trigger import Schedule
from bridge.core.windows.boundaries import FAR_AHEAD, LONG_AGO, frame_of, longest_frame, next_boundary, schedule_fault

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",  # changed its clocks at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left a day out in 2011
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Antarctica/Troll",  # by two hours
    "Europe/Dublin",
    "Asia/Tehran",
]
STEPS = [10 * SECOND, MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY]
CRONS = [
    "* * * * *",
    "*/15 * * * *",
    "45 * * * *",
    "0 */6 * * *",
    "*/30 2 * * *",
    "30 2 * * *",
    "0,30 0-3 * * *",
    "0 0 * * *",
    "0 9 * * MON-FRI",
    "0 0 1 * *",
    "59 23 L * *",
    "0 12 * * MON#1",
]
CHANGES = [  # moments around which clocks change somewhere
    "2026-03-29T01:00",
    "2026-10-25T01:00",
    "2026-03-08T07:00",
    "2026-11-01T06:00",
    "2026-04-04T15:00",
    "2026-10-03T15:30",
    "2011-12-30T10:00",
    "2018-11-04T03:00",
    "2018-02-18T02:00",
    "2026-02-15T02:00",
    "2021-09-21T19:30",
    "2005-03-27T01:00",
]


def at(text: str) -> Micros:
    """Return the moment of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def local(time: Micros, zone: str) -> str:
    return moment(time).astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M%z")


def boundaries(schedule: Schedule, start: str, number: int) -> list[str]:
    """Return the boundaries after ``start`` by the clocks of the schedule's zone."""
    time, found = at(start), []
    for _ in range(number):
        time = next_boundary(schedule, time)
        found.append(local(time, schedule.timezone))
    return found


steps = st.sampled_from(STEPS).flatmap(
    lambda every: st.builds(
        Schedule,
        timezone=st.sampled_from(ZONES),
        every=st.just(every),
        offset=st.just(0) | st.integers(0, every - 1) | st.sampled_from([every // 2, every // 4]),
    ),
)
crons = st.builds(Schedule, timezone=st.sampled_from(ZONES), cron=st.sampled_from(CRONS))
schedules = steps | crons
near_changes = st.builds(
    lambda change, off, fine: at(change) + off * MINUTE + fine,
    st.sampled_from(CHANGES),
    st.integers(-3_000, 3_000),
    st.sampled_from([0, 0, 1, -1, 17 * SECOND]),
)
times = near_changes | st.integers(-2_300_000_000_000_000, 4_000_000_000_000_000)


@settings(deadline=None, max_examples=200)
@given(schedules, times)
def test_each_moment_lies_in_one_frame(schedule: Schedule, time: Micros) -> None:
    start, end = frame_of(schedule, time)
    assert start <= time < end
    assert frame_of(schedule, start) == frame_of(schedule, end - 1) == (start, end)


@settings(deadline=None, max_examples=200)
@given(schedules, times)
def test_a_frame_ends_where_the_next_begins(schedule: Schedule, time: Micros) -> None:
    start, end = frame_of(schedule, time)
    assert next_boundary(schedule, time) == end
    assert frame_of(schedule, end)[0] == end
    assert frame_of(schedule, start - 1)[1] == start


@settings(deadline=None, max_examples=200)
@given(schedules, near_changes, near_changes)
def test_later_moments_lie_in_later_frames(schedule: Schedule, micros: Micros, other: Micros) -> None:
    earlier, later = sorted((micros, other))
    assert frame_of(schedule, earlier) <= frame_of(schedule, later)


def test_a_time_that_clocks_leave_out_each_year_is_no_boundary() -> None:
    never = Schedule("America/New_York", cron="*/30 2 * 3 SUN#2")
    last = at("2006-03-12T07:30")  # clocks changed in April then
    assert frame_of(never, at("2015-03-08T07:00")) == (last, FAR_AHEAD)


@settings(deadline=None, max_examples=100)
@given(schedules, st.integers(at("2000-01-01"), at("2040-01-01")))
@example(Schedule("America/New_York", cron="*/30 2 * * *"), at("2006-04-01T07:30"))  # the next day has no such times
def test_no_frame_is_longer_than_the_longest(schedule: Schedule, time: Micros) -> None:
    start, end = frame_of(schedule, time)
    if not start <= at("2011-12-30T10:00") <= end:  # Apia's day without a date made one frame a day longer
        assert end - start <= longest_frame(schedule)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo"])
@pytest.mark.parametrize("cron", CRONS)
def test_cron_boundaries_are_those_that_cronsim_finds_going_ahead(zone: str, cron: str) -> None:
    schedule = Schedule(zone, cron=cron)
    for day in ("2018-02-17", "2018-03-10", "2018-03-24", "2018-10-27", "2018-11-03"):
        clock = CronSim(cron, datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)))
        found = sorted({int(when.timestamp()) * SECOND for when in islice(clock, 200)})
        assert all(next_boundary(schedule, boundary) == other for boundary, other in pairwise(found))


@pytest.mark.parametrize("every", [HOUR, 15 * MINUTE, 6 * HOUR, DAY])
def test_on_most_days_a_step_is_what_the_clock_shows(every: Micros) -> None:
    schedule = Schedule("Europe/Berlin", every=every)
    start, end = frame_of(schedule, at("2026-07-01T10:20"))
    assert end - start == every
    assert (start + 2 * HOUR) % every == 0


SPRING, AUTUMN = "2026-03-28T23:30", "2026-10-24T22:30"  # half past midnight in Berlin, before the clocks change


def test_a_day_is_23_or_25_hours_long_when_clocks_change() -> None:
    daily = Schedule("Europe/Berlin", every=DAY)
    lengths = [end - start for start, end in (frame_of(daily, at(day)) for day in (SPRING, AUTUMN))]
    assert lengths == [23 * HOUR, 25 * HOUR]


def test_hours_stay_hours_when_clocks_change() -> None:
    hourly = Schedule("Europe/Berlin", every=HOUR)
    assert boundaries(hourly, SPRING, 3) == ["03-29 01:00+0100", "03-29 03:00+0200", "03-29 04:00+0200"]
    assert boundaries(hourly, AUTUMN, 4) == [
        "10-25 01:00+0200",
        "10-25 02:00+0200",
        "10-25 02:00+0100",
        "10-25 03:00+0100",
    ]


def test_longer_steps_follow_the_clock() -> None:
    schedule = Schedule("Europe/Berlin", every=2 * HOUR)
    assert boundaries(schedule, SPRING, 2) == ["03-29 03:00+0200", "03-29 04:00+0200"]
    assert boundaries(schedule, AUTUMN, 2) == ["10-25 02:00+0200", "10-25 04:00+0100"]


def test_half_past_two_comes_once_a_day() -> None:
    schedule = Schedule("Europe/Berlin", cron="30 2 * * *")
    assert boundaries(schedule, SPRING, 2) == ["03-29 03:00+0200", "03-30 02:30+0200"]
    assert boundaries(schedule, AUTUMN, 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_a_cron_of_every_hour_comes_each_time_that_the_clock_shows_it() -> None:
    schedule = Schedule("Europe/Berlin", cron="30 * * * *")
    assert boundaries(schedule, SPRING, 2) == ["03-29 01:30+0100", "03-29 03:30+0200"]
    assert boundaries(schedule, AUTUMN, 3) == ["10-25 01:30+0200", "10-25 02:30+0200", "10-25 02:30+0100"]


def test_a_day_whose_midnight_is_left_out_begins_when_the_clocks_change() -> None:
    schedule = Schedule("America/Sao_Paulo", every=DAY)
    assert boundaries(schedule, "2018-11-03T12:00", 2) == ["11-04 01:00-0200", "11-05 00:00-0200"]


def test_a_day_that_a_zone_left_out_has_no_frame() -> None:
    schedule = Schedule("Pacific/Apia", every=DAY)
    assert boundaries(schedule, "2011-12-29T12:00", 2) == ["12-31 00:00+1400", "01-01 00:00+1400"]


def test_weeks_begin_on_monday_and_offsets_move_them() -> None:
    weekly = Schedule("Europe/Berlin", every=7 * DAY, offset=6 * HOUR)
    start, _ = frame_of(weekly, at("2026-11-22T12:00"))
    assert moment(start).astimezone(ZoneInfo("Europe/Berlin")).strftime("%a %H:%M") == "Mon 06:00"


def test_times_outside_the_calendar_lie_in_endless_frames() -> None:
    for schedule in (Schedule(every=DAY), Schedule("Asia/Tehran", cron="0 0 1 1 *")):
        start, end = frame_of(schedule, LONG_AGO)
        assert start == LONG_AGO
        assert frame_of(schedule, end)[0] == end
        start, end = frame_of(schedule, FAR_AHEAD - 1)
        assert end == FAR_AHEAD
        assert frame_of(schedule, start - 1)[1] == start


@pytest.mark.parametrize(
    ("schedule", "attribute"),
    [
        (Schedule("Europe/Berlin", every=HOUR), None),
        (Schedule("Europe/Berlin", every=2 * DAY, offset=30 * HOUR), None),
        (Schedule("UTC", cron="0 6 * * MON-FRI"), None),
        (Schedule("Europe/Nowhere", every=HOUR), "timezone"),
        (Schedule("../etc/passwd", every=HOUR), "timezone"),
        (Schedule("localtime", every=HOUR), "timezone"),
        (Schedule(every=7 * HOUR), "every"),
        (Schedule(every=36 * HOUR), "every"),
        (Schedule(every=0), "every"),
        (Schedule(every=HOUR, offset=HOUR), "offset"),
        (Schedule(cron="0 6 * *"), "cron"),
        (Schedule(cron="0 0 6 * * *"), "cron"),
        (Schedule(cron="61 * * * *"), "cron"),
        (Schedule(cron="0 0 30 2 *"), "cron"),
        (Schedule(cron="0 0 */31 * MON#5"), "cron"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_found(schedule: Schedule, attribute: str | None) -> None:
    fault = schedule_fault(schedule)
    assert (fault and fault[0]) == attribute


@pytest.mark.parametrize(
    ("cron", "longest"),
    [("*/20 * * * *", 20 * MINUTE), ("0 9 * * MON-FRI", 3 * DAY), ("0 6,18 1 * *", 31 * DAY - 12 * HOUR)],
)
def test_the_longest_frame_of_a_cron_expression_is_found(cron: str, longest: Micros) -> None:
    assert longest_frame(Schedule(cron=cron)) == longest


def test_frames_are_the_same_in_whatever_order_they_are_asked_for() -> None:
    schedule = Schedule("Europe/Berlin", cron="0,30 0-3 * * *")
    moments = [at(AUTUMN) + step * 7 * MINUTE for step in range(300)]
    found = sorted({frame_of(schedule, time)[0] for time in reversed(moments)})
    assert [frame_of(schedule, time)[0] for time in moments] == [
        found[bisect_right(found, time) - 1] for time in moments
    ]
