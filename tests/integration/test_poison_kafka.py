"""On real Kafka: an event that kills its router goes to the dead letters at the third start."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition
from bridge.kafka.records import DEAD_LETTER
from bridge.stages.shared.run_records import decode_run
from contract.log_beds import KafkaBed
from flowbridge_sdk.codec import Encoder
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.choice import AnyKafka

ROUTER = Path(__file__).with_name("poison_router.py")
ORDERS = ["1", "2", "poison", "3", "4", "5", "6", "7"]


@pytest.fixture
def bed(kafka: AnyKafka) -> Iterator[KafkaBed]:
    made = KafkaBed(kafka.bootstrap)
    yield made
    made.close()


def values(bed: KafkaBed, topic: str) -> list[bytes]:
    admin = bed.log().admin()
    places = [Partition(topic, number) for number in range(2)]
    found = []
    for place, end in admin.end_offsets(places).items():
        for batch in bed.log().reader().read(place, 0, end):
            found += [record.value for record in batch if record.value is not None]
    return found


@pytest.mark.parametrize("death", ["exit", "kill"])
def test_an_event_that_kills_its_router_is_poison_at_the_third_start(
    kafka: AnyKafka, bed: KafkaBed, death: str
) -> None:
    prefix, event = f"p{uuid.uuid4().hex[:8]}.", f"order.{uuid.uuid4().hex[:8]}"
    topics = InternalTopics(prefix, 2, 1)
    command = [sys.executable, str(ROUTER), kafka.bootstrap, prefix, event, death]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "owns\n"
        for number, order in enumerate(ORDERS):
            bed.publish(event, number % 2, None, Encoder().encode(event, {"order": order}), 0)
        assert first.wait(60) in (139, -9)
    with start() as second:
        assert second.wait(60) in (139, -9)
    with start() as third:
        try:
            wait_for(
                lambda: third.poll() is not None or len(values(bed, topics.runs)) == len(ORDERS) - 1,
                120,
                "all other events to get through",
            )
            assert third.poll() is None, "the event killed its third router, too"
            assert third.stdin is not None
            third.stdin.close()
            assert third.wait(60) == 0
        finally:
            third.kill()
    letters = [DEAD_LETTER.decode(value) for value in values(bed, topics.dead_letters)]
    assert [(letter["reason"], letter["topic"]) for letter in letters] == [("poison", event)]
    runs = [dict(decode_run(value).parameters or ()) for value in values(bed, topics.runs)]
    assert sorted(run["order"] for run in runs) == sorted(set(ORDERS) - {"poison"})
