"""A real stage on the real loop and real Kafka, as ``flowbridge run`` puts it together, until it has done its work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.clients.progress import Progress
from bridge.argo.memory import MemoryWorkflowApi
from bridge.console.metrics import Metrics
from bridge.core.slot_filters import Decisions
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.settings.groups import WindowSettings
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.garbage import BatchGarbageCollector
from bridge.triggers.sources.folder import FileSource
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.schemas import EventSchemas

if TYPE_CHECKING:
    from bridge.argo.api import WorkflowApi
    from bridge.core.decision import Decision, RunDecision
    from bridge.kafka.loop import Sink

_SECONDS = 550.0


def dependencies(
    bootstrap: str,
    topics: InternalTopics,
    *,
    triggers: str = "",
    schemas: str = "",
    sink: Sink | None = None,
    api: WorkflowApi | None = None,
) -> ProcessDependencies:
    """Return the surroundings of a stage of the bench."""
    files = FileSource([triggers], "default")
    return ProcessDependencies(
        log=ConfluentLog({"bootstrap.servers": bootstrap}),
        api=api or MemoryWorkflowApi(),
        topics=topics,
        decoder=lambda: Decoder(EventSchemas.load(schemas)),
        source=files,
        sink=sink or Metrics().decided,
        member="bench",
        windows=WindowSettings(window_bytes=2**40),  # a bench fills one partition as an installation fills all
    )


def run_stage(
    *,
    stage: str,
    bootstrap: str,
    prefix: str,
    partitions: int,
    schemas: str,
    reasons: Mapping[str, int],
) -> dict[str, float]:
    """Run a stage until it has made the decisions that its topics hold.

    Returns:
        ``rate``: decisions a second. ``per_core``: the same by processor time.

    """
    progress = Progress()
    metrics = Metrics()
    made: Counter[str] = Counter()

    def count(name: str, decisions: Sequence[Decision | RunDecision]) -> None:
        metrics.decided(name, decisions)
        progress.add(len(decisions))
        if isinstance(decisions, Decisions):  # those that nobody looks at are not made here either
            made.update({reason.value: number for reason, number in decisions.reasons().items()})

    topics = InternalTopics(prefix, partitions)
    loop = open_loop(stage, dependencies(bootstrap, topics, schemas=schemas, sink=count))
    collector = collecting()
    loop.open()
    deadline = time.monotonic() + _SECONDS
    while progress.done < sum(reasons.values()):
        loop.step()
        collector.between_batches()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{stage} made {made}, not {reasons}")
    loop.close()
    if made != reasons:
        raise ValueError(f"{stage} made {made}, not {reasons}")
    return {"rate": progress.rate(), "per_core": progress.per_core()}


def collecting() -> BatchGarbageCollector:
    """Return the garbage collector on the stages' terms, as ``flowbridge run`` has it."""
    collector = BatchGarbageCollector()
    collector.take_over()
    return collector


def fill_arrivals(*, bootstrap: str, prefix: str, partitions: int, schemas: str, count: int) -> dict[str, float]:
    """Run a router until its group has committed ``count`` events, which all become arrivals: no decisions yet."""
    topics = InternalTopics(prefix, partitions)
    around = dependencies(bootstrap, topics, schemas=schemas)
    loop = open_loop("router", around)
    collector = collecting()
    loop.open()
    deadline = time.monotonic() + _SECONDS
    progress = Progress()
    while progress.done < count:
        loop.step()
        collector.between_batches()
        committed = sum(note.offset for note in loop._committed.values())
        progress.add(committed - progress.done)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the router has passed {progress.done} events of {count}")
    loop.close()
    return {"rate": progress.rate(), "per_core": progress.per_core()}
