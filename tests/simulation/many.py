"""Many seeds, in several processes; one that fails is made small and says how to repeat it."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from simulation.script import script_of
from simulation.seeds import run
from simulation.shrinking import ranges, shrink

_TOGETHER = 10  # seeds that a worker takes at once


class Failure(NamedTuple):
    """A seed that fails, and what is wrong."""

    seed: int
    wrong: tuple[str, ...]


class Batch(NamedTuple):
    """What came of some seeds."""

    failures: tuple[Failure, ...]
    figures: Counter[str]


def run_batch(seeds: Iterable[int]) -> Batch:
    """Run seeds one after the other."""
    logging.disable(logging.CRITICAL)  # what the bridge logs of its troubles is known: they are made here
    failures, figures = [], Counter[str]()
    for seed in seeds:
        verdict = run(script_of(seed))
        figures += verdict.figures + Counter(seeds=1)
        if verdict.wrong:
            failures.append(Failure(seed, verdict.wrong))
    return Batch(tuple(failures), figures)


def run_many(seeds: Sequence[int], workers: int) -> Iterator[Batch]:
    """Run seeds in so many processes, and yield what comes of them, some at a time, in order."""
    batches = [seeds[at : at + _TOGETHER] for at in range(0, len(seeds), _TOGETHER)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(run_batch, batches)


def smallest(seed: int) -> frozenset[int]:
    """Return the acts that a failing seed can do without."""
    script = script_of(seed)
    return shrink(range(len(script.acts)), lambda without: bool(run(script.without(without)).wrong))


def command(seed: int, without: frozenset[int] = frozenset()) -> str:
    """Return the command that repeats a seed."""
    left_out = f" --without {ranges(without)}" if without else ""
    return f"PYTHONPATH=tests uv run --no-sync python -m simulation --seed {seed}{left_out}"
