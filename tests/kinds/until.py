"""``until``: a calendar window between two times of a cron expression."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import strategies as st

from bench.material import BOTH, PAIRED, Measured
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from drawings.scene import Scene
from e2e.constructs import BACK, DOWN, FIRST, LAST, Construct, Match, Plan, Sent
from kinds.calendar import CalendarPages, CalendarReference
from kinds.draws import STEP, schedules
from kinds.kind import Kind
from simulation.conditions import Condition, closing, some_slots
from unit.stages.window_world import ALL_ORDERS, Story, order, wait, windowed

_KATHMANDU = timedelta(hours=5, minutes=45)  # no step of minutes that it shares with UTC's; its clocks never change
_MICROSECOND = timedelta(microseconds=1)
_HALF_HOUR = timedelta(minutes=30)


def _until(random: Random) -> Trigger:
    return closing(random, some_slots(random), WindowPlan("until", schedule=Schedule(cron="* * * * *")))


def _constructs(plan: Plan) -> Iterator[Construct]:
    end = plan.begins - (plan.begins + _KATHMANDU - datetime.min.replace(tzinfo=UTC)) % _HALF_HOUR
    frame = (end - _HALF_HOUR, end)
    last = end - _MICROSECOND
    yield Construct(
        "until",
        "between two times of a cron expression in Kathmandu nothing must come beside the others, until it closes",
        {"a": {}, "b": {"absent": True}},
        {
            "window": {"until": {"cron": "*/30 * * * *", "timezone": "Asia/Kathmandu"}},
            "grace": plan.grace_until_over(end),
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


KIND = Kind(
    name="until",
    reference=CalendarReference,
    pages=CalendarPages,
    plans=st.builds(WindowPlan, st.just("until"), schedule=schedules),
    random_plan=lambda chance, *_: WindowPlan("until", schedule=Schedule(every=STEP * chance.choice([2, 3, 5]))),
    takes_absent=True,
    takes_only_absent=True,
    conditions={"until": Condition(1, _until)},
    scenes=(
        Scene(
            "until",
            "5 12:00",
            "6 20:00",
            """
            5 14:00 files f1 path=f1.csv
            5 17:00 files f2 path=f2.csv
            5 22:00 files f3 path=f3.csv
            6 10:00 files f4 path=f4.csv
            """,
            "Europe/Berlin",
        ),
    ),
    constructs=_constructs,
    measured={"until": Measured(BOTH + '  window: {until: {cron: "0 0 1 1 *"}}\n', 2, PAIRED)},
    stories={
        "until, all": Story(
            windowed(WindowPlan("until", schedule=Schedule(cron="0 * * * *")), run=ALL_ORDERS, collect="all"),
            [order(1), order(2), wait(48 * 60), order(3), wait(60)],
            [{"order": "2", "amount": "2"}],
            ["matched", "matched"],
        ),
    },
)
