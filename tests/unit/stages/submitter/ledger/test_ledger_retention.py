"""Kafka deletes what is older than the ledger's retention, also of runs that have not ended."""

from __future__ import annotations

from bridge.core.event import DAY, HOUR
from bridge.core.trigger import RunLimits
from bridge.kafka.log import Partition
from unit.stages.world import World, one_slot

MAPPED = (("order", "order_created.payload.order"),)


def clean(world: World) -> None:
    """Do what Kafka does with a topic that is compacted and whose records are deleted by age."""
    oldest = world.now // 1_000 - world.topics.ledger_retention
    for log in world.broker.topics[world.topics.ledger].logs:
        log.compact(0)
        old = [record.offset for record in log.fetch(log.start, 1_000_000)[0] if record.timestamp < oldest]
        if old:
            world.broker.expire_below(log.partition, old[-1] + 1)


def days(world: World, count: int) -> None:
    for _ in range(count * 4):
        world.now += 6 * HOUR
        world.run(3)
        clean(world)


def test_runs_that_wait_for_longer_than_the_ledgers_retention_are_all_created() -> None:
    world = World(one_slot(parameters=MAPPED, limits=RunLimits(rate=1, per=DAY)), partitions=1)
    process = world.start()
    world.run(3)
    for number in range(25):
        world.publish("order.created", {"order": str(number)})
    world.run(3)
    days(world, 12)
    process.stop()
    process = world.start("p2")
    days(world, 8)
    process.stop()
    world.start("p3")
    days(world, 10)
    assert sorted(int(workflow["order"]) for workflow in world.workflows()) == list(range(25))
    assert len(world.created) == 25


def test_entries_of_waiting_runs_are_written_again_no_more_often_than_needed() -> None:
    world = World(one_slot(parameters=MAPPED, limits=RunLimits(rate=1, per=30 * DAY)), partitions=1)
    world.start()
    world.run(3)
    for number in range(5):
        world.publish("order.created", {"order": str(number)})
    world.run(3)
    before = sum(1 for _ in world.records(world.topics.ledger))
    for _ in range(8 * 24):
        world.now += HOUR
        world.run(1)
    written = sum(1 for _ in world.records(world.topics.ledger)) - before
    assert 3 * 4 <= written <= 4 * 4  # four runs, a quarter of eight days


def test_a_ledger_partition_that_expired_empty_is_restored_and_runs_go_on() -> None:
    world = World(one_slot(parameters=MAPPED))
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": "1"})
    world.run(3)
    process.stop()
    world.now += 9 * DAY
    for log in world.broker.topics[world.topics.ledger].logs:
        world.broker.expire_below(Partition(world.topics.ledger, log.partition.number), log.end)
    other = world.start("p2")
    world.run(5)
    world.publish("order.created", {"order": "2"})
    world.run(5)
    assert [workflow["order"] for workflow in world.workflows()] == ["1", "2"]
    assert other.troubles == []
