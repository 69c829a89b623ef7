"""``python -m bench [--quick] [--only NAME]...``: measures, and prints a table in Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    gateway,
    kinds,
    latency,
    plans,
    publishing,
    recovery,
    replays,
    restores,
    revisions,
    spark,
    spilling,
    throughput,
    triggers,
)
from bench.bed import Bed, bed
from bench.cores import CLIENT, SERVERS, pin_self
from bench.figures import HEAD, Figure
from bench.scale import FULL, QUICK, Scale

Measure = Callable[[Bed, Scale], list[Figure]]

MEASURES: dict[str, Measure] = {
    "routers": throughput.routers,
    "matchers": throughput.matchers,
    "triggers": triggers.many,
    "kinds": kinds.kinds,
    "submitters": throughput.submitters,
    "publish": publishing.publishers,
    "gateway": gateway.gateways,
    "latency": latency.latencies,
    "replay": replays.replays,
    "plan": plans.plans,
    "windows": restores.windows,
    "spill": spilling.spills,
    "ledger": restores.entries,
    "recovery": recovery.recoveries,
}

APART: dict[str, Measure] = {"spark": spark.spark}
"""Measures that need an installation of their own, and run only if they are asked for."""


def main() -> int:
    """Measure what was asked for; 0 whether or not targets are met: figures are for people to judge."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speeds, latencies and memory, measured.")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it works, measures little")
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted({*MEASURES, *APART, "restoring"}),
        help="measure this alone; may be repeated",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="COUNT=N", help=f"one of {', '.join(vars(FULL))}, otherwise"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="compare routers, matcher and submitter with those of another checkout that is set up; they take turns",
    )
    given = parser.parse_args()
    counts = {name: int(number) for name, _, number in (assignment.partition("=") for assignment in given.set)}
    scale = dataclasses.replace(QUICK if given.quick else FULL, **counts)
    pin_self(SERVERS)
    print(_circumstances())
    print(HEAD, flush=True)
    measures = revisions.comparisons(given.against.resolve()) if given.against else MEASURES
    known = measures if given.against else {**measures, **APART}
    for name in [name for name in given.only or measures if name in known]:
        began = time.monotonic()
        with bed() as servers:
            figures = known[name](servers, scale)
        print("\n".join(figure.row() for figure in figures), flush=True)  # at once: the rest may take half an hour
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def _circumstances() -> str:
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    cores = f"clients on core {min(CLIENT)}, servers on {', '.join(map(str, sorted(SERVERS)))}"
    return f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {cores}, load before {load}\n"


if __name__ == "__main__":
    sys.exit(main())
