"""A matcher that takes over windows and completes them: in memory, or most of them on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.clients.progress import Progress
from bench.clients.restoring import resident
from bench.clients.stages import collecting, dependencies
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition
from bridge.settings.groups import WindowSettings
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.process import open_loop

if TYPE_CHECKING:
    from bridge.core.decision import Decision, RunDecision

_SECONDS = 550.0


def complete(
    *, bootstrap: str, prefix: str, partitions: int, schemas: str, matched: int, window_bytes: int
) -> dict[str, float]:
    """Take over all windows, and apply arrivals until so many events are matched.

    Returns:
        ``seconds`` of restoring, ``bytes`` that the process has grown by, ``on_disk``: the share of the windows' bytes
        that was on disk then, and ``rate``: arrivals that completed windows a second.

    """
    progress, restoring = Progress(), 0.0

    def count(name: str, decisions: Sequence[Decision | RunDecision]) -> None:
        del name
        progress.add(len(decisions))

    topics = InternalTopics(prefix, partitions)
    around = dependencies(bootstrap, topics, schemas=schemas, sink=count)
    bounds = WindowSettings(window_bytes=window_bytes, window_disk_bytes=matched * 2_000)
    loop = open_loop("matcher", replace(around, windows=bounds))
    stage, collector = loop._stage, collecting()
    assert isinstance(stage, Matcher)
    take = stage.take

    def timed(offsets: Mapping[Partition, int]) -> None:
        nonlocal restoring
        began = time.perf_counter()
        take(offsets)
        restoring += time.perf_counter() - began

    stage.take = timed  # type: ignore[method-assign]  # the loop calls it, and waits for nothing in it but Kafka
    before = resident()
    loop.open()
    deadline, grown, on_disk = time.monotonic() + _SECONDS, 0, 0.0
    while progress.done < matched:
        loop.step()
        if len(stage.windows) == partitions and not grown:
            grown = resident() - before
            on_disk = sum(store.size_on_disk for store in stage.windows.values()) / max(
                1, sum(store.size for store in stage.windows.values())
            )
        collector.between_batches()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the matcher matched {progress.done} events of {matched}")
    loop.close()
    return {"seconds": restoring, "bytes": grown, "on_disk": on_disk, "rate": progress.rate() / 2}
