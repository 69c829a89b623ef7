"""``every``: a calendar window between two boundaries of a clock. With nothing but absence it is a dead man's switch.

The end-to-end story of a dead man's switch needs heartbeats; it stands in :mod:`e2e.constructs_switch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from bench.material import BOTH, PAIRED, Measured
from bridge.core.event import SECOND
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from drawings.scene import Scene
from e2e.constructs import BACK, DOWN, FIRST, Construct, Match, Plan, Sent, slots
from kinds.calendar import CalendarPages, CalendarReference
from kinds.draws import STEP, schedules
from kinds.kind import Kind
from simulation.conditions import TOPICS, Condition, closing, slot_of, some_slots
from unit.stages.window_world import (
    ALL_ORDERS,
    HOURLY,
    NO_PAYMENT,
    ONE_EACH,
    ORDER,
    PAYMENT,
    SILENCE,
    Story,
    order,
    pay,
    wait,
    windowed,
)

_BERLIN = ZoneInfo("Europe/Berlin")
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def _every(random: Random) -> Trigger:
    return closing(
        random, some_slots(random), WindowPlan("every", schedule=Schedule(every=random.choice((5, 10)) * SECOND))
    )


def _absent_every(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    slots = (slot_of(first), replace(slot_of(second), absent=True))
    return closing(random, slots, WindowPlan("every", schedule=Schedule(every=10 * SECOND)), collect="latest")


def _switch(random: Random) -> Trigger:
    slot = replace(slot_of(random.choice(TOPICS), keyed=False), absent=True)
    return closing(random, (slot,), WindowPlan("every", schedule=Schedule(every=10 * SECOND)), collect="latest")


def _constructs(plan: Plan) -> Iterator[Construct]:
    """Yield constructs whose windows lie in the past, and whose grace lasts until the end of the outage.

    So a window of a day closes while a test watches, and an event counts from the day on which the clocks changed last.
    Frames are worked out here from the zones alone.
    """
    yield _every_construct(plan)
    yield _grace_construct(plan)


def _every_construct(plan: Plan) -> Construct:
    frame = _changing_day(plan.begins)
    start, last = frame[0], frame[1] - _MICROSECOND
    return Construct(
        "every",
        "a day from six to six in Berlin on which the clocks change is one window, and runs once it is filled",
        slots("a", "b"),
        {
            "window": {"every": "1d", "timezone": "Europe/Berlin", "offset": "6h"},
            "grace": plan.grace_until_over(frame[1]),
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


def _grace_construct(plan: Plan) -> Construct:
    hour = plan.begins.replace(minute=0, second=0, microsecond=0)
    frame = (hour - timedelta(hours=1), hour)
    return Construct(
        "grace",
        "what reaches us within the grace counts in a window that is over, and what comes later is late",
        {"a": {}},
        {"window": {"every": "1h"}, "grace": plan.grace_until_over(hour), "collect": "all"},
        {
            FIRST: [Sent("a-1", frame[0])],
            DOWN: [Sent("a-2", hour - _MICROSECOND)],
            BACK: [Sent("a-3", hour - _MICROSECOND)],
        },
        [Match("a-1 a-2", frame=frame)],
        {"matched": "a-1 a-2", "late": "a-3"},
        closes=("matched", "a-2"),
    )


def _changing_day(began: datetime) -> tuple[datetime, datetime]:
    """Return the last whole day from six to six on which Berlin's clocks changed."""
    day = began.astimezone(_BERLIN).date() - _DAY
    while True:
        start, end = (datetime.combine(date, time(6), _BERLIN).astimezone(UTC) for date in (day - _DAY, day))
        if end - start != _DAY:
            return start, end
        day -= _DAY


KIND = Kind(
    name="every",
    reference=CalendarReference,
    pages=CalendarPages,
    plans=st.builds(WindowPlan, st.just("every"), schedule=schedules),
    random_plan=lambda chance, *_: WindowPlan("every", schedule=Schedule(every=STEP * chance.choice([2, 3, 5]))),
    takes_absent=True,
    takes_only_absent=True,
    conditions={
        "every": Condition(1, _every),
        "absent every": Condition(1, _absent_every),
        "switch": Condition(1, _switch),
    },
    scenes=(
        Scene(
            "dead-mans-switch",
            "5 00:00",
            "8 09:00",
            """
            5 23:30 done d5
            7 04:10 done d7
            """,
            "Europe/Berlin",
        ),
        Scene(
            "every",
            "5 00:00",
            "7 04:00",
            """
            5 08:00 sales s5 file=s5.csv
            5 13:00 stock t5 file=t5.csv
            5 19:00 stock x5 file=x5.csv
            6 09:00 sales s6 file=s6.csv
            """,
            "Europe/Berlin",
        ),
        Scene(
            "grace",
            "6 09:00",
            "6 10:30",
            """
            6 09:12 readings r1 value=1
            6 09:30 readings r2 value=2 @10:05
            6 09:50 readings r3 value=3 @10:20
            """,
            "Europe/Berlin",
        ),
    ),
    constructs=_constructs,
    measured={"every": Measured(BOTH + "  window: {every: 365d}\n", 2, PAIRED)},
    stories={
        "every, latest": Story(
            windowed(WindowPlan("every", schedule=HOURLY), ORDER, PAYMENT, run=ONE_EACH),
            [order(1), pay(), order(2), wait(48 * 60), order(3, ago=50 * 60), order(4), pay(), wait(60)],
            [{"order": "7", "amount": "1"}, {"order": "7", "amount": "4"}],
            ["matched", "matched", "superseded", "late", "matched", "matched"],
        ),
        "every, all": Story(
            windowed(WindowPlan("every", schedule=HOURLY), run=ALL_ORDERS, collect="all"),
            [order(1), order(2), wait(48 * 60), order(3), wait(60)],
            [{"order": "2", "amount": "2"}],
            ["matched", "matched"],
        ),
        "every, absent": Story(
            windowed(WindowPlan("every", schedule=HOURLY), ORDER, NO_PAYMENT, run=ONE_EACH),
            [order(1), order(2, number=8), pay(8), wait(48 * 60), wait(60)],
            [{"order": "7", "amount": "1"}],
            ["matched", "cancelled", "matched"],
        ),
        "dead man's switch": Story(
            windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),)),
            [order(), wait(48 * 60), order(), wait(60 * 60), wait(60 * 60), wait(60)],
            [{"order": "silence"}],
            ["expired", "matched"],
        ),
    },
)
