"""``session``: events gather as long as the next one happened soon enough after another."""

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
from e2e.constructs import BACK, DOWN, FIRST, Construct, Match, Plan, Sent, slots
from kinds.draws import max_wait, max_waits, resets, times
from kinds.groups import GroupPages, GroupReference
from kinds.kind import Kind
from kinds.pages import Group
from simulation.conditions import Condition, closing, some_slots
from unit.stages.window_world import ALL_ORDERS, Story, order, wait, windowed


class _Reference(GroupReference):
    def _belongs(self, new: Arrival, group: list[Arrival]) -> bool:
        near = any(abs(arrival.time - new.time) <= self.plan.length for arrival in group)
        return near and super()._belongs(new, group)

    def _is_late(self, new: Arrival, group: list[Arrival]) -> bool:
        return self._is_over(self._end_of(group), new)

    def _end_of(self, group: list[Arrival]) -> Micros:
        return max(times(group)) + self.plan.length + self.trigger.grace


class _Pages(GroupPages):
    def _join(self, new: Arrival, epoch: int) -> None:
        near = [
            group
            for group in self.groups
            if group.epoch == epoch
            and any(abs(arrival.time - new.time) <= self.plan.length for arrival in group.arrivals)
        ]
        together = Group([*(arrival for group in near for arrival in group.arrivals), new], epoch)
        if new.reached > self._due(together)[0]:
            return self._leave("late", [new], new.reached)
        self.groups = [group for group in self.groups if group not in near]
        self.groups.append(together)
        return None

    def _ends(self, group: Group) -> int:
        return max(times(group.arrivals)) + self.plan.length + self.trigger.grace


def _session(random: Random) -> Trigger:
    longest = random.choice((None, 12 * SECOND))
    return closing(random, some_slots(random), WindowPlan("session", random.choice((2, 5)) * SECOND, max_wait=longest))


def _constructs(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "session",
        "an event between two sessions makes them one, also when it comes last; what comes to a closed one is late",
        slots("a"),
        {"window": {"session": "5s"}, "grace": plan.short(less=13)},
        {
            FIRST: [Sent("a-1", 0), Sent("a-2", 8), Sent("a-4", 0, "two"), Sent("a-5", 5.000001, "two")],
            DOWN: [Sent("a-3", 4)],
            BACK: [Sent("a-6", 0)],
        },
        [Match("a-1 a-3 a-2"), Match("a-4", "two"), Match("a-5", "two")],
        {"matched": "a-1 a-2 a-3 a-4 a-5", "late": "a-6"},
        closes=("matched", "a-3"),
    )
    yield Construct(
        "session-capped",
        "`maxWait` after its first event reached us a session ends that would go on",
        slots("a"),
        {"window": {"session": plan.short(less=5), "maxWait": plan.short(less=5)}, "grace": "1h"},
        {FIRST: [Sent("a-1")], DOWN: [Sent("a-2", 1)]},
        [Match("a-1 a-2")],
        {"matched": "a-1 a-2"},
    )


KIND = Kind(
    name="session",
    reference=_Reference,
    pages=_Pages,
    plans=st.builds(WindowPlan, st.just("session"), st.integers(0, 5), max_wait=max_waits, reset=resets),
    random_plan=lambda chance, length, reset: WindowPlan("session", length, max_wait=max_wait(chance), reset=reset),
    conditions={"session": Condition(1, _session)},
    scenes=(
        Scene(
            "session",
            "6 09:00",
            "6 11:40",
            """
            6 09:05 views v1 visitor=v page=a
            6 09:20 views v2 visitor=v page=b
            6 09:42 views v3 visitor=v page=c
            6 10:25 views v4 visitor=v page=a
            6 10:38 views v5 visitor=v page=b
            """,
        ),
    ),
    band=lambda plan, used, _: Band(min(times(used)), max(times(used)) + plan.length),
    constructs=_constructs,
    measured={"session": Measured(BOTH + "  window: {session: 30s}\n  grace: 0s\n", 2, GATHERED)},
    stories={
        "session": Story(
            windowed(WindowPlan("session", 10 * MINUTE), run=ALL_ORDERS, collect="all"),
            [order(1), wait(8 * 60), order(2), wait(5 * 60), wait(7 * 60), order(3, ago=12 * 60), order(4), wait(60)],
            [{"order": "2", "amount": "2"}],
            ["matched", "matched", "late"],
        ),
    },
)
