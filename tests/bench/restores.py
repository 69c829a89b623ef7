"""State that comes back from the log: how fast, and how much memory it takes."""

from __future__ import annotations

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, at_most
from bench.filling import fill_ledger, fill_windows
from bench.material import PAIRS, PARTITIONS
from bench.scale import Scale

_MEGABYTE = 1_000_000


def windows(bed: Bed, scale: Scale) -> list[Figure]:
    """Restore windows in each of which one event with a value of 200 bytes waits."""
    topics, definition = bed.installation(PAIRS)
    if definition is None:
        raise ValueError("no definition")
    fill_windows(bed.bootstrap, topics, definition.condition_hash, definition.hash, scale.windows)
    done = [_restored(bed, "matcher", topics.prefix, scale.windows) for _ in range(scale.window_restores)]
    sizes = [restore["bytes"] / scale.windows for restore in done]
    speeds = [scale.windows / restore["seconds"] for restore in done]
    return [
        Figure("memory of an open window", "bytes", sizes, at_most(1_500, "1.5 KB")),
        Figure("windows restored", "/s", speeds, at_least(30_000, "30,000/s")),
    ]


def entries(bed: Bed, scale: Scale) -> list[Figure]:
    """Restore a ledger of runs that have ended."""
    topics, _ = bed.installation()
    fill_ledger(bed.bootstrap, topics, scale.entries)
    done = [_restored(bed, "submitter", topics.prefix, scale.entries) for _ in range(scale.entry_restores)]
    sizes = [restore["bytes"] / _MEGABYTE for restore in done]
    speeds = [scale.entries / restore["seconds"] for restore in done]
    return [
        Figure(f"memory of {scale.entries:,} ledger entries", "MB", sizes, at_most(200, "200 MB")),
        Figure("ledger entries restored", "/s", speeds, at_least(100_000, "100,000/s")),
    ]


def _restored(bed: Bed, stage: str, prefix: str, count: int) -> dict[str, float]:
    done = measured("restore", stage=stage, bootstrap=bed.bootstrap, prefix=prefix, partitions=PARTITIONS, triggers="")
    if done["count"] != count:
        raise ValueError(f"{done['count']} came back, not {count}")
    return done
