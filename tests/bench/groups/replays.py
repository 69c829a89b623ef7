"""Plans of replays (dry runs) next to what consuming alone costs, and next to the live stages on the same events.

The plans find nothing recorded, as those of a trigger that was added afterwards. Only the last one finds that the live
stages have made the run of each pair. A live stage and a plan are compared by the processor time of an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, Target, at_least, ratios
from bench.filling import fill_events
from bench.groups.throughput import Pairs, ceiling, route
from bench.material import ALL_OF_PAST, EVENT, FEW_OF_PAST, PAIRS, PARTITIONS, PARTNER, PAST, few_of, place
from bench.rounds import Side, Speed, Speeds, Trial, one_after_the_other, speed
from bench.scale import Scale

_SPREAD = timedelta(days=5)
"""The time over which the events are spread. A window, and what is remembered, is of an hour of it."""

_MEGABYTE = 1_000_000
_WORKERS = 2
_SPINNING = 3.0  # seconds
_MOMENTS = ("after a tenth", "half way", "near the end")
"""When the memory of a plan's process is read."""


def replays(bed: Bed, scale: Scale) -> Trial:
    """Measure plans over the same number of events of one slot, and of pairs."""
    pairs = Pairs(bed, scale.replayed // 2)
    count = pairs.count
    few = few_of(count)
    fill_events(bed.bootstrap, bed.schemas, [PAST], count, PARTITIONS, _SPREAD)
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], count // 2, PARTITIONS, _SPREAD)
    specs = _Specs(bed)

    def plan(trigger: str, outcomes: Mapping[str, int], prefix: str, checkout: Path | None, **part: Any) -> Speed:
        where = place(bed.bootstrap, prefix, bed.schemas)
        return speed(measured("plan", checkout, **where, spec=specs.of(trigger), outcomes=outcomes, **part))

    def plan_new(trigger: str, outcomes: Mapping[str, int], checkout: Path | None) -> Speed:
        return plan(trigger, outcomes, specs.prefix, checkout)

    def plan_run_before(checkout: Path | None) -> Speed:
        return plan(PAIRS, {"waiting": count // 2}, pairs.prefix, checkout)

    def divide(workers: int, checkout: Path | None) -> Speed:
        """Plan with processes on all cores, each of which reads its share of the partitions."""
        with ThreadPoolExecutor(workers) as pool:
            parts = [
                pool.submit(
                    partial(plan, part=(number, workers), is_pinned=False),
                    *(ALL_OF_PAST, {"missing": count}, specs.prefix, checkout),
                )
                for number in range(workers)
            ]
            made = [part.result() for part in parts]
        lasted = max([part.client["ended"] for part in made]) - min([part.client["began"] for part in made])
        cpu = sum(part.cpu for part in made) / workers
        return Speed(count / lasted, cpu, {})

    def spin(workers: int, _checkout: Path | None) -> Speed:
        """Compute with processes on all cores, without Kafka."""
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda _: speed(measured("spin", seconds=_SPINNING)), range(workers)))
        return Speed(sum(part.rate for part in parts), sum(part.cpu for part in parts) / workers, {})

    def live_pairs(checkout: Path | None) -> Speed:
        """Run a router and a matcher on the same core, one after the other."""
        return one_after_the_other(pairs.route(checkout), pairs.match(checkout))

    share, called = at_least(20, "20 %"), "the ceiling"
    sides = {
        "ceiling": ceiling(bed, count, PAST),
        "few, live": Side(
            "live router, one slot that 1 % pass",
            partial(route, bed, FEW_OF_PAST, {"filtered": count - few, "matched": few}),
        ),
        "few": Side(
            "plan, the same (events)", partial(plan_new, FEW_OF_PAST, {"missing": few}), (called, "ceiling"), share
        ),
        "all, live": Side("live router, one slot that all pass", partial(route, bed, ALL_OF_PAST, {"matched": count})),
        "all": Side(
            "plan, the same (events)", partial(plan_new, ALL_OF_PAST, {"missing": count}), (called, "ceiling"), share
        ),
        "one process": Side("… one process on any core", partial(divide, 1)),
        "processes": Side(
            "… two processes, half of the partitions each",
            partial(divide, _WORKERS),
            ("one process", "one process"),
            at_least(180, "180 %"),
        ),
        "one loop": Side("yardstick: a process that only computes, on any core", partial(spin, 1), is_yardstick=True),
        "loops": Side("… two of them", partial(spin, _WORKERS), ("one process", "one loop"), is_yardstick=True),
        "ceiling of pairs": ceiling(bed, count, EVENT, PARTNER),
        "pairs, live": Side("live router and matcher, one after the other, keyed pairs", live_pairs),
        "pairs": Side(
            "plan, the same (events)",
            partial(plan_new, PAIRS, {"missing": count // 2}),
            (called, "ceiling of pairs"),
        ),
        "pairs that ran": Side(
            "plan, keyed pairs that all ran (events)", plan_run_before, (called, "ceiling of pairs")
        ),
    }
    return Trial(scale.replay_rounds, sides, _against_live)


class _Specs:
    """Triggers as JSON, as they are in force in installations that have recorded nothing.

    Attributes:
        prefix: Of the installation in which plans find nothing.

    """

    def __init__(self, bed: Bed) -> None:
        self._specs = {}
        for trigger in (FEW_OF_PAST, ALL_OF_PAST, PAIRS):
            _, definition = bed.installation(trigger)
            if definition is None:
                raise ValueError("no definition is in force")
            self._specs[trigger] = json.dumps(definition.trigger.to_json())
        empty, _ = bed.installation()
        self.prefix = empty.prefix

    def of(self, trigger: str) -> str:
        """Return the trigger of a text as JSON."""
        return self._specs[trigger]


def _against_live(found: Speeds) -> list[Figure]:
    whole = at_least(100, "100 %")
    return [
        _per_core(found, "few", "few, live", "one slot that 1 % pass"),
        _per_core(found, "all", "all, live", "one slot that all pass"),
        _per_core(found, "pairs", "pairs, live", "keyed pairs", whole),
        _per_core(found, "pairs that ran", "pairs, live", "keyed pairs that all ran", whole),
        *_memory(found["all"], "one slot that all pass"),
        *_memory(found["pairs"], "keyed pairs"),
    ]


def _per_core(found: Speeds, plan: str, live: str, what: str, target: Target | None = None) -> Figure:
    shares = ratios([turn.cpu for turn in found[live]], [turn.cpu for turn in found[plan]])
    return Figure(f"plan of live, by processor time, {what}", "%", shares, target)


def _memory(speeds: Sequence[Speed], what: str) -> list[Figure]:
    samples = zip(*[turn.client["memory"] for turn in speeds], strict=True)
    return [
        Figure(f"memory of a plan's process, {what}, {moment}", "MB", [size / _MEGABYTE for size in sizes])
        for moment, sizes in zip(_MOMENTS, samples, strict=True)
    ]
