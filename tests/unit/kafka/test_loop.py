"""What a stage's batch promises while transactions fail, partitions move and processes die in the middle."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.event import SECOND
from bridge.kafka.log import FETCHED_BYTES, AbortableError, FencedError, LogError, Partition, Record, TopicSpec
from bridge.kafka.loop import StageLoop
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import Member, read_note
from bridge.kafka.stage import Stage
from unit.stages.world import Process, World, one_slot, two_slots


def fail(error: LogError) -> None:
    raise error


def begun(*, stages: tuple[str, ...] = ("controller", "router", "matcher", "submitter")) -> tuple[World, Process]:
    world = World(one_slot())
    process = world.start("p1", stages)
    world.run(3)
    return world, process


def runs(world: World) -> int:
    return len(list(world.values(world.topics.runs)))


@pytest.mark.parametrize("effect", ["before send", "before offsets", "after offsets", "before commit"])
def test_nothing_of_an_aborted_batch_remains_and_it_is_done_again(effect: str) -> None:
    world, process = begun()
    world.publish("order.created", {"order": "o-1"})
    process.at(effect, lambda: fail(AbortableError("the broker said no")))
    process.step("router")
    assert (runs(world), world.committed("router", "order.created")) == (0, 0)
    assert world.decisions == []
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]
    assert world.reasons() == ["matched", "created"]
    assert process.troubles == []


def test_an_aborted_batch_leaves_no_window_in_memory() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"})
    process.step("router")
    process.at("before commit", lambda: fail(AbortableError("the broker said no")))
    process.step("matcher")
    assert all(
        not window.contents().open and not window.contents().remembered
        for window in process.stage("matcher").windows.values()
    )
    world.publish("payment.done", {"order": "7", "amount": 1})
    world.run(3)
    assert sorted(world.reasons()) == ["created", "matched", "matched", "waiting"]


def test_an_aborted_batch_leaves_windows_alone_from_whose_partition_nothing_was_read() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    for number in range(20):
        world.publish("order.created", {"order": str(number)})
    world.run(2)
    matcher = process.stage("matcher")
    before, opened = (
        dict(matcher.windows),
        {number: window.contents().open for number, window in matcher.windows.items()},
    )
    assert len([windows for windows in opened.values() if windows]) > 1
    world.publish("payment.done", {"order": "7", "amount": 1})
    process.step("router")
    process.at("before commit", lambda: fail(AbortableError("the broker said no")))
    process.step("matcher")
    again = [number for number, window in matcher.windows.items() if window is not before[number]]
    assert len(again) == 1
    assert {number: window.contents().open for number, window in matcher.windows.items()} == opened
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_an_aborted_batch_of_intents_sends_no_create() -> None:
    world, process = begun()
    world.publish("order.created", {"order": "o-1"})
    process.step("router")
    process.step("submitter")  # asks for the template
    process.at("before commit", lambda: fail(AbortableError("the broker said no")))
    process.step("submitter")
    assert world.workflows() == []
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]


def test_a_stage_whose_transaction_is_fenced_starts_over_and_loses_nothing() -> None:
    world, process = begun()
    world.publish("order.created", {"order": "o-1"})
    process.at("before commit", lambda: process.memory.admin().fence("fb.router-p1"))
    process.step("router")
    assert [type(error) for error in process.troubles] == [FencedError]
    assert process.loops["router"] is None
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]
    assert runs(world) == 1


def test_an_unknown_outcome_of_a_commit_is_asked_for_again() -> None:
    world, process = begun()
    world.publish("order.created", {"order": "o-1"})
    process.at("before commit", lambda: fail(LogError("timed out")))
    process.step("router")
    assert (runs(world), process.troubles) == (1, [])


def test_a_revocation_in_the_middle_of_a_batch_makes_no_output_twice() -> None:
    world, process = begun()
    for number in range(4):
        world.publish("order.created", {"order": str(number)}, partition=number % 2)

    def somebody_joins() -> None:
        other = world.start("p2", ("router",))
        for _ in range(3):
            other.step("router")

    process.at("after poll", somebody_joins)  # polled, and not yet written
    process.step("router")
    assert (runs(world), process.troubles) == (0, [])  # the batch belonged to a generation that is past
    world.run(3)
    assert (runs(world), len(world.created)) == (4, 4)
    owned = [len(member.loops["router"].owned) for member in world.processes if member.loops["router"]]
    assert owned == [1, 1]


@pytest.mark.parametrize("effect", ["after poll", "before offsets", "before commit"])
def test_the_batch_of_a_member_that_was_expelled_is_refused_and_its_outputs_exist_once(effect: str) -> None:
    world, process = begun()
    other = world.start("p2")
    world.run(3)
    for number in range(6):
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
    process.at(effect, lambda: process.stand_still(12))
    process.step("router")
    assert runs(world) == 6  # the other's
    world.run(5)
    assert (runs(world), len(world.created)) == (6, 6)
    assert other.troubles == []
    assert all(process.loops.values()), "it is back as a member"


def test_a_dead_owners_open_transaction_is_ended_by_the_next_owner_at_once() -> None:
    world, process = begun(stages=("router",))
    world.start("p2", ("controller", "matcher", "submitter"))
    world.run(3)
    world.broker.transaction_timeout = 10**9  # nobody is saved by the timeout
    world.publish("order.created", {"order": "o-1"})
    process.at("before commit", process.kill_here)
    process.step("router")
    world.start("p3", ("router",))
    world.run(7.5)
    assert world.workflows() == [{"order": "o-1"}]
    assert runs(world) == 1


def test_a_dead_owners_committed_transaction_is_continued_and_not_repeated() -> None:
    world, process = begun(stages=("router",))
    world.start("p2", ("controller", "matcher", "submitter"))
    world.run(3)
    world.publish("order.created", {"order": "o-1"})
    process.at("after commit", process.kill_here)
    process.step("router")
    world.start("p3", ("router",))
    world.run(10)
    assert runs(world) == 1


def test_a_process_that_stops_hands_over_at_once_and_has_to_be_fenced_by_nobody() -> None:
    world, process = begun()
    world.publish("order.created", {"order": "o-1"})
    world.run(2)
    process.stop()
    committed = world.broker.group("fb.router").committed.values()
    assert {read_note(note).owner for note in committed} == {""}
    began = world.now
    world.publish("order.created", {"order": "o-2"})
    world.start("p2")
    world.run(2)
    assert world.workflows() == [{"order": "o-1"}, {"order": "o-2"}]
    assert world.now - began <= 2 * SECOND


def test_positions_that_moved_over_markers_are_committed_so_that_lag_ends() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"})
    world.run(4)
    for log in world.broker.topics["fb.arrivals"].logs:
        assert world.committed("matcher", "fb.arrivals", log.partition.number) == log.end


def test_a_stage_that_has_no_room_reads_nothing_of_partitions_that_a_rebalance_brings() -> None:
    world = World(*(replace(one_slot(), name=f"ship{number}") for number in range(8)), partitions=4)
    full = world.start()
    leaving = world.start("p2", ("submitter",))
    world.run(5)
    for process in (full, leaving):
        process.stage("submitter").appetite = lambda: 0
    world.run(1)
    for number in range(20):
        world.publish("order.created", {"order": str(number)})
    world.run(3)
    leaving.stop()
    world.run(10)
    loop = full.loops["submitter"]
    assert loop is not None
    assert len(loop.owned) == 4
    assert len(world.created) <= 3  # a poll takes a record of each kind of news before it pauses


class Slow(Stage):
    """A stage that gets one record done in each batch."""

    name = "slow"

    def topics(self) -> frozenset[str]:
        return frozenset(["large"])

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Keep nothing."""

    def drop(self, partitions: Collection[Partition]) -> None:
        """Keep nothing."""

    def process(self, records: deque[Record], out: Outbox) -> None:
        del out
        records.popleft()


