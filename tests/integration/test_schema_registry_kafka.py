"""The stages on real Kafka with a schema registry that hangs, and then knows some ids and others not."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.decision import Decision
from bridge.core.trigger import Slot, Trigger
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import TopicSpec
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.schema_lookups import SchemaLookups
from bridge.stages.stage_thread import Process
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from contract.log_beds import eventually
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from servers.process import wait_for
from unit.sdk.registry_server import FakeRegistry, serving
from unit.stages.world import one_slot, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridge.core.decision import RunDecision
    from servers.choice import AnyKafka

pytestmark = pytest.mark.servers

STAGES = ("controller", "router", "submitter")
TEXT = json.dumps({"type": "record", "name": "order", "fields": [{"name": "order", "type": "string"}]})
SCHEMA = EventSchema.parse("order", TEXT, "order.avsc")


class Given(TriggerSource):
    """The triggers of a test."""

    def __init__(self, triggers: list[Trigger]) -> None:
        self._triggers = triggers

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return them."""
        del in_force
        return Sources([LoadedTrigger(trigger, Origin("tests", 1)) for trigger in self._triggers], ())


class Health:
    """Whether a stage is ready."""

    def __init__(self) -> None:
        self.is_ready = False

    def beat(self) -> None:
        """Ignore it."""

    def ready(self, ready: bool, /, *, remark: str = "") -> None:  # noqa: ARG002, FBT001  (what is said)
        """Keep it."""
        self.is_ready = ready


class Bridge:
    """A bridge with two triggers, one on a topic whose events need the registry, one on a topic whose events do not."""

    def __init__(self, bootstrap: str, server: FakeRegistry) -> None:
        mark = uuid.uuid4().hex[:8]
        self.framed, self.plain = f"framed-{mark}", f"plain-{mark}"
        self.log = ConfluentLog({"bootstrap.servers": bootstrap})
        self.topics = InternalTopics(f"fb-{mark}.", 2, 1)
        self.api = MemoryWorkflowApi(clock=time.time)
        self.api.add_template("default", "ship", parameters=("order",))
        self.decisions: list[Decision | RunDecision] = []
        self.lookups = SchemaLookups(Registry(server.url, config={"timeout": 2, "max.retries": 1}))
        self._producer = Producer({"bootstrap.servers": bootstrap})
        admin = self.log.admin()
        eventually(lambda: self.topics.ensure(admin), "the internal topics")
        admin.create([TopicSpec(name, 2, 1) for name in (self.framed, self.plain)])
        admin.close()
        registry: Any = self.lookups
        triggers = [replace(one_slot(), name=name, slots=(Slot(name, "slot"),)) for name in (self.framed, self.plain)]
        around = ProcessDependencies(
            log=self.log,
            api=self.api,
            topics=self.topics,
            decoder=lambda: Decoder(EventSchemas.of(()), registry),
            lookups=self.lookups,
            source=Given(triggers),
            sink=lambda _, decisions: self.decisions.extend(decisions),
            member="a",
            random=Random(1),
        )
        healths = {stage: Health() for stage in STAGES}

        def opening(stage: str) -> Any:
            return lambda: open_loop(stage, around)

        self._process = Process({stage: opening(stage) for stage in STAGES}, lambda stage: healths[stage], drain=10.0)
        self._process.start()
        wait_for(lambda: all(health.is_ready for health in healths.values()), 30, "the stages to be ready")

    def publish(self, topic: str, value: bytes, partition: int = 0) -> None:
        """Publish an event without headers."""
        self._producer.produce(topic, value, partition=partition)

    def flush(self) -> None:
        """Have Kafka acknowledge all of them."""
        assert self._producer.flush(20) == 0

    def plain_order(self, order: str) -> None:
        """Publish an event that needs no registry, and have it acknowledged."""
        self.publish(self.plain, Encoder().encode("order", {"order": order}))
        self.flush()

    def orders(self) -> list[str]:
        """Return the orders that Workflows were created for."""
        return sorted(parameters_of(workflow)["order"] for workflow in self.api.workflows())

    def stop(self) -> None:
        """End it."""
        self._process.stop.set()
        self._process.wait()
        self.lookups.close()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving() as server:
        yield server


def framed(order: str, schema_id: int) -> bytes:
    body = bytearray(b"\x00" + schema_id.to_bytes(4, "big"))
    SCHEMA.write(body, {"order": order}, 0)
    return bytes(body)


def test_a_registry_that_hangs_and_thousands_of_unknown_ids_delay_no_event_that_needs_none(
    kafka: AnyKafka, registry: FakeRegistry
) -> None:
    known = registry.register("framed-value", {"schema": TEXT})
    bridge = Bridge(kafka.bootstrap, registry)
    try:
        bridge.plain_order("first")
        wait_for(lambda: bridge.orders() == ["first"], 30, "the topics to be read")
        registry.answers.clear()
        bridge.publish(bridge.framed, framed("held", known), 1)
        for number in range(3_000):
            bridge.publish(bridge.framed, framed("unknown", 100_000 + number), 0)
        bridge.flush()
        wait_for(lambda: registry.requests > 0, 20, "the registry to be asked")
        for number in range(5):
            began = time.monotonic()
            bridge.plain_order(f"while it hangs {number}")
            wait_for(lambda: len(bridge.orders()) == 2 + number, 5, "an event that needs no registry")  # noqa: B023
            assert time.monotonic() - began < 3
        registry.answers.set()
        wait_for(lambda: "held" in bridge.orders(), 60, "the event that waited for its schema")
        began = time.monotonic()
        bridge.plain_order("in the flood")
        wait_for(lambda: "in the flood" in bridge.orders(), 5, "an event that needs no registry")
        assert time.monotonic() - began < 3
        wait_for(lambda: _undecodable(bridge) == 3_000, 120, "all unknown ids to be decided")
        assert bridge.orders() == sorted(["first", "held", "in the flood", *[f"while it hangs {n}" for n in range(5)]])
    finally:
        registry.answers.set()
        bridge.stop()


def _undecodable(bridge: Bridge) -> int:
    return sum(isinstance(decision, Decision) and decision.reason == "undecodable" for decision in bridge.decisions)
