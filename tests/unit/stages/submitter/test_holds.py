"""Holds through the whole stage: what people hold waits in its order, and what they release by number is no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.argo.memory import LOST_REQUEST
from bridge.core.decision import RunDecision
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.runs.holds import ALL
from bridge.core.trigger import RunLimits, RunPlan, Slot, Trigger
from bridge.kafka.internal_topics import partition_of
from bridge.kafka.records import ORDER
from unit.stages.effects import EFFECTS
from unit.stages.submitter.test_replayed_runs import replayed, send
from unit.stages.submitter.test_submitter_limits import MAPPED, STORM, begun, decided, edit, evidence, publish, ran
from unit.stages.world import World, one_slot

SHIP = "default/ship"


def say(world: World, scope: str, allowed: int | None) -> None:
    order = {"allowed": allowed, "who": "ann@desk", "why": "tests"}
    world.broker.append(world.topics.holds, 0, scope.encode(), ORDER.encode(order), [])


def beside() -> Trigger:
    parameters = (("order", "payment_done.payload.order"),)
    plan = RunPlan("ship", "default", parameters)
    return Trigger("default", "other", (Slot("payment.done", "payment_done"),), plan, 1)


@pytest.mark.parametrize("scope", [ALL, "default", SHIP])
def test_what_is_held_waits_and_starts_in_its_order_once_it_is_released(scope: str) -> None:
    world, process = begun()
    say(world, scope, 0)
    world.run(2)
    publish(world, 5)
    world.run(3)
    assert ran(world) == []
    assert evidence(world, "waiting") == [{"waits_for": "hold", "because": "ann@desk: tests"}] * 5
    assert process.stage("submitter").book.lanes.held() == {(SHIP, "hold"): 5}
    assert process.stage("submitter").remark == "held runs: 5, held triggers: 1"
    say(world, scope, None)
    world.run(3)
    assert ran(world) == ["0", "1", "2", "3", "4"]
    assert process.stage("submitter").remark == ""


def test_another_trigger_and_another_namespace_go_on() -> None:
    world = World(one_slot(parameters=MAPPED), beside(), partitions=1)
    world.start()
    world.run(3)
    for scope in (SHIP, "elsewhere"):
        say(world, scope, 0)
    world.run(2)
    publish(world, 3)
    world.publish("payment.done", {"order": "paid"})
    world.run(3)
    assert ran(world) == ["paid"]


def test_a_process_that_starts_later_finds_the_hold() -> None:
    world, process = begun()
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 3)
    world.run(2)
    process.crash()
    world.start("p2")
    world.run(5)
    assert ran(world) == []
    say(world, SHIP, None)
    world.run(5)
    assert ran(world) == ["0", "1", "2"]


@pytest.mark.parametrize("effect", [effect for effect in EFFECTS if effect.split()[1] in ("send", "commit", "create")])
def test_a_number_of_runs_is_released_and_no_more_whenever_the_process_dies(effect: str) -> None:
    world = World(one_slot(parameters=MAPPED))
    world.start("rest", ("controller", "router", "matcher"))
    process = world.start("p1", ("submitter",))
    world.run(3)
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 6)
    world.run(3)
    say(world, SHIP, 2)
    process.at(effect, process.kill_here)
    world.run(5)
    assert process.is_dead
    world.start("p2", ("submitter",))
    world.run(30)
    assert ran(world) == ["0", "1"]
    say(world, SHIP, 3)
    world.run(5)
    assert ran(world) == ["0", "1", "2", "3", "4"]
    say(world, SHIP, None)
    world.run(5)
    assert ran(world) == ["0", "1", "2", "3", "4", "5"]
    assert len(world.created) == 6


@pytest.mark.parametrize("clock_error", [-MINUTE, -3 * SECOND, 3 * SECOND, MINUTE])
def test_no_more_than_the_number_start_whatever_the_clock_of_the_process_says(clock_error: Micros) -> None:
    world = World(one_slot(parameters=MAPPED))
    world.clock_error = clock_error
    process = world.start()
    world.run(3)
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 6)
    world.run(3)
    say(world, SHIP, 2)
    world.run(5)
    assert ran(world) == ["0", "1"]
    if clock_error > -5 * SECOND:  # a restart takes the times in the ledger for true so far
        process.crash()
        world.start("p2")
        world.run(30)
        assert ran(world) == ["0", "1"]


def test_everything_is_held_again_though_a_trigger_was_released_before() -> None:
    world, _ = begun()
    for scope, allowed in ((ALL, 0), (SHIP, None)):
        say(world, scope, allowed)
        world.run(2)
    publish(world, 1)
    world.run(2)
    assert ran(world) == ["0"]
    say(world, ALL, 0)
    world.run(2)
    publish(world, 2)
    world.run(2)
    assert ran(world) == ["0"]


def test_a_person_who_releases_the_trigger_ends_its_storm_and_one_who_releases_all_does_not() -> None:
    world, process = begun(limits=STORM)
    publish(world, 5)
    world.run(2)
    assert process.stage("submitter").book.lanes.held() == {(SHIP, "storm"): 5}
    say(world, ALL, None)
    world.run(2)
    assert ran(world) == []
    say(world, SHIP, None)
    world.run(2)
    assert ran(world) == ["0", "1", "2", "3", "4"]


def test_a_storm_is_released_in_part_and_a_restart_does_not_bring_it_back() -> None:
    world, process = begun(limits=STORM)
    publish(world, 5)
    world.run(2)
    say(world, SHIP, 2)
    world.run(2)
    assert ran(world) == ["0", "1"]
    assert process.stage("submitter").book.lanes.held() == {(SHIP, "hold"): 3}
    process.crash()
    world.start("p2")
    say(world, SHIP, None)
    world.run(30)
    assert ran(world) == ["0", "1", "2", "3", "4"]


def test_a_storm_after_the_release_holds_again() -> None:
    world, _ = begun(limits=STORM)
    say(world, SHIP, None)
    world.run(2)
    publish(world, 5)
    world.run(2)
    assert ran(world) == []


def test_a_held_run_that_becomes_too_late_is_skipped() -> None:
    world, _ = begun(start_deadline=MINUTE)
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 2)
    world.run(70, 5)
    say(world, SHIP, None)
    world.run(3)
    assert ran(world) == []
    assert decided(world).count("skipped") == 2


def test_the_rate_holds_for_what_is_released() -> None:
    world, _ = begun(limits=RunLimits(rate=1, per=10 * SECOND))
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 3)
    world.run(2)
    say(world, SHIP, 2)
    world.run(3)
    assert ran(world) == ["0"]
    world.run(60, 1)
    assert ran(world) == ["0", "1"]


def test_runs_of_a_trigger_that_was_deleted_stay_held() -> None:
    world, _ = begun()
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 2)
    world.run(2)
    world.triggers.clear()
    world.run(5)
    assert ran(world) == []
    say(world, SHIP, None)
    world.run(3)
    assert ran(world) == ["0", "1"]


def test_an_edit_of_the_trigger_does_not_lift_the_hold() -> None:
    world, _ = begun()
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 1)
    world.run(2)
    edit(world, limits=RunLimits(rate=5, per=MINUTE))
    world.run(5)
    assert ran(world) == []


def test_runs_of_a_replay_are_held_with_their_trigger_and_a_number_releases_none_of_them() -> None:
    world, _ = begun()
    say(world, SHIP, 0)
    world.run(2)
    (trigger,) = world.triggers
    send(world, *(replayed(number, trigger) for number in range(3)))
    publish(world, 3)
    world.run(3)
    assert ran(world) == []
    say(world, SHIP, 2)
    world.run(3)
    assert ran(world) == ["0", "1"]
    say(world, SHIP, None)
    world.run(3)
    assert sorted(ran(world)) == ["0", "1", "2", "replayed-0", "replayed-1", "replayed-2"]


def test_creates_that_make_nothing_do_not_use_up_the_number() -> None:
    world, _ = begun()
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 4)
    world.run(2)
    world.api.set_quota("default", 0)
    say(world, SHIP, 2)
    world.run(5)
    assert (
        len({run.run_key for run in world.decisions if isinstance(run, RunDecision) and run.reason == "retrying"}) == 2
    )
    world.api.set_quota("default", None)
    world.api.fail_next(LOST_REQUEST)
    world.run(120, 1)
    assert sorted(ran(world)) == ["0", "1"]


def test_held_runs_are_on_the_shelf_and_not_in_memory() -> None:
    world, process = begun()
    say(world, SHIP, 0)
    world.run(2)
    publish(world, 200)
    world.run(5)
    book = process.stage("submitter").book
    assert sum(len(ledger.open) for ledger in book.ledger.values()) == 0
    (ledger,) = [ledger for number, ledger in book.ledger.items() if number == partition_of(SHIP, len(book.ledger))]
    assert len(ledger.waiting_runs) == 200


def test_two_triggers_are_held_and_one_is_released() -> None:
    world = World(one_slot(parameters=MAPPED), beside(), partitions=1)
    world.start()
    world.run(3)
    say(world, ALL, 0)
    world.run(2)
    publish(world, 2)
    world.publish("payment.done", {"order": "paid"})
    world.run(3)
    assert ran(world) == []
    say(world, "default/other", None)
    world.run(3)
    assert ran(world) == ["paid"]
    say(world, ALL, None)
    world.run(3)
    assert ran(world) == ["paid", "0", "1"]


def test_a_trigger_for_another_namespace_is_held_by_that_namespace() -> None:
    trigger = one_slot(parameters=MAPPED)
    world = World(replace(trigger, run=replace(trigger.run, namespace="jobs")))
    world.start()
    world.run(3)
    say(world, "default", 0)
    say(world, "jobs", 0)
    world.run(2)
    say(world, "default", None)
    publish(world, 1)
    world.run(3)
    assert world.created == []
