"""``batch``: events gather until there are so many of them, or until the first has waited for so long."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import strategies as st

from bench.material import BOTH, PAIRED, Measured
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.core.windows.window import Arrival
from drawings.scene import Scene
from drawings.tale import Band
from e2e.constructs import BACK, DOWN, FIRST, LAST, THEN, Construct, Match, Plan, Sent, slots
from kinds.draws import moments_reached, resets
from kinds.groups import GroupPages, GroupReference
from kinds.kind import Kind
from kinds.pages import Group
from kinds.reference import FOREVER
from simulation.conditions import Condition, closing, some_slots
from unit.stages.window_world import ALL_ORDERS, Story, order, wait, windowed


class _Reference(GroupReference):
    def _is_full(self, group: list[Arrival]) -> bool:
        return self.plan.size is not None and len(group) >= self.plan.size

    def _end_of(self, group: list[Arrival]) -> Micros:
        return min(moments_reached(group)) + self.plan.length if self.plan.length else FOREVER[1] * 2


class _Pages(GroupPages):
    def _join(self, new: Arrival, epoch: int) -> None:
        group = self._group(epoch)
        group.arrivals.append(new)
        if self.plan.size and len(group.arrivals) >= self.plan.size:
            self._close(group, new.reached)

    def _ends(self, group: Group) -> int:
        return min(moments_reached(group.arrivals)) + self.plan.length if self.plan.length else 10**12


@st.composite
def _plans(draw: st.DrawFn) -> WindowPlan:
    length = draw(st.integers(0, 5))
    size = draw(st.sampled_from([2, 3, *([None] if length else [])]))
    return WindowPlan("batch", length, size=size, reset=draw(resets))


def _random_plan(chance: Random, length: Micros, reset: Schedule | None) -> WindowPlan:
    return WindowPlan("batch", chance.choice([0, length + 4]), size=chance.choice([2, 3, 5]), reset=reset)


def _batch(random: Random) -> Trigger:
    size = random.choice((None, 2, 3))
    return closing(random, some_slots(random), WindowPlan("batch", random.choice((4, 10)) * SECOND, size=size))


def _constructs(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "batch-size",
        "so many are a batch, in the order in which they came, across a crash",
        slots("a", "b"),
        {"window": {"batch": {"size": 3}}, "require": "any"},
        {
            FIRST: [Sent("a-1", 7)],
            THEN: [Sent("b-1"), Sent("a-1", 7)],
            DOWN: [Sent("a-2", 3)],
            BACK: [Sent("b-2")],
            LAST: [Sent("b-3"), Sent("b-4"), Sent("b-5")],
        },
        [Match("a-2 a-1 b-1"), Match("b-2 b-3 b-4")],
        {"matched": "a-1 b-1 a-2 b-2 b-3 b-4", "duplicate": "a-1"},
        waiting="b-5",
    )
    yield Construct(
        "batch-wait",
        "a batch that is not full goes when it has waited, with what came while the bridge was down",
        slots("a"),
        {"window": {"batch": {"size": 3, "wait": plan.short(less=5)}}},
        {
            FIRST: [Sent("a-1", 0, "full"), Sent("a-2", 1, "full"), Sent("a-4", 0, "short")],
            DOWN: [Sent("a-3", 2, "full"), Sent("a-5", 1, "short")],
        },
        [Match("a-1 a-2 a-3", "full"), Match("a-4 a-5", "short")],
        {"matched": "a-1 a-2 a-3 a-4 a-5"},
    )


KIND = Kind(
    name="batch",
    reference=_Reference,
    pages=_Pages,
    plans=_plans(),
    random_plan=_random_plan,
    takes_order=False,
    conditions={"batch": Condition(1, _batch)},
    scenes=(
        Scene(
            "batch",
            "6 09:00",
            "6 09:14",
            """
            6 09:01 documents d1 id=1
            6 09:02:30 documents d2 id=2
            6 09:04 documents d3 id=3
            6 09:05:30 documents d4 id=4
            6 09:07 documents d5 id=5
            6 09:08:30 documents d6 id=6
            """,
        ),
    ),
    band=lambda _, used, at: Band(min(moments_reached(used)), at),
    constructs=_constructs,
    measured={"batch": Measured(BOTH + "  window: {batch: {size: 2}}\n", 2, PAIRED)},
    stories={
        "batch, by size and by wait": Story(
            windowed(WindowPlan("batch", 10 * MINUTE, size=3), run=ALL_ORDERS, collect="all"),
            [order(1), order(2), order(3), order(4), wait(5 * 60), order(5), wait(6 * 60), wait(60)],
            [{"order": "3", "amount": "3"}, {"order": "2", "amount": "5"}],
            ["matched"] * 5,
        ),
    },
)
