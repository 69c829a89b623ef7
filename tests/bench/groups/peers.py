"""Quix Streams and Bytewax next to Flowbridge: the same jobs on the same events and broker, in the same rounds.

Each has the clients' core for itself. The jobs are a filter by two terms, a map of each event to another topic, and a
join of pairs under a key. The events of the join have their order as Kafka's key, and both topics are partitioned in
the same way: Quix Streams joins only such topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from bench.bed import Bed
from bench.child import TESTS, run_pinned
from bench.figures import ratios, span, text
from bench.filling import fill_events
from bench.groups.throughput import Pairs, ceiling, route
from bench.material import EVENT, MAPPED, PARTITIONS, PARTNER, REJECTING
from bench.rounds import Side, Speed, Trial, one_after_the_other, rates, speed, take_turns
from bench.scale import Scale
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec
from frameworks.environments import ROOT, environment

HEAD = (
    "| job | events a second | min … max | CPU an event | of the ceiling | guarantees |\n"
    "| --- | ---: | ---: | ---: | ---: | --- |"
)
"""The head of the table, in Markdown."""

_NAMES = {"quix": "Quix Streams", "bytewax": "Bytewax"}
_EXACTLY_ONCE = "exactly once, by Kafka's transactions"
_AT_LEAST_ONCE = "at least once: snapshots in SQLite on local disk every second"
_RUN = f"{_EXACTLY_ONCE}; the run has a key, a name, its parameters and the events that made it"
_WINDOW = "one hour by event time"
_GUARANTEES = {
    ("filter", "ours"): f"{_EXACTLY_ONCE}; each decision is counted",
    ("filter", "quix"): _EXACTLY_ONCE,
    ("filter", "bytewax"): _AT_LEAST_ONCE,
    ("map", "ours"): _RUN,
    ("map", "quix"): _EXACTLY_ONCE,
    ("map", "bytewax"): _AT_LEAST_ONCE,
    ("join", "ours"): f"{_RUN}; window of {_WINDOW}, which ends by ticks in the log; a repeated event is a duplicate; "
    "state in memory with a changelog, restored from it by any process",
    ("join", "matcher"): "the same: the second of the two stages alone",
    (
        "join",
        "quix",
    ): f"{_EXACTLY_ONCE}; window of {_WINDOW}, which ends for a key when its next event comes; a "
    "repeated event is joined again; state in RocksDB with a changelog, restored from it by any process",
    ("join", "bytewax"): f"{_AT_LEAST_ONCE}; no window: an event waits until its partner comes; a repeated event "
    "replaces the one that waits, or waits for another partner; state in memory, restored from the snapshots",
}
"""What each side of a job promises, by the job and the side."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: The job, and what does it.
        speeds: One a round.
        ceilings: What consuming and decoding alone came to, one a round; empty for that itself.
        guarantees: What the side promises.

    """

    what: str
    speeds: Sequence[Speed]
    ceilings: Sequence[Speed]
    guarantees: str

    def row(self) -> str:
        """Return the line in Markdown."""
        found = rates(self.speeds)
        cpu = text(median(turn.cpu for turn in self.speeds))
        share = f"{text(median(ratios(found, rates(self.ceilings))))} %" if self.ceilings else ""
        return f"| {self.what} | {text(median(found))} | {span(found)} | {cpu} µs | {share} | {self.guarantees} |"


def peers(bed: Bed, scale: Scale) -> list[Row]:
    """Measure the jobs, each by all sides in turns."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.peer_events, PARTITIONS, is_keyed=True)
    single, both = (EVENT,), (EVENT, PARTNER)
    events, pairs = scale.peer_events, Pairs(bed, scale.peer_events)
    numbers = count()

    def peer(framework: str, job: str, topics: Sequence[str], made: int, _: Path | None) -> Speed:
        """Run the job of a framework to its end; check that it made as many records as it should."""
        output = f"bench.{framework}.{next(numbers)}"
        admin = ConfluentLog({"bootstrap.servers": bed.bootstrap}).admin()
        admin.create([TopicSpec(output, PARTITIONS)])
        admin.close()
        installed = environment(framework)
        done = run_pinned(
            f"{_NAMES[framework]}, {job}",
            [str(installed.python), str(ROOT / framework / "rates.py")],
            {
                "bootstrap": bed.bootstrap,
                "job": job,
                "schemas": {topic: str(bed.schemas / f"{topic}.avsc") for topic in topics},
                "output": output,
                "count": len(topics) * events,
            },
            installed.variables({"PYTHONPATH": str(TESTS)}),
        )
        if done["made"] != made:
            raise ValueError(f"{_NAMES[framework]}, {job}: {done['made']} output records, not {made}")
        return speed(done)

    join = "join of pairs under a key"
    sides = {
        ("ceiling", "single"): ceiling(bed, events, EVENT),
        ("filter", "ours"): Side("filter: Flowbridge's router", partial(route, bed, REJECTING, {"filtered": events})),
        ("filter", "quix"): Side("filter", partial(peer, "quix", "filter", single, 0)),
        ("filter", "bytewax"): Side("filter", partial(peer, "bytewax", "filter", single, 0)),
        ("map", "ours"): Side("map to a topic: Flowbridge's router", partial(route, bed, MAPPED, {"matched": events})),
        ("map", "quix"): Side("map to a topic", partial(peer, "quix", "map", single, events)),
        ("map", "bytewax"): Side("map to a topic", partial(peer, "bytewax", "map", single, events)),
        ("ceiling", "both"): ceiling(bed, 2 * events, EVENT, PARTNER),
        ("join", "router"): Side(f"{join}: Flowbridge's router", pairs.route),
        ("join", "matcher"): Side(f"{join}: Flowbridge's matcher", pairs.match),
        ("join", "quix"): Side(join, partial(peer, "quix", "join", both, events)),
        ("join", "bytewax"): Side(join, partial(peer, "bytewax", "join", both, events)),
    }
    names = {" ".join(key): side for key, side in sides.items()}
    found = take_turns(bed, Trial(scale.peer_rounds, names))
    rows = []
    for (job, side), measured_side in sides.items():
        speeds = found[f"{job} {side}"]
        ceilings = found["ceiling both" if job == "join" else "ceiling single"]
        if job == "ceiling":
            rows.append(Row(measured_side.what, speeds, (), ""))
        elif side == "router":
            together = [one_after_the_other(*turns) for turns in zip(speeds, found["join matcher"], strict=True)]
            rows.append(
                Row(f"{join}: Flowbridge's router and matcher", together, ceilings, _GUARANTEES["join", "ours"])
            )
        else:
            what = measured_side.what
            if side in _NAMES:
                what = f"{what}: {_NAMES[side]} {speeds[0].client['version']}"
            rows.append(Row(what, speeds, ceilings, _GUARANTEES[job, side]))
    return rows
