"""Build the stages of one process. Each has its own consumer and producer, so no stage waits for another.

All share one admin client, which serves several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from random import Random

from bridge.argo.api import WorkflowApi
from bridge.core.event import SECOND, Micros
from bridge.kafka.follower import FollowedEnds
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, Partition, TopicSpec
from bridge.kafka.loop import Sink, StageLoop, Trace
from bridge.kafka.observer import Observer, Unobserved
from bridge.kafka.ownership import Member
from bridge.kafka.stage import Stage
from bridge.kafka.suspects import IsolationLock
from bridge.settings.groups import ControllerSettings, RouterSettings, SubmitterSettings, WindowSettings
from bridge.stages.controller.controller import Controller
from bridge.stages.controller.open_letters import OpenLetters
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.matcher.safe_time import SafeTime
from bridge.stages.matcher.ticks import TickPlanner
from bridge.stages.matcher.window_restore import LastRecords, read_last_records
from bridge.stages.router.reached_time import EndOffsetLog
from bridge.stages.router.router import Router
from bridge.stages.router.waiting_letters import WaitingLetters
from bridge.stages.shared.decision_sample import DecisionSample
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.schema_lookups import SchemaLookups
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.stages.submitter.attempts import APPLIED_WITHIN, Attempts
from bridge.stages.submitter.bulkheads import Bulkheads, workers_for
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.ledger.ledger_restore import read_ledgers
from bridge.stages.submitter.limits_in_force import LimitsInForce
from bridge.stages.submitter.orders import Orders
from bridge.stages.submitter.submitter import Submitter
from bridge.stages.submitter.templates import Templates
from bridge.triggers.sources.source import TriggerSource
from bridge.triggers.topic_mapping import with_shared_topics
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.codec import Decoder

SESSION: Micros = 6 * SECOND
"""How long a member may be silent before its partitions move."""


@dataclass(frozen=True)
class ProcessDependencies:
    """The surroundings of the stages of a process, and their settings.

    Attributes:
        log: The Kafka cluster.
        api: The Workflow API.
        topics: The internal topics.
        decoder: Reads the schemas, and makes a decoder of events from them.
        lookups: Looks up the schemas of a registry, if there is one. All stages share it.
        schema_state: Returns the state of the files of schemas, which differs once one of them has changed.
        source: The source of triggers.
        sink: Takes decisions.
        shared_topics: Topics that names share, by the settings of this process. Only the controller's count.
        member: Name of the process for its transactional ids.
        instance: Static member name, or None.
        observer: Hears of the progress of the work.
        clock: The process's clock, which a person or NTP may set.
        pace: A steady clock, for all waiting and all periodic work.
        new_topic: Makes the spec of an event topic to create. None if topics are not created.
        controller: The controller's settings.
        router: The routers' settings.
        windows: The matchers' settings.
        submitter: The submitters' settings.
        applied_within: How long after it was sent a create may be applied.
        executor: Makes an executor of the submitter, with a number of workers.
        random: The source of jitter.
        looks: The ends of topics that the routers of the process know.
        followed: Asks for the ends of the topics that all stages of the process read on.
        isolation: The lock that the stages of the process share when they read carefully after a kill.
        trace: Exports the spans of traced events, without waiting; None if events are not traced.
        ahead: The marks of runs that its submitter may send ahead, by partition: the submitter's word to the others.

    """

    log: Log
    api: WorkflowApi
    topics: InternalTopics
    decoder: Callable[[], Decoder]
    source: TriggerSource
    sink: Sink
    member: str
    instance: str | None = None
    shared_topics: SharedTopics = field(default_factory=SharedTopics)
    observer: Observer = field(default_factory=Unobserved)
    clock: Callable[[], Micros] = wall_clock
    pace: Callable[[], Micros] = steady_clock
    new_topic: Callable[[str], TopicSpec] | None = None
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    submitter: SubmitterSettings = field(default_factory=SubmitterSettings)
    applied_within: Micros = APPLIED_WITHIN
    executor: Callable[[int], Executor] = ThreadPoolExecutor
    random: Random = field(default_factory=Random)
    looks: EndOffsetLog = field(default_factory=EndOffsetLog)
    followed: FollowedEnds = field(default_factory=FollowedEnds)
    isolation: IsolationLock = field(default_factory=IsolationLock)
    trace: Trace | None = None
    ahead: dict[int, bytes] = field(default_factory=dict)
    lookups: SchemaLookups | None = None
    schema_state: Callable[[], object] = lambda: None


def group_of(topics: InternalTopics, stage: str) -> str:
    """Return the consumer group of a stage."""
    return topics.prefix + stage


def open_loop(name: str, around: ProcessDependencies) -> StageLoop:
    """Return a new loop of the stage ``name``."""
    return _OPEN[name](around)


def _loop(stage: Stage, around: ProcessDependencies, *closing: Callable[[], object]) -> StageLoop:
    loop = StageLoop(
        around.log,
        stage,
        Member(
            group_of(around.topics, stage.name), f"{around.topics.prefix}{stage.name}-{around.member}", around.instance
        ),
        clock=around.clock,
        pace=around.pace,
        sink=around.sink,
        observer=around.observer,
        sample=DecisionSample(around.topics, around.clock).send,
        closing=closing,
        isolation=around.isolation,
    )
    loop.trace, loop.ahead = around.trace, around.ahead
    return loop


def _definitions(around: ProcessDependencies) -> Definitions:
    return Definitions(around.log, around.topics.triggers, around.pace, around.followed)


def _open_controller(around: ProcessDependencies) -> StageLoop:
    definitions, admin = _definitions(around), around.log.admin()
    letters = OpenLetters(around.topics, admin, around.log.ranges, around.pace, around.observer)
    stage = Controller(
        definitions,
        around.topics,
        admin,
        with_shared_topics(around.source, around.shared_topics),
        around.clock,
        around.pace,
        around.controller,
        around.new_topic,
        letters,
    )
    return _loop(stage, around, definitions.close, letters.forget, admin.close, around.source.rest)


def _open_router(around: ProcessDependencies) -> StageLoop:
    definitions, admin = _definitions(around), around.log.admin()
    decoder = EventDecoder(around.decoder, around.pace, around.lookups, around.schema_state)
    letters = WaitingLetters(
        around.topics,
        decoder,
        admin,
        around.log.ranges,
        around.clock,
        around.pace,
        around.observer,
        around.isolation.survives,
    )
    stage = Router(
        definitions,
        around.topics,
        decoder,
        admin,
        around.clock,
        around.pace,
        around.router,
        around.observer,
        around.looks,
        letters,
    )
    return _loop(stage, around, definitions.close, letters.close, admin.close)


def _open_matcher(around: ProcessDependencies) -> StageLoop:
    definitions, admin, reader = _definitions(around), around.log.admin(), around.log.reader()
    safe_time = SafeTime(admin, group_of(around.topics, "router"), around.clock, around.pace, around.windows.clock_skew)

    def restore(partition: Partition, bound: float) -> LastRecords:
        return read_last_records(reader, admin, partition, bound)

    planner = TickPlanner(definitions, safe_time, admin, around.windows.clock_skew)
    stage = Matcher(
        definitions,
        around.topics,
        EventDecoder(around.decoder, around.pace, around.lookups),
        planner,
        restore,
        around.clock,
        around.pace,
        around.observer,
        around.windows,
    )
    return _loop(stage, around, definitions.close, admin.close, reader.close)


def _open_submitter(around: ProcessDependencies) -> StageLoop:
    definitions, admin, reader = _definitions(around), around.log.admin(), around.log.reader()
    orders = Orders(around.log, around.topics, around.pace, around.followed)
    governing = LimitsInForce(definitions, orders)
    loop: StageLoop | None = None

    def restore(partitions: Collection[Partition]) -> dict[int, LedgerPartition]:
        now, horizon = around.clock(), around.submitter.ledger_horizon
        looks_back = partial(governing.looks_back, now=now)
        return read_ledgers(reader, admin, partitions, horizon, now, looks_back, around.observer)

    def is_fresh() -> bool:
        return loop is not None and around.pace() - loop.last_poll < SESSION

    concurrency = around.submitter.concurrency
    executor = around.executor(workers_for(concurrency))
    bulkheads = Bulkheads(executor, concurrency, around.clock, around.random)
    templates = Templates(around.api, around.clock, around.random)
    stage = Submitter(
        around.topics,
        governing,
        Attempts(
            around.api,
            bulkheads,
            around.clock,
            is_fresh,
            around.submitter.workflow_lifetime,
            templates,
            around.applied_within,
        ),
        bulkheads,
        restore,
        around.clock,
        around.pace,
        around.random,
        around.submitter,
        around.observer,
    )
    stage.marks = around.ahead

    def end_workers() -> None:
        bulkheads.close()
        executor.shutdown(wait=False)

    loop = _loop(
        stage, around, end_workers, stage.followed.stop, definitions.close, orders.close, admin.close, reader.close
    )
    return loop


_OPEN = {
    "controller": _open_controller,
    "router": _open_router,
    "matcher": _open_matcher,
    "submitter": _open_submitter,
}
