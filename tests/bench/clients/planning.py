"""The plan of a replay, as ``flowbridge replay --dry-run`` makes it, and the memory that its process has meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from bench.clients.progress import Progress
from bench.clients.stages import collecting
from bench.cores import CLIENT, SERVERS, pin_self
from bridge.core.definition import Definition
from bridge.core.event import DAY
from bridge.core.trigger import Trigger
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition
from bridge.replay.frozen import Frozen, ReadRange
from bridge.replay.past import Past
from bridge.replay.plan import Plan
from bridge.replay.planner import Planner, ReplayDependencies
from bridge.replay.planner import Progress as Reading
from bridge.replay.request import Bound, Request
from bridge.settings.groups import WindowSettings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.schemas import EventSchemas

_EARLIEST = Bound(text="earliest")


def replay_dependencies(log: ConfluentLog, topics: InternalTopics, schemas: str) -> ReplayDependencies:
    """Return what reads the past in the bench."""
    return ReplayDependencies(
        log=log,
        topics=topics,
        decoder=lambda: Decoder(EventSchemas.load(schemas)),
        windows=WindowSettings(),
        horizon=7 * DAY,
        clock=lambda: time.time_ns() // 1000,
        pace=steady_clock,
    )


def plan_replay(
    *,
    bootstrap: str,
    prefix: str,
    partitions: int,
    schemas: str,
    spec: str,
    outcomes: Mapping[str, int],
    part: tuple[int, int] = (0, 1),
    is_pinned: bool = True,
) -> dict[str, object]:
    """Plan a replay of all that the topics of a trigger hold.

    Args:
        bootstrap: Where Kafka answers.
        prefix: Of the internal topics.
        partitions: Of the internal topics.
        schemas: The folder of schemas.
        spec: The trigger, as JSON.
        outcomes: How many matches of each outcome the whole plan has.
        part: The share of the partitions that is read: its number, and how many shares there are.
        is_pinned: The process stays on the clients' core, as it began.

    Returns:
        ``rate``: records a second. ``per_core``: the same by processor time. ``began`` and ``ended``: when it read.
        ``memory``: bytes when a tenth of the records were read, half of them, and nearly all.

    """
    if not is_pinned:
        pin_self(CLIENT | SERVERS)
    log, topics = ConfluentLog({"bootstrap.servers": bootstrap}), InternalTopics(prefix, partitions)
    definitions = Definitions(log, topics.triggers, steady_clock)
    definitions.refresh()
    around = replay_dependencies(log, topics, schemas)
    collector = collecting()
    progress = Progress()
    sizes: list[tuple[int, int]] = []

    def told(reading: Reading) -> None:
        progress.add(reading.read - progress.done)
        collector.between_batches()
        if reading.read < reading.of:  # with all of its buffers; afterwards they are free
            sizes.append((reading.read, _resident()))

    planner = _PartPlanner(around, definitions, *part)
    given = Definition(Trigger.from_json(json.loads(spec)))
    made = planner.draft("bench", Request(given.identity, _EARLIEST), given=given, told=told)
    found = dict(made.plan.outcomes())
    if part == (0, 1) and found != outcomes:
        raise ValueError(f"the plan has {found} of {made.read} records, not {outcomes}")
    return {
        "rate": progress.rate(),
        "per_core": progress.per_core(),
        "began": planner.began,
        "ended": planner.ended,
        "read": made.read,
        "memory": [_size_at(sizes, made.read * share) for share in (0.1, 0.5, 1)],
    }


class _PartPlanner(Planner):
    """Reads a share of the partitions, and notes when it does."""

    def __init__(self, around: ReplayDependencies, definitions: Definitions, number: int, of: int) -> None:
        super().__init__(around, definitions)
        self._number = number
        self._of = of
        self.began = self.ended = 0.0

    @override
    def read(
        self,
        frozen: Frozen,
        past: Past,
        plan: Plan,
        told: Callable[[Reading], None] | None = None,
        reads: Mapping[Partition, ReadRange] | None = None,
    ) -> int:
        mine = {place: part for place, part in frozen.reads.items() if place.number % self._of == self._number}
        self.began = time.time()
        count = super().read(frozen, past, plan, told, mine)
        self.ended = time.time()
        return count


def _size_at(sizes: Sequence[tuple[int, int]], count: float) -> int:
    """Return the size when about so many records were read."""
    _, size = min(sizes, key=lambda sample: abs(sample[0] - count))
    return size


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
