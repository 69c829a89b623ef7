"""The keys of ended runs, kept for the ledger's horizon, to decide ``already-ran``.

They are kept in sets by age, so that whole sets are dropped as they pass the horizon. Of a run key half is kept: 26 of
its characters are 130 bits of a SHA-256, far from any collision among billions. A million take about 120 MB.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.core.event import Micros
from bridge.stages.shared.spill_file import DiskKeys

MEMORY_BOUND = 1_000_000
"""Run keys of one partition in memory, about 120 bytes each."""

KEPT = 26
"""Characters of a run key that are kept."""

_GENERATIONS = 16  # sets in one horizon: a look-up asks each, a key is kept at most one part longer than promised


class FinalKeys:
    """Run keys whose runs have ended, for the length of a horizon.

    Args:
        horizon: How long they are remembered.
        bound: How many are held in memory; beyond it the oldest go to disk.

    """

    def __init__(self, horizon: Micros, bound: int = MEMORY_BOUND) -> None:
        self._horizon = horizon
        self._bound = bound
        self._part = max(1, horizon // _GENERATIONS)
        self._generations: dict[int, set[bytes]] = {}
        self._disk: DiskKeys | None = None
        self._look_again: Micros = -(2**62)

    def __contains__(self, run_key: str) -> bool:
        """Return whether the run of this key has ended within the horizon."""
        kept = run_key[:KEPT].encode()
        if any(kept in generation for generation in self._generations.values()):
            return True
        return self._disk is not None and kept in self._disk

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return self.in_memory + (len(self._disk) if self._disk is not None else 0)

    @property
    def in_memory(self) -> int:
        """Return how many keys are held in memory."""
        return sum(map(len, self._generations.values()))

    def add(self, run_key: str, at: Micros) -> None:
        """Remember a run that ended at ``at``."""
        self.add_all([run_key.encode()], at)

    def add_all(self, run_keys: Iterable[bytes], at: Micros) -> None:
        """Remember runs that ended at about ``at``; above the bound, move the oldest generation to disk."""
        self._generations.setdefault(at // self._part, set()).update([key[:KEPT] for key in run_keys])
        if self.in_memory > self._bound:
            self._disk = self._disk or DiskKeys()
            oldest = min(self._generations)
            self._disk.add(oldest, self._generations.pop(oldest))

    def forget(self, now: Micros) -> None:
        """Forget the keys beyond the horizon."""
        if now < self._look_again:
            return
        oldest = (now - self._horizon) // self._part
        self._look_again = (oldest + 1) * self._part + self._horizon
        gone = [older for older in self._generations if older < oldest]
        for generation in gone:
            del self._generations[generation]
        if self._disk is not None:
            self._disk.forget_before(oldest)
