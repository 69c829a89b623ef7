"""What stages tell the metrics every ten seconds: old windows, late windows, open dead letters, replays in progress."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bridge.core.event import HOUR, SECOND, Micros
from bridge.core.trigger import WindowPlan
from bridge.kafka.log import Partition
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.observer import Unobserved
from bridge.letters.letter import Choice
from bridge.letters.letter_log import LetterLog, LetterOwner
from bridge.replay.replays import CANCELLED, COMPLETED, PAUSED, PLANNED, RUNNING, Replay, ReplayOwner
from bridge.stages.controller import open_letters
from bridge.stages.shared.dead_letters import Cause
from bridge.stages.submitter import orders
from unit.stages.window_world import ORDER, PAYMENT, Bridge, windowed
from unit.stages.world import BEGIN, World, one_slot, two_slots

SHIP = "default/ship"


class Told(Unobserved):
    """What was told last."""

    def __init__(self) -> None:
        self.oldest: Mapping[str, Micros] = {}
        self.overdue = 0.0
        self.letters: Mapping[str, int] = {}
        self.progress: Mapping[tuple[str, str], tuple[int, int]] = {}
        self.lags: dict[tuple[str, int], float] = {}

    def oldest_windows(self, since: Mapping[str, Micros]) -> None:
        self.oldest = since

    def overdue_windows(self, seconds: float) -> None:
        self.overdue = seconds

    def open_letters(self, letters: Mapping[str, int]) -> None:
        self.letters = dict(letters)

    def replays(self, runs: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        self.progress = runs

    def lag_seconds(self, topic: str, partition: int, seconds: float) -> None:
        self.lags[topic, partition] = seconds

    def forget_lag(self, topic: str, partition: int) -> None:
        self.lags.pop((topic, partition), None)


def told_by(world: World) -> Told:
    told = world.observer = Told()
    return told


# -- windows -----------------------------------------------------------------------------------------------------------


def seconds_of(told: Told) -> dict[str, float]:
    return {trigger: (since - BEGIN) / SECOND for trigger, since in told.oldest.items()}


def test_the_oldest_event_that_waits_in_an_open_window_is_told_by_trigger_also_after_a_restart() -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT))
    told = told_by(bridge.world)
    bridge.restart()
    begin = bridge.world.now
    for number in range(4):
        bridge.order(number, ago=86_400)  # what counts is when it reached the bridge, not when it happened
        bridge.wait(20)
    first = (begin - BEGIN) // SECOND // 10 * 10
    assert seconds_of(told) == {SHIP: first}
    bridge.pay(0, ago=86_400)
    bridge.wait(15)
    assert seconds_of(told) == {SHIP: pytest.approx(first + 20, abs=10)}
    before = seconds_of(told)
    bridge.restart()
    bridge.wait(15)
    assert seconds_of(told) == before
    bridge.check_restoring()
    for number in range(1, 4):
        bridge.pay(number, ago=86_400)
    bridge.wait(15)
    assert told.oldest == {}


def test_windows_on_disk_count_as_those_in_memory_do() -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    bridge.world.window_bytes, bridge.world.window_disk_bytes = 40_000, 200_000
    told = told_by(bridge.world)
    bridge.restart()
    first = (bridge.world.now - BEGIN) // SECOND // 10 * 10
    for number in range(12):
        bridge.world.publish("order.created", {"order": number, "amount": 1, "text": "x" * 10_000})
        bridge.world.run(5)
    assert bridge.windows()[0].size_on_disk > 0
    bridge.wait(15)
    assert seconds_of(told) == {SHIP: first}
    bridge.check_restoring()


def test_windows_that_are_due_and_cannot_end_are_overdue() -> None:
    world = World(two_slots())
    told = told_by(world)
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 1})
    world.run(12 * 60, step=5)
    assert (told.overdue, told.oldest) == (0.0, {})  # it has ended by itself
    world.publish("order.created", {"order": 2})
    world.run(3)
    world.broker.leaderless.add(Partition("payment.done", 1))
    world.run(15 * 60, step=5)
    assert 200 < told.overdue < 300
    world.broker.leaderless.clear()
    world.run(30)
    assert told.overdue == 0.0


def test_the_partitions_of_a_process_that_keeps_up_have_a_lag_of_no_seconds() -> None:
    world = World(one_slot())
    told = told_by(world)
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 1})
    world.run(20)
    assert set(told.lags.values()) == {0.0}
    assert {topic for topic, _ in told.lags} == {"order.created", "fb.triggers", "fb.arrivals", "fb.runs"}


# -- dead letters ------------------------------------------------------------------------------------------------------


def litter(world: World, number: int) -> None:
    """Publish records that are no events."""
    for _ in range(number):
        world.broker.append("order.created", 0, None, b"no event", [])


def deal(world: World, number: int, cause: Cause = Cause.DISCARD) -> None:
    """Deal with open letters as a person does."""
    log = MemoryLog(world.broker)
    letters = list(LetterLog(log, world.topics).read(Choice()))[:number]
    assert len(letters) == number
    owner = LetterOwner(log, world.topics, "ann@desk")
    owner.deal([(letter, None) for letter in letters], cause, "of no use", world.now)
    owner.close()


def test_dead_letters_count_until_they_are_dealt_with_whoever_leads() -> None:
    world = World(one_slot())
    told = told_by(world)
    process = world.start()
    world.run(3)
    litter(world, 5)
    world.run(60)
    assert told.letters == {"undecodable": 5}
    deal(world, 2)
    world.run(60)
    assert told.letters == {"undecodable": 3}
    process.crash()
    world.processes.clear()
    world.start("p2")
    world.run(60)
    assert told.letters == {"undecodable": 3}
    deal(world, 3)
    litter(world, 1)
    world.run(60)
    assert told.letters == {"undecodable": 1}
    world.processes[0].stop()
    assert told.letters == {}  # another process leads, and tells


def test_letters_that_retention_has_taken_do_not_count() -> None:
    world = World(one_slot())
    told = told_by(world)
    world.start()
    world.run(3)
    litter(world, 5)
    world.run(60)
    admin = MemoryLog(world.broker).admin()
    places = [Partition(world.topics.dead_letters, number) for number in range(2)]
    home = next(place for place in places if admin.end_offsets([place])[place])
    admin.purge({home: admin.start_offsets([home])[home] + 2})
    world.run(60)
    assert told.letters == {"undecodable": 3}


def test_no_more_than_the_newest_letters_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_letters, "MOST", 8)  # four in each partition
    world = World(one_slot())
    told = told_by(world)
    process = world.start()
    world.run(20)
    litter(world, 6)
    world.run(60)
    assert told.letters == {"undecodable": 4}
    process.stop()
    world.start("p2")
    world.run(60)
    assert 1 <= told.letters["undecodable"] <= 4  # the marker of the transaction has an offset, too


def test_a_count_that_kafka_does_not_answer_is_made_later() -> None:
    world = World(one_slot())
    told = told_by(world)
    process = world.start()
    world.run(3)
    litter(world, 2)
    world.broker.leaderless.add(Partition(world.topics.retries, 1))
    world.run(60)
    assert told.letters == {}
    assert process.troubles == []
    world.broker.leaderless.clear()
    world.run(60)
    assert told.letters == {"undecodable": 2}


# -- replays -----------------------------------------------------------------------------------------------------------


def write(world: World, name: str, state: str, planned: int, **counts: int) -> None:
    owner = ReplayOwner(MemoryLog(world.broker), world.topics, name)
    owner.write(
        Replay(
            name=name,
            trigger=SHIP,
            definition="d",
            spec="{}",
            request="{}",
            reads="[]",
            who="ann@desk",
            why="",
            created_at=world.now,
            advanced_at=world.now,
            state=state,
            planned=planned,
            counts=counts,
        )
    )
    owner.close()


def test_replays_in_progress_tell_how_far_they_have_come() -> None:
    world = World(one_slot())
    told = told_by(world)
    world.start()
    world.run(3)
    write(world, "june", RUNNING, 500, submitted=20, dead=1)
    write(world, "july", PLANNED, 90)
    write(world, "may", COMPLETED, 7, submitted=7)
    world.run(20)
    assert told.progress == {("june", "running"): (500, 21)}
    write(world, "june", PAUSED, 500, submitted=40, dead=1)
    write(world, "july", RUNNING, 90)
    world.run(20)
    assert told.progress == {("june", "paused"): (500, 41), ("july", "running"): (90, 0)}
    write(world, "june", CANCELLED, 500, submitted=40, dead=1)
    write(world, "july", COMPLETED, 90, submitted=90)
    world.run(20)
    assert told.progress == {}


def test_the_progress_of_a_bounded_number_of_replays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "TOLD", 2)
    world = World(one_slot())
    told = told_by(world)
    world.start()
    world.run(3)
    for name in ("a", "b", "c", "a"):
        write(world, name, RUNNING, 10)
    world.run(20)
    assert [name for name, _ in told.progress] == ["c", "a"]
