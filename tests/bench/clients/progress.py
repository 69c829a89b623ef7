"""How fast something goes on: from the end of its first batch to the end of its last."""

from __future__ import annotations

import math
import resource
import time


class Progress:
    """Counts what is done, and when.

    Starting up (joining, the first fetch) ends with the first batch, which is therefore not counted in the rate.

    """

    def __init__(self) -> None:
        self.done = 0
        self._first = 0
        self._began = 0.0
        self._ended = 0.0
        self._used_before = self._used = 0.0

    def add(self, count: int) -> None:
        """Count a batch that is done."""
        now = time.perf_counter()
        if count and not self.done:
            self._first, self._began, self._used_before = count, now, processor_seconds()
        self.done += count
        self._ended, self._used = now, processor_seconds()

    def extend(self) -> None:
        """Count the time until now, in which what was done was finished."""
        self._ended, self._used = time.perf_counter(), processor_seconds()

    def rate(self) -> float:
        """Return how many were done in a second; NaN where one batch was all."""
        lasted = self._ended - self._began
        return (self.done - self._first) / lasted if lasted else math.nan

    def per_core(self) -> float:
        """Return how many were done in a second of the process's own processor time; NaN where one batch was all."""
        used = self._used - self._used_before
        return (self.done - self._first) / used if used else math.nan


def processor_seconds() -> float:
    """Return the processor time that this process has used, with all of its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
