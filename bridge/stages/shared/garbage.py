"""Run the garbage collector between batches, and never over large restored state.

By itself it begins whenever so many objects have been made, which is in the middle of a batch, while all of the batch
is alive: a third of a router's time went into looking at records that were gone a moment later. And restored windows
are millions of objects without cycles, over which it would walk again and again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

LARGE = 10_000
"""Restored records from which on state is left out of the collector's rounds: it walks over fewer in milliseconds."""

_MADE = 50_000  # objects that were made and are not freed, until they are looked at
_FULL_PACE = 600.0  # seconds between two looks at everything


class BatchGarbageCollector:
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
            self.look_at_everything()
        elif gc.get_count()[0] >= _MADE:
            gc.collect(0)

    def look_at_everything(self) -> None:
        """Collect all there is, but for what was left out: as after a stage has ended in trouble."""
        self._full = self._clock() + _FULL_PACE
        gc.collect()


def leave_alone(restored: int) -> None:
    """Leave what is there out of the collector's rounds, if so many records of state were restored that it is worth it.

    What goes later is freed when nothing refers to it any more; it has no cycles.
    """
    if restored >= LARGE:
        gc.freeze()
