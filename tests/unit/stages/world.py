"""A small world for the stages: in-memory Kafka and Workflow API, one clock that tests move, any number of processes.

The stages, the loop and the rules are the real ones. Nothing runs by itself: :meth:`World.run` steps every stage of
every process in turn and moves the clock, so that a test goes the same way each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from random import Random
from typing import Any, NoReturn

from bridge.argo.memory import MemoryWorkflowApi
from bridge.argo.workflow import Workflow
from bridge.core.decision import Decision, RunDecision
from bridge.core.event import MINUTE, SECOND, Micros, moment
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.kafka.child_trial import survives
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import LogError, Partition, Record, TopicSpec
from bridge.kafka.loop import StageLoop, Trace
from bridge.kafka.memory.log import CrashedError, MemoryBroker, MemoryLog
from bridge.kafka.observer import Observer, Unobserved
from bridge.kafka.records import DEAD_LETTER
from bridge.kafka.suspects import IsolationLock
from bridge.settings.groups import ControllerSettings, RouterSettings, SubmitterSettings, WindowSettings
from bridge.stages.process import ProcessDependencies, group_of, open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.schema_lookups import SchemaLookups
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import write_headers
from unit.stages.effects import Hook, HookedApi, HookedLog, KilledError

STAGES = ("controller", "router", "matcher", "submitter")
BEGIN: Micros = 1_700_000_000 * SECOND


class InlineExecutor(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class GivenSource(TriggerSource):
    """The source of a process: what the world has for it, which may change, or else the triggers that it was given."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._made: Callable[[str], TriggerSource] | None = None
        self._source: TriggerSource | None = None

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return the triggers."""
        source = self._current()
        return (
            source.read(in_force)
            if source
            else Sources([LoadedTrigger(trigger, Origin("tests", 1)) for trigger in self._process.given], ())
        )

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Tell it."""
        if source := self._current():
            source.tell(errors)

    def rest(self) -> None:
        """Let it rest."""
        if source := self._current():
            source.rest()

    def _current(self) -> TriggerSource | None:
        make = self._process.world.source
        if make is not self._made:
            self._made, self._source = make, make(self._process.name) if make else None
        return self._source


class Process:
    """One bridge process: a loop a stage, opened anew after trouble as a real one is.

    Attributes:
        name: Its name.
        triggers: What its trigger files hold; None for the world's.
        hook: Called before and after each effect of the process; see :mod:`unit.stages.effects`.
        troubles: The errors for which one of its stages started over.

    """

    def __init__(self, world: World, name: str, stages: Sequence[str], triggers: list[Trigger] | None = None) -> None:
        self._world = world
        self.name = name
        self.triggers = triggers
        self.hook: Hook = lambda _: None
        self.memory = MemoryLog(world.broker)
        self.log = HookedLog(self.memory, self.reach)
        self._around = world.dependencies(self)
        self.loops: dict[str, StageLoop | None] = dict.fromkeys(stages)
        self.troubles: list[LogError] = []
        self.is_dead = False
        self.is_busy = False

    @property
    def dependencies(self) -> ProcessDependencies:
        """Return what its stages meet."""
        return self._around

    @property
    def world(self) -> World:
        """Return where it runs."""
        return self._world

    @property
    def given(self) -> list[Trigger]:
        """Return the triggers that it was given."""
        return self._world.triggers if self.triggers is None else self.triggers

    def step(self, stage: str) -> None:
        """Do one batch of a stage, or open it."""
        if self.is_dead or self.is_busy:
            return
        self.is_busy = True
        try:
            self._step(stage)
        except (KilledError, CrashedError):
            assert self.is_dead, "only a process that was killed ends so"
        finally:
            self.is_busy = False

    def _step(self, stage: str) -> None:
        loop = self.loops[stage]
        try:
            if loop is None:
                loop = open_loop(stage, self._around)
                self.loops[stage] = loop
                loop.open()
            loop.step()
        except LogError as error:
            self.troubles.append(error)
            self._close(stage)

    def stop(self) -> None:
        """End as on SIGTERM."""
        self.is_busy = True
        try:
            for stage in self.loops:
                self._close(stage)
        except (KilledError, CrashedError):
            assert self.is_dead, "only a process that was killed ends so"
        self.is_dead = True

    def crash(self) -> None:
        """End as on SIGKILL."""
        self.memory.crash()
        self.is_dead = True

    def reach(self, effect: str) -> None:
        """Come to an effect."""
        self.hook(effect)

    def at(self, effect: str, do: Callable[[], object], nth: int = 1) -> None:
        """Do something once, at the ``nth`` time that this process comes to an effect."""
        left = nth

        def hook(reached: str) -> None:
            nonlocal left
            left -= reached == effect
            if left == 0 and reached == effect:
                self.hook = lambda _: None
                do()

        self.hook = hook

    def kill_here(self) -> NoReturn:
        """End as on SIGKILL in the middle of an effect; for hooks."""
        self.crash()
        raise KilledError

    def stand_still(self, seconds: float, step: float = 0.5) -> None:
        """Stand still as under SIGSTOP, here and now, while the others go on."""
        self.memory.stall()
        self._world.run(seconds, step)

    def stage(self, name: str) -> Any:
        """Return a running stage, to look inside."""
        loop = self.loops[name]
        assert loop is not None, f"{self.name} does not run {name}: {self.troubles}"
        return loop._stage

    def _close(self, stage: str) -> None:
        loop, self.loops[stage] = self.loops[stage], None
        if loop is not None:
            loop.close()


