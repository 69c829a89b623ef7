"""The delay before the next try: exponential, with full jitter, capped, and never shorter than the API asks.

Full jitter (a random moment between now and the exponential delay) spreads many runs that failed together, so that
they are not tried again together. The random source is an argument: tests and the simulator repeat a run exactly.
Tenacity's ``wait_random_exponential`` draws from the global random and takes its own retry state, so it does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

HINT_LIMIT = 600.0
"""Seconds that a Retry-After may ask for. A longer time counts as a mistake of the server."""

_DOUBLINGS = 32  # beyond this the delay is at its cap for any sensible first delay, and 2.0**n cannot overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between tries.

    Attributes:
        first: Longest delay after the first failure, in seconds.
        longest: Cap on every delay, in seconds.

    """

    first: float = 0.25
    longest: float = 30.0

    def delay(self, failures: int, random: Random, retry_after: float | None = None) -> float:
        """Return the seconds to wait.

        Args:
            failures: Failures so far, one or more.
            random: The source of the jitter.
            retry_after: Seconds that the API asked for. The delay is at least this long (up to :data:`HINT_LIMIT`), and
                the jitter is added, because all clients got the same answer.

        """
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, _DOUBLINGS))
        hint = min(max(retry_after or 0.0, 0.0), HINT_LIMIT)
        return hint + random.uniform(0.0, ceiling)


PROMPT = Backoff()
"""For errors that pass by themselves: timeouts, an API server that restarts, 429."""

SLOW = Backoff(first=5.0, longest=300.0)
"""For parked runs: quota, permissions, a name that is still being deleted."""
