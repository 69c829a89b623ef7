"""Followed topics: a stage neither asks twice nor waits for the request of another stage."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import cast

import pytest

from bridge.core.event import SECOND
from bridge.kafka.follower import FollowedEnds, Follower
from bridge.kafka.log import Admin, LogError, Partition, TopicSpec, UnansweredError, transact
from bridge.kafka.memory.broker import MemoryBroker
from bridge.kafka.memory.log import MemoryLog

PLACES = [Partition("triggers", 0), Partition("holds", 0)]
PATIENCE = 30.0


class Ends:
    """The part of an admin that is asked, as a script."""

    def __init__(self) -> None:
        self.asked: list[list[Partition]] = []
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.is_away = False

    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        self.asked.append(list(partitions))
        self.is_asked.set()
        assert self.may_answer.wait(PATIENCE)
        if self.is_away:
            raise LogError("Kafka is away")
        return dict.fromkeys(self.asked[-1], 7)


@pytest.fixture
def ends() -> FollowedEnds:
    ends = FollowedEnds()
    for place in PLACES:
        ends.follow(place)
    return ends


def test_one_request_a_second_asks_for_all(ends: FollowedEnds) -> None:
    kafka = Ends()
    first = ends.look(cast("Admin", kafka), 0, now=0)
    assert first is not None
    assert first.ends == dict.fromkeys(PLACES, 7)
    other_stage = ends.look(cast("Admin", kafka), 0, now=SECOND - 1)
    assert other_stage is first
    assert ends.look(cast("Admin", kafka), first.number, now=SECOND - 1) is None
    assert kafka.asked == [sorted(PLACES)]
    again = ends.look(cast("Admin", kafka), first.number, now=SECOND)
    assert again is not None
    assert again.number != first.number
    assert len(kafka.asked) == 2


def test_a_stage_does_not_wait_while_another_asks(ends: FollowedEnds) -> None:
    kafka = Ends()
    kafka.may_answer.clear()
    asking = threading.Thread(target=ends.look, args=(kafka, 0), kwargs={"now": 0})
    asking.start()
    assert kafka.is_asked.wait(PATIENCE)
    assert ends.look(cast("Admin", kafka), 0, now=5 * SECOND) is None
    kafka.may_answer.set()
    asking.join(PATIENCE)
    assert ends.look(cast("Admin", kafka), 0, now=SECOND - 1) is not None
    assert len(kafka.asked) == 1


def test_after_an_error_the_next_stage_asks_again_in_its_turn(ends: FollowedEnds) -> None:
    kafka = Ends()
    kafka.is_away = True
    with pytest.raises(LogError):
        ends.look(cast("Admin", kafka), 0, now=0)
    assert ends.look(cast("Admin", kafka), 0, now=SECOND - 1) is None
    kafka.is_away = False
    assert ends.look(cast("Admin", kafka), 0, now=SECOND) is not None


def test_a_stage_reads_all_that_is_there_at_first_also_while_another_asks(ends: FollowedEnds) -> None:
    log = topics_with_a_record()
    kafka = Ends()
    kafka.may_answer.clear()
    asking = threading.Thread(target=ends.look, args=(kafka, 0), kwargs={"now": 0})
    asking.start()
    assert kafka.is_asked.wait(PATIENCE)
    read: list[bytes | None] = []
    follower = Follower(log, "triggers", lambda: 0, lambda record: read.append(record.value), ends)
    assert follower.read_when_due()
    assert read == [b"first"]
    kafka.may_answer.set()
    asking.join(PATIENCE)


def test_a_topic_that_is_deleted_is_the_trouble_of_its_own_follower_alone() -> None:
    now, log, ends = [0], topics_with_a_record(), FollowedEnds()
    read: list[bytes | None] = []
    kept, gone = (
        Follower(log, place.topic, lambda: now[0], lambda record: read.append(record.value), ends) for place in PLACES
    )
    assert kept.read_when_due()
    assert gone.read_when_due()
    log.broker.delete("holds")
    send(log, "triggers", b"second")
    now[0] += SECOND
    with pytest.raises(UnansweredError, match="holds/0"):
        gone.read_when_due()
    assert kept.read_when_due()
    assert read == [b"first", b"first", b"second"]
    assert not gone.read_when_due()  # until the ends are asked for again


def topics_with_a_record() -> MemoryLog:
    """Return a log whose two topics have a record each."""
    log = MemoryLog(MemoryBroker(clock=lambda: 0))
    for place in PLACES:
        log.broker.create(TopicSpec(place.topic, 1))
        send(log, place.topic, b"first")
    return log


def send(log: MemoryLog, topic: str, value: bytes) -> None:
    """Commit a record."""
    producer = log.producer("tests")
    producer.init()
    transact(producer, [(topic, 0, None, value, None)])
    producer.close()