class World:
    """Kafka, the cluster, the clock and the processes.

    Attributes:
        now: The time of all clocks.
        clock_error: How far the wall clocks of processes are ahead of it; the brokers' clocks are right.
        triggers: What the sources hold.
        decisions: What became of everything, in order.
        source: Makes the source of a process, by its name, that stands instead of ``triggers``.
        decoder: Makes the decoders of processes.
        schema_state: The state of their files of schemas.
        trace: Exports their spans, if events are traced.
        lookups: Where they look for schemas of a registry, if there is one.
        lost_offsets: The setting of that name.
        sensitive: The setting of that name.
        observer: Hears how processes are.
        topic_bound: The setting of that name.
        survives: How processes find out whether a record kills.
        window_bytes: The setting of that name.
        window_disk_bytes: The setting of that name; all windows are in memory without it.
        created: Each Workflow that was ever created.
        shared: The topics that names share, for publishers and for processes that start from now on.

    """

    def __init__(
        self,
        *triggers: Trigger,
        partitions: int = 2,
        shared: Mapping[str, str] | None = None,
        announces_runs: bool = False,
    ) -> None:
        self.now = BEGIN
        self.clock_error: Micros = 0
        self.broker = MemoryBroker(clock=lambda: self.now // 1000)
        self.topics = InternalTopics("fb.", partitions, announces_runs=announces_runs)
        self.created: list[Workflow] = []
        self.api = MemoryWorkflowApi(clock=lambda: self.now / SECOND, on_created=self.created.append)
        self.source: Callable[[str], TriggerSource] | None = None
        self.decoder: Callable[[], Decoder] = Decoder
        self.schema_state: Callable[[], object] = lambda: None
        self.lookups: SchemaLookups | None = None
        self.trace: Trace | None = None
        self.lost_offsets = RouterSettings.lost_offsets
        self.sensitive: tuple[str, ...] = ()
        self.observer: Observer = Unobserved()
        self.window_bytes = WindowSettings.window_bytes
        self.window_disk_bytes = 0
        self.new_topic: Callable[[str], TopicSpec] | None = lambda name: TopicSpec(name, 2)
        self.topic_bound = ControllerSettings.topic_bound
        self.survives: Callable[[Callable[[], object]], bool] = survives
        self.triggers = list(triggers)
        self.shared = SharedTopics(shared)
        self.decisions: list[Decision | RunDecision] = []
        self.processes: list[Process] = []
        self.encoder = Encoder()
        self.submitter = SubmitterSettings(outcome_pace=0)
        self._ids = 0
        self._create_internal_topics()
        for trigger in triggers:
            for event in trigger.events:
                self.topic(self.shared.topic_for(event))
            self.api.add_template("default", trigger.run.template, defaults=("order", "amount"))

    def _create_internal_topics(self) -> None:
        for spec in self.topics.specs():
            self.broker.create(spec)

    def dependencies(self, process: Process) -> ProcessDependencies:
        """Return what the stages of a process meet."""
        return ProcessDependencies(
            log=process.log,
            api=HookedApi(self.api, process.reach),
            topics=self.topics,
            decoder=self.decoder,
            lookups=self.lookups,
            trace=self.trace,
            schema_state=self.schema_state,
            source=GivenSource(process),
            sink=lambda _, decisions: self.decisions.extend(decisions),
            shared_topics=self.shared,
            member=process.name,
            clock=lambda: self.now + self.clock_error,
            pace=lambda: self.now,
            new_topic=self.new_topic,
            isolation=IsolationLock(self.survives),
            controller=ControllerSettings(sensitive=self.sensitive, topic_bound=self.topic_bound),
            router=RouterSettings(self.lost_offsets),
            observer=self.observer,
            windows=WindowSettings(window_bytes=self.window_bytes, window_disk_bytes=self.window_disk_bytes),
            submitter=self.submitter,
            executor=lambda _: InlineExecutor(),
            random=Random(1),
        )

    # -- acting --------------------------------------------------------------------------------------------------------

    def topic(self, name: str, partitions: int = 2, config: Mapping[str, str] | None = None) -> None:
        """Create an event topic, with Kafka's defaults except for ``config``."""
        self.broker.create(TopicSpec(name, partitions, config=config or {}))

    def start(self, name: str = "p1", stages: Sequence[str] = STAGES, triggers: list[Trigger] | None = None) -> Process:
        """Start a process."""
        process = Process(self, name, stages, triggers)
        self.processes.append(process)
        return process

    def publish(
        self,
        name: str,
        payload: Mapping[str, Any],
        *,
        id: str = "",  # noqa: A002 - an event's word for it
        ago: Micros = 0,
        partition: int = 0,
        timestamp: int | None = None,
        traceparent: str = "",
    ) -> str:
        """Publish one event; ``ago`` is how long before now it happened. Returns its id.

        Its record has a ``timestamp`` (ms), or that of the broker, and a header ``traceparent`` if that is not empty.
        """
        self._ids += 1
        event_id = id or f"e{self._ids}"
        written = write_headers(name, event_id, "tests", moment(self.now - ago))
        headers = [(name, value.encode() if isinstance(value, str) else value or b"") for name, value in written]
        headers += [("traceparent", traceparent.encode())] if traceparent else []
        topic = self.shared.topic_for(name)
        self.broker.append(topic, partition, None, self.encoder.encode(name, payload), headers, timestamp)
        return event_id

    def round(self) -> None:
        """Let every stage of every process do one batch."""
        for process in list(self.processes):
            for stage in process.loops:
                process.step(stage)

    def run(self, seconds: float = 1.0, step: float = 0.25) -> None:
        """Let every process work for some (simulated) seconds."""
        for _ in range(round(seconds / step)):
            self.round()
            self.now += round(step * SECOND)

    # -- looking -------------------------------------------------------------------------------------------------------

    def workflows(self) -> list[dict[str, str]]:
        """Return the parameters of the Workflows that exist, by name of the Workflow."""
        return [parameters_of(workflow) for workflow in self.api.workflows()]

    def reasons(self) -> list[str]:
        """Return the reasons of all decisions so far."""
        return [str(decision.reason) for decision in self.decisions]

    def values(self, topic: str) -> Iterator[bytes]:
        """Yield the committed values of an internal topic."""
        yield from (record.value for record in self.records(topic) if record.value is not None)

    def records(self, topic: str) -> Iterator[Record]:
        """Yield the committed records of an internal topic, partition by partition."""
        for log in self.broker.topics[topic].logs:
            yield from log.fetch(log.start, 1_000_000)[0]

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [DEAD_LETTER.decode(value) for value in self.values(self.topics.dead_letters)]

    def reasons_of(self, event: str) -> list[str]:
        """Return the reasons of all decisions about an event, by its id."""
        return [
            str(decision.reason)
            for decision in self.decisions
            if isinstance(decision, Decision) and decision.event.id == event
        ]

    def committed(self, stage: str, topic: str, number: int = 0) -> int | None:
        """Return the committed offset of a stage's group."""
        found = self.broker.group(group_of(self.topics, stage)).committed.get(Partition(topic, number))
        return found.offset if found else None


def parameters_of(workflow: Workflow) -> dict[str, str]:
    """Return the parameters of a Workflow."""
    given = workflow.manifest["spec"].get("arguments", {}).get("parameters", ())
    return {parameter["name"]: parameter["value"] for parameter in given}


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
    usual: dict[str, Any] = {
        "require": 2,
        "window": WindowPlan("within", 10 * MINUTE),
        "grace": MINUTE,
        "dedupe": 11 * MINUTE,
    }
    run = fields.pop("run", RunPlan("ship", "default", parameters))
    return Trigger("default", "ship", fields.pop("slots", slots), run, **{**usual, **fields})


def let_hear(definitions: Definitions, *, hears: bool) -> None:
    """Let a stage hear of new definitions by itself, or of none until it asks because it meets one that is unknown."""
    follower = vars(definitions._follower)
    follower.pop("read_when_due", None)
    if not hears:
        follower["read_when_due"] = lambda: False
