"""The ledger on a real broker that really deletes what is older than the topic's retention."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined] # not said to be exported

from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.event import DAY
from bridge.core.runs.run import Run
from bridge.core.trigger import RunLimits
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import LogError, Partition, TopicSpec
from bridge.kafka.loop import StageLoop
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.run_records import encode_run
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.codec import Decoder
from servers.kafka import KafkaServer
from unit.stages.world import one_slot

pytestmark = pytest.mark.servers

RETENTION = 8.0
"""Seconds that stand for the eight days that the ledger is kept."""

PATIENCE = 60.0
DELETES_QUICKLY = {
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.roll.ms": "1000",  # Kafka deletes whole segments
}
SHIP = one_slot(parameters=(("order", "order_created.payload.order"),), limits=RunLimits(rate=1, per=DAY))


class Given(TriggerSource):
    """A source of one trigger."""

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        del in_force
        return Sources([LoadedTrigger(SHIP, Origin("tests", 1))], ())


class Bed:
    """A broker, and the clients of one bridge process at a time."""

    def __init__(self, bootstrap: str) -> None:
        self.log = ConfluentLog({"bootstrap.servers": bootstrap}, patience=10.0)
        self.admin = self.log.admin()
        self.topics = InternalTopics("fb.", 2, 1, ledger_retention=round(RETENTION * 1_000))
        self.admin.create([TopicSpec("order.created", 1, 1)])
        self.topics.ensure(self.admin)
        self.created: list[str] = []
        self.api = MemoryWorkflowApi(on_created=lambda workflow: self.created.append(workflow.name))
        self.troubles: list[LogError] = []
        self._never_compact(bootstrap)
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def _never_compact(self, bootstrap: str) -> None:
        """Have the broker delete segments of the ledger, which it would otherwise merge with newer ones."""
        change = ConfigEntry("min.cleanable.dirty.ratio", "1", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.topics.ledger, incremental_configs=[change])
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()

    def ask(self, number: int, partition: int, trigger: str = "default/other") -> None:
        """Ask for a run."""
        parameters = (("order", str(number)),)
        key = f"{number:052d}"
        run = Run(key, trigger, "h", "", "default", f"ship-{number}", "ship", parameters, None, (), (), (), 0, 0)
        self._producer.produce(self.topics.runs, partition=partition, key=key, value=encode_run(run))
        assert self._producer.flush(PATIENCE) == 0

    def work(self, stage: str, until: Callable[[StageLoop], bool], seconds: float = PATIENCE) -> None:
        """Run a stage until something is so, then stop it."""
        loop = self._open(stage)
        deadline = time.monotonic() + seconds
        try:
            while not until(loop):
                assert time.monotonic() < deadline, f"{stage}: {self.troubles}, created {self.created}"
                try:
                    loop.step()
                except LogError as error:
                    self.troubles.append(error)
                    loop.close()
                    loop = self._open(stage)
        finally:
            loop.close()

    def _open(self, stage: str) -> StageLoop:
        around = ProcessDependencies(
            log=self.log,
            api=self.api,
            topics=self.topics,
            decoder=Decoder,
            source=Given(),
            sink=lambda *_: None,
            member="p1",
            random=Random(1),
        )
        loop = open_loop(stage, around)
        loop.open()
        return loop


@pytest.fixture
def bed() -> Iterator[Bed]:
    with KafkaServer(properties=DELETES_QUICKLY) as server:
        made = Bed(server.bootstrap)
        yield made
        made.admin.close()


def test_a_ledger_partition_that_was_idle_for_longer_than_its_retention_is_restored(bed: Bed) -> None:
    bed.ask(1, 0)
    bed.work("submitter", lambda _: bed.created == ["ship-1"])
    place = Partition(bed.topics.ledger, 0)
    deadline = time.monotonic() + PATIENCE
    while bed.admin.start_offsets([place])[place] < (end := bed.admin.end_offsets([place])[place]):
        assert time.monotonic() < deadline, "the broker deletes nothing"
        time.sleep(0.2)
    assert end > 0
    bed.ask(2, 1)
    bed.ask(3, 0)
    bed.work("submitter", lambda _: set(bed.created) == {"ship-1", "ship-2", "ship-3"})
    assert bed.troubles == []


def test_runs_that_wait_for_longer_than_the_ledgers_retention_are_still_there(bed: Bed) -> None:
    written: list[int] = []

    def is_defined(loop: StageLoop) -> bool:
        del loop
        place = Partition(bed.topics.triggers, 0)
        written.append(bed.admin.end_offsets([place])[place])
        return len(written) > 5 and written[-1] > 0 and written[-1] == written[-5]

    bed.work("controller", is_defined)
    for number in range(4):
        bed.ask(number, 0, SHIP.identity)
    began = time.monotonic()
    bed.work("submitter", lambda _: time.monotonic() - began > 2.5 * RETENTION)
    place = Partition(bed.topics.ledger, 0)
    assert bed.admin.start_offsets([place])[place] > 4, "the broker deleted nothing"
    assert bed.created == ["ship-0"]

    def are_all_there(loop: StageLoop) -> bool:
        submitter: Any = loop._stage
        return sum(1 for _ in submitter.book.open_runs()) + len(bed.created) == 4

    # The entry of the first run has expired, and with it what the rate had counted: at most one more starts.
    bed.work("submitter", are_all_there, seconds=20)
    assert len(bed.created) <= 2
