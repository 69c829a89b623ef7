"""A small world for the stages: in-memory Kafka and Workflow API, one clock that tests move, any number of processes.

The stages, the loop and the rules are the real ones. Nothing runs by itself: :meth:`World.run` steps every stage of
every process in turn and moves the clock, so that a test goes the same way each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from random import Random
from typing import Any

from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.decision import Decision, RunDecision
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.trigger import RunPlan, Slot, Trigger
from bridge.kafka.log import LogError, Partition, TopicSpec
from bridge.kafka.loop import StageLoop
from bridge.kafka.memory import CrashedError, MemoryBroker, MemoryLog
from bridge.kafka.topics import InternalTopics
from bridge.stages.assembly import Surroundings, open_loop
from bridge.triggers.sources import Sourced, Sources
from bridge.stages.submitter import Limits
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import write_headers

from bridge.core.definition import moment

STAGES = ("controller", "router", "matcher", "submitter")
BEGIN: Micros = 1_700_000_000 * SECOND


class InlineExecutor(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Process:
    """One bridge process: a loop a stage, opened anew after trouble as a real one is."""

    def __init__(self, world: World, name: str, stages: Sequence[str]) -> None:
        self.log = MemoryLog(world.broker)
        self._around = world.surroundings(self.log, name)
        self.loops: dict[str, StageLoop | None] = dict.fromkeys(stages)
        self.is_dead = False

    def step(self, stage: str) -> None:
        """Do one batch of a stage, or open it."""
        if self.is_dead:
            return
        loop = self.loops[stage]
        try:
            if loop is None:
                loop = open_loop(stage, self._around)
                self.loops[stage] = loop
                loop.open()
            loop.step()
        except LogError:
            self._close(stage)

    def stop(self) -> None:
        """End as on SIGTERM."""
        for stage in self.loops:
            self._close(stage)
        self.is_dead = True

    def crash(self) -> None:
        """End as on SIGKILL."""
        self.log.crash()
        self.is_dead = True

    def _close(self, stage: str) -> None:
        loop, self.loops[stage] = self.loops[stage], None
        if loop is not None:
            loop.close()


class World:
    """Kafka, the cluster, the clock and the processes.

    Attributes:
        now: The time of all clocks.
        triggers: What the sources hold.
        decisions: What became of everything, in order.

    """

    def __init__(self, *triggers: Trigger, partitions: int = 2) -> None:
        self.now = BEGIN
        self.broker = MemoryBroker(clock=lambda: self.now // 1000)
        self.topics = InternalTopics("fb.", partitions)
        self.api = MemoryWorkflowApi(clock=lambda: self.now / SECOND)
        self.triggers = list(triggers)
        self.errors: list[str] = []
        self.decisions: list[Decision | RunDecision] = []
        self.processes: list[Process] = []
        self.encoder = Encoder()
        self.limits = Limits()
        self._ids = 0
        self._create_internal_topics()
        for trigger in triggers:
            for event in trigger.events:
                self.topic(event)
            self.api.add_template("default", trigger.run.template, parameters=("order", "amount"))

    def _create_internal_topics(self) -> None:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        compacted = {**stamped, "cleanup.policy": "compact"}
        topics = self.topics
        for name, config in (
            (topics.arrivals, stamped),
            (topics.runs, stamped),
            (topics.dead_letters, stamped),
            (topics.windows, compacted),
            (topics.ledger, compacted),
        ):
            self.broker.create(TopicSpec(name, topics.partitions, config=config))
        self.broker.create(TopicSpec(topics.triggers, 1, config=compacted))

    def surroundings(self, log: MemoryLog, member: str) -> Surroundings:
        return Surroundings(
            log=log,
            api=self.api,
            topics=self.topics,
            decoder=Decoder,
            read_sources=self._read_sources,
            sink=lambda _, decisions: self.decisions.extend(decisions),
            member=member,
            clock=lambda: self.now,
            new_topic=lambda name: TopicSpec(name, 2),
            limits=self.limits,
            executor=lambda _: InlineExecutor(),
            random=Random(1),
        )

    def _read_sources(self, in_force: Mapping[str, Sourced]) -> Sources:
        del in_force
        return Sources([Sourced(trigger, "tests:1") for trigger in self.triggers], self.errors)

    # -- acting --------------------------------------------------------------------------------------------------------

    def topic(self, name: str, partitions: int = 2) -> None:
        """Create an event topic."""
        self.broker.create(TopicSpec(name, partitions))

    def start(self, name: str = "p1", stages: Sequence[str] = STAGES) -> Process:
        """Start a process."""
        process = Process(self, name, stages)
        self.processes.append(process)
        return process

    def publish(self, name: str, payload: Mapping[str, Any], *, id: str = "", ago: Micros = 0, partition: int = 0) -> str:  # noqa: A002
        """Publish one event; ``ago`` is how long before now it happened. Returns its id."""
        self._ids += 1
        event_id = id or f"e{self._ids}"
        headers = write_headers(name, event_id, "tests", moment(self.now - ago))
        self.broker.append(name, partition, None, self.encoder.encode(name, payload), headers)
        return event_id

    def run(self, seconds: float = 1.0, step: float = 0.25) -> None:
        """Let every process work for some (simulated) seconds."""
        for _ in range(round(seconds / step)):
            for process in self.processes:
                for stage in process.loops:
                    process.step(stage)
            self.now += round(step * SECOND)

    # -- looking -------------------------------------------------------------------------------------------------------

    def workflows(self) -> list[dict[str, str]]:
        """Return the parameters of the Workflows that exist, by name of the Workflow."""
        return [
            {one["name"]: one["value"] for one in workflow.manifest["spec"].get("arguments", {}).get("parameters", ())}
            for workflow in self.api.workflows()
        ]

    def reasons(self) -> list[str]:
        """Return the reasons of all decisions so far."""
        return [str(decision.reason) for decision in self.decisions]

    def values(self, topic: str) -> Iterator[bytes]:
        """Yield the committed values of an internal topic."""
        reader = MemoryLog(self.broker).reader()
        admin = MemoryLog(self.broker).admin()
        for number in range(self.topics.partitions):
            place = Partition(topic, number)
            for records in reader.read(place, 0, admin.end_offsets([place])[place]):
                yield from (record.value for record in records if record.value is not None)


def one_slot(**run: Any) -> Trigger:
    """Return a trigger of one slot on ``order.created``."""
    plan = RunPlan("ship", "default", **run)
    return Trigger("default", "ship", (Slot("order.created", "order_created"),), plan, require=1)


def two_slots(**fields: Any) -> Trigger:
    """Return a keyed trigger of two slots: ``order.created`` and ``payment.done`` within ten minutes."""
    slots = (
        Slot("order.created", "order", key="payload.order"),
        Slot("payment.done", "payment", key="payload.order"),
    )
    parameters = (("order", "order.payload.order"), ("amount", "payment.payload.amount"))
    usual: dict[str, Any] = {"require": 2, "within": 10 * MINUTE, "grace": MINUTE, "dedupe": 11 * MINUTE}
    run = fields.pop("run", RunPlan("ship", "default", parameters))
    return Trigger("default", "ship", fields.pop("slots", slots), run, **{**usual, **fields})


__all__ = ["CrashedError", "Process", "World", "one_slot", "two_slots"]
