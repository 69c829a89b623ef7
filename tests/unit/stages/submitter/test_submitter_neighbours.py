"""No trigger's and no namespace's runs hold up those of another."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from bridge.argo.memory import answered
from bridge.cluster.responses import Response, Unknown
from bridge.core.decision import RunDecision
from bridge.core.event import DAY, HOUR, MINUTE, SECOND
from bridge.core.runs.run import Run
from bridge.core.trigger import RunLimits
from bridge.kafka.records import LEDGER_ENTRY
from bridge.settings.groups import SubmitterSettings
from bridge.stages.submitter.open_run import OpenRun
from unit.stages.timed_workers import TimedWorld, on_order, on_payment
from unit.stages.world import Process, World

HANGS = Unknown("timed out")
FAILS = answered(500, "InternalError", "failed calling webhook").response


def slow_in_team_a(seconds: float) -> TimedWorld:
    def takes(run: Run) -> float:
        return seconds if run.namespace == "team-a" else 0.01

    return TimedWorld(on_order(), on_payment(), seconds=takes)


def orders(world: World, count: int) -> None:
    for number in range(count):
        world.publish("order.created", {"order": str(number)})


def decided(world: World) -> list[str]:
    return [str(decision.reason) for decision in world.decisions if isinstance(decision, RunDecision)]


def open_runs(process: Process) -> int:
    return sum(1 for _ in process.stage("submitter").book.open_runs())


# -- namespaces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "seconds"), [(HANGS, 10.0), (FAILS, 0.01), (None, 3.0)], ids=["hangs", "fails at once", "merely slow"]
)
@pytest.mark.parametrize("before", [20, 400])
def test_runs_of_a_namespace_come_at_their_usual_pace_next_to_one_that_does_badly(
    response: Response | None, seconds: float, before: int
) -> None:
    world = slow_in_team_a(seconds)
    if response is not None:
        world.answer_in("team-a", response)
    world.start()
    world.run(3)
    orders(world, before)
    world.run(2)
    late = 0
    for number in range(60):
        world.publish("payment.done", {"order": str(number)})
        world.run(2)
        late += world.created_in("team-b") < number + 1
    assert (world.created_in("team-b"), late) == (60, 0)


def test_a_thousand_runs_next_to_a_namespace_that_hangs_take_as_long_as_alone() -> None:
    took = []
    for others in (0, 400):
        world = slow_in_team_a(10.0)
        world.seconds = lambda run: 10.0 if run.namespace == "team-a" else 0.05
        world.answer_in("team-a", HANGS)
        world.start()
        world.run(3)
        orders(world, others)
        world.run(1)
        for number in range(1_000):
            world.publish("payment.done", {"order": str(number)})
        began = world.now
        while world.created_in("team-b") < 1_000:
            world.run(0.05, 0.05)
            assert world.now - began < 60 * SECOND
        took.append(world.now - began)
    alone, next_to_it = took
    assert alone >= 0.95 * next_to_it


def test_a_namespace_that_is_alone_uses_all_workers() -> None:
    world = TimedWorld(on_order(), seconds=lambda _: 0.5)
    world.start()
    world.run(3)
    orders(world, 80)
    world.run(7)  # eight at a time, half a second each
    assert world.created_in("team-a") >= 72


def test_runs_of_a_namespace_that_is_mended_come_soon_and_once() -> None:
    world = slow_in_team_a(0.01)
    create = world.api.create
    world.answer_in("team-a", FAILS)
    world.start()
    world.run(3)
    orders(world, 100)
    world.run(10 * 60, 1)
    assert world.created_in("team-a") == 0
    world.api.create = create  # type: ignore[method-assign]  # as it was
    world.run(60)
    assert world.created_in("team-a") == 100
    assert world.letters() == []


def test_many_namespaces_that_hang_leave_workers_to_one_that_does_not() -> None:
    teams = [on_order(f"team-{number}", f"t{number}") for number in range(12)]
    world = TimedWorld(*teams, on_payment("fine"), seconds=lambda run: 0.01 if run.namespace == "fine" else 10.0)
    for team in teams:
        world.answer_in(team.run.namespace, HANGS)
    world.start()
    world.run(3)
    orders(world, 30)
    world.run(30)  # their breakers are open by now
    for number in range(30):
        world.publish("payment.done", {"order": str(number)})
        world.run(2)
        assert world.created_in("fine") == number + 1


def test_a_rebalance_does_not_wait_for_a_namespace_that_hangs() -> None:
    world = slow_in_team_a(10.0)
    world.answer_in("team-a", HANGS)
    process = world.start()
    world.run(3)
    orders(world, 30)
    world.run(3)
    submitter = process.stage("submitter")
    looks: list[float] = []
    results = submitter._attempts.results

    def looked(seconds: float = 0) -> Any:
        looks.append(seconds)
        return results(0)

    submitter._attempts.results = looked
    process.stop()
    assert sum(looks) <= 0.2


def test_a_create_that_was_not_sent_when_its_partition_went_is_not_in_doubt_for_the_next_owner() -> None:
    world = slow_in_team_a(10.0)
    world.answer_in("team-a", HANGS)
    process = world.start()
    world.run(3)
    orders(world, 30)
    world.run(3)
    process.stop()
    last = {record.key: record.value for record in world.records(world.topics.ledger)}
    states = [LEDGER_ENTRY.decode(value or b"")["state"] for value in last.values()]
    assert (states.count("intent"), states.count("parked")) == (8, 22)


# -- triggers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [RunLimits(rate=1, per=HOUR), RunLimits(storm=3, storm_within=MINUTE)], ids=["rate", "storm"]
)
@pytest.mark.parametrize("bound", [10, 1_000])
def test_waiting_runs_of_a_trigger_never_hold_back_those_of_another(limits: RunLimits, bound: int) -> None:
    world = TimedWorld(on_order(limits=limits), on_payment(), partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, waiting_runs=bound)
    process = world.start()
    world.run(3)
    orders(world, 50)
    world.run(1)
    world.publish("payment.done", {"order": "paid"})
    world.run(1)
    assert world.created_in("team-b") == 1
    assert open_runs(process) <= bound


def test_runs_that_wait_for_a_quota_never_hold_back_those_of_another_trigger() -> None:
    world = TimedWorld(on_order(), on_payment(), seconds=lambda _: 0.01, partitions=1)
    world.api.set_quota("team-a", 0)
    world.start()
    world.run(3)
    orders(world, 3_000)
    world.run(10)
    for number in range(30):
        world.publish("payment.done", {"order": str(number)})
        world.run(5)
        assert world.created_in("team-b") == number + 1


def test_a_run_beyond_the_bound_of_its_trigger_is_a_dead_letter_that_names_the_bound() -> None:
    world = TimedWorld(on_order(limits=RunLimits(rate=1, per=HOUR)), partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, waiting_runs=10)
    process = world.start()
    world.run(3)
    orders(world, 20)
    world.run(3)
    assert open_runs(process) <= 10
    letters = world.letters()
    assert decided(world).count("refused") == len(letters) == 20 - open_runs(process) - 1
    assert "waiting_runs" in letters[0]["text"]
    process.stop()
    world.start("p2")
    orders(world, 1)
    world.run(10)
    assert len(world.created) == 1


def test_bytes_of_waiting_runs_are_bounded_too() -> None:
    world = TimedWorld(on_order(limits=RunLimits(rate=1, per=HOUR)), partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, waiting_bytes=20_000)
    process = world.start()
    world.run(3)
    for number in range(30):
        world.publish("order.created", {"order": f"{number}{'x' * 2_000}"})
        world.run(0.5)
    assert 8 <= open_runs(process) <= 12
    assert len(world.letters()) == 29 - open_runs(process)


def test_a_backlog_that_gets_on_is_held_back_in_the_log_at_the_bound_and_nothing_is_refused() -> None:
    world = TimedWorld(on_order(), partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, concurrency=1, waiting_runs=100)
    process = world.start()
    world.run(3)
    orders(world, 5)
    world.run(2)
    orders(world, 400)
    most = 0
    for _ in range(600):
        world.run(0.1, 0.1)
        most = max(most, open_runs(process))
    assert (len(world.created), world.letters()) == (405, [])
    assert most < 200


def test_a_storm_that_never_ends_creates_nothing_however_many_runs_wait() -> None:
    world = TimedWorld(on_order(limits=RunLimits(storm=100, storm_within=MINUTE)), partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, waiting_runs=200)
    world.start()
    world.run(3)
    for _ in range(120):
        orders(world, 20)
        world.run(1, 0.5)
    assert len(world.created) == 100


def test_runs_of_a_large_backlog_keep_their_order() -> None:
    world = TimedWorld(on_order(), seconds=lambda _: 0.0, partitions=1)
    world.submitter = SubmitterSettings(outcome_pace=0, concurrency=1)
    world.start()
    world.run(3)
    orders(world, 3_000)
    for _ in range(400):
        world.run(0.25)
        if len(world.created) == 3_000:
            break
    ran = [workflow.manifest["spec"]["arguments"]["parameters"][0]["value"] for workflow in world.created]
    assert ran == [str(number) for number in range(3_000)]


# -- memory ------------------------------------------------------------------------------------------------------------


def test_a_waiting_run_costs_almost_no_memory() -> None:
    world = TimedWorld(on_order(limits=RunLimits(rate=1, per=DAY), start_deadline=30 * DAY), partitions=1)
    process = world.start()
    world.run(3)
    orders(world, 5_000)
    world.run(3)
    submitter = process.stage("submitter")
    assert len(submitter.book.ledger[0]) == 4_999
    gc.collect()
    in_memory = [found for found in gc.get_objects() if isinstance(found, OpenRun | Run)]
    assert len(in_memory) < 10
    process.stop()
    other = world.start("p2")
    world.run(10)
    assert open_runs(other) == 4_999


def test_no_timer_outlives_its_run_and_retries_set_no_new_ones() -> None:
    world = TimedWorld(on_order(start_deadline=7 * DAY), seconds=lambda _: 0.0, partitions=1)
    world.answer_in("team-a", answered(429, "TooManyRequests", "slow down").response)
    process = world.start()
    world.run(3)
    orders(world, 50)
    world.run(30 * 60, 2)
    submitter = process.stage("submitter")
    assert open_runs(process) == 50
    assert len(submitter.book.lanes._later) <= 1
    assert len(submitter.book.ledger[0].waiting_runs) + len(submitter.book.ledger[0].open) == 50
