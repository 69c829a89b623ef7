"""How many runs of a trigger may start: ``run.limits``, as rules over moments.

Both limits count moments in a span of time before now:

- **rate**: at most ``rate`` starts in any ``per``. Further runs wait their turn.
- **storm**: once more than ``storm`` runs were asked for in ``storm_within``, the trigger is *held*: none of its runs
  starts until no more than that were asked for in the time before now. Runs that are asked for meanwhile count too, so
  that a storm holds for as long as it goes on. An edit of the trigger starts a new count.

A limit of n needs the newest n moments and nothing else, so its state is small, and the ledger can give it back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal, NamedTuple

from bridge.core.event import Micros
from bridge.core.trigger import RunLimits

FOR_EVER: Micros = 2**62
"""The end of a wait that only a person ends."""


class Wait(NamedTuple):
    """Why a trigger's next run does not start now, and when to look again.

    What people hold has no such time. ``because`` says who holds it and why.
    """

    why: Literal["rate", "storm", "hold"]
    until: Micros
    because: str = ""


class Recent:
    """The newest moments of something that may happen ``number`` times in ``span``.

    Args:
        number: The bound. As many moments are kept.
        span: The time that they are counted in.
        moments: The moments so far, in any order.

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
    """The limits of one trigger and their counts.

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
        """Return the brake after an edit of the trigger: no hold, and started runs still count."""
        return Brake(limits, started=self._started.moments() if self._started else ())

    def lifted(self, moment: Micros) -> Brake:
        """Return the brake after a person has ended its storm: what was asked for until then counts no more."""
        asked = [asked for asked in (self._asked.moments() if self._asked else ()) if asked > moment]
        return Brake(self.limits, asked, self._started.moments() if self._started else ())

    def ask(self, moment: Micros) -> None:
        """Count a run that is asked for."""
        if self._asked is not None:
            self._asked.add(moment)

    def start(self, moment: Micros) -> None:
        """Count a run that starts."""
        if self._started is not None:
            self._started.add(moment)

    def give_back(self, moment: Micros) -> None:
        """Stop counting a start that made no run."""
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
