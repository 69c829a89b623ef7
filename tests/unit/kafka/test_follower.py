"""Followed topics: a stage neither asks twice nor waits for the request of another stage."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import cast

import pytest

from bridge.core.event import SECOND
from bridge.kafka.follower import FollowedEnds
from bridge.kafka.log import Admin, LogError, Partition

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
