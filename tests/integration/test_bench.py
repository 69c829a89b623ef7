"""The bench on real Kafka: topics that were emptied lose nothing, and the peers do the jobs that are measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from bench.bed import Bed, bed
from bench.filling import fill_events
from bench.groups.peers import peers
from bench.material import EVENT, PARTITIONS
from bench.scale import QUICK
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec

if TYPE_CHECKING:
    from frameworks.environments import Environment

pytestmark = pytest.mark.servers

EVENTS = 2_000


@pytest.fixture(scope="module")
def servers() -> Iterator[Bed]:
    with bed() as started:
        yield started


def held(servers: Bed) -> int:
    consumer = Consumer({"bootstrap.servers": servers.bootstrap, "group.id": "test", "log_level": 0})
    try:
        places = [TopicPartition(EVENT, number) for number in range(PARTITIONS)]
        return sum(high - low for low, high in (consumer.get_watermark_offsets(place, timeout=30) for place in places))
    finally:
        consumer.close()


def test_a_topic_that_was_emptied_holds_all_that_is_published_next(servers: Bed) -> None:
    for _ in range(3):
        servers.empty()
        assert held(servers) == 0
        fill_events(servers.bootstrap, servers.schemas, [EVENT], EVENTS, PARTITIONS)
        assert held(servers) == EVENTS


def test_a_round_leaves_the_topics_that_were_there_before_it(servers: Bed) -> None:
    servers.empty()
    admin = ConfluentLog({"bootstrap.servers": servers.bootstrap}).admin()
    fill_events(servers.bootstrap, servers.schemas, [EVENT], EVENTS, PARTITIONS)
    with servers.round():
        admin.create([TopicSpec("of-this-round", 1)])
        assert "of-this-round" in servers.topics()
    assert "of-this-round" not in servers.topics()
    assert held(servers) == EVENTS
    admin.close()


@pytest.mark.timeout(600)
def test_the_peers_do_each_job_in_each_round(servers: Bed, quix: Environment, bytewax: Environment) -> None:
    assert quix.python.exists()
    assert bytewax.python.exists()
    servers.empty()
    rows = peers(servers, dataclasses.replace(QUICK, peer_events=12_000))
    for job in ("filter", "map to a topic", "join of pairs under a key"):
        does = [row.what for row in rows if row.what.startswith(f"{job}: ")]
        assert any("Flowbridge" in what for what in does)
        assert any("Quix Streams 3." in what for what in does)
        assert any("Bytewax 0." in what for what in does)
    assert all(len(row.speeds) == QUICK.peer_rounds and row.speeds[0].rate > 0 < row.speeds[0].cpu for row in rows)
