"""Runs that a person holds: the memory that they take, the pace of the others meanwhile, and their order afterwards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, cast

from bench.clients.progress import Progress
from bench.clients.restoring import resident
from bench.clients.stages import collecting, dependencies
from bench.filling import bench_run, fill_runs
from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.decision import RunDecision, RunReason
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import transact
from bridge.kafka.records import ORDER
from bridge.stages.process import open_loop

if TYPE_CHECKING:
    from bridge.core.decision import Decision
    from bridge.stages.submitter.submitter import Submitter

_HELD, _FREE = "held", "free"
"""The namespaces of runs that are held, and of the others."""

_SECONDS = 400.0
_APART = 64  # places by which runs may swap: as many are on their way at a time


def hold_runs(*, bootstrap: str, prefix: str, partitions: int, held: int, others: int) -> dict[str, float]:
    """Run a submitter that holds runs of one namespace, while it creates those of another one; then release them.

    The runs lie in the same partitions, and the cluster is one in memory.

    Returns:
        ``bytes`` by which the process has grown for each held run after the first fifth, ``rate`` of the other runs a
        second, and ``released``: held runs a second once they are released.

    Raises:
        ValueError: Runs started that are held, or not in their order.

    """
    created: defaultdict[str, list[str]] = defaultdict(list)
    progress = defaultdict[str, Progress](Progress)

    def take(_: str, decisions: Sequence[Decision | RunDecision]) -> None:
        batch: defaultdict[str, list[str]] = defaultdict(list)
        for decision in decisions:
            if isinstance(decision, RunDecision) and decision.reason is RunReason.CREATED:
                batch[decision.trigger.partition("/")[0]].append(decision.run_key)
        for namespace, run_keys in batch.items():
            created[namespace] += run_keys
            progress[namespace].add(len(run_keys))

    topics = InternalTopics(prefix, partitions)
    around = dependencies(bootstrap, topics, sink=take, api=MemoryWorkflowApi(namespaces=(_HELD, _FREE)))
    loop, collector = open_loop("submitter", around), collecting()
    lanes = cast("Submitter", loop._stage).book.lanes
    deadline = time.monotonic() + _SECONDS

    def run_until(is_over: Callable[[], bool]) -> None:
        while not is_over():
            loop.step()
            collector.between_batches()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{dict(progress)} created, {lanes.waiting()} runs wait")

    def say(allowed: int | None) -> None:
        value = ORDER.encode({"allowed": allowed, "who": "bench@bench", "why": "a bench"})
        with closing(around.log.producer(f"{prefix}hold")) as producer:
            producer.init()
            transact(producer, [(topics.holds, 0, _HELD.encode(), value, None)])

    say(0)
    loop.open()
    run_until(lambda: len(loop.owned) == partitions and loop.restored)
    first = held // 5  # fills the caches and buffers, which have their bounds
    fill_runs(bootstrap, topics, _HELD, first)
    run_until(lambda: lanes.waiting() == first)
    before = resident()
    fill_runs(bootstrap, topics, _HELD, held - first, start=first)
    run_until(lambda: lanes.waiting() == held)
    grown = (resident() - before) / max(1, held - first)
    fill_runs(bootstrap, topics, _FREE, others, start=held)
    run_until(lambda: len(created[_FREE]) == others)
    if created[_HELD]:
        raise ValueError(f"{len(created[_HELD])} runs started that are held")
    say(None)
    run_until(lambda: len(created[_HELD]) == held)
    loop.close()
    numbers = {bench_run(_HELD, number).run_key: number for number in range(held)}
    places: defaultdict[int, int] = defaultdict(int)
    for number in map(numbers.__getitem__, created[_HELD]):
        partition = number % partitions
        if abs(number // partitions - places[partition]) > _APART:
            raise ValueError(f"run {number} started as number {places[partition]} of its partition")
        places[partition] += 1
    return {"bytes": grown, "rate": progress[_FREE].rate(), "released": progress[_HELD].rate() if held else 0.0}
