"""Run the garbage collector between batches, and never over large restored state.

By itself the collector begins after a number of new objects, which is in the middle of a batch, while all of the batch
is alive. A third of a router's time went into records that were gone a moment later. And restored windows are millions
of objects without cycles, which the collector would visit again and again. So are thousands of definitions.

A process that has started is larger than it has to be: its triggers were parsed, compiled and written, by several
threads. The C library keeps what they have freed, until it is asked to return it.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from contextlib import suppress

LARGE = 10_000
"""From this number of restored records on, state is left out of collections: fewer records take only milliseconds."""

_MADE = 50_000  # new objects that are not freed, until the next collection
_FIRST_FULL = 15.0  # seconds until the first full collection; each next one comes after twice the time
_FULL_PACE = 600.0  # seconds between two full collections, at most
_FAILURE_PACE = 60.0  # seconds between two collections that also visit what is left out


class BatchGarbageCollector:
    """The garbage collector of a process, called by its stages. Requests of several threads are done once.

    Args:
        clock: Seconds.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = _FIRST_FULL
        self._full = clock() + self._pace
        self._has_failed = False
        self._next_failure = clock()

    def take_over(self) -> None:
        """Keep the collector from working by itself."""
        gc.disable()

    def hand_back(self) -> None:
        """Let it work by itself again."""
        gc.enable()

    def between_batches(self) -> None:
        """Collect garbage if it is time for that."""
        if self._clock() >= self._full:
            self._pace = min(2 * self._pace, _FULL_PACE)
            self.look_at_everything()
            with suppress(AttributeError, OSError):  # only glibc has it
                ctypes.CDLL(None).malloc_trim(0)
        elif gc.get_count()[0] >= _MADE:
            gc.collect(0)

    def after_failure(self) -> None:
        """Collect a stage that has failed, at once or within a minute.

        Its parts may be among the objects that are left out. To visit those takes seconds where windows are millions.
        """
        self._has_failed = True
        self._full = min(self._full, self._next_failure)
        self.between_batches()

    def look_at_everything(self) -> None:
        """Collect all garbage; after a failure also among the objects that are left out, which stay left out."""
        now = self._clock()
        self._full = now + self._pace
        is_thorough = self._has_failed and gc.get_freeze_count() > 0
        if self._has_failed:
            self._has_failed, self._next_failure = False, now + _FAILURE_PACE
        if is_thorough:
            gc.unfreeze()
        gc.collect()
        if is_thorough:
            gc.freeze()


def leave_alone(restored: int) -> bool:
    """Leave all objects out of later collections, if enough records of state were restored; return whether they were.

    State that is dropped later is freed with its last reference, since it has no cycles. The stage around it has: it is
    freed by the collection after its failure.
    """
    if restored >= LARGE:
        gc.freeze()
    return restored >= LARGE
