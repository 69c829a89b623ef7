"""When the garbage collector works: between batches, when little is left of one; and never over what stays for long.

By itself it begins whenever so many objects have been made, which is in the middle of a batch, while all of the batch
is alive: a third of a router's time went into looking at records that were gone a moment later. And restored windows
and ledgers are millions of objects without cycles, over which it would walk again and again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LARGE = 100_000
"""Objects from which on built state is left out of the collector's rounds: it walks over fewer in milliseconds."""

_MADE = 50_000  # objects that were made and are not freed, until they are looked at
_FULL_PACE = 600.0  # seconds between two looks at everything


class Collector:
    """The garbage collector of a process, on its stages' terms. What several threads ask for is done once.

    Args:
        clock: Seconds.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full = clock() + _FULL_PACE

    def take_over(self) -> None:
        """Keep the collector from working by itself."""
        gc.disable()

    def hand_back(self) -> None:
        """Let it work by itself again."""
        gc.enable()

    def between_batches(self) -> None:
        """Collect, if it is time to."""
        if self._clock() >= self._full:
            self._full = self._clock() + _FULL_PACE
            gc.collect()
        elif gc.get_count()[0] >= _MADE:
            gc.collect(0)


@contextmanager
def building_state() -> Iterator[None]:
    """Let the collector rest inside, and leave what is there in the end out of its rounds, if much was built.

    What goes later is freed as ever, when nothing refers to it any more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    before = gc.get_count()[0]
    try:
        yield
    finally:
        if gc.get_count()[0] - before >= LARGE:  # it goes on counting what was made and not freed
            gc.freeze()
        if was_enabled:
            gc.enable()
