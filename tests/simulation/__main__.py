"""``python -m simulation``: many seeds, or one of them told as a story.

``--seeds 20000`` runs as many as one likes; ``--seed 62`` one, with all that happens in it; ``--seed 62 --shrink``
makes it small, if it fails; ``--seed 62 --without 0-5,9`` leaves some of its acts out.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from simulation.many import command, run_many, smallest
from simulation.script import script_of
from simulation.seeds import run
from simulation.shrinking import numbers_of


def main() -> int:
    """Run what the arguments say; return 1 if anything fails."""
    parser = argparse.ArgumentParser(prog="simulation", description="Simulated worlds in which everything breaks.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--without", default="", help="acts to leave out")
    parser.add_argument("--shrink", action="store_true", help="leave out what it fails without")
    parser.add_argument("--values", action="store_true", help="print the script as a value, for a regression")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if chosen.seed is None:
        return _many(range(chosen.first, chosen.first + chosen.seeds), chosen.workers)
    without = smallest(chosen.seed) if chosen.shrink else numbers_of(chosen.without)
    return _one(chosen.seed, without, values=chosen.values)


def _one(seed: int, without: frozenset[int], *, values: bool) -> int:
    script = script_of(seed).without(without)
    verdict = run(script)
    print("\n".join(verdict.told))
    if values:
        print(repr(script))
    print("\n".join(verdict.wrong) or "all is as it has to be")
    if verdict.wrong:
        print(f"\nrepeat by: {command(seed, without)}")
    return bool(verdict.wrong)


def _many(seeds: range, workers: int) -> int:
    begun, figures, failed = time.monotonic(), Counter[str](), 0
    for batch in run_many(seeds, workers):
        figures += batch.figures
        for failure in batch.failures:
            failed += 1
            print(f"seed {failure.seed}: {failure.wrong[0][:400]}\n  repeat by: {command(failure.seed)}", flush=True)
        if figures["seeds"] % 500 == 0:
            print(f"{figures['seeds']} seeds, {failed} failed", file=sys.stderr, flush=True)
    took = time.monotonic() - begun
    print(f"{figures['seeds']} seeds in {took:.0f} s, {figures['seeds'] / took:.1f} a second: {dict(figures)}")
    print(f"{failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
