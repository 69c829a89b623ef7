"""State that comes back from the log: how fast, how much memory it takes, and what it costs if it is on disk."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, at_most, ratios
from bench.filling import fill_events, fill_ledger, fill_windows
from bench.material import EVENT, PAIRS, PARTITIONS, PARTNER, place
from bench.rounds import Side, Speed, Speeds, Trial
from bench.scale import Scale

_MEGABYTE = 1_000_000
_MEMORY = {"in memory": 10**6, "on disk": 140}
"""Bytes of memory for each window; it takes about 1,400."""


def windows(bed: Bed, scale: Scale) -> Trial:
    """Restore windows in each of which one event with a value of 200 bytes waits."""
    topics, definition = bed.installation(PAIRS)
    if definition is None:
        raise ValueError("no definition")
    fill_windows(bed.bootstrap, topics, definition.condition_hash, definition.hash, scale.windows)
    turn = partial(_restore, bed, "matcher", topics.prefix, scale.windows)
    side = Side("windows restored", turn, target=at_least(50_000, "50,000/s"))

    def memory(found: Speeds) -> list[Figure]:
        sizes = [size / scale.windows for size in _grown(found["windows"])]
        return [Figure("memory of an open window", "bytes", sizes, at_most(1_200, "1.2 KB"))]

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


def spills(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure matchers that take over windows, each with one arrival, and complete all of them."""
    pairs, values = scale.spilled, defaultdict[str, list[float]](list)
    fill_events(bed.bootstrap, bed.schemas, [EVENT], pairs, PARTITIONS)
    installed = [(what, bed.installation(PAIRS)[0].prefix) for _ in range(scale.spill_rounds) for what in _MEMORY]
    for _, prefix in installed:
        at = place(bed.bootstrap, prefix, bed.schemas)
        measured("arrivals", **at, count=pairs)
        measured("stage", stage="matcher", **at, reasons={"waiting": pairs})
    fill_events(bed.bootstrap, bed.schemas, [PARTNER], pairs, PARTITIONS)
    for what, prefix in installed:
        at = place(bed.bootstrap, prefix, bed.schemas)
        measured("arrivals", **at, count=2 * pairs)
        done = measured("complete", **at, matched=2 * pairs, window_bytes=pairs * _MEMORY[what])
        values[f"restored, {what}"].append(pairs / done["seconds"])
        values[f"memory, {what}"].append(done["bytes"] / pairs)
        values[f"completed, {what}"].append(done["rate"])
        values[f"share, {what}"].append(100 * done["on_disk"])
    return [
        Figure("windows on disk once restored, of their bytes", "%", values["share, on disk"]),
        *(
            Figure(f"{name}, {what}", unit, values[f"{name.split()[-1]}, {what}"])
            for name, unit in (("windows restored", "/s"), ("memory", "bytes"), ("windows completed", "/s"))
            for what in _MEMORY
        ),
        Figure("restoring on disk, of that in memory", "%", ratios(*_both(values, "restored"))),
        Figure("completing on disk, of that in memory", "%", ratios(*_both(values, "completed"))),
    ]


def _both(values: dict[str, list[float]], name: str) -> tuple[list[float], list[float]]:
    return values[f"{name}, on disk"], values[f"{name}, in memory"]
