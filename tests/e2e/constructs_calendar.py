"""Stories of calendar windows. They lie in the past, and their grace lasts until the end of the outage.

So a window of a day closes while somebody watches, and an event from the day on which the clocks changed last counts.
Frames are worked out here from the zones alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from e2e.constructs import BACK, DOWN, FIRST, LAST, Construct, Match, Plan, Sent, slots

if TYPE_CHECKING:
    from collections.abc import Iterator

_BERLIN = ZoneInfo("Europe/Berlin")
_KATHMANDU = timedelta(hours=5, minutes=45)  # no step of minutes that it shares with UTC's; its clocks never change
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_HALF_HOUR = timedelta(minutes=30)


def calendar(plan: Plan) -> Iterator[Construct]:
    """Yield the stories."""
    yield _every(plan)
    yield _grace(plan)
    yield _until(plan)


def _every(plan: Plan) -> Construct:
    frame = _changing_day(plan.begins)
    start, last = frame[0], frame[1] - _MICROSECOND
    return Construct(
        "every",
        "a day from six to six in Berlin on which the clocks change is one window, and runs once it is filled",
        slots("a", "b"),
        {
            "window": {"every": "1d", "timezone": "Europe/Berlin", "offset": "6h"},
            "grace": _grace_until_over(plan, frame[1]),
        },
        {
            FIRST: [
                *(Sent("a-1", start), Sent("a-2", start, "alone"), Sent("b-2", start - _MICROSECOND, "alone")),
                *(Sent("a-5", start, "soon"), Sent("b-5", start, "soon")),
            ],
            DOWN: [Sent("b-1", last), Sent("b-3", frame[1], "alone"), Sent("a-6", last, "soon")],
            BACK: [Sent("a-4", start)],
        },
        [Match("a-1 b-1", frame=frame), Match("a-5 b-5", "soon", frame=frame)],
        {"matched": "a-1 b-1 a-5 b-5", "superseded": "a-6", "late": "b-2 a-4", "expired": "a-2"},
        waiting="b-3",
        closes=("expired", "a-2"),
    )


def _grace(plan: Plan) -> Construct:
    hour = plan.begins.replace(minute=0, second=0, microsecond=0)
    frame = (hour - timedelta(hours=1), hour)
    return Construct(
        "grace",
        "what reaches us within the grace counts in a window that is over, and what comes later is late",
        {"a": {}},
        {"window": {"every": "1h"}, "grace": _grace_until_over(plan, hour), "collect": "all"},
        {
            FIRST: [Sent("a-1", frame[0])],
            DOWN: [Sent("a-2", hour - _MICROSECOND)],
            BACK: [Sent("a-3", hour - _MICROSECOND)],
        },
        [Match("a-1 a-2", frame=frame)],
        {"matched": "a-1 a-2", "late": "a-3"},
        closes=("matched", "a-2"),
    )


def _until(plan: Plan) -> Construct:
    end = plan.begins - (plan.begins + _KATHMANDU - datetime.min.replace(tzinfo=UTC)) % _HALF_HOUR
    frame = (end - _HALF_HOUR, end)
    last = end - _MICROSECOND
    return Construct(
        "until",
        "between two times of a cron expression in Kathmandu nothing must come beside the others, until it closes",
        {"a": {}, "b": {"absent": True}},
        {
            "window": {"until": {"cron": "*/30 * * * *", "timezone": "Asia/Kathmandu"}},
            "grace": _grace_until_over(plan, end),
        },
        {
            FIRST: [Sent("a-1", frame[0], "quiet"), Sent("a-2", last, "loud"), Sent("b-4", last, "empty")],
            DOWN: [Sent("b-2", frame[0], "loud"), Sent("b-1", end, "quiet"), Sent("a-3", last, "quiet")],
            BACK: [Sent("a-5", last, "quiet")],
            LAST: [Sent("b-5", last, "loud")],
        },
        [Match("a-3", "quiet", frame=frame)],
        {
            "matched": "a-3 b-2",
            "superseded": "a-1",
            "cancelled": "a-2",
            "expired": "b-4",
            "late": "a-5 b-5",
        },
        waiting="b-1",
        closes=("matched", "a-3"),
    )


def _changing_day(began: datetime) -> tuple[datetime, datetime]:
    """Return the last whole day from six to six on which Berlin's clocks changed."""
    day = began.astimezone(_BERLIN).date() - _DAY
    while True:
        start, end = (datetime.combine(one, time(6), _BERLIN).astimezone(UTC) for one in (day - _DAY, day))
        if end - start != _DAY:
            return start, end
        day -= _DAY


def _grace_until_over(plan: Plan, end: datetime) -> str:
    """Return the grace of a window that ended, so that it closes when everything does."""
    return f"{int((plan.begins - end).total_seconds()) + plan.outage}s"
