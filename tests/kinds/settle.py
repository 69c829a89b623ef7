"""``settle``: events gather until none has reached us for so long."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import strategies as st

from bench.material import BOTH, GATHERED, Measured
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.window import Arrival
from drawings.scene import Scene
from drawings.tale import Band
from e2e.constructs import BACK, DOWN, FIRST, THEN, UNDISTURBED, Construct, Match, Plan, Sent, slots
from kinds.draws import max_wait, max_waits, moments_reached, resets
from kinds.groups import GroupPages, GroupReference
from kinds.kind import Kind
from kinds.pages import Group
from simulation.conditions import Condition, closing, some_slots
from unit.stages.window_world import ALL_ORDERS, Story, order, wait, windowed


class _Reference(GroupReference):
    def _end_of(self, group: list[Arrival]) -> Micros:
        return max(moments_reached(group)) + self.plan.length


class _Pages(GroupPages):
    def _ends(self, group: Group) -> int:
        return max(moments_reached(group.arrivals)) + self.plan.length


def _settle(random: Random) -> Trigger:
    longest = random.choice((None, 12 * SECOND))
    return closing(random, some_slots(random), WindowPlan("settle", random.choice((2, 5)) * SECOND, max_wait=longest))


def _constructs(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "settle",
        "what came until it was quiet is one run",
        slots("a"),
        {"window": {"settle": plan.short(less=8)}},
        {FIRST: [Sent("a-1")], THEN: [Sent("a-1")], DOWN: [Sent("a-2", 1)]},
        [Match("a-1 a-2")],
        {"matched": "a-1 a-2", "duplicate": "a-1"},
    )
    yield Construct(
        UNDISTURBED,
        "where nothing waits in Kafka time goes on, also without a router",
        slots("a"),
        {"window": {"settle": plan.short(less=8)}},
        {FIRST: [Sent("a-1")], BACK: [Sent("a-2")]},
        [Match("a-1"), Match("a-2")],
        {"matched": "a-1 a-2"},
    )
    yield Construct(
        "settle-latest",
        "of what came until it was quiet the newest runs",
        slots("a", "b"),
        {"window": {"settle": plan.short(less=8), "maxWait": plan.short(less=5)}, "collect": "latest"},
        {
            FIRST: [Sent("a-1", 1), Sent("b-1"), Sent("a-3", 0, "alone")],
            DOWN: [Sent("a-2", 0), Sent("b-2", 1)],
        },
        [Match("a-1 b-2")],
        {"matched": "a-1 b-2", "superseded": "a-2 b-1", "expired": "a-3"},
    )
    yield Construct(
        "max-wait",
        "`maxWait` after its first event a window ends, whether or not it is quiet",
        slots("a"),
        {"window": {"settle": plan.short(less=5), "maxWait": plan.short(less=5)}},
        {FIRST: [Sent("a-1")], THEN: [Sent("a-2", 1)], DOWN: [Sent("a-3", 2)]},
        [Match("a-1 a-2 a-3")],
        {"matched": "a-1 a-2 a-3"},
    )


KIND = Kind(
    name="settle",
    reference=_Reference,
    pages=_Pages,
    plans=st.builds(WindowPlan, st.just("settle"), st.integers(1, 5), max_wait=max_waits, reset=resets),
    random_plan=lambda chance, length, reset: WindowPlan("settle", length + 4, max_wait=max_wait(chance), reset=reset),
    conditions={"settle": Condition(1, _settle)},
    scenes=(
        Scene(
            "settle",
            "6 09:00",
            "6 09:50",
            """
            6 09:03 edits e1 site=s page=a
            6 09:08 edits e2 site=s page=b
            6 09:15 edits e3 site=s page=a
            6 09:33 edits e4 site=s page=c
            """,
        ),
    ),
    band=lambda _, used, at: Band(min(moments_reached(used)), at),
    constructs=_constructs,
    measured={"settle": Measured(BOTH + "  window: {settle: 1s}\n", 2, GATHERED)},
    stories={
        "settle, with maxWait": Story(
            windowed(WindowPlan("settle", 5 * MINUTE, max_wait=10 * MINUTE), run=ALL_ORDERS, collect="all"),
            [order(1), wait(4 * 60), order(2), wait(4 * 60), order(3), wait(3 * 60), order(4), wait(6 * 60), wait(60)],
            [{"order": "3", "amount": "3"}, {"order": "1", "amount": "4"}],
            ["matched"] * 4,
        ),
    },
)