def test_what_waits_for_a_slow_stage_is_bounded_by_bytes_as_well_as_by_count() -> None:
    broker = MemoryBroker(clock=lambda: 0)
    broker.create(TopicSpec("large", 1))
    value = b"x" * 1_000_000
    for _ in range(200):
        broker.append("large", 0, None, value)
    member = Member("g", "slow-1")
    loop = StageLoop(MemoryLog(broker), Slow(), member, clock=lambda: 0, pace=lambda: 0, sink=lambda *_: None)
    loop.open()
    for _ in range(60):
        loop.step()
        assert sum(len(record.value or b"") for record in loop._queue) <= 2 * FETCHED_BYTES + len(value)
    assert loop._committed[Partition("large", 0)].offset >= 55


def patience_of(process: Process, stage: str) -> float:
    """Return how long a stage waits for records in its next step."""
    asked: list[float] = []
    loop: Any = process.loops[stage]
    consumer = loop._consumer
    poll = consumer.poll

    def note(seconds: float, limit: int = 500) -> list[Record]:
        asked.append(seconds)
        return poll(seconds, limit)

    consumer.poll = note
    process.step(stage)
    consumer.poll = poll
    return asked[0]


@pytest.mark.parametrize("stage", ["router", "matcher", "submitter"])
def test_a_stage_without_work_waits_for_longer_after_a_while(stage: str) -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    assert patience_of(process, stage) == 0.5
    world.run(12)
    assert patience_of(process, stage) == 1.0


def test_a_stage_looks_often_again_after_a_record() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(15)
    world.publish("order.created", {"order": "7"})
    assert patience_of(process, "router") == 1.0
    assert patience_of(process, "router") == 0.5


def test_a_matcher_with_a_window_looks_often_however_quiet_it_is() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"})
    world.run(30)
    assert patience_of(process, "router") == 1.0
    assert patience_of(process, "matcher") == 0.5


def test_a_submitter_whose_runs_wait_looks_often_however_quiet_it_is() -> None:
    world = World(one_slot())
    process = world.start()
    world.api.set_quota("default", 0)
    world.run(3)
    world.publish("order.created", {"order": "7"})
    world.run(30)
    asked = []
    for _ in range(24):  # it is tried again about once a minute
        world.run(5)
        asked.append((patience_of(process, "submitter"), patience_of(process, "router")))
    assert world.workflows() == []
    assert set(asked) == {(0.5, 1.0)}
