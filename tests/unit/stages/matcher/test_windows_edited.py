"""Triggers that are edited and deleted while windows of each kind are open."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest

from bridge.core.decision import Decision, RunDecision
from bridge.core.event import HOUR, MINUTE
from bridge.core.trigger import Collect, RunPlan, Schedule, Trigger, WindowPlan
from unit.stages.window_world import HOURLY, NO_PAYMENT, ORDER, PAYMENT, SILENCE, Bridge, windowed
from unit.stages.world import let_hear, parameters_of

SIZE = (("order", "string(size(order))"),)

ENDS: dict[str, tuple[Trigger, list[dict[str, str]], str]] = {
    "within": (windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), [], "expired"),
    "within, count": (windowed(WindowPlan("within", HOUR), replace(ORDER, count=3)), [], "expired"),
    "within, absent": (windowed(WindowPlan("within", HOUR), ORDER, NO_PAYMENT), [], "cancelled"),
    "every": (windowed(WindowPlan("every", schedule=HOURLY), ORDER, PAYMENT), [], "expired"),
    "every, all": (
        windowed(WindowPlan("every", schedule=HOURLY), run=SIZE, collect="all"),
        [{"order": "2"}],
        "matched",
    ),
    "every, absent": (windowed(WindowPlan("every", schedule=HOURLY), ORDER, NO_PAYMENT), [], "cancelled"),
    "dead man's switch": (windowed(WindowPlan("every", schedule=HOURLY), SILENCE), [], "expired"),
    "session": (windowed(WindowPlan("session", HOUR), run=SIZE, collect="all"), [{"order": "2"}], "matched"),
    "session, unfilled": (windowed(WindowPlan("session", HOUR), ORDER, PAYMENT, collect="all"), [], "expired"),
    "batch": (
        windowed(WindowPlan("batch", size=5), run=SIZE, collect="all"),
        [{"order": "2"}],
        "matched",
    ),
    "settle": (windowed(WindowPlan("settle", HOUR), run=SIZE, collect="all"), [{"order": "2"}], "matched"),
}


def with_two_orders(trigger: Trigger) -> Bridge:
    bridge = Bridge(trigger)
    bridge.order(amount=1)
    bridge.order(amount=2)
    assert bridge.reasons() in ([], ["superseded"])
    return bridge


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("how", ["changed", "deleted", "changed, and the bridge is killed"])
def test_what_a_window_of_a_changed_trigger_holds_ends_at_once_and_nothing_is_left_of_it(name: str, how: str) -> None:
    trigger, runs, reason = ENDS[name]
    bridge = with_two_orders(trigger)
    bridge.world.triggers[:] = [] if how == "deleted" else [replace(trigger, grace=2 * MINUTE)]
    if "killed" in how:
        bridge.restart()
    bridge.world.run(45 if how == "deleted" else 10, step=0.5)  # a topic that nobody reads is waited for longer
    assert bridge.runs() == runs
    assert set(bridge.reasons()) - {"superseded"} == {reason}
    bridge.check_restoring()
    for window in bridge.windows().values():
        assert not window.contents().open
        assert not window.contents().remembered
        assert trigger.condition_hash not in {condition for _, condition in window.conditions()}


@pytest.mark.parametrize("how", ["changed", "changed twice", "deleted and added again"])
def test_what_comes_to_a_calendar_window_after_an_edit_is_in_a_run_of_its_own(how: str) -> None:
    run = (("order", "string(size(order))"), ("amount", "string(order[0].payload.amount)"))
    trigger = windowed(WindowPlan("every", schedule=HOURLY), run=run, collect="all")
    bridge = Bridge(trigger)
    edits = {
        "changed": [[replace(trigger, grace=2 * MINUTE)]],
        "changed twice": [[replace(trigger, grace=2 * MINUTE)], [trigger]],
        "deleted and added again": [[], [trigger]],
    }[how]
    amount = 0
    for triggers in ([trigger], *edits):
        bridge.world.triggers[:] = triggers
        bridge.world.run(45, step=0.5)
        for _ in range(2 if triggers else 0):
            amount += 1
            bridge.order(amount=amount)
    bridge.wait(2 * 3_600)
    assert bridge.reasons() == ["matched"] * amount
    assert [run["order"] for run in bridge.runs()] == ["2"] * (amount // 2)
    assert [run["amount"] for run in bridge.runs()] == [str(first) for first in range(1, amount, 2)]


AMOUNTS = (("amount", "string(order[0].payload.amount) + ' ' + string(order[1].payload.amount)"),)
ALL_AMOUNTS = (("order", "string(size(order))"), ("amount", "order.map(e, e.payload.amount)"))
CUT: dict[str, WindowPlan] = {
    "every": WindowPlan("every", schedule=HOURLY),
    "until": WindowPlan("until", schedule=Schedule("Europe/Berlin", cron="0 * * * *")),
    "session": WindowPlan("session", 10 * MINUTE),
    "batch": WindowPlan("batch", 10 * MINUTE, size=50),
    "settle": WindowPlan("settle", 10 * MINUTE, max_wait=HOUR),
    "within": WindowPlan("within", HOUR),
    "within, reset": WindowPlan("within", HOUR, reset=HOURLY),
    "session, reset": WindowPlan("session", 10 * MINUTE, reset=Schedule(every=24 * HOUR)),
}


@pytest.mark.parametrize(
    ("name", "collect"),
    [(name, collect) for name in CUT for collect in get_args(Collect) if (name[:6], collect) != ("within", "all")],
)
@pytest.mark.parametrize("how", ["deleted and added again", "changed there and back"])
def test_each_event_that_is_matched_around_an_edit_is_in_the_run_that_its_decision_names(
    name: str, collect: Collect, how: str
) -> None:
    run = ALL_AMOUNTS if collect == "all" else AMOUNTS
    trigger = windowed(CUT[name], replace(ORDER, count=2), run=run, collect=collect)
    bridge = Bridge(trigger)
    other = replace(trigger, grace=2 * MINUTE)
    steps: dict[str, list[Trigger | None]] = {
        "deleted and added again": [None, trigger],
        "changed there and back": [other, trigger],
    }
    amount = 0
    for written in (trigger, *steps[how]):
        bridge.world.triggers[:] = [] if written is None else [written]
        bridge.world.run(45 if written is None else 5, step=0.5)
        for _ in range(0 if written is None else 3):
            amount += 1
            bridge.order(amount=amount, id=str(amount))
    bridge.wait(4_000)
    held = {
        workflow.name: set(re.findall(r"\d+", parameters_of(workflow)["amount"])) for workflow in bridge.world.created
    }
    ran = {
        decision.workflow
        for decision in bridge.world.decisions
        if isinstance(decision, RunDecision) and decision.reason == "already-ran"
    }
    for event in map(str, range(1, amount + 1)):
        decided = [
            decision
            for decision in bridge.world.decisions
            if isinstance(decision, Decision) and decision.event.id == event
        ]
        (final,) = [decision for decision in decided if decision.reason != "waiting"]
        if final.reason == "matched":
            workflow = final.evidence["run"]
            assert event in held[workflow] or (collect != "all" and f"default/{workflow}" in ran), (event, final)
    is_calendar = name in {"every", "until"}
    assert bool(ran) == (is_calendar and collect != "all")
    assert not bridge.world.letters()


def test_a_retired_switch_that_is_edited_watches_on_under_its_new_condition() -> None:
    trigger = windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),))
    bridge = Bridge(trigger)
    bridge.wait(60)
    bridge.world.triggers[:] = [replace(trigger, grace=2 * MINUTE)]
    bridge.world.run(10)
    bridge.wait(2 * 3_600)
    assert bridge.runs() == [{"order": "silence"}]


def test_a_switch_that_is_edited_there_and_back_runs_as_it_says_now() -> None:
    silence = (("order", "'silence'"),)
    trigger = windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=silence)
    bridge = Bridge(trigger)
    for written in (replace(trigger, run=RunPlan("other", "default", silence)), trigger):
        bridge.world.triggers[:] = [written]
        bridge.world.run(10)
    bridge.wait(2 * 3_600)
    made = [workflow.manifest["spec"]["workflowTemplateRef"]["name"] for workflow in bridge.world.created]
    assert made == ["ship"]


def test_a_changed_run_part_keeps_a_window_and_what_its_last_arrival_was_routed_by_decides() -> None:
    trigger = windowed(WindowPlan("settle", 5 * MINUTE), run=SIZE, collect="all")
    bridge = Bridge(trigger)
    bridge.order()
    bridge.world.triggers[:] = [replace(trigger, run=RunPlan("other", "default", SIZE))]
    bridge.world.run(3)
    bridge.order(number := 8)
    bridge.order(number)
    bridge.wait(7 * 60)
    made = [workflow.manifest["spec"]["workflowTemplateRef"]["name"] for workflow in bridge.world.created]
    assert made == ["ship", "other"]
    assert bridge.runs() == [{"order": "1"}, {"order": "2"}]


@pytest.mark.parametrize("name", ["session", "batch", "settle", "every, all"])
def test_windows_end_only_once_a_router_that_is_long_behind_has_applied_the_change(name: str) -> None:
    trigger, _, reason = ENDS[name]
    bridge = with_two_orders(trigger)
    world = bridge.world
    slow = world.start("slow", ("router",))
    world.run(3)
    place = next(owned for owned in slow.loops["router"].owned if owned.topic == "order.created")  # type: ignore[union-attr]  # it runs
    world.processes.remove(slow)  # alive, and busy with something for long
    world.triggers[:] = [replace(trigger, grace=2 * MINUTE)]
    world.run(20, step=0.5)
    assert bridge.reasons() == []
    world.publish("order.created", {"order": 7, "amount": 3}, partition=place.number)
    let_hear(slow.stage("router")._definitions, hears=False)  # the change has not come to it yet
    world.processes.append(slow)
    world.run(3)
    let_hear(slow.stage("router")._definitions, hears=True)
    world.run(5)
    assert set(bridge.reasons()) == {reason}
    assert bridge.runs() == [{"order": "3"}]


def test_a_tick_of_the_new_condition_waits_for_a_router_that_is_long_behind() -> None:
    trigger = windowed(WindowPlan("within", 10 * MINUTE), ORDER, NO_PAYMENT, dedupe=HOUR)
    bridge = Bridge(trigger)
    world = bridge.world
    slow = world.start("slow", ("router",))
    world.run(3)
    place = next(owned for owned in slow.loops["router"].owned if owned.topic == "payment.done")  # type: ignore[union-attr]  # it runs
    slows = {owned.number for owned in slow.loops["router"].owned if owned.topic == "order.created"}  # type: ignore[union-attr]  # it runs
    free = min({0, 1} - slows)
    world.processes.remove(slow)
    world.triggers[:] = [replace(trigger, grace=2 * MINUTE)]
    world.run(3)
    world.publish("order.created", {"order": 7, "amount": 1}, partition=free)
    world.run(2)
    world.publish("payment.done", {"order": 7, "amount": 1}, partition=place.number)
    world.run(15 * 60, step=5)
    assert bridge.reasons() == []
    world.processes.append(slow)
    world.run(10)
    assert sorted(bridge.reasons()) == ["cancelled", "matched"]
    assert bridge.runs() == []
