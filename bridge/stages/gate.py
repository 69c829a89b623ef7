"""The gate: everything waits while the cluster itself seems to be in trouble.

It closes when the creates of many runs fail in a row, opens ever more slowly, and any success opens it for good. One
bad run never closes it, however often it fails.
"""

from __future__ import annotations

from random import Random

from bridge.argo.backoff import Backoff
from bridge.core.event import SECOND, Micros

_PACE = Backoff(first=0.5, longest=5.0)


class Gate:
    """Counts failures in a row.

    Args:
        concurrency: Creates in flight; as many runs must fail.
        random: Where jitter comes from.

    """

    def __init__(self, concurrency: int, random: Random) -> None:
        self._concurrency = concurrency
        self._random = random
        self._failing: set[str] = set()
        self._failures = 0
        self._opens: Micros = 0

    def is_open(self, now: Micros) -> bool:
        """Tell whether creates may be sent."""
        return now >= self._opens

    def failed(self, run_key: str, now: Micros) -> None:
        """Hear that a run's create failed in a way that may be the cluster's."""
        self._failing.add(run_key)
        self._failures += 1
        if len(self._failing) >= self._concurrency:
            rounds = self._failures // self._concurrency
            self._opens = now + round(_PACE.delay(rounds, self._random) * SECOND)

    def succeeded(self) -> None:
        """Hear that a create succeeded."""
        self._failing.clear()
        self._failures, self._opens = 0, 0
