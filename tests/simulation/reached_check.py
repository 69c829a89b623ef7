"""That no event counts as earlier than it came, told by somebody who sees when it did.

Where the broker sets timestamps, when an event reached us is known exactly; see :mod:`simulation.routing_check`. Where
publishers set them, a process that already looked at a partition when a record came to it must not believe a timestamp
from before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.core.event import Micros, time_text
from bridge.kafka.log import Partition
from bridge.kafka.records import ARRIVAL, TICK

if TYPE_CHECKING:
    from simulation.process import SimulatedProcess


class EarlyEventError(AssertionError):
    """An event counts as earlier than it came."""


class ReachedCheck:
    """Holds arrivals against when their events came.

    Args:
        arrivals: The topic of arrivals.
        apart: How far a process's clock may be behind the brokers'.

    """

    def __init__(self, arrivals: str, apart: Micros) -> None:
        self._arrivals = arrivals
        self._apart = apart
        self._came: dict[str, list[tuple[Micros, list[SimulatedProcess]]]] = {}

    def came(self, place: Partition, offset: int, id_: str, now: Micros, living: Iterable[SimulatedProcess]) -> None:
        """Note that an event came at an offset, and which processes looked at its partition by then."""
        watching = [process for process in living if process.looks.knows(place, offset)]
        self._came.setdefault(id_, []).append((now, watching))

    def routed(self, process: SimulatedProcess, records: Iterable[tuple[str, int, bytes | None]]) -> None:
        """Check the arrivals that a router has just committed.

        Raises:
            EarlyEventError: An event is said to have reached us before it came, and the process could know better.

        """
        for topic, _, value in records:
            if topic != self._arrivals or value is None or value.startswith(TICK.prefix):
                continue
            arrival = ARRIVAL.decode(value)
            came = self._came.get(arrival["id"], [])
            if not came or not all(process in watching for _, watching in came):
                continue
            first = min(time for time, _ in came)
            if arrival["reached"] < first - self._apart:
                raise EarlyEventError(
                    f"{arrival['id']} came at {time_text(first)}; {process.name} says that it reached us at "
                    f"{time_text(arrival['reached'])}"
                )
