"""Rate, storm and start deadline through the whole stage, with processes that die in the middle."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, answered
from bridge.core.decision import RunDecision
from bridge.core.event import HOUR, MINUTE, SECOND, Micros
from bridge.core.trigger import RunLimits, RunPlan, Slot, Trigger
from bridge.kafka.records import LEDGER_ENTRY
from bridge.settings.groups import SubmitterSettings
from unit.stages.effects import EFFECTS
from unit.stages.world import Process, World, one_slot

MAPPED = (("order", "order_created.payload.order"),)
SLOW = RunLimits(rate=1, per=10 * SECOND)
STORM = RunLimits(storm=3, storm_within=MINUTE)


def begun(prompt_runs: int = SubmitterSettings.prompt_runs, **run: Any) -> tuple[World, Process]:
    world = World(one_slot(parameters=MAPPED, **run))
    world.submitter = replace(world.submitter, prompt_runs=prompt_runs)
    process = world.start()
    world.run(3)
    return world, process


def publish(world: World, count: int) -> None:
    for number in range(count):
        world.publish("order.created", {"order": str(number)})


def ran(world: World) -> list[str]:
    return [workflow["order"] for workflow in world.workflows()]


def decided(world: World) -> list[str]:
    return [str(decision.reason) for decision in world.decisions if isinstance(decision, RunDecision)]


def evidence(world: World, reason: str) -> list[dict[str, str]]:
    return [
        dict(decision.evidence)
        for decision in world.decisions
        if isinstance(decision, RunDecision) and decision.reason == reason
    ]


def edit(world: World, **run: Any) -> None:
    (trigger,) = world.triggers
    world.triggers[:] = [replace(trigger, run=replace(trigger.run, **run))]


def starts(world: World, seconds: float, *, step: float = 0.25) -> list[Micros]:
    """Run for some seconds; return when each Workflow came."""
    before, came = len(world.created), list[Micros]()
    for _ in range(round(seconds / step)):
        world.run(step, step)
        came += [world.now] * (len(world.created) - before - len(came))
    return came


# -- rate --------------------------------------------------------------------------------------------------------------


def test_runs_beyond_the_rate_wait_and_start_in_their_order() -> None:
    world, _ = begun(limits=SLOW)
    publish(world, 4)
    came = starts(world, 40)
    assert ran(world) == ["0", "1", "2", "3"]
    assert all(later - sooner >= 10 * SECOND for sooner, later in pairwise(came))
    assert decided(world).count("created") == 4
    assert evidence(world, "waiting")[0]["waits_for"] == "rate"


def test_nothing_of_another_trigger_stands_behind_runs_that_wait() -> None:
    slow = one_slot(parameters=MAPPED, limits=SLOW)
    parameters = (("order", "payment_done.payload.order"),)
    other = Trigger(
        "default", "other", (Slot("payment.done", "payment_done"),), RunPlan("ship", "default", parameters), 1
    )
    world = World(slow, other, partitions=1)
    world.start()
    world.run(3)
    publish(world, 50)
    world.run(1)
    world.publish("payment.done", {"order": "paid"})
    world.run(1)
    assert ran(world) == ["0", "paid"]


@pytest.mark.parametrize("effect", [effect for effect in EFFECTS if effect.split()[1] in ("send", "commit", "create")])
def test_a_run_that_waits_starts_once_and_not_too_early_whenever_its_process_dies(effect: str) -> None:
    world = World(one_slot(parameters=MAPPED, limits=SLOW))
    world.start("rest", ("controller", "router", "matcher"))
    process = world.start("p1", ("submitter",))
    world.run(3)
    publish(world, 3)
    came = starts(world, 9)
    assert len(came) == 1
    process.at(effect, process.kill_here)
    came += starts(world, 3)
    assert process.is_dead
    world.start("p2", ("submitter",))
    came += starts(world, 60)
    assert ran(world) == ["0", "1", "2"]
    assert len(world.created) == 3
    assert all(later - sooner >= 10 * SECOND for sooner, later in pairwise(came))


def test_a_restart_is_no_way_around_the_rate() -> None:
    world, process = begun(limits=RunLimits(rate=3, per=MINUTE))
    publish(world, 6)
    world.run(3)
    assert len(world.created) == 3
    process.crash()
    world.start("p2")
    world.run(50)
    assert len(world.created) == 3
    world.run(10)
    assert len(world.created) == 6


def test_a_trigger_that_is_deleted_and_comes_back_is_no_way_around_the_rate() -> None:
    world, process = begun(limits=RunLimits(rate=3, per=5 * MINUTE))
    publish(world, 3)
    world.run(3)
    trigger = world.triggers.pop()
    world.run(120, 1)
    assert process.stage("submitter")._limits_in_force.limits_of(trigger.identity, "").is_over
    world.triggers.append(trigger)
    world.run(5)
    publish(world, 1)
    world.run(100, 1)
    assert len(world.created) == 3
    world.run(100, 1)
    assert len(world.created) == 4


def test_a_refused_create_takes_nothing_from_the_rate() -> None:
    world, _ = begun(limits=RunLimits(rate=1, per=HOUR))
    world.api.fail_next(answered(429, "TooManyRequests", "slow down"))
    publish(world, 1)
    world.run(30)
    assert ran(world) == ["0"]


def test_a_refused_run_has_the_next_turn_of_its_trigger() -> None:
    world, _ = begun(0, limits=SLOW)
    world.api.fail_next(answered(429, "TooManyRequests", "slow down"))
    publish(world, 4)
    world.run(60)
    assert [workflow.manifest["spec"]["arguments"]["parameters"][0]["value"] for workflow in world.created] == [
        "1",
        "0",
        "2",
        "3",
    ]


def test_a_run_that_is_tried_again_under_one_intent_counts_once() -> None:
    world, _ = begun(limits=RunLimits(rate=2, per=HOUR))
    world.api.fail_next(*[LOST_REQUEST] * 5)
    publish(world, 1)
    world.run(60)
    assert decided(world).count("retrying") == 5
    publish(world, 1)
    world.run(5)
    assert len(world.created) == 2


def test_an_edit_of_the_rate_holds_for_what_waits_already() -> None:
    world, _ = begun(limits=RunLimits(rate=1, per=HOUR))
    publish(world, 5)
    world.run(3)
    assert len(world.created) == 1
    edit(world, limits=RunLimits())
    world.run(5)
    assert ran(world) == ["0", "1", "2", "3", "4"]


def test_runs_of_a_trigger_that_is_gone_keep_its_rate() -> None:
    world, _ = begun(limits=SLOW)
    publish(world, 3)
    world.run(2)
    world.triggers[:] = []
    came = starts(world, 40)
    assert ran(world) == ["0", "1", "2"]
    assert came[-1] - came[-2] >= 10 * SECOND


def test_what_waits_for_a_rate_lies_on_disk_and_the_log_is_passed() -> None:
    world, process = begun(limits=RunLimits(rate=5, per=10 * SECOND))
    publish(world, 40)
    world.run(3)
    assert (
        len(process.stage("submitter").book.ledger[0].open) + len(process.stage("submitter").book.ledger[1].open) == 0
    )
    assert sum(1 for _ in process.stage("submitter").book.open_runs()) == 35
    world.run(80)
    assert ran(world) == [str(number) for number in range(40)]


# -- storm -------------------------------------------------------------------------------------------------------------


def stormy() -> tuple[World, Process]:
    world, process = begun(limits=STORM)
    publish(world, 3)
    world.run(2)
    assert len(world.created) == 3
    publish(world, 5)
    world.run(2)
    assert len(world.created) == 3
    return world, process


def test_more_runs_than_a_storm_hold_the_trigger_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bridge.stages.submitter.lanes"):
        world, process = stormy()
        assert process.stage("submitter").book.lanes.held() == {("default/ship", "storm"): 5}
        world.run(90)
    assert len(world.created) == 8
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "default/ship is held: more than 3 runs" in caplog.text
    assert [shown["waits_for"] for shown in evidence(world, "waiting")] == ["storm"] * 5


def test_a_storm_that_goes_on_holds_for_as_long() -> None:
    world, _ = stormy()
    for _ in range(12):
        publish(world, 2)
        world.run(15)
    assert len(world.created) == 3
    world.run(90)
    assert len(world.created) == 32


def test_a_storm_holds_across_a_restart() -> None:
    world, process = stormy()
    process.crash()
    other = world.start("p2")
    world.run(30)
    assert len(world.created) == 3
    assert other.stage("submitter").book.lanes.held() == {("default/ship", "storm"): 5}
    world.run(60)
    assert len(world.created) == 8


def test_runs_that_have_ended_count_towards_a_storm_across_a_restart() -> None:
    world, process = begun(limits=STORM)
    publish(world, 3)
    world.run(2)
    process.crash()
    world.start("p2")
    publish(world, 1)
    world.run(20)
    assert len(world.created) == 3
    world.run(70)
    assert len(world.created) == 4


def test_an_edit_lifts_the_hold_also_if_nobody_was_there_to_see_it() -> None:
    world, process = stormy()
    process.crash()
    edit(world, limits=RunLimits(storm=2, storm_within=MINUTE))
    world.start("p2")
    world.run(20)
    assert len(world.created) == 8


def test_an_edit_lifts_the_hold() -> None:
    world, _ = stormy()
    edit(world, limits=replace(STORM, storm=4))
    world.run(3)
    assert len(world.created) == 8


@pytest.mark.parametrize("what", ["suspended", "deleted"])
def test_what_a_storm_holds_is_skipped_when_its_trigger_is_suspended_or_deleted(what: str) -> None:
    world, _ = stormy()
    world.triggers[:] = [replace(world.triggers[0], suspend=True)] if what == "suspended" else []
    world.run(120)
    assert len(world.created) == 3
    assert decided(world).count("skipped") == 5
    assert "storm" in evidence(world, "skipped")[0]
    assert world.letters() == []
    last = {record.key: record.value for record in world.records(world.topics.ledger)}
    assert {LEDGER_ENTRY.decode(value or b"")["state"] for value in last.values()} == {"done"}


# -- deadline ----------------------------------------------------------------------------------------------------------


def test_a_run_that_cannot_start_in_time_is_skipped_with_its_deadline() -> None:
    world, process = begun(start_deadline=30 * SECOND)
    process.crash()
    publish(world, 2)
    world.now += HOUR
    world.start("p2")
    world.run(15)
    publish(world, 3)
    world.run(2)
    assert len(world.created) == 3
    assert decided(world) == ["skipped", "skipped", "created", "created", "created"]
    assert {"deadline", "reached"} <= evidence(world, "skipped")[0].keys()


def test_a_run_is_skipped_on_time_while_the_api_is_away() -> None:
    world, _ = begun(start_deadline=30 * SECOND)
    world.api.cut()
    publish(world, 2)
    world.run(45)
    assert decided(world)[-2:] == ["skipped", "skipped"]
    world.api.mend()
    world.run(10)
    assert world.created == []


def test_a_run_is_skipped_on_time_while_its_trigger_is_kept_back() -> None:
    world, process = begun(start_deadline=20 * SECOND, limits=RunLimits(rate=1, per=HOUR))
    publish(world, 5)
    world.run(4)
    process.crash()
    world.start("p2")
    world.run(14)
    assert decided(world).count("skipped") == 0
    world.run(3)
    assert decided(world).count("skipped") == 4
    assert ran(world) == ["0"]


def test_too_late_is_decided_only_when_nothing_was_made() -> None:
    world, _ = begun(start_deadline=5 * SECOND)
    world.api.fail_next(*[LOST_REQUEST] * 50)
    publish(world, 1)
    world.run(60, step=0.5)
    assert set(decided(world)) == {"retrying"}  # the API server may still apply one
    world.run(120, step=0.5)
    assert (decided(world)[-1], world.created) == ("skipped", [])


def test_a_workflow_that_was_made_in_time_is_created_whenever_that_is_seen() -> None:
    world, process = begun(start_deadline=5 * SECOND)
    world.api.fail_next(LOST_ANSWER)
    publish(world, 1)
    process.step("router")
    for _ in range(2):
        process.step("submitter")
    process.crash()
    world.now += MINUTE
    world.start("p2")
    world.run(12)
    assert decided(world)[-1] == "created"
    assert len(world.created) == 1


# -- synchronization ---------------------------------------------------------------------------------------------------


def test_synchronization_is_argos_own_and_frozen_in_the_run() -> None:
    world, process = begun(limits=SLOW, synchronization='{"mutexes":[{"name":"one"}]}')
    publish(world, 2)
    world.run(2)
    edit(world, synchronization=None)
    process.crash()
    world.start("p2")
    world.run(20)
    specs = [workflow.manifest["spec"]["synchronization"] for workflow in world.api.workflows()]
    assert specs == [{"mutexes": [{"name": "one"}]}] * 2


def test_limits_hold_for_the_first_runs_of_a_trigger_that_the_submitter_has_not_heard_of() -> None:
    world = World()
    world.topic("order.created")
    process = world.start()
    world.run(3)
    trigger = one_slot(parameters=MAPPED, limits=SLOW)
    world.api.add_template("default", "ship", parameters=("order",))
    process.step("submitter")
    world.triggers.append(trigger)
    for _ in range(8):  # the controller writes it, the router reads it; the submitter does not look so soon
        process.step("controller")
        process.stage("router")._definitions.refresh()
        process.step("router")
    publish(world, 2)
    process.step("router")
    assert trigger.definition_hash not in process.stage("submitter")._limits_in_force._definitions.known
    came = starts(world, 15)
    assert ran(world) == ["0", "1"]
    assert came[1] - came[0] >= 10 * SECOND


def test_runs_that_a_wrong_clock_counted_and_put_off_go_on_when_it_is_set() -> None:
    world, process = begun(limits=SLOW)
    world.clock_error = HOUR
    world.run(3)
    publish(world, 3)
    world.api.fail_next(answered(429, "TooManyRequests"))
    world.run(3)
    world.clock_error = 0
    world.run(45, step=0.5)
    assert sorted(ran(world)) == ["0", "1", "2"]
    assert sum("the wall clock was put" in str(trouble) for trouble in process.troubles) == 2
