"""``within``: events fit together if they happened within so long, and an absence may be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from bench.material import BOTH, EVENT, NEVER, PAIRED, Measured
from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from drawings.scene import Scene
from drawings.tale import Band
from e2e.constructs import BACK, DOWN, FIRST, Construct, Match, Plan, Sent, slots
from kinds.draws import resets, times
from kinds.kind import Kind
from kinds.sliding import SlidingPages, SlidingReference
from simulation.conditions import TOPICS, Condition, sliding, slot_of
from unit.stages.window_world import (
    ALL_ORDERS,
    HOURLY,
    NO_PAYMENT,
    ONE_EACH,
    ORDER,
    PAYMENT,
    Story,
    order,
    pay,
    wait,
    windowed,
)


def _pair(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return sliding(random, (slot_of(first), slot_of(second)))


def _unkeyed(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return sliding(random, (slot_of(first, keyed=False, where="payload.n < 8"), slot_of(second, keyed=False)))


def _two_of_three(random: Random) -> Trigger:
    return sliding(random, tuple(slot_of(topic) for topic in TOPICS), 2)


def _same_event(random: Random) -> Trigger:
    topic = random.choice(TOPICS)
    return sliding(
        random, (slot_of(topic, "low", where="payload.n < 7"), slot_of(topic, "high", where="payload.n > 3"))
    )


def _count(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return sliding(random, (replace(slot_of(first), count=2), slot_of(second)))


def _sequence(random: Random) -> Trigger:
    return replace(sliding(random, tuple(slot_of(topic) for topic in random.sample(TOPICS, 2))), order="sequence")


def _reset(random: Random) -> Trigger:
    trigger = _pair(random)
    assert trigger.window is not None
    reset = Schedule(every=random.choice((10, 20)) * SECOND)
    return replace(trigger, window=replace(trigger.window, reset=reset))


def _absent(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    trigger = sliding(random, (slot_of(first), replace(slot_of(second), absent=True)))
    return replace(trigger, require=1, dedupe=2 * trigger.span)


def _constructs(plan: Plan) -> Iterator[Construct]:
    yield _within_construct(plan)
    yield _absent_construct(plan)
    yield _reset_construct(plan)


def _short(plan: Plan) -> dict[str, Any]:
    """Return a window that is over while the bridge is dead."""
    return {"window": {"within": "10s"}, "grace": plan.short(less=12)}


def _within_construct(plan: Plan) -> Construct:
    return Construct(
        "within",
        "an outage longer than the window costs no match that was possible, and what is alone expires",
        slots("a", "b"),
        _short(plan),
        {
            FIRST: [Sent("a-1", 0, "torn"), Sent("a-2", 0, "alone"), Sent("a-3", 0, "far")],
            DOWN: [
                *(Sent("b-1", 10, "torn"), Sent("b-3", 10.000001, "far")),
                *(Sent("b-4", 1, "both"), Sent("a-4", 2, "both")),
            ],
        },
        [Match("a-1 b-1", "torn"), Match("a-4 b-4", "both")],
        {"matched": "a-1 b-1 a-4 b-4", "expired": "a-2 a-3 b-3"},
    )


def _absent_construct(plan: Plan) -> Construct:
    return Construct(
        "absent",
        "what did not come runs, and what came in time while the bridge was down cancels",
        {"a": {}, "b": {"absent": True}},
        _short(plan),
        {
            FIRST: [
                *(Sent("a-1", 0, "unpaid"), Sent("a-2", 0, "paid"), Sent("a-5", 0, "too late")),
                *(Sent("b-3", 3, "before"), Sent("a-4", 0, "at once"), Sent("b-4", 0, "at once")),
            ],
            DOWN: [Sent("b-2", 10, "paid"), Sent("a-3", 1, "before"), Sent("b-5", 10.000001, "too late")],
        },
        [Match("a-1", "unpaid"), Match("a-4", "at once"), Match("a-5", "too late")],
        {
            "matched": "a-1 a-4 a-5 b-2 b-3",
            "cancelled": "a-2 a-3",
            "expired": "b-4 b-5",
        },
    )


def _reset_construct(plan: Plan) -> Construct:
    hour = plan.begins.replace(minute=0, second=0, microsecond=0)
    before, last = hour - timedelta(seconds=2), hour - timedelta(microseconds=1)
    return Construct(
        "reset",
        "no match spans a boundary, and what waits behind one is reset when that is over",
        slots("a", "b"),
        {
            "window": {"within": "1h", "reset": {"cron": "0 * * * *", "timezone": "UTC"}},
            "grace": plan.grace_until_over(hour),
        },
        {
            FIRST: [Sent("a-1", before, "one side"), Sent("a-2", last, "both"), Sent("b-2", hour, "both")],
            DOWN: [Sent("b-1", last, "one side")],
            BACK: [Sent("a-3", hour, "both"), Sent("a-4", before, "one side")],
        },
        [Match("a-1 b-1", "one side"), Match("a-3 b-2", "both")],
        {"matched": "a-1 b-1 a-3 b-2", "reset": "a-2 a-4"},
        closes=("reset", "a-2"),
    )


KIND = Kind(
    name="within",
    reference=SlidingReference,
    pages=SlidingPages,
    plans=st.builds(WindowPlan, st.just("within"), st.integers(0, 5), reset=resets),
    random_plan=lambda _, length, reset: WindowPlan("within", length, reset=reset),
    takes_absent=True,
    takes_all=False,
    conditions={
        "pair": Condition(6, _pair),
        "unkeyed": Condition(1, _unkeyed),
        "two of three": Condition(2, _two_of_three),
        "same event": Condition(1, _same_event),
        "count": Condition(1, _count),
        "sequence": Condition(1, _sequence),
        "reset": Condition(1, _reset),
        "absent": Condition(2, _absent),
    },
    scenes=(
        Scene(
            "within",
            "6 09:00",
            "6 13:00",
            """
            6 09:20 data d1 rows=7
            6 10:00 approval a1 reviewer=ann
            6 10:50 data d2 rows=9
            6 12:10 approval a2 reviewer=ben
            """,
        ),
        Scene(
            "absent",
            "6 09:00",
            "6 10:30",
            """
            6 09:05 order o1 order_id=1
            6 09:20 order o2 order_id=2
            6 09:44 payment p2 order_id=2
            """,
        ),
        Scene(
            "reset",
            "5 18:00",
            "6 08:00",
            """
            5 21:00 opened o1
            6 01:30 closed c1
            6 04:00 opened o2
            """,
            "Europe/Berlin",
        ),
    ),
    band=lambda plan, used, _: Band(min(times(used)), min(times(used)) + plan.length),
    constructs=_constructs,
    measured={
        "within, two slots": Measured(BOTH + "  window: {within: 1h}\n", 2, PAIRED),
        "within, order: sequence": Measured(BOTH + "  order: sequence\n  window: {within: 1h}\n", 2, PAIRED),
        "within, reset": Measured(
            BOTH + '  window: {within: 1h, reset: {cron: "0 0 1 1 *", timezone: UTC}}\n', 2, PAIRED
        ),
        "within, absent": Measured(
            f"  events: [{{name: {EVENT}}}, {{name: {NEVER}, absent: true}}]\n  window: {{within: 1s}}\n  grace: 0s\n",
            1,
            {"waiting": 1, "matched": 1},
        ),
    },
    stories={
        "within, count": Story(
            windowed(WindowPlan("within", 10 * MINUTE), replace(ORDER, count=2), PAYMENT, run=ALL_ORDERS),
            [order(1), pay(), order(2), wait(60)],
            [{"order": "2", "amount": "2"}],
            ["matched"] * 3,
        ),
        "within, sequence": Story(
            windowed(WindowPlan("within", 10 * MINUTE), ORDER, PAYMENT, run=ONE_EACH, order="sequence"),
            [pay(), order(5), pay(), wait(20 * 60)],
            [{"order": "7", "amount": "5"}],
            ["superseded", "matched", "matched"],
        ),
        "within, absent": Story(
            windowed(WindowPlan("within", 10 * MINUTE), ORDER, NO_PAYMENT, run=ONE_EACH, dedupe=HOUR),
            [order(1), order(2, number=8), wait(5 * 60), pay(8), wait(7 * 60), wait(60)],
            [{"order": "7", "amount": "1"}],
            ["matched", "cancelled", "matched"],
        ),
        "within, reset": Story(
            windowed(WindowPlan("within", 2 * HOUR, reset=HOURLY), ORDER, PAYMENT, run=ONE_EACH),
            [order(1), wait(50 * 60), pay(), order(2), wait(60)],
            [{"order": "7", "amount": "2"}],
            ["reset", "matched", "matched"],
        ),
    },
)
