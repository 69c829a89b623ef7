"""``python -m bench [--quick] [--only NAME]... [--compare REV]``: measures, and prints a table in Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.bed import Bed, bed
from bench.checkouts import RevisionError, checkout
from bench.circumstances import circumstances
from bench.cores import SERVERS, pin_self
from bench.figures import HEAD
from bench.groups import (
    gateway,
    kinds,
    latency,
    peers,
    plans,
    publishing,
    recovery,
    replays,
    restores,
    spark,
    starts,
    throughput,
    triggers,
)
from bench.rounds import Trial, compare, measure
from bench.scale import FULL, QUICK, Scale
from bench.warming import warm


class _Row(Protocol):
    """A line of a table."""

    def row(self) -> str:
        """Return it in Markdown."""


Measure = Callable[[Bed, Scale], Sequence[_Row]]

TRIALS: dict[str, Callable[[Bed, Scale], Trial]] = {
    "routers": throughput.routers,
    "matchers": throughput.matchers,
    "triggers": triggers.triggers,
    "kinds": kinds.kinds,
    "publish": publishing.publishing,
    "replay": replays.replays,
    "windows": restores.windows,
    "ledger": restores.entries,
    "submitters": throughput.submitters,
}
"""Groups that two revisions can be compared by."""


def _measure(make: Callable[[Bed, Scale], Trial], servers: Bed, scale: Scale) -> Sequence[_Row]:
    return measure(servers, make(servers, scale))


def _compare(make: Callable[[Bed, Scale], Trial], other: Path, servers: Bed, scale: Scale) -> Sequence[_Row]:
    return compare(servers, make(servers, scale), other)


MEASURES: dict[str, Measure] = {
    **{name: partial(_measure, make) for name, make in TRIALS.items()},
    "publish": publishing.publishers,  # its trial, and more
    "plan": plans.plans,
    "gateway": gateway.gateways,
    "latency": latency.latencies,
    "holds": throughput.holds,
    "spill": restores.spills,
    "recovery": recovery.recoveries,
    "start": starts.starts,
}

APART: dict[str, Measure] = {"peers": peers.peers, "spark": spark.spark}
"""Groups that need an installation of their own, and run only if they are asked for."""

HEADS = {"peers": peers.HEAD}
"""The heads of tables that are unlike the others."""


class Options(NamedTuple):
    """What a person asked for.

    Attributes:
        names: The groups, in the order in which they are measured.
        scale: How much is measured.
        compare: A revision or a folder that takes turns with this checkout, or None.

    """

    names: Sequence[str]
    scale: Scale
    compare: str | None


def read_options(arguments: Sequence[str]) -> Options:
    """Return what the arguments ask for; explain and exit with 2 if they ask for what does not exist."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speeds, latencies and memory, measured.")
    groups = sorted({*MEASURES, *APART})
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it works, measures little")
    parser.add_argument(
        "--only",
        action="append",
        choices=groups,
        metavar="NAME",
        help=f"measure this group alone; may be repeated; one of {', '.join(groups)}",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="COUNT=N", help=f"one of {', '.join(vars(FULL))}, otherwise"
    )
    parser.add_argument(
        "--compare",
        metavar="REV",
        help="measure this checkout next to a revision (or to the folder of a checkout that is set up), in turns; "
        f"compares {', '.join(TRIALS)}",
    )
    given = parser.parse_args(arguments)
    counts = {}
    for assignment in given.set:
        name, _, number = assignment.partition("=")
        if name not in vars(FULL) or not number.isdecimal():
            parser.error(f"--set {assignment}: expected COUNT=N, with one of {', '.join(vars(FULL))}")
        counts[name] = int(number)
    names = given.only or list(TRIALS if given.compare else MEASURES)
    if given.compare and not set(names) <= TRIALS.keys():
        parser.error(f"--compare knows {', '.join(TRIALS)}, not {', '.join(sorted(set(names) - TRIALS.keys()))}")
    return Options(names, dataclasses.replace(QUICK if given.quick else FULL, **counts), given.compare)


def main() -> int:
    """Measure what was asked for.

    Returns:
        0 whether or not targets are met: figures are for people to judge. 1 if a group could not be measured.

    """
    options = read_options(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # servers and worktrees are removed then
    pin_self(SERVERS)
    measures = {**MEASURES, **APART}
    with ExitStack() as stack:
        if options.compare:
            try:
                other = stack.enter_context(checkout(options.compare))
            except RevisionError as error:
                print(f"--compare {options.compare}: {error}", file=sys.stderr)
                return 2
            measures = {name: partial(_compare, make, other) for name, make in TRIALS.items()}
        print(f"{circumstances()}\n", flush=True)
        if options.compare:
            print(f"before: {options.compare}, now: this checkout\n", flush=True)
        began = time.monotonic()
        servers = stack.enter_context(bed())
        warm(servers, options.scale)
        print(f"warming the broker: {time.monotonic() - began:.0f} s", file=sys.stderr)
        are_measured = [_print_group(name, measures[name], servers, options.scale) for name in options.names]
        print(f"everything: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0 if all(are_measured) else 1


def _print_group(name: str, measure_group: Measure, servers: Bed, scale: Scale) -> bool:
    """Print the lines of a group, and how long it took; return whether it could be measured."""
    began = time.monotonic()
    servers.empty()
    try:
        rows = measure_group(servers, scale)
    except (RuntimeError, OSError, ValueError) as error:  # the other groups are worth their time all the same
        print(f"{name}: {error}", file=sys.stderr)
        return False
    print(HEADS.get(name, HEAD), *(row.row() for row in rows), sep="\n", end="\n\n", flush=True)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
