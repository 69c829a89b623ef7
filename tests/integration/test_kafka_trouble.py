"""The stages on a real cluster in trouble: a broker that dies, topics that are forbidden or missing."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.decision import Decision
from bridge.core.event import MINUTE, SECOND, moment
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import LogError, TopicSpec
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import Process, steady_clock
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from contract.log_beds import eventually
from contract.trouble_beds import TroubledKafka, TwoBrokers
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import write_headers
from servers.process import wait_for
from unit.stages.world import one_slot, parameters_of, two_slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridge.core.decision import RunDecision

pytestmark = pytest.mark.servers

logger = logging.getLogger(__name__)

TOPICS = InternalTopics("fb.", 2, 1)
SHORT = {"window": WindowPlan("within", 5 * SECOND), "grace": SECOND, "dedupe": MINUTE}
PAIR = two_slots(**SHORT)
OTHER_PAIR = replace(
    two_slots(
        **SHORT,
        slots=(Slot("x", "x", key="payload.order"), Slot("y", "y", key="payload.order")),
        run=RunPlan("ship", "default", (("order", "x.payload.order"),)),
    ),
    name="other",
)


def single(topic: str) -> Trigger:
    return replace(one_slot(), name=topic, slots=(Slot(topic, topic),))


def prepare(bootstrap: str) -> None:
    """Create the topics of the first broker."""
    admin = ConfluentLog({"bootstrap.servers": bootstrap}).admin()
    eventually(lambda: TOPICS.ensure(admin), "the internal topics")
    admin.create([TopicSpec(name, 2, 1) for name in ("order.created", "x", "y", "plain", "secret", "gone", "reborn")])
    admin.close()


@pytest.fixture(scope="module")
def brokers() -> Iterator[TwoBrokers]:
    with TwoBrokers(prepare) as two:
        yield two


class Given(TriggerSource):
    """The triggers of a test."""

    def __init__(self, triggers: list[Trigger]) -> None:
        self._triggers = triggers

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        del in_force
        return Sources([LoadedTrigger(trigger, Origin("tests", 1)) for trigger in self._triggers], ())


class Health:
    """Whether a stage is ready."""

    def __init__(self) -> None:
        self.is_ready = False

    def beat(self) -> None:
        """Ignore it."""

    def ready(self, ready: bool, /, *, remark: str = "") -> None:  # noqa: ARG002, FBT001  (what is said)
        self.is_ready = ready


class Bridge:
    """The stages of the bridge on a real cluster, in processes that are threads of this one."""

    def __init__(self, bootstrap: str, *triggers: Trigger) -> None:
        self.bed_log = ConfluentLog({"bootstrap.servers": bootstrap})
        self.api = MemoryWorkflowApi(clock=time.time)
        self.api.add_template("default", "ship", defaults=("order", "amount"))
        self.decisions: list[Decision | RunDecision] = []
        self._triggers = list(triggers)
        self._producer = Producer({"bootstrap.servers": bootstrap})
        self._processes: list[Process] = []

    def start(self, name: str, *stages: str) -> Process:
        """Start stages, and wait until they have joined."""
        around = ProcessDependencies(
            log=self.bed_log,
            api=self.api,
            topics=TOPICS,
            decoder=Decoder,
            source=Given(self._triggers),
            sink=lambda _, decisions: self.decisions.extend(decisions),
            member=name,
            random=Random(1),
        )
        healths = {stage: Health() for stage in stages}

        def opening(stage: str) -> Any:
            return lambda: open_loop(stage, around)

        process = Process({stage: opening(stage) for stage in stages}, lambda stage: healths[stage], drain=10.0)
        process.start()
        self._processes.append(process)
        wait_for(lambda: all(health.is_ready for health in healths.values()), 30, f"{stages} to be ready")
        return process

    def begin(self, *topics: str) -> None:
        """Wait until it is written where these topics begin: what is published from now on is read.

        A stage may be ready before that, as the controller's stand-in is, and the router that knows earlier triggers.
        """
        wait_for(lambda: set(topics) <= self._definitions().starts.keys(), 30, f"{topics} to be begun")

    def _definitions(self) -> Definitions:
        """Return what stands in ``triggers`` now."""
        definitions = Definitions(self.bed_log, TOPICS.triggers, steady_clock)
        definitions.refresh()
        definitions.close()
        return definitions

    def publish(self, topic: str, order: int) -> str:
        """Publish an event that Kafka acknowledges; return its id."""
        event = uuid.uuid4().hex
        written = write_headers(topic, event, "tests", moment(time.time_ns() // 1000))
        headers: Any = [(name, value.encode() if isinstance(value, str) else value or b"") for name, value in written]
        self._producer.produce(
            topic, Encoder().encode(topic, {"order": order, "amount": 1}), partition=0, headers=headers
        )
        assert self._producer.flush(20) == 0
        return event

    def publish_bare(self, topic: str, order: int) -> None:
        """Publish an event without headers, which Kafka acknowledges: its id is its place."""
        self._producer.produce(topic, Encoder().encode(topic, {"order": order, "amount": 1}), partition=0)
        assert self._producer.flush(20) == 0

    def reasons(self, event: str) -> list[str]:
        return [
            str(decision.reason)
            for decision in self.decisions
            if isinstance(decision, Decision) and decision.event.id == event
        ]

    def orders(self) -> list[str]:
        return sorted(parameters_of(workflow)["order"] for workflow in self.api.workflows())

    def errors(self) -> str:
        """Return what stands in ``triggers`` about what is wrong."""
        return "\n".join(str(error) for errors in self._definitions().errors.values() for error in errors)

    def stop(self) -> None:
        """Stop the stages; say what they did, which pytest shows of a test that failed."""
        for process in self._processes:
            process.stop.set()
        for process in self._processes:
            process.wait()
        with suppress(LogError):
            logger.warning("decisions: %s; starts: %s", self.decisions, self._definitions().starts)


@pytest.fixture
def bed(brokers: TwoBrokers) -> Iterator[TroubledKafka]:
    made = TroubledKafka(brokers)
    yield made
    made.close()


def test_windows_wait_for_a_dead_leader_and_nothing_else_does(bed: TroubledKafka, brokers: TwoBrokers) -> None:
    bed.create_fragile("payment.done", 2)
    bridge = Bridge(brokers.first.bootstrap, PAIR, OTHER_PAIR, single("plain"))
    try:
        bridge.start("a", "controller", "matcher", "submitter")
        router = bridge.start("b", "router")
        bridge.begin("plain", "order.created", "payment.done", "x", "y")
        probe = bridge.publish("plain", 100)
        wait_for(lambda: bridge.reasons(probe) == ["matched"], 30, "the topics to be read")
        order = bridge.publish("order.created", 7)
        wait_for(lambda: bridge.reasons(order) == ["waiting"], 30, "the order to wait")
        router.stop.set()
        router.wait()
        bridge.publish("payment.done", 7)  # acknowledged, and not read yet
        bed.lose_leaders()
        bridge.start("c", "router")
        lonely = bridge.publish("x", 8)  # its window ends after that of the order would have
        began = time.monotonic()
        wait_for(lambda: bridge.reasons(lonely) == ["waiting", "expired"], 40, "another trigger's window to end")
        for number in range(5):
            bridge.publish("plain", number)
        wait_for(lambda: len(bridge.orders()) == 6, 20, "another trigger's runs")
        wait_for(lambda: time.monotonic() - began > 15, 20, "the order's window to be over for long")
        assert bridge.reasons(order) == ["waiting"]
        bed.find_leaders()
        wait_for(lambda: "7" in bridge.orders(), 60, "the pair, once the broker is back")
        assert bridge.reasons(order) == ["waiting", "matched"]
    finally:
        bridge.stop()


def test_a_forbidden_and_a_missing_topic_stop_their_own_triggers_alone(bed: TroubledKafka, brokers: TwoBrokers) -> None:
    bed.deny("secret", "read")
    bridge = Bridge(brokers.first.bootstrap, single("plain"), single("secret"), single("gone"))
    try:
        controller = bridge.start("d", "controller")
        wait_for(lambda: "topic secret cannot be read" in bridge.errors(), 30, "the forbidden topic to be reported")
        controller.stop.set()
        controller.wait()
        bed.delete("gone")
        bridge.start("e", "controller", "router", "matcher", "submitter")
        for number in range(5):
            bridge.publish("plain", number)
        wait_for(lambda: len(bridge.orders()) == 5, 30, "the runs of the trigger whose topic is sound")
        wait_for(lambda: "topic gone does not exist" in bridge.errors(), 30, "the missing topic to be reported")
        bed.allow("secret")
        bed.log().admin().create([TopicSpec("gone", 2, 1)])
        events = [bridge.publish(topic, 9) for topic in ("secret", "gone")]
        wait_for(lambda: all(bridge.reasons(event) for event in events), 60, "both topics to be read by themselves")
        assert [bridge.reasons(event) for event in events] == [["matched"], ["matched"]]
        wait_for(lambda: bridge.errors() == "", 30, "the errors to be over")
        wait_for(lambda: len(bridge.orders()) == 7, 30, "all runs, which the next bridge would create otherwise")
    finally:
        bridge.stop()


def test_events_without_ids_of_a_topic_that_was_made_again_are_new_events(
    bed: TroubledKafka, brokers: TwoBrokers
) -> None:
    bridge = Bridge(brokers.first.bootstrap, single("reborn"))
    try:
        bridge.start("f", "controller", "router", "matcher", "submitter")
        bridge.begin("reborn")
        for number in range(3):
            bridge.publish_bare("reborn", number)
        wait_for(lambda: bridge.orders() == ["0", "1", "2"], 30, "the runs of the first topic")
        bed.delete("reborn")
        wait_for(lambda: "topic reborn does not exist" in bridge.errors(), 30, "the missing topic to be reported")
        bed.log().admin().create([TopicSpec("reborn", 2, 1)])
        for number in range(10, 12):
            bridge.publish_bare("reborn", number)
        wait_for(lambda: len(bridge.orders()) == 5, 60, "the runs of the second topic")
        assert bridge.orders() == ["0", "1", "10", "11", "2"]
    finally:
        bridge.stop()
