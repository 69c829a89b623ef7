"""A topic of one partition that a process reads on, from where it was left."""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import MISSING, Log, Partition, Record, UnansweredError

_PACE = SECOND  # how often the end of the topic is asked for


class Follower:
    """Reads a topic on.

    Args:
        log: The Kafka cluster.
        topic: The topic.
        clock: A steady clock.
        apply: Is given each record. If reading fails, it is given the records since the last full read again.

    Attributes:
        offset: All records below it are applied.

    """

    def __init__(self, log: Log, topic: str, clock: Callable[[], Micros], apply: Callable[[Record], None]) -> None:
        self.offset = 0
        self._partition = Partition(topic, 0)
        self._admin = log.admin()
        self._reader = log.reader()
        self._clock = clock
        self._apply = apply
        self._asked: Micros = -(2**62)

    def is_due(self) -> bool:
        """Return whether the end of the topic was last asked for at least a second ago."""
        return self._clock() - self._asked >= _PACE

    def read_on(self, *, to_true_end: bool = False) -> bool:
        """Read the topic on; return whether there were new records.

        Args:
            to_true_end: Read to the high watermark, and wait for a transaction that is still open there. Otherwise
                reading ends at the last stable offset.

        Raises:
            LogError: Kafka did not answer, or a transaction stayed open for longer than the reader waits.

        """
        self._asked = self._clock()
        if to_true_end:
            end = self._admin.all_ends([self._partition])[self._partition]
        else:
            ends = self._admin.stable_ends([self._partition])
            if self._partition not in ends:
                raise UnansweredError({}, {self._partition: MISSING})
            end = ends[self._partition]
        if end <= self.offset:
            return False
        for records in self._reader.read(self._partition, self.offset, end):
            for record in records:
                self._apply(record)
        self.offset = end
        self._reader.rest()  # the topics that are followed change seldom
        return True

    def close(self) -> None:
        """Close the clients."""
        self._reader.close()
        self._admin.close()
