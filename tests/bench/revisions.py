"""This revision against another one: on the same servers and topics, in turns, so that noise meets both.

A rate says how many records a second passed; on a busy machine it swings. The processor time of a record swings less,
and says the same where a stage has a core for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, ratios
from bench.filling import fill_events, fill_ledger, fill_runs, fill_windows
from bench.material import EVENT, PAIRS, PARTITIONS, PARTNER, place
from bench.scale import Scale
from bench.throughput import ROUTERS

_NOT_SLOWER = at_least(95, "95 %")

Turn = Callable[[Path | None], Mapping[str, Any]]
"""Measures one revision: this one, or the one in the folder."""


def routers(bed: Bed, scale: Scale, other: Path) -> list[Figure]:
    """Compare routers on one topic of single events."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT], scale.events, PARTITIONS)
    turns: dict[str, Turn] = {}
    for what, (trigger, reason) in ROUTERS.items():

        def turn(checkout: Path | None, trigger: str = trigger, reason: str = reason) -> Mapping[str, Any]:
            return _decided(bed, checkout, "router", bed.installation(trigger)[0].prefix, {reason: scale.events})

        turns[what] = turn
    return _compared(turns, scale.rounds, other)


def matchers(bed: Bed, scale: Scale, other: Path) -> list[Figure]:
    """Compare matchers on keyed pairs that complete, and the routers that make their arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.pairs, PARTITIONS)
    prefixes: list[str] = []

    def route(checkout: Path | None) -> Mapping[str, Any]:
        prefixes.append(bed.installation(PAIRS)[0].prefix)
        where = place(bed.bootstrap, prefixes[-1], bed.schemas)
        return measured("arrivals", checkout, **where, count=2 * scale.pairs)

    def match(checkout: Path | None) -> Mapping[str, Any]:
        made = {"waiting": scale.pairs, "matched": 2 * scale.pairs}
        return _decided(bed, checkout, "matcher", prefixes.pop(), made)

    return _compared(
        {"router, keyed pairs to arrivals": route, "matcher, keyed pairs that complete": match}, scale.rounds, other
    )


def submitters(bed: Bed, scale: Scale, other: Path) -> list[Figure]:
    """Compare submitters that create Workflows in a real API server."""

    def turn(checkout: Path | None) -> Mapping[str, Any]:
        topics, _ = bed.installation()
        fill_runs(bed.bootstrap, topics, bed.namespace(), scale.creates)
        where = {"bootstrap": bed.bootstrap, "prefix": topics.prefix, "partitions": PARTITIONS}
        kubeconfig = str(bed.kubernetes.kubeconfig)
        return measured("submitter", checkout, **where, kubeconfig=kubeconfig, count=scale.creates)

    return _compared({"submitter": turn}, scale.rounds, other)


def restoring(bed: Bed, scale: Scale, other: Path) -> list[Figure]:
    """Compare how fast windows and ledgers come back from the log; both revisions read what this one has written."""
    topics, definition = bed.installation(PAIRS)
    if definition is None:
        raise ValueError("no definition")
    fill_windows(bed.bootstrap, topics, definition.condition_hash, definition.hash, scale.windows)
    ledger, _ = bed.installation()
    fill_ledger(bed.bootstrap, ledger, scale.entries)

    def restored(stage: str, prefix: str, count: int) -> Turn:
        def turn(checkout: Path | None) -> Mapping[str, Any]:
            where = {"bootstrap": bed.bootstrap, "prefix": prefix, "partitions": PARTITIONS, "triggers": ""}
            done = measured("restore", checkout, stage=stage, **where)
            if done["count"] != count:
                raise ValueError(f"{done['count']} came back, not {count}")
            return {"rate": count / done["seconds"]}

        return turn

    return _compared(
        {
            "windows restored": restored("matcher", topics.prefix, scale.windows),
            "ledger entries restored": restored("submitter", ledger.prefix, scale.entries),
        },
        scale.rounds,
        other,
    )


def comparisons(other: Path) -> dict[str, Callable[[Bed, Scale], list[Figure]]]:
    """Return the comparisons with the checkout in ``other``, by name."""
    return {
        "routers": lambda bed, scale: routers(bed, scale, other),
        "matchers": lambda bed, scale: matchers(bed, scale, other),
        "submitters": lambda bed, scale: submitters(bed, scale, other),
        "restoring": lambda bed, scale: restoring(bed, scale, other),
    }


def _decided(bed: Bed, checkout: Path | None, stage: str, prefix: str, reasons: Mapping[str, int]) -> Mapping[str, Any]:
    where = place(bed.bootstrap, prefix, bed.schemas)
    return measured("stage", checkout, stage=stage, **where, reasons=reasons)


def _compared(turns: Mapping[str, Turn], rounds: int, other: Path) -> list[Figure]:
    """Measure both revisions in each round, and let the first of them be another one in each round."""
    before: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    after: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for number in range(rounds):
        for revision, found in ((other, before), (None, after))[:: 1 if number % 2 else -1]:
            for what, turn in turns.items():
                found[what].append(turn(revision))
    return [row for what in turns for row in _rows(what, before[what], after[what])]


def _rows(what: str, before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> list[Figure]:
    rates = [[float(turn["rate"]) for turn in turns] for turns in (before, after)]
    rows = [
        Figure(f"{what}: before", "/s", rates[0]),
        Figure(f"{what}: now", "/s", rates[1]),
        Figure("… of before, by rate", "%", ratios(rates[1], rates[0]), _NOT_SLOWER),
    ]
    if all("cpu" in turn for turn in (*before, *after)):
        used = [[float(turn["cpu"]) for turn in turns] for turns in (before, after)]
        rows.append(Figure("… of before, by processor time", "%", ratios(used[0], used[1]), _NOT_SLOWER))
    return rows
