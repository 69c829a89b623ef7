"""How many runs of a trigger may start: ``run.limits``, as rules over moments.

Both limits count what lay in the last so-and-so long:

- **rate**: at most ``rate`` starts in any ``per``. What is more waits its turn.
- **storm**: once more than ``storm`` runs were asked for in ``storm_within``, the trigger is *held*: nothing of it
  starts until no more than that were asked for in the time before now. What is asked for meanwhile counts too, so that
  a storm holds for as long as it goes on. An edit of the trigger restarts the count.

A limit of n needs the newest n moments and nothing else, so its state is small, and the ledger can give it back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal, NamedTuple

from bridge.core.event import Micros
from bridge.core.trigger import RunLimits


class Wait(NamedTuple):
    """Why a trigger's next run does not start now, and when to look again."""

    why: Literal["rate", "storm"]
    until: Micros


class Recent:
    """The newest moments of something that may happen ``number`` times in ``span``.

    Args:
        number: How many there may be; as many are kept.
        span: The time that they are counted in.
        moments: What has happened so far, in any order.

    """

    def __init__(self, number: int, span: Micros, moments: Iterable[Micros] = ()) -> None:
        self._number = number
        self._span = span
        self._moments = sorted(moments)[-number:]

    def add(self, moment: Micros) -> None:
        """Count a moment; usually the newest."""
        insort(self._moments, moment)
        if len(self._moments) > self._number:
            del self._moments[0]

    def remove(self, moment: Micros) -> None:
        """Take a moment back, if it is still kept."""
        place = bisect_left(self._moments, moment)
        if place < len(self._moments) and self._moments[place] == moment:
            del self._moments[place]

    def full_until(self) -> Micros:
        """Return the time from which on another one fits; long ago when there is room."""
        return self._moments[0] + self._span if len(self._moments) == self._number else -(2**62)

    def counts(self, now: Micros) -> bool:
        """Tell whether any of the moments still counts."""
        return bool(self._moments) and self._moments[-1] + self._span > now

    def moments(self) -> list[Micros]:
        """Return the moments that are kept, oldest first."""
        return list(self._moments)


class Brake:
    """The limits of one trigger and what they have counted.

    Args:
        limits: The trigger's limits.
        asked: When its latest runs were asked for.
        started: When its latest runs were started.

    """

    def __init__(self, limits: RunLimits, asked: Iterable[Micros] = (), started: Iterable[Micros] = ()) -> None:
        self.limits = limits
        self._asked = None if limits.storm is None else Recent(limits.storm + 1, limits.storm_within, asked)
        self._started = None if limits.rate is None else Recent(limits.rate, limits.per, started)

    def changed(self, limits: RunLimits) -> Brake:
        """Return the brake after an edit of the trigger: no hold, and what was started still counts."""
        return Brake(limits, started=self._started.moments() if self._started else ())

    def ask(self, moment: Micros) -> None:
        """Count a run that is asked for."""
        if self._asked is not None:
            self._asked.add(moment)

    def start(self, moment: Micros) -> None:
        """Count a run that starts."""
        if self._started is not None:
            self._started.add(moment)

    def give_back(self, moment: Micros) -> None:
        """Do not count a start any more that came to nothing."""
        if self._started is not None:
            self._started.remove(moment)

    def counts_starts(self, now: Micros) -> bool:
        """Tell whether the rate would be another one if the starts so far were forgotten."""
        return self._started is not None and self._started.counts(now)

    def wait(self, now: Micros) -> Wait | None:
        """Return why the next run has to wait; None when it may start."""
        if self._asked is not None and self._asked.full_until() > now:
            return Wait("storm", self._asked.full_until())
        return self.wait_for_rate(now)

    def wait_for_rate(self, now: Micros) -> Wait | None:
        """Return the same for a run that no storm holds."""
        if self._started is not None and self._started.full_until() > now:
            return Wait("rate", self._started.full_until())
        return None


def look_back(limits: RunLimits) -> Micros:
    """Return how far before now a moment still counts."""
    return max(limits.per if limits.rate is not None else 0, limits.storm_within if limits.storm is not None else 0)
