"""What it costs that most windows are on disk: how fast they come back from the log, and how fast they complete."""

from __future__ import annotations

from collections import defaultdict

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, ratios
from bench.filling import fill_events
from bench.material import EVENT, PAIRS, PARTITIONS, PARTNER, place
from bench.scale import Scale

_MEMORY = {"in memory": 10**6, "on disk": 140}
"""Bytes of memory for each window; it takes about 1,400."""


def spills(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure matchers that take over windows, each with one arrival, and complete all of them."""
    pairs, values = scale.windows, defaultdict[str, list[float]](list)
    fill_events(bed.bootstrap, bed.schemas, [EVENT], pairs, PARTITIONS)
    installed = [(what, bed.installation(PAIRS)[0].prefix) for _ in range(scale.kind_rounds) for what in _MEMORY]
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
