"""Speeds: routers and matchers against what consuming alone costs; the submitter against bare creates.

The kinds of client take turns, and each ratio is one of two clients of the same round.
"""

from __future__ import annotations

from collections import defaultdict

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, ratios
from bench.filling import fill_events, fill_runs
from bench.material import DEFAULT_MAPPED, EVENT, MAPPED, PAIRS, PARTITIONS, PARTNER, REJECTING, place
from bench.scale import Scale

ROUTERS = {
    "router, rejecting by a two-term `where`": (REJECTING, "filtered"),
    "router, one slot to runs, mapped parameters": (MAPPED, "matched"),
    "router, one slot to runs, default mapping": (DEFAULT_MAPPED, "matched"),
}


def routers(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure routers on one topic of single events."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT], scale.events, PARTITIONS)
    rates: dict[str, list[float]] = defaultdict(list)
    schema = str(bed.schemas / f"{EVENT}.avsc")
    for _ in range(scale.rounds):
        ceiling = measured(
            "consume", bootstrap=bed.bootstrap, schemas={EVENT: schema}, partitions=PARTITIONS, count=scale.events
        )
        rates["ceiling"].append(ceiling["rate"])
        for what, (trigger, reason) in ROUTERS.items():
            rates[what].append(_stage(bed, "router", trigger, {reason: scale.events}))
    return [
        Figure("ceiling: consume, value, headers, key, typed decode", "/s", rates["ceiling"]),
        *(
            figure
            for what in ROUTERS
            for figure in (
                Figure(what, "/s", rates[what]),
                Figure("… of the ceiling", "%", ratios(rates[what], rates["ceiling"]), at_least(45, "45 %")),
            )
        ),
    ]


def _stage(bed: Bed, stage: str, trigger: str, reasons: dict[str, int]) -> float:
    topics, _ = bed.installation(trigger)
    return _run(bed, stage, topics.prefix, reasons)


def _run(bed: Bed, stage: str, prefix: str, reasons: dict[str, int]) -> float:
    return float(measured("stage", stage=stage, **place(bed.bootstrap, prefix, bed.schemas), reasons=reasons)["rate"])


def matchers(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure matchers on pairs that complete; a real router makes their arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.pairs, PARTITIONS)
    rates: dict[str, list[float]] = defaultdict(list)
    count = 2 * scale.pairs
    for _ in range(scale.rounds):
        topics, _ = bed.installation(PAIRS)
        passed = measured("arrivals", **place(bed.bootstrap, topics.prefix, bed.schemas), count=count)
        rates["router"].append(passed["rate"])
        ceiling = measured(
            "consume-arrivals", bootstrap=bed.bootstrap, topic=topics.arrivals, partitions=PARTITIONS, count=count
        )
        rates["ceiling"].append(ceiling["rate"])
        # a pair is two arrivals and three decisions: one waits, then both are matched
        decided = _run(bed, "matcher", topics.prefix, {"waiting": scale.pairs, "matched": count})
        rates["matcher"].append(decided * 2 / 3)
    return [
        Figure("router, keyed pairs to arrivals (events)", "/s", rates["router"]),
        Figure("ceiling: consume and decode arrivals", "/s", rates["ceiling"]),
        Figure("matcher, keyed pairs that complete (arrivals)", "/s", rates["matcher"]),
        Figure("… of the ceiling", "%", ratios(rates["matcher"], rates["ceiling"]), at_least(40, "40 %")),
    ]


def submitters(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure a submitter against bare creates of the same client at the same concurrency."""
    rates: dict[str, list[float]] = defaultdict(list)
    kubeconfig = str(bed.kubernetes.kubeconfig)
    for _ in range(scale.rounds):
        bare = measured("creates", kubeconfig=kubeconfig, namespace=bed.namespace(), count=scale.creates)
        rates["bare"].append(bare["rate"])
        topics, _ = bed.installation()
        fill_runs(bed.bootstrap, topics, bed.namespace(), scale.creates)
        where = {"bootstrap": bed.bootstrap, "prefix": topics.prefix, "partitions": PARTITIONS}
        submitted = measured("submitter", **where, kubeconfig=kubeconfig, count=scale.creates)
        rates["submitter"].append(submitted["rate"])
    return [
        Figure("bare creates, 8 at a time", "/s", rates["bare"]),
        Figure("submitter, 8 at a time", "/s", rates["submitter"]),
        Figure("… of bare creates", "%", ratios(rates["submitter"], rates["bare"]), at_least(85, "85 %")),
    ]
