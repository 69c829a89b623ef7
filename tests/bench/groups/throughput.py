"""Speeds: routers and matchers against what consuming alone costs; the submitter against bare creates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, at_most, ratios
from bench.filling import fill_events, fill_runs
from bench.material import DEFAULT_MAPPED, EVENT, MAPPED, PAIRS, PARTITIONS, PARTNER, REJECTING, place
from bench.rounds import Side, Speed, Trial, speed
from bench.scale import Scale

ROUTERS = {
    "router, rejecting by a two-term `where`": (REJECTING, "filtered", 38),
    "router, one slot to runs, mapped parameters": (MAPPED, "matched", 17),
    "router, one slot to runs, default mapping": (DEFAULT_MAPPED, "matched", 17),
}
"""The trigger, what it decides about each event, and the percentage of the ceiling that is promised."""


def routers(bed: Bed, scale: Scale) -> Trial:
    """Measure routers on one topic of single events."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT], scale.events, PARTITIONS)
    sides = {"ceiling": ceiling(bed, scale.events, EVENT)}
    for what, (trigger, reason, share) in ROUTERS.items():
        turn = partial(route, bed, trigger, {reason: scale.events})
        sides[what] = Side(what, turn, ("the ceiling", "ceiling"), at_least(share, f"{share} %"))
    return Trial(scale.rounds, sides)


def ceiling(bed: Bed, count: int, *topics: str) -> Side:
    """Return the side that consumes and decodes ``count`` events of topics, and does nothing else."""
    schemas = {topic: str(bed.schemas / f"{topic}.avsc") for topic in topics}
    where = {"bootstrap": bed.bootstrap, "partitions": PARTITIONS}
    return Side(
        f"ceiling: consume, value, headers, key, typed decode{' of both topics' if len(topics) > 1 else ''}",
        lambda _: speed(measured("consume", **where, schemas=schemas, count=count)),
        is_yardstick=True,
    )


def route(bed: Bed, trigger: str, reasons: Mapping[str, int], checkout: Path | None) -> Speed:
    """Run a router of a new installation until it has made the decisions; a decision is an event."""
    topics, _ = bed.installation(trigger)
    where = place(bed.bootstrap, topics.prefix, bed.schemas)
    return speed(measured("stage", checkout, stage="router", **where, reasons=reasons))


class Pairs:
    """A router that makes the arrivals of pairs, and the matcher that completes them.

    Attributes:
        count: Events, and arrivals, of a turn.
        prefix: Of the installation in which the last router ran.

    """

    def __init__(self, bed: Bed, pairs: int) -> None:
        self._bed = bed
        self._pairs = pairs
        self.count = 2 * pairs
        self.prefix = ""

    def route(self, checkout: Path | None) -> Speed:
        """Run a router of a new installation; return the speed of events."""
        self.prefix = self._bed.installation(PAIRS)[0].prefix
        return speed(measured("arrivals", checkout, **self._place(), count=self.count))

    def consume(self, _: Path | None) -> Speed:
        """Consume and decode the arrivals that the router has made, and do nothing else."""
        topic = f"{self.prefix}arrivals"
        where = {"bootstrap": self._bed.bootstrap, "topic": topic, "partitions": PARTITIONS}
        return speed(measured("consume-arrivals", **where, count=self.count))

    def match(self, checkout: Path | None) -> Speed:
        """Run the matcher on them; return the speed of arrivals."""
        # a pair is two arrivals and three decisions: one waits, then both are matched
        reasons = {"waiting": self._pairs, "matched": self.count}
        return speed(measured("stage", checkout, stage="matcher", **self._place(), reasons=reasons), worth=2 / 3)

    def _place(self) -> dict[str, object]:
        return place(self._bed.bootstrap, self.prefix, self._bed.schemas)


def matchers(bed: Bed, scale: Scale) -> Trial:
    """Measure matchers on pairs that complete; a real router makes their arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.pairs, PARTITIONS)
    pairs = Pairs(bed, scale.pairs)
    return Trial(
        scale.rounds,
        {
            "router": Side("router, keyed pairs to arrivals (events)", pairs.route),
            "ceiling": Side("ceiling: consume and decode arrivals", pairs.consume, is_yardstick=True),
            "matcher": Side(
                "matcher, keyed pairs that complete (arrivals)",
                pairs.match,
                ("the ceiling", "ceiling"),
                at_least(10, "10 %"),
            ),
        },
    )


def submitters(bed: Bed, scale: Scale) -> Trial:
    """Measure a submitter against bare creates of the same client at the same concurrency."""
    kubeconfig = str(bed.kubernetes.kubeconfig)

    def create(_: Path | None) -> Speed:
        return speed(measured("creates", kubeconfig=kubeconfig, namespace=bed.namespace(), count=scale.creates))

    def submit(checkout: Path | None) -> Speed:
        topics, _ = bed.installation()
        fill_runs(bed.bootstrap, topics, bed.namespace(), scale.creates)
        where = {"bootstrap": bed.bootstrap, "prefix": topics.prefix, "partitions": PARTITIONS}
        return speed(measured("submitter", checkout, **where, kubeconfig=kubeconfig, count=scale.creates))

    return Trial(
        scale.rounds,
        {
            "bare": Side("bare creates, 8 at a time", create, is_yardstick=True),
            "submitter": Side("submitter, 8 at a time", submit, ("bare creates", "bare"), at_least(85, "85 %")),
        },
    )


def holds(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure a submitter that holds runs of one trigger and creates those of another, next to one that holds none."""
    found: dict[str, list[float]] = {"bytes": [], "rate": [], "alone": [], "released": []}
    for _ in range(scale.hold_rounds):
        for held in (0, scale.held):
            topics, _definition = bed.installation()
            where = {"bootstrap": bed.bootstrap, "prefix": topics.prefix, "partitions": PARTITIONS}
            done = measured("hold", **where, held=held, others=10 * scale.creates)
            if held:
                for name in ("bytes", "rate", "released"):
                    found[name].append(done[name])
            else:
                found["alone"].append(done["rate"])
    return [
        Figure(f"memory of a held run, of {scale.held:,}", "bytes", found["bytes"], at_most(100, "100")),
        Figure("other runs, while none is held", "/s", found["alone"]),
        Figure("other runs meanwhile", "/s", found["rate"]),
        Figure("… of those while none is held", "%", ratios(found["rate"], found["alone"]), at_least(95, "95 %")),
        Figure("held runs once they are released, in order", "/s", found["released"]),
    ]
