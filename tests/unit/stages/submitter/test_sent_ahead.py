"""The create that is sent ahead of its batch: who is sent so, and what the next owner concludes from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, answered
from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.runs.run import Run
from bridge.core.trigger import RunLimits
from bridge.kafka.log import AbortableError, LogError, Partition
from bridge.kafka.ownership import read_note
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.process import group_of
from bridge.stages.shared.run_records import decode_run
from bridge.stages.submitter.attempts import Done, Result
from bridge.stages.submitter.open_run import OpenRun
from unit.stages.submitter.test_attempts import finish_all
from unit.stages.submitter.test_holds import SHIP, say
from unit.stages.submitter.test_submitter import MAPPED, decided, states
from unit.stages.world import Process, World, one_slot


def begun(**run: Any) -> tuple[World, Process]:
    """Return a world in which one process does all."""
    world = World(one_slot(**(run or {"parameters": MAPPED})), partitions=1)
    process = world.start()
    world.run(3)
    return world, process


def ask(world: World, process: Process, *orders: str) -> None:
    """Have runs asked for, all of which the submitter meets in its next batch."""
    for number in orders:
        world.publish("order.created", {"order": number}, id=f"e-{number}")
    for _ in range(4):
        process.step("router")


def orders(world: World) -> list[str]:
    """Return the orders of the Workflows that were created, in their order."""
    return [workflow.manifest["spec"]["arguments"]["parameters"][0]["value"] for workflow in world.created]


def kill_at(process: Process, effect: str) -> None:
    process.at(effect, process.kill_here)


def fails(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_only_the_first_run_of_a_partition_is_created_before_the_commit() -> None:
    world, process = begun()
    ask(world, process, "1", "2", "3")
    kill_at(process, "before commit")
    process.step("submitter")
    assert (process.is_dead, orders(world), states(world)) == (True, ["1"], [])
    world.start("p2", ("submitter",))
    world.run(15)
    assert sorted(orders(world)) == ["1", "2", "3"]
    assert decided(world) == ["created"] * 3


def test_a_batch_of_many_runs_creates_none_before_the_commit() -> None:
    world, process = begun()
    ask(world, process, *map(str, range(world.submitter.prompt_runs + 1)))
    kill_at(process, "before commit")
    process.step("submitter")
    assert (process.is_dead, orders(world)) == (True, [])


@pytest.mark.parametrize(
    "run",
    [
        {"parameters": ()},  # which its template names
        {"parameters": MAPPED, "limits": RunLimits(rate=100, per=SECOND)},
        {"parameters": MAPPED, "limits": RunLimits(storm=100, storm_within=SECOND)},
        {"parameters": MAPPED, "start_deadline": MINUTE},
    ],
    ids=["of the template", "rate", "storm", "deadline"],
)
def test_a_run_that_depends_on_more_than_its_record_is_not_sent_ahead(run: dict[str, Any]) -> None:
    world, process = begun(**run)
    ask(world, process, "1")
    world.run(2)  # its template is read
    ask(world, process, "2")
    kill_at(process, "before commit")
    process.step("submitter")
    assert (process.is_dead, orders(world)) == (True, ["1"])


@pytest.mark.parametrize("effect", ["after create", "before send", "before offsets", "before commit"])
def test_what_a_dead_process_created_ahead_is_found_and_not_created_again(effect: str) -> None:
    world, process = begun()
    ask(world, process, "1")
    kill_at(process, effect)
    process.step("submitter")
    assert (process.is_dead, orders(world), states(world)) == (True, ["1"], [])
    world.start("p2", ("submitter",))
    world.run(15)
    assert (decided(world), orders(world), states(world)) == (["created"], ["1"], ["intent", "done"])


@pytest.mark.parametrize("effect", ["after create", "before send", "before offsets", "before commit"])
def test_what_a_dead_process_created_ahead_is_a_dead_letter_once_it_may_have_come_and_gone(effect: str) -> None:
    world, process = begun()
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    kill_at(process, effect)
    process.step("submitter")
    finish_all(world)
    world.run(60)
    world.start("p2", ("submitter",))
    world.run(300, 1)
    assert (decided(world), orders(world)) == (["outcome-unknown"], ["1"])


def test_a_run_that_a_dead_process_had_not_sent_is_created() -> None:
    world, process = begun()
    ask(world, process, "1")
    kill_at(process, "before create")
    process.step("submitter")
    assert (process.is_dead, orders(world)) == (True, [])
    world.start("p2", ("submitter",))
    world.run(15)
    assert (decided(world), orders(world), states(world)) == (["created"], ["1"], ["intent", "done"])


def test_a_run_that_came_after_its_owner_died_is_not_taken_for_tried() -> None:
    """So nothing is given up because nobody was there for long."""
    world, process = begun()
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    world.run(2)
    finish_all(world)
    process.crash()
    routing = world.start("routing", ("controller", "router"))
    world.run(15)
    ask(world, routing, "2")
    world.run(10 * 60, 5)
    world.start("p2", ("submitter",))
    world.run(15)
    assert (decided(world), orders(world), world.letters()) == (["created", "created"], ["1", "2"], [])


def test_a_run_that_another_process_routed_is_created_after_the_commit_of_its_intent() -> None:
    world, first = begun()
    second = world.start("p2")
    world.run(15)
    world.publish("order.created", {"order": "0"})  # its batch is aborted, since the group has a new generation
    world.run(2)
    before = len(states(world))
    for number in range(1, 7):
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
        world.run(1)
    assert sorted(orders(world)) == [str(number) for number in range(7)]
    owned = [loop.owned for loop in (first.loops["router"], second.loops["router"]) if loop is not None]
    assert list(map(len, owned)) == [1, 1]
    assert sorted(states(world)[before:]) == ["done"] * 6 + ["intent"] * 3


def test_after_a_batch_that_failed_the_same_process_takes_its_next_run_for_tried() -> None:
    world, process = begun()
    ask(world, process, "1")
    process.at("before commit", fails(AbortableError("no")))
    process.step("submitter")
    assert (orders(world), states(world), process.is_dead) == (["1"], [], False)
    world.run(5)
    assert (decided(world), orders(world), states(world)) == (["created"], ["1"], ["intent", "done"])


def test_a_commit_without_an_answer_makes_no_second_workflow() -> None:
    world, process = begun()
    ask(world, process, "1")
    process.at("before offsets", fails(LogError("no answer")))
    process.step("submitter")
    assert (orders(world), len(process.troubles)) == (["1"], 1)
    world.run(5)
    assert (decided(world), orders(world)) == (["created"], ["1"])


def test_an_owner_that_goes_before_it_meets_the_run_hands_the_doubt_on() -> None:
    world, process = begun()
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    kill_at(process, "after create")
    process.step("submitter")
    finish_all(world)
    between = world.start("p2", ("submitter",))
    goes_before_it_meets_the_run(between)
    place = Partition(world.topics.runs, 0)
    note = read_note(world.broker.group(group_of(world.topics, "submitter")).committed[place])
    assert (note.owner, note.is_tried) == ("", True)
    world.run(60)
    world.start("p3", ("submitter",))
    world.run(300, 1)
    assert (decided(world), orders(world)) == (["outcome-unknown"], ["1"])


def goes_before_it_meets_the_run(process: Process) -> None:
    """Have a process take its partition over, and leave in good order before its first batch."""

    def leave(effect: str) -> None:
        loop = process.loops["submitter"]
        if effect == "after poll" and loop is not None and loop.owned:
            raise LogError("it is stopped here")

    process.hook = leave
    while not process.troubles:
        process.step("submitter")
        process.world.now += SECOND
    process.is_dead = True


def test_the_doubt_ends_with_the_run_that_it_was_about() -> None:
    world, process = begun()
    ask(world, process, "1")
    kill_at(process, "before commit")
    process.step("submitter")
    second = world.start("p2")
    world.run(15)
    ask(world, second, "2")
    second.step("submitter")
    assert not second.stage("submitter").is_tried(Partition(world.topics.runs, 0))
    world.run(2)
    assert (orders(world), states(world)) == (["1", "2"], ["intent", "done", "done"])


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (LOST_ANSWER, ["intent", "done"]),
        (LOST_REQUEST, ["intent", "done"]),
        (answered(500, "InternalError", "etcd"), ["intent", "done"]),
        (answered(429, "TooManyRequests", "slow down"), ["intent", "parked", "intent", "done"]),
        (answered(422, "Invalid", "no"), ["intent", "dead"]),
    ],
)
def test_any_other_answer_than_a_workflow_has_its_intent_in_the_ledger_first(fault: Any, seen: list[str]) -> None:
    world, process = begun()
    world.api.fail_next(fault)
    ask(world, process, "1")
    process.step("submitter")
    world.run(60, 0.5)
    assert states(world) == seen


def test_a_slow_create_has_its_intent_committed_meanwhile() -> None:
    world, process = begun()
    held: list[Callable[[], None]] = []
    bulkheads = process.stage("submitter")._bulkheads
    bulkheads._executor.submit = held.append  # a worker that has begun, and is not back
    ask(world, process, "1")
    process.step("submitter")
    assert (states(world), orders(world), len(held)) == (["intent"], [], 1)
    held.pop()()
    world.run(1)
    assert (states(world), orders(world)) == (["intent", "done"], ["1"])


def test_a_run_that_was_sent_ahead_and_cannot_be_taken_up_is_of_unknown_outcome() -> None:
    world, process = begun()
    ask(world, process, "1")
    kill_at(process, "before commit")
    process.step("submitter")
    second = world.start("p2", ("submitter",))
    (record,) = world.records(world.topics.runs)
    second.step("submitter")
    second.stage("submitter")._given_up[(record.key or b"").decode()] = "ValueError: no"
    world.run(15)
    assert (decided(world), orders(world)) == (["outcome-unknown"], ["1"])


def test_the_entry_of_a_run_taken_for_tried_is_as_old_as_its_record() -> None:
    world, process = begun()
    ask(world, process, "1")
    (record,) = world.records(world.topics.runs)
    kill_at(process, "before commit")
    process.step("submitter")
    world.now += 20 * SECOND
    world.start("p2", ("submitter",))
    world.run(15)
    entry = next(
        entry for entry in map(LEDGER_ENTRY.decode, world.values(world.topics.ledger)) if entry["state"] == "intent"
    )
    assert entry["at"] == record.timestamp * 1_000


def test_many_kills_in_a_row_leave_one_workflow_each() -> None:
    world, _ = begun()
    world.submitter = replace(world.submitter, ledger_horizon=HOUR)
    for number in range(20):
        process = world.start(f"q{number}")
        world.run(15)
        ask(world, process, str(number))
        kill_at(process, ("after create", "before commit", "before offsets", "after commit")[number % 4])
        process.step("submitter")
    world.start("last", ("submitter",))
    world.run(30)
    assert sorted(orders(world), key=int) == [str(number) for number in range(20)]


# -- a batch that failed, and a release ----------------------------------------------------------------------------


def test_after_a_batch_that_failed_a_release_hands_the_doubt_on() -> None:
    world, process = begun()
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    process.at("before commit", fails(AbortableError("no")))
    process.step("submitter")
    process.stop()
    finish_all(world)
    world.run(60)
    world.start("p2")
    world.run(300, 1)
    assert (decided(world), orders(world)) == (["outcome-unknown"], ["1"])


def test_after_a_batch_that_failed_and_state_that_cannot_be_read_a_release_hands_the_doubt_on() -> None:
    world, process = begun()
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    stage = process.stage("submitter")
    stage._read_ledgers = lambda _: fails(LogError("no broker answers"))()
    process.at("before commit", fails(AbortableError("no")))
    process.step("submitter")
    assert len(process.troubles) == 1
    process.is_dead = True
    finish_all(world)
    world.run(60)
    world.start("p2")
    world.run(300, 1)
    assert (decided(world), orders(world)) == (["outcome-unknown"], ["1"])


@pytest.mark.parametrize("name", ["a0", "p0", "z9", "b1"])
def test_a_partition_that_moves_because_another_joins_in_the_middle_of_a_batch_takes_the_doubt_along(name: str) -> None:
    world = World(one_slot(parameters=MAPPED), partitions=2)
    process = world.start()
    world.run(3)
    world.api.add_template("default", "ship", ttl=5)
    ask(world, process, "1")
    process.at("before offsets", lambda: world.start(name, ("submitter",)).step("submitter"))
    process.step("submitter")
    assert (orders(world), states(world)) == (["1"], [])
    finish_all(world)
    for _ in range(3):
        process.step("submitter")
        world.now += SECOND // 4
    world.run(60)
    world.run(300, 1)
    assert (len(decided(world)), orders(world)) == (1, ["1"])


def test_a_record_that_cannot_be_taken_up_takes_its_doubt_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world, process = begun()
    ask(world, process, "1", "2")
    kill_at(process, "before commit")
    process.step("submitter")

    def fails_at_the_first(body: bytes) -> Run:
        run = decode_run(body)
        if run.events[0][1].id == "e-1":
            raise RuntimeError("a bug")
        return run

    monkeypatch.setattr("bridge.stages.submitter.submitter.decode_run", fails_at_the_first)
    world.start("p2", ("submitter",))
    world.run(30)
    assert [letter["reason"] for letter in world.letters()] == ["failed"]
    assert (decided(world), orders(world)) == (["created"], ["1", "2"])
    assert [entry["attempts"] for entry in map(LEDGER_ENTRY.decode, world.values(world.topics.ledger))][-1] == 1


# -- holds, and waiting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_runs", [0, 8])
@pytest.mark.parametrize("how", ["kill", "abort"])
def test_a_run_that_a_person_holds_is_not_created_because_it_may_have_been_sent(how: str, prompt_runs: int) -> None:
    world = World(one_slot(parameters=MAPPED), partitions=1)
    world.submitter = replace(world.submitter, prompt_runs=prompt_runs)
    process = world.start()
    world.run(3)
    say(world, SHIP, 0)
    world.run(3)
    ask(world, process, "1")
    if how == "kill":
        process.crash()
        world.start("p2")
    else:
        process.at("before commit", fails(AbortableError("no")))
        process.step("submitter")
    world.run(10 * 60, 1)
    assert orders(world) == []
    assert states(world)[-1] == "parked"
    say(world, SHIP, None)
    world.run(30)
    assert (decided(world)[-1], orders(world)) == ("created", ["1"])
    assert world.processes[-1].stage("submitter").book.lanes.taken_for_tried == set()


def test_a_batch_waits_once_for_all_answers_and_not_for_each() -> None:
    world, process = begun()
    stage = process.stage("submitter")
    waited: list[float] = []
    results = stage._attempts.results

    def slow(seconds: float = 0) -> list[Any]:
        if seconds:
            waited.append(seconds)
            world.now += world.submitter.answer_wait // 4
            return [Result(OpenRun(decode_run(record.value or b""), 0, 0, intent=0), Done("created"), None)]
        return results(seconds)

    ask(world, process, "1")
    (record,) = world.records(world.topics.runs)
    stage._attempts.results = slow
    stage._bulkheads._executor.submit = lambda _: None  # a worker that does not come back
    process.step("submitter")
    assert len(waited) == 4
    assert waited == sorted(waited, reverse=True)
    assert states(world) == ["intent"]


def test_nothing_is_sent_ahead_while_all_workers_are_busy() -> None:
    world, process = begun()
    stage = process.stage("submitter")
    stage._attempts.under_way += world.submitter.concurrency
    ask(world, process, "1")
    kill_at(process, "before commit")
    process.step("submitter")
    assert (process.is_dead, orders(world)) == (True, [])
