"""State that comes back from the log: how fast, and how much memory it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, at_most
from bench.filling import fill_ledger, fill_windows
from bench.material import PAIRS, PARTITIONS
from bench.rounds import Side, Speed, Speeds, Trial
from bench.scale import Scale

_MEGABYTE = 1_000_000


def windows(bed: Bed, scale: Scale) -> Trial:
    """Restore windows in each of which one event with a value of 200 bytes waits."""
    topics, definition = bed.installation(PAIRS)
    if definition is None:
        raise ValueError("no definition")
    fill_windows(bed.bootstrap, topics, definition.condition_hash, definition.hash, scale.windows)
    turn = partial(_restore, bed, "matcher", topics.prefix, scale.windows)
    side = Side("windows restored", turn, target=at_least(30_000, "30,000/s"))

    def memory(found: Speeds) -> list[Figure]:
        sizes = [size / scale.windows for size in _grown(found["windows"])]
        return [Figure("memory of an open window", "bytes", sizes, at_most(1_500, "1.5 KB"))]

    return Trial(scale.window_restores, {"windows": side}, memory)


def entries(bed: Bed, scale: Scale) -> Trial:
    """Restore a ledger of runs that have ended."""
    topics, _ = bed.installation()
    fill_ledger(bed.bootstrap, topics, scale.entries)
    turn = partial(_restore, bed, "submitter", topics.prefix, scale.entries)
    side = Side("ledger entries restored", turn, target=at_least(100_000, "100,000/s"))

    def memory(found: Speeds) -> list[Figure]:
        sizes = [size / _MEGABYTE for size in _grown(found["entries"])]
        return [Figure(f"memory of {scale.entries:,} ledger entries", "MB", sizes, at_most(200, "200 MB"))]

    return Trial(scale.entry_restores, {"entries": side}, memory)


def _grown(speeds: Sequence[Speed]) -> list[float]:
    return [turn.client["bytes"] for turn in speeds]


def _restore(bed: Bed, stage: str, prefix: str, count: int, checkout: Path | None) -> Speed:
    where = {"bootstrap": bed.bootstrap, "prefix": prefix, "partitions": PARTITIONS, "triggers": ""}
    done = measured("restore", checkout, stage=stage, **where)
    if done["count"] != count:
        raise ValueError(f"{done['count']} came back, not {count}")
    cpu = 1e6 * done.get("cpu_seconds", math.nan) / count  # earlier revisions do not tell it
    return Speed(count / done["seconds"], cpu, done)
