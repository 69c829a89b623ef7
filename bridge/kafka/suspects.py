"""Records that are not processed like all others: those that failed, and those that may have killed their process.

An exception while a record is processed dooms that record. The batch is aborted, its state is taken again from the log,
and the record is set aside by itself when it comes again.

A process that is killed (memory, liveness, a fault in a C library) says nothing. So its successor is careful: it finds
that the former owner of a partition did not let go, and reads the first records one by one. Before each it notes beside
the committed offset that this record is processed alone; the note of the next record travels in the transaction of the
one before. If a process ends while that note stands, the record has killed twice: once in a batch, once alone. The next
owner dooms it as ``poison``. After half a second without harm portions grow, so a deep backlog narrows the fault down
in a few more starts. A healthy process writes no note.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.errors import FlowbridgeError
from bridge.kafka.log import LogError, Partition, Record
from bridge.kafka.records import RecordError

logger = logging.getLogger(__name__)

NOT_OF_A_RECORD = (LogError, FlowbridgeError, RecordError, OSError, MemoryError, sqlite3.Error)
"""Exceptions that no record is blamed for: Kafka's, a person's, a newer version's, and those of the machine."""

POISON_TEXT = (
    "its processing ended the process twice (killed, out of memory, or hung), the second time while nothing else was "
    "processed, so it is set aside. See why the process ended (exit code, OOM, its last log lines)"
)

_ALONE_FOR: Micros = SECOND // 2
_ALONE_AT_MOST = 500  # records
_ARMED_FOR: Micros = 10 * SECOND  # without any record
_LARGEST = 5_000
_TOLD_EVERY: Micros = MINUTE


class Care:
    """What the stages of one process share: which of them processes a record alone.

    A process that dies takes all its stages along. While two of them had a note, one note would blame an innocent
    record. Safe for several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: str | None = None
        self._known: set[str] = set()

    def is_new(self, member: str) -> bool:
        """Return True the first time that this process opens a loop under a transactional id."""
        with self._lock:
            is_new = member not in self._known
            self._known.add(member)
            return is_new

    def take(self, member: str) -> bool:
        """Return whether the member may process a record alone now."""
        with self._lock:
            if self._holder is None:
                self._holder = member
            return self._holder == member

    def give(self, member: str) -> None:
        """Let others process records alone."""
        with self._lock:
            if self._holder == member:
                self._holder = None


class Doomed(NamedTuple):
    """A record that is set aside when it comes again."""

    offset: int
    reason: Reason
    text: str


class Suspects:
    """The doomed records of a loop, and how many records its next transaction may take.

    Args:
        pace: A steady clock.

    Attributes:
        doomed: At most one record of a partition: the first one.
        size: How many records the next transaction takes; 0 for as many as there are.

    """

    def __init__(self, pace: Callable[[], Micros]) -> None:
        self._pace = pace
        self.doomed: dict[Partition, Doomed] = {}
        self.size = 0
        self._until: Micros | None = None
        self._armed_until: Micros = 0
        self._alone = 0
        self._told: dict[str, Micros] = {}

    # -- exceptions ----------------------------------------------------------------------------------------------------

    def blame(self, record: Record, error: Exception, stage: str) -> bool:
        """Doom the record whose processing raised ``error``; return False if it is doomed already."""
        place = Partition(record.topic, record.partition)
        known = self.doomed.get(place)
        if known is not None and known.offset == record.offset:
            return False
        if known is None or record.offset < known.offset:
            self.doomed[place] = Doomed(record.offset, Reason.FAILED, failure_text(error))
        self.tell(f"{stage}: {record.topic}/{record.partition}@{record.offset} is set aside", error)
        return True

    def tell(self, text: str, error: Exception) -> None:
        """Log an exception; its traceback at most once a minute for each place that raises it."""
        what, now = failure_text(error), self._pace()
        is_new = now - self._told.get(what, -_TOLD_EVERY) >= _TOLD_EVERY
        if is_new:
            self._told[what] = now
        logger.error("%s: %s", text, what, exc_info=error if is_new else None)

    # -- processes that were killed ------------------------------------------------------------------------------------

    def be_careful(self) -> None:
        """Read the next records one by one: a partition came whose owner did not let go."""
        self.size, self._until, self._alone = 1, None, 0
        self._armed_until = self._pace() + _ARMED_FOR

    @property
    def is_on(self) -> bool:
        """Return whether the next transaction differs from a healthy one."""
        if self.size and self._until is None and self._pace() >= self._armed_until:
            self.size = 0
        if self.is_alone and self._until is not None and self._pace() >= self._until:
            self.size = 2  # a record that comes much later is under no suspicion
        return bool(self.size or self.doomed)

    @property
    def is_alone(self) -> bool:
        """Return whether the next transaction takes one record, with a note before it."""
        return self.size == 1

    def find(self, queue: Iterable[Record]) -> tuple[Doomed | None, int]:
        """Return the first doomed record of a queue, and how many records stand before it."""
        number = 0
        for number, record in enumerate(queue if self.doomed else ()):
            place = Partition(record.topic, record.partition)
            doomed = self.doomed.get(place)
            if doomed is not None and record.offset >= doomed.offset:
                if record.offset == doomed.offset:
                    return doomed, number
                del self.doomed[place]  # the log no longer holds it
        return None, number

    def advance(self) -> None:
        """Learn that a portion was processed: the next one is larger once records have been alone long enough."""
        if not self.size:
            return
        if self._until is None:
            self._until = self._pace() + _ALONE_FOR
        self._alone += 1
        if self._pace() >= self._until or self._alone >= _ALONE_AT_MOST:
            self.size *= 2
        if self.size > _LARGEST:
            self.size = 0


def failure_text(error: Exception) -> str:
    """Return what an exception is and where it was raised; not its message, which may quote a payload."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}; the log has the traceback"
