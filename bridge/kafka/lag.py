"""The lag of a stage's partitions: how many records are not committed, and how old the first of them is.

Every ten seconds the meter asks where the partitions end. The age is that of the first record that is not committed, by
its timestamp. That record is the first one of its partition in the queue, or in a poll that follows. So the age needs
no request of its own. A partition without lag has an age of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import Admin, Committed, LogError, Partition, Record, UnansweredError
from bridge.kafka.observer import Observer

_PACE = 10 * SECOND  # asking for the ends of all partitions takes a few milliseconds
_HEARD_FOR = SECOND  # polls after a measurement that are searched: looking through 5,000 records takes a millisecond


class _First(NamedTuple):
    """The first record that is not committed: the committed offset, and the record's timestamp in milliseconds."""

    committed: int
    timestamp: int


class LagMeter:
    """Measures the lag of the partitions of one stage.

    Args:
        admin: Tells where partitions end.
        observer: Hears the lag.
        clock: The process's clock, which ages are counted by.
        pace: A steady clock.

    """

    def __init__(
        self, admin: Admin, observer: Observer, clock: Callable[[], Micros], pace: Callable[[], Micros]
    ) -> None:
        self._admin = admin
        self._observer = observer
        self._clock = clock
        self._pace = pace
        self._measured: Micros = pace()
        self._first: dict[Partition, _First] = {}
        self._wanted: dict[Partition, int] = {}  # committed offsets whose next record was not seen yet

    def measure(self, committed: Mapping[Partition, Committed], queue: Iterable[Record]) -> bool:
        """Measure if the last time is long enough ago, and return whether that is so.

        Args:
            committed: The owned partitions and their committed offsets.
            queue: The records that were polled and are not processed yet, those of a partition in order.

        """
        now = self._pace()
        if now - self._measured < _PACE:
            return False
        self._measured = now
        try:
            ends = self._admin.end_offsets(committed)
        except UnansweredError as error:
            ends = error.answered  # the lag of a partition without a leader is not known
        except LogError:
            return True  # the lag is only shown, and is asked for again
        self._wanted.clear()
        for partition, end in ends.items():
            offset = committed[partition].offset
            self._observer.lag(*partition, max(0, end - offset))
            first = self._first.get(partition)
            if end <= offset:
                self._first.pop(partition, None)
                self._observer.lag_seconds(*partition, 0.0)
            elif first is not None and first.committed == offset:
                self._tell(partition, first)
            else:
                self._wanted[partition] = offset
        self.hear(queue)
        return True

    def hear(self, records: Iterable[Record]) -> None:
        """Look for the first records that are not committed among those that were polled."""
        if not self._wanted:
            return
        if self._pace() - self._measured > _HEARD_FOR:
            self._wanted.clear()
            return
        for record in records:
            offset = self._wanted.pop(Partition(record.topic, record.partition), None)
            if offset is not None and record.timestamp >= 0:
                partition = Partition(record.topic, record.partition)
                first = self._first[partition] = _First(offset, record.timestamp)
                self._tell(partition, first)
                if not self._wanted:
                    return

    def forget(self, partition: Partition) -> None:
        """Forget a partition that is no longer owned."""
        self._first.pop(partition, None)
        self._wanted.pop(partition, None)
        self._observer.forget_lag(*partition)

    def _tell(self, partition: Partition, first: _First) -> None:
        self._observer.lag_seconds(*partition, max(0.0, self._clock() / SECOND - first.timestamp / 1000))
