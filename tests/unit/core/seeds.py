"""Seeds of random searches: the same on each run, and a failure says how to repeat it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

FIRST = int(os.environ.get("FLOWBRIDGE_TEST_SEED", "0"))
COUNT = os.environ.get("FLOWBRIDGE_TEST_SEEDS")


def seeds(count: int) -> range:
    """Return the seeds of a test: ``count`` of them unless the environment asks for others."""
    return range(FIRST, FIRST + int(COUNT or count))


@contextmanager
def seeded(seed: int) -> Iterator[random.Random]:
    """Yield the chance of one seed. A failure tells how to repeat it alone."""
    try:
        yield random.Random(seed)
    except BaseException as error:
        error.add_note(f"to repeat it alone: FLOWBRIDGE_TEST_SEED={seed} FLOWBRIDGE_TEST_SEEDS=1 pytest -k <this test>")
        raise
