"""The difference that an edit makes, as ``flowbridge plan`` computes it."""

from __future__ import annotations

import json
import time
from functools import partial

from bench.clients.planning import replay_dependencies
from bench.clients.progress import Progress
from bench.clients.stages import collecting
from bench.cores import CLIENT, SERVERS, pin_self
from bridge.core.definition import Definition
from bridge.core.trigger import Trigger
from bridge.explain.comparison import Comparison, compare_divided
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.replay.planner import Progress as Reading
from bridge.replay.planner import ReplayDependencies
from bridge.replay.request import Bound, Request
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock


def compare(
    *, bootstrap: str, prefix: str, partitions: int, schemas: str, before: str, after: str, workers: int = 1
) -> dict[str, object]:
    """Compare two triggers over all that their topics hold.

    Args:
        bootstrap: Where Kafka answers.
        prefix: Of the internal topics.
        partitions: Of the internal topics.
        schemas: The folder of schemas.
        before: The deployed trigger, as JSON.
        after: The edited one.
        workers: Processes; several of them use all cores.

    Returns:
        ``seconds`` that it took, ``rate`` of records, and the counts of ``runs`` that are the same, new and removed.

    """
    if workers > 1:
        pin_self(CLIENT | SERVERS)
    log, topics = ConfluentLog({"bootstrap.servers": bootstrap}), InternalTopics(prefix, partitions)
    definitions = Definitions(log, topics.triggers, steady_clock)
    definitions.refresh()
    make = partial(_around, bootstrap, prefix, partitions, schemas)
    around = make()
    collector, progress = collecting(), Progress()

    def told(reading: Reading) -> None:
        progress.add(reading.read - progress.done)
        collector.between_batches()

    began = time.monotonic()
    sides = [Definition(Trigger.from_json(json.loads(spec))) for spec in (before, after)]
    freezer = around.freezer(definitions, is_patient=False)
    ranges = [freezer.ranges(Request(side.identity, Bound(text="earliest")), side) for side in sides]
    if workers > 1:
        made = compare_divided(make, sides[0], sides[1], ranges, 3, workers, told)
    else:
        made = Comparison(around, sides[0], sides[1], 3, told).compare(ranges)
    return {"seconds": time.monotonic() - began, "rate": progress.rate(), "read": made.records, "runs": made.runs}


def _around(bootstrap: str, prefix: str, partitions: int, schemas: str) -> ReplayDependencies:
    log = ConfluentLog({"bootstrap.servers": bootstrap})
    return replay_dependencies(log, InternalTopics(prefix, partitions), schemas)
