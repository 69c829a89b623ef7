"""What an edited trigger would change: held against what both make of the same events, each by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bridge.core.definition import Definition
from bridge.core.event import MINUTE, SECOND
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.explain import pairing
from bridge.explain.comparison import Comparison, Share, can_be_divided, compares_runs
from bridge.explain.difference import Difference
from bridge.explain.pairing import joined
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.request import Bound, Request
from bridge.stages.shared.definitions import Definitions
from unit.replay.replaying import around
from unit.stages.world import World, one_slot, two_slots

EDITS: dict[str, Trigger] = {
    "stricter where": two_slots(
        slots=(
            Slot("order.created", "order", key="payload.order"),
            Slot("payment.done", "payment", where="payload.amount > 5", key="payload.order"),
        )
    ),
    "longer window": two_slots(window=WindowPlan("within", 30 * MINUTE), dedupe=31 * MINUTE),
    "changed key": two_slots(
        slots=(
            Slot("order.created", "order", key="payload.customer"),
            Slot("payment.done", "payment", key="payload.customer"),
        )
    ),
    "other parameters": two_slots(run=RunPlan("ship", "default", (("order", "payment.payload.order"),))),
    "first": two_slots(collect="first"),
    "nothing": two_slots(),
}


def world_of(seed: int, count: int = 120) -> World:
    """Return a world in which a bridge has read random orders and payments."""
    random = Random(seed)
    world = World(two_slots())
    world.start()
    world.run(3)
    for number in range(count):
        payload: dict[str, Any] = {"order": str(random.randrange(12)), "amount": random.randrange(10)}
        if random.random() < 0.9:
            payload["customer"] = str(random.randrange(4))
        name = random.choice(["order.created", "payment.done"])
        world.publish(name, payload, id=f"e{number}", partition=random.randrange(2), ago=random.randrange(60) * SECOND)
        world.now += random.randrange(90) * SECOND
        if number % 10 == 0:
            world.run(0.5)
    world.run(5)
    return world


def compared(
    world: World, before: Trigger | None, after: Trigger, examples: int = 3, parts: int = 0, folder: Path = Path()
) -> Difference:
    """Compare two triggers, as a whole or in so many parts."""
    dependencies = around(world)
    definitions = Definitions(MemoryLog(world.broker), world.topics.triggers, lambda: world.now)
    definitions.refresh()
    freezer = dependencies.freezer(definitions)
    request = Request(after.identity, Bound(text="earliest"))
    sides = [Definition(trigger) for trigger in (before, after) if trigger is not None]
    ranges = [freezer.ranges(request, side) for side in sides]
    deployed = None if before is None else sides[0]
    if not parts:
        return Comparison(dependencies, deployed, sides[-1], examples).compare(ranges)
    files = [folder / f"left-{number}" for number in range(parts)]
    made = [
        Comparison(dependencies, deployed, sides[-1], examples, share=Share(number, parts)).part(ranges, file)
        for number, file in enumerate(files)
    ]
    return joined(made, files, examples, compares_runs=compares_runs(deployed, sides[-1]))


def matches_of(world: World, trigger: Trigger) -> Counter[tuple[str, ...]]:
    """Return the events of each match of a trigger that is new to the log: all that it would have made."""
    difference = compared(world, None, trigger, examples=10_000)
    assert len(difference.new) == difference.runs["new"]
    return Counter(tuple(sorted(run.events)) for run in difference.new)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("edit", EDITS)
def test_the_difference_is_that_of_both_run_over_the_same_log(edit: str, seed: int) -> None:
    world = world_of(seed)
    before, after = two_slots(), EDITS[edit]
    difference = compared(world, before, after, examples=10_000)
    mine, others = matches_of(world, after), matches_of(world, before)
    assert Counter(tuple(sorted(run.events)) for run in difference.new) == mine - others
    assert Counter(tuple(sorted(run.events)) for run in difference.removed) == others - mine
    both = (mine & others).total()
    assert difference.runs["same"] + difference.runs["changed"] == both
    if edit in ("stricter where", "longer window", "changed key"):
        assert difference.runs["new"] + difference.runs["removed"] > 0
    assert (difference.runs["changed"] > 0) == (edit == "other parameters")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edit", [*EDITS, "new", "no run"])
def test_parts_of_the_keys_have_together_what_the_whole_has(edit: str, seed: int, tmp_path: Path) -> None:
    world, before = world_of(seed), None if edit == "new" else two_slots()
    no_run = two_slots(run=RunPlan("ship", "default", (("order", "order.payload.nothing"),)))
    after = EDITS.get(edit, no_run if edit == "no run" else replace(two_slots(), name="new"))
    whole = compared(world, before, after, 10_000)
    divided = compared(world, before, after, 10_000, 3, tmp_path)
    for difference in (whole, divided):
        for examples in (difference.changed, difference.errors, difference.open):
            examples.sort(key=repr)
        for runs in (difference.new, difference.removed):
            runs.sort(key=lambda run: (run.at, run.workflow))
    assert divided == whole
    assert sum(divided.runs.values()) > 0
    if edit == "no run":
        assert divided.runs["removed"] == divided.events["errors"] > 0


def test_only_keys_of_sliding_windows_are_divided() -> None:
    assert can_be_divided(Definition(two_slots()))
    assert not can_be_divided(Definition(one_slot()))
    unkeyed = two_slots(slots=(Slot("order.created", "order"), Slot("payment.done", "payment")))
    assert not can_be_divided(Definition(unkeyed))
    session = two_slots(window=WindowPlan("session", 10 * MINUTE))
    assert not can_be_divided(Definition(session))


def test_a_match_that_fails_as_before_is_no_error() -> None:
    parameters = (("order", "order.payload.nothing"),)
    before, after = (two_slots(run=RunPlan(name, "default", parameters)) for name in ("ship", "send"))
    difference = compared(world_of(0), before, after)
    assert difference.counts() == dict.fromkeys(difference.counts(), 0)
    mended = compared(world_of(0), after, two_slots())
    assert mended.runs["new"] > 0
    assert (mended.runs["changed"], mended.runs["removed"], mended.events["errors"]) == (0, 0, 0)


def test_a_stricter_filter_names_the_events_that_it_filters_with_the_evidence() -> None:
    difference = compared(world_of(1), two_slots(), EDITS["stricter where"])
    assert difference.events["filtered"] > 3
    assert len(difference.filtered) == 3
    example = difference.filtered[0]
    assert (example.slot, example.before, example.after) == ("payment", "passed", "filtered")
    assert example.decision is not None
    assert [(part.source, part.value) for part in example.decision.parts] == [("payload.amount > 5", False)]
    looser = compared(world_of(1), EDITS["stricter where"], two_slots())
    assert looser.events["passed"] == difference.events["filtered"]


def test_a_key_that_fails_is_an_error_and_not_a_filter() -> None:
    world = world_of(2)
    difference = compared(world, two_slots(), EDITS["changed key"])
    assert difference.events["errors"] > 0
    assert {example.after for example in difference.errors} == {"unkeyed"}
    assert difference.counts()["errors"] == difference.events["errors"]


def test_runs_with_other_parameters_show_both() -> None:
    difference = compared(world_of(3), two_slots(), EDITS["other parameters"])
    was, now = difference.changed[0]
    assert set(was.parameters) == {"order", "amount"}
    assert set(now.parameters) == {"order"}
    assert was.events == now.events


def test_a_match_of_which_no_run_can_be_made_is_an_error() -> None:
    plan = RunPlan("ship", "default", (("order", "order.payload.nothing"),))
    difference = compared(world_of(0), two_slots(), two_slots(run=plan))
    assert difference.events["errors"] > 0
    assert "order.payload.nothing" in difference.errors[0].after


def test_open_windows_are_counted_on_both_sides() -> None:
    difference = compared(world_of(1), two_slots(), EDITS["longer window"])
    assert difference.windows["after"] > difference.windows["before"]
    assert difference.open[0].known == "recomputed"


def test_a_new_trigger_has_only_new_runs() -> None:
    world = world_of(1)
    difference = compared(world, None, replace(one_slot(), name="new"))
    assert difference.runs["new"] > 3
    assert (difference.runs["same"], difference.runs["removed"], len(difference.new)) == (0, 0, 3)
    assert difference.events == {"filtered": 0, "passed": 0, "errors": 0}


def test_many_differences_are_counted_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(1)
    whole = compared(world, two_slots(), EDITS["longer window"])
    monkeypatch.setattr(pairing, "_IN_MEMORY", 3)
    assert compared(world, two_slots(), EDITS["longer window"]).runs == whole.runs


def test_nothing_is_written_and_no_group_is_joined() -> None:
    world = world_of(1)
    before = {name: [log.end for log in topic.logs] for name, topic in world.broker.topics.items()}
    compared(world, two_slots(), EDITS["longer window"])
    assert {name: [log.end for log in topic.logs] for name, topic in world.broker.topics.items()} == before
