"""Topics of one partition that a process reads on, each from where it was left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import MISSING, Admin, Log, Partition, Record, UnansweredError

_PACE = SECOND  # how often the ends of the topics are asked for


class _Answer(NamedTuple):
    """Where the followed topics end: the number of the answer, the stable ends, and why others are not known."""

    number: int
    ends: Mapping[Partition, int]
    unanswered: Mapping[Partition, str]


class FollowedEnds:
    """Where the topics end that the stages of a process follow. One request a second asks for all of them.

    Safe for several threads. A stage does not wait for the request of another.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._followed: frozenset[Partition] = frozenset()
        self._following = threading.Lock()  # held for a moment only
        self._asked: Micros = -(2**62)
        self._answer = _Answer(0, {}, {})

    def follow(self, partition: Partition) -> None:
        """Ask for the end of a partition, too."""
        with self._following:
            self._followed |= {partition}

    def look(self, admin: Admin, seen: int, now: Micros) -> _Answer | None:
        """Return the last answer if it is not the one with the number ``seen``. If it is old, ask first.

        Raises:
            LogError: Kafka did not answer.

        """
        if now - self._asked >= _PACE and self._asking.acquire(blocking=False):
            try:
                self._asked, followed = now, self._followed
                unanswered: dict[Partition, str] = {}
                try:
                    ends = admin.stable_ends(sorted(followed))
                except UnansweredError as error:
                    ends, unanswered = error.answered, error.unanswered
                missing = dict.fromkeys(followed - ends.keys() - unanswered.keys(), MISSING)
                self._answer = _Answer(self._answer.number + 1, ends, unanswered | missing)
            finally:
                self._asking.release()
        return self._answer if self._answer.number != seen else None


class Follower:
    """Reads a topic on.

    Args:
        log: The Kafka cluster.
        topic: The topic.
        clock: A steady clock.
        apply: Is given each record. If reading fails, it is given the records since the last full read again.
        ends: Asks for the end of the topic, together with those of others; None to ask for this one alone.

    Attributes:
        offset: All records below it are applied.

    """

    def __init__(
        self,
        log: Log,
        topic: str,
        clock: Callable[[], Micros],
        apply: Callable[[Record], None],
        ends: FollowedEnds | None = None,
    ) -> None:
        self.offset = 0
        self._partition = Partition(topic, 0)
        self._admin = log.admin()
        self._reader = log.reader()
        self._clock = clock
        self._apply = apply
        self._ends = ends or FollowedEnds()
        self._ends.follow(self._partition)
        self._seen = 0
        self._was_read = False

    def read_when_due(self) -> bool:
        """Read the topic on, if its end was asked for since the last time; return whether there were new records.

        The first time it asks by itself: a stage that knows nothing yet must not go on as if the topic were empty.

        Raises:
            LogError: Kafka did not answer.

        """
        if not self._was_read:
            return self.read_on()
        answer = self._ends.look(self._admin, self._seen, self._clock())
        if answer is None:
            return False
        self._seen = answer.number
        if self._partition in answer.unanswered:
            raise UnansweredError({}, {self._partition: answer.unanswered[self._partition]})
        return self._read_to(answer.ends.get(self._partition, 0))  # an older answer does not know of a new follower

    def read_on(self, *, to_true_end: bool = False) -> bool:
        """Read the topic on to where it ends now; return whether there were new records.

        Args:
            to_true_end: Read to the high watermark, and wait for a transaction that is still open there. Otherwise
                reading ends at the last stable offset.

        Raises:
            LogError: Kafka did not answer, or a transaction stayed open for longer than the reader waits.

        """
        if to_true_end:
            return self._read_to(self._admin.all_ends([self._partition])[self._partition])
        ends = self._admin.stable_ends([self._partition])
        if self._partition not in ends:
            raise UnansweredError({}, {self._partition: MISSING})
        return self._read_to(ends[self._partition])

    def close(self) -> None:
        """Close the clients."""
        self._reader.close()
        self._admin.close()

    def _read_to(self, end: int) -> bool:
        is_new = end > self.offset
        if is_new:
            for records in self._reader.read(self._partition, self.offset, end):
                for record in records:
                    self._apply(record)
            self.offset = end
            self._reader.rest()  # the topics that are followed change seldom
        self._was_read = True
        return is_new
