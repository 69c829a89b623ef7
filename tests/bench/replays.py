"""Plans of replays (dry runs) next to what consuming alone costs, and next to the live stages on the same events.

The plans find nothing recorded, as those of a trigger that was added afterwards. Only the last one finds that the live
stages have made the run of each pair. The kinds of client take turns, and each ratio is one of two clients of the same
round. A live stage and a plan are compared by events in a second of processor time: what a core does for each.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, ratios
from bench.filling import fill_events
from bench.material import ALL_OF_PAST, EVENT, FEW_OF_PAST, PAIRS, PARTITIONS, PARTNER, PAST, few_of, place
from bench.scale import Scale
from bridge.core.definition import Definition

_SPREAD = timedelta(days=5)
"""The time over which the events are spread. A window, and what is remembered, is of an hour of it."""

_MEGABYTE = 1_000_000


class _Turns:
    """Measures the clients, and keeps what they measured by their names."""

    def __init__(self, bed: Bed, count: int) -> None:
        self._bed = bed
        self._count = count
        self._empty, _ = bed.installation()
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.per_core: dict[str, list[float]] = defaultdict(list)
        self.memory: dict[str, list[list[int]]] = defaultdict(list)

    def ceiling(self, name: str, *topics: str) -> None:
        """Consume and decode."""
        schemas = {topic: str(self._bed.schemas / f"{topic}.avsc") for topic in topics}
        where = {"bootstrap": self._bed.bootstrap, "partitions": PARTITIONS}
        self.rates[name].append(measured("consume", **where, schemas=schemas, count=self._count)["rate"])

    def router(self, name: str, trigger: str, reasons: Mapping[str, int]) -> Definition:
        """Run a live router that makes runs; return its definition."""
        topics, definition = self._bed.installation(trigger)
        made = measured("stage", stage="router", **self._where(topics.prefix), reasons=reasons)
        self.per_core[name].append(made["per_core"])
        return _known(definition)

    def router_and_matcher(self, name: str, trigger: str, pairs: int) -> tuple[str, Definition]:
        """Run a live router and matcher on the same core, one after the other; return where they did, and what."""
        topics, definition = self._bed.installation(trigger)
        where = self._where(topics.prefix)
        routed = measured("arrivals", **where, count=self._count)["per_core"]
        # a pair is two arrivals and three decisions: one waits, then both are matched
        reasons = {"waiting": pairs, "matched": 2 * pairs}
        matched = measured("stage", stage="matcher", **where, reasons=reasons)["per_core"] * 2 / 3
        self.per_core[name].append(1 / (1 / routed + 1 / matched))
        return topics.prefix, _known(definition)

    def plan(self, name: str, definition: Definition, outcomes: Mapping[str, int], prefix: str = "") -> None:
        """Plan a replay; where no prefix is given, nothing is recorded."""
        made = self._planned(definition, outcomes, prefix)
        self.rates[name].append(made["rate"])
        self.per_core[name].append(made["per_core"])
        self.memory[name].append(made["memory"])

    def side_by_side(self, name: str, definition: Definition, outcomes: Mapping[str, int], workers: int) -> None:
        """Plan a replay with processes on all cores, each of which reads its share of the partitions."""
        with ThreadPoolExecutor(workers) as pool:
            parts = [
                pool.submit(self._planned, definition, outcomes, part=(number, workers), is_pinned=False)
                for number in range(workers)
            ]
            made = [part.result() for part in parts]
        lasted = max([part["ended"] for part in made]) - min([part["began"] for part in made])
        self.rates[name].append(self._count / lasted)

    def _planned(
        self, definition: Definition, outcomes: Mapping[str, int], prefix: str = "", **further: Any
    ) -> dict[str, Any]:
        spec = json.dumps(definition.trigger.to_json())
        where = self._where(prefix or self._empty.prefix)
        return measured("plan", **where, spec=spec, outcomes=outcomes, **further)

    def _where(self, prefix: str) -> dict[str, object]:
        return place(self._bed.bootstrap, prefix, self._bed.schemas)


def replays(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure plans over the same number of events of one slot, and of pairs."""
    pairs = scale.replayed // 2
    count = 2 * pairs
    few = few_of(count)
    fill_events(bed.bootstrap, bed.schemas, [PAST], count, PARTITIONS, _SPREAD)
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], pairs, PARTITIONS, _SPREAD)
    turns = _Turns(bed, count)
    for _ in range(scale.replay_rounds):
        turns.ceiling("ceiling", PAST)
        definition = turns.router("few, live", FEW_OF_PAST, {"filtered": count - few, "matched": few})
        turns.plan("few", definition, {"missing": few})
        definition = turns.router("all, live", ALL_OF_PAST, {"matched": count})
        turns.plan("all", definition, {"missing": count})
        turns.side_by_side("one process", definition, {"missing": count}, 1)
        turns.side_by_side("two processes", definition, {"missing": count}, 2)
        turns.ceiling("ceiling of pairs", EVENT, PARTNER)
        prefix, definition = turns.router_and_matcher("pairs, live", PAIRS, pairs)
        turns.plan("pairs", definition, {"missing": pairs})
        turns.plan("pairs that ran", definition, {"waiting": pairs}, prefix)
    rates = turns.rates
    return [
        Figure(f"ceiling: consume, typed decode, {count:,} events", "/s", rates["ceiling"]),
        *_planned(turns, "few", "one slot that 1 % pass", ceiling="ceiling"),
        *_planned(turns, "all", "one slot that all pass", ceiling="ceiling"),
        Figure("… one process on any core", "/s", rates["one process"]),
        Figure("… two processes, half of the partitions each", "/s", rates["two processes"]),
        Figure("… of one process", "%", ratios(rates["two processes"], rates["one process"]), at_least(180, "180 %")),
        *_memory(turns, "all"),
        Figure("ceiling: the same of both topics of pairs", "/s", rates["ceiling of pairs"]),
        *_planned(turns, "pairs", "keyed pairs", ceiling="ceiling of pairs"),
        *_memory(turns, "pairs"),
        *_planned(turns, "pairs that ran", "keyed pairs that all ran", ceiling="ceiling of pairs"),
    ]


def _planned(turns: _Turns, name: str, what: str, *, ceiling: str) -> list[Figure]:
    is_paired = name.startswith("pairs")
    live = turns.per_core["pairs, live" if is_paired else f"{name}, live"]
    shares = ratios(turns.rates[name], turns.rates[ceiling])
    figures = [
        Figure(f"plan, {what} (events)", "/s", turns.rates[name]),
        Figure("… of the ceiling", "%", shares, None if is_paired else at_least(20, "20 %")),
        Figure("… per core", "/s", turns.per_core[name]),
    ]
    if name != "pairs that ran":
        stages = "router and matcher together" if is_paired else "router"
        figures.append(Figure(f"live {stages}, the same, per core", "/s", live))
    compared = ratios(turns.per_core[name], live)
    figures.append(Figure("… plan of live, per core", "%", compared, at_least(100, "100 %") if is_paired else None))
    return figures


def _memory(turns: _Turns, name: str) -> list[Figure]:
    moments = ("with the first records", "half way", "at the end")
    samples = zip(*turns.memory[name], strict=True)
    return [
        Figure(f"… memory of the process, {moment}", "MB", [size / _MEGABYTE for size in sizes])
        for moment, sizes in zip(moments, samples, strict=True)
    ]


def _known(definition: Definition | None) -> Definition:
    if definition is None:
        raise ValueError("no definition is in force")
    return definition
