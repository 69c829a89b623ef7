"""Timestamps of publishers on a real broker, whose topics have ``message.timestamp.type=CreateTime``."""

from __future__ import annotations

import time
import uuid
from random import Random
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cli.checks.timestamps import claimed_times
from bridge.cli.wiring.kafka import new_topic
from bridge.core.decision import Decision
from bridge.core.event import MINUTE, SECOND, moment
from bridge.core.trigger import Slot, Trigger, WindowPlan
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition, TopicSpec
from bridge.settings.settings import Settings
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.run_records import decode_run
from bridge.stages.stage_thread import Process
from contract.log_beds import eventually
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import write_headers
from integration.test_kafka_trouble import Given, Health
from servers.process import wait_for
from unit.stages.world import parameters_of, two_slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.core.decision import RunDecision
    from servers.choice import AnyKafka

pytestmark = pytest.mark.servers

ANY_TIMESTAMP = {"message.timestamp.after.max.ms": str(2**63 - 1)}  # as brokers before Kafka 4.0 have it


class Bridge:
    """A bridge of a test's own on the shared broker: a pair of topics, and a trigger with a window of six seconds."""

    def __init__(self, bootstrap: str) -> None:
        name = uuid.uuid4().hex[:8]
        self.log = ConfluentLog({"bootstrap.servers": bootstrap})
        self.topics = InternalTopics(f"fb-{name}.", 2, 1)
        self.orders, self.payments = f"order-{name}", f"payment-{name}"
        slots = tuple(
            Slot(topic, word, key="payload.order")
            for topic, word in ((self.orders, "order"), (self.payments, "payment"))
        )
        self.trigger: Trigger = two_slots(
            slots=slots, window=WindowPlan("within", 5 * SECOND), grace=SECOND, dedupe=MINUTE
        )
        self.api = MemoryWorkflowApi(clock=time.time)
        self.api.add_template("default", "ship", parameters=("order", "amount"))
        self.decisions: list[Decision | RunDecision] = []
        self._producer = Producer({"bootstrap.servers": bootstrap})
        admin = self.log.admin()
        eventually(lambda: self.topics.ensure(admin), "the internal topics")
        admin.create([TopicSpec(topic, 1, 1, ANY_TIMESTAMP) for topic in (self.orders, self.payments)])
        admin.close()
        self.around = ProcessDependencies(
            log=self.log,
            api=self.api,
            topics=self.topics,
            decoder=Decoder,
            source=Given([self.trigger]),
            sink=lambda _, decisions: self.decisions.extend(decisions),
            member="a",
            random=Random(1),
        )
        stages = ("controller", "router", "matcher", "submitter")
        self.process = Process(
            {stage: (lambda stage=stage: open_loop(stage, self.around)) for stage in stages},  # type: ignore[misc]  # a lambda with a default has no inferable type
            lambda _: Health(),
            drain=10.0,
        )

    def start(self) -> None:
        """Start it, and wait until it looks at both topics."""
        self.process.start()
        places = [Partition(topic, 0) for topic in (self.orders, self.payments)]
        wait_for(lambda: all(self.around.looks.knows(place, 0) for place in places), 40, "the first look at the topics")

    def publish(self, topic: str, made: float, timestamp: int, order: int = 7) -> str:
        """Publish an event that was made at a time (seconds), with its record's timestamp; return its id."""
        event = uuid.uuid4().hex
        written = write_headers(topic, event, "tests", moment(int(made * SECOND)))
        value = Encoder().encode(topic, {"order": order, "amount": 1})
        self._producer.produce(topic, value, headers=list(written), timestamp=timestamp)
        assert self._producer.flush(20) == 0
        return event

    def reasons(self, event: str) -> list[str]:
        """Return the reasons of all decisions about an event."""
        return [
            str(decision.reason)
            for decision in self.decisions
            if isinstance(decision, Decision) and decision.event.id == event
        ]


@pytest.fixture
def bridge(kafka: AnyKafka) -> Iterator[Bridge]:
    made = Bridge(kafka.bootstrap)
    made.start()
    yield made
    made.process.stop.set()
    made.process.wait()


def test_events_that_are_delivered_late_one_after_the_other_start_one_run(bridge: Bridge) -> None:
    made = time.time() - 180
    order = bridge.publish(bridge.orders, made, int(made * 1000))
    wait_for(lambda: bridge.reasons(order) == ["waiting"], 30, "the order to wait")
    lonely = bridge.publish(bridge.orders, made, int(made * 1000), order=8)
    wait_for(lambda: bridge.reasons(lonely) == ["waiting"], 30, "another event to wait")
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 3, 10, "ticks to pass, which would end what came so long ago")
    assert bridge.reasons(order) == ["waiting"]
    payment = bridge.publish(bridge.payments, made + 1, int(made * 1000) + 1_000)
    wait_for(lambda: bridge.reasons(payment) == ["matched"], 30, "the pair")
    wait_for(
        lambda: [parameters_of(workflow)["order"] for workflow in bridge.api.workflows()] == ["7"], 30, "the Workflow"
    )
    wait_for(lambda: bridge.reasons(lonely) == ["waiting", "expired"], 40, "what has no partner to end")


def test_a_timestamp_in_nanoseconds_is_taken_at_the_clock_of_its_routing(bridge: Bridge) -> None:
    began = time.time()
    order = bridge.publish(bridge.orders, began, time.time_ns())
    payment = bridge.publish(bridge.payments, began, 0)
    wait_for(lambda: bridge.reasons(payment)[-1:] == ["matched"] == bridge.reasons(order)[-1:], 30, "the pair")
    wait_for(lambda: len(bridge.api.workflows()) == 1, 30, "the Workflow")
    places = [Partition(bridge.topics.runs, number) for number in range(2)]
    ends, reader = bridge.around.log.admin().all_ends(places), bridge.log.reader()
    values = [record.value for place in places for some in reader.read(place, 0, ends[place]) for record in some]
    (run,) = [decode_run(value) for value in values if value is not None]
    assert began - 60 < run.reached / SECOND < time.time() + 60
    assert bridge.process.stop.is_set() is False


def test_a_topic_that_the_bridge_creates_needs_no_warning_and_a_publishers_topic_does(bridge: Bridge) -> None:
    admin = bridge.log.admin()
    created = f"created-{uuid.uuid4().hex[:8]}"
    admin.create([new_topic(Settings())(created)])
    names = [claimed.topic for claimed in claimed_times(admin, [created, bridge.orders], "kafka:9092")]
    assert names == [bridge.orders]
    admin.close()
