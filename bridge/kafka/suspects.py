"""Records that failed, and records that may have killed their process: each is processed apart from the others.

An exception while a record is processed rejects that record. The batch is aborted, its state is taken again from the
log, and the record is set aside by itself when it is read again.

A process that is killed (memory, liveness, a fault in a C library) leaves no message. So its successor is careful. It
finds that the former owner of a partition did not release it, and suspects the records that were unread at that moment.
It processes the first of them one by one. Before each, it notes at the committed offset that this record is processed
alone. The note of the next record is part of the transaction of the record before. If a process ends while that note
stands, the record may have killed twice: once in a batch, once alone. But both kills may have had other reasons, so the
next owner notes that and tries the record in a child process (:mod:`bridge.kafka.child_trial`). If the child dies, the
record is ``poison``. If not, the record is processed alone, and a process that ends even then leaves a note that is
proof enough. After half a second and some records without a kill the portions grow, so the fault in a deep backlog is
found in a few more starts. A healthy process writes no note.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.errors import FlowbridgeError
from bridge.kafka.child_trial import survives
from bridge.kafka.log import Committed, LogError, Partition, Record
from bridge.kafka.records import RecordError

logger = logging.getLogger(__name__)

NOT_OF_A_RECORD = (LogError, FlowbridgeError, RecordError, OSError, MemoryError, sqlite3.Error)
"""Exceptions that no record is blamed for: they come from Kafka, a person, a newer version, or the machine."""

POISON_TEXT = (
    "its processing ended the process twice (killed, out of memory, or hung), the second time while nothing else was "
    "processed, so it is set aside. See why the process ended (exit code, OOM, its last log lines)"
)

_ALONE_FOR: Micros = SECOND // 2
_ALONE_AT_LEAST = 20  # records: on a slow machine, half a second is over after two or three
_ALONE_AT_MOST = 500  # records
_LARGEST = 5_000
_BARRED_FOR: Micros = 10 * SECOND
_TOLD_EVERY: Micros = MINUTE


class IsolationLock:
    """Lets one stage of a process at a time process a record alone.

    A process that dies ends all its stages. If two of them had a note, one note would blame an innocent record. Safe
    for several threads.

    Args:
        survives: Does work in a child process; returns False if it certainly kills.

    Attributes:
        turns: How many records were processed alone so far.

    """

    def __init__(self, survives: Callable[[Callable[[], object]], bool] = survives) -> None:
        self.survives = survives
        self._lock = threading.Lock()
        self._holder: str | None = None
        self.turns = 0
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
            self.turns += self._holder == member
            return self._holder == member

    def give(self, member: str) -> None:
        """Let others process records alone."""
        with self._lock:
            if self._holder == member:
                self._holder = None


class RejectedRecord(NamedTuple):
    """A record that is set aside when it is read again.

    Attributes:
        offset: Its offset.
        reason: The reason of the decision.
        text: What happened.
        kills: Number of processes that ended while it was noted. After one kill, the record is tried first.

    """

    offset: int
    reason: Reason
    text: str
    kills: int = 0


class SuspectRecords:
    """The rejected records of a loop, and how many records its next transaction may take.

    Args:
        pace: A steady clock.

    Attributes:
        rejected: The first rejected record of each partition.
        ends: The offset up to which records of a partition are suspected.
        size: How many records the next transaction takes; 0 for as many as there are. At 1, suspected records are
            processed alone, and all others as ever.

    """

    def __init__(self, pace: Callable[[], Micros]) -> None:
        self._pace = pace
        self.rejected: dict[Partition, RejectedRecord] = {}
        self.ends: dict[Partition, int] = {}
        self.size = 0
        self._until: Micros | None = None
        self._alone = 0
        self._barred_since: Micros | None = None
        self._turns = 0
        self._told: dict[str, Micros] = {}

    # -- exceptions ----------------------------------------------------------------------------------------------------

    def record_failure(self, record: Record, error: Exception, stage: str) -> bool:
        """Reject the record whose processing raised ``error``; return False if it is rejected already."""
        place = Partition(record.topic, record.partition)
        known = self.rejected.get(place)
        if known is not None and known.offset == record.offset:
            return False
        if known is None or record.offset < known.offset:
            self.rejected[place] = RejectedRecord(record.offset, Reason.FAILED, failure_text(error))
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

    def suspect(self, ends: Mapping[Partition, int]) -> None:
        """Suspect the records of partitions that their owner did not release, up to these offsets."""
        if ends:
            self.ends.update(ends)
            self.size, self._until, self._alone, self._barred_since = 1, None, 0, None

    @property
    def is_on(self) -> bool:
        """Return whether the next transaction differs from a healthy one."""
        return bool(self.size or self.rejected)

    def is_alone(self, record: Record) -> bool:
        """Return whether a record is processed alone, with a note before it."""
        return self.size == 1 and record.offset < self.ends.get(Partition(record.topic, record.partition), 0)

    def portion(self, queue: deque[Record]) -> int:
        """Return how many records of a queue the next transaction takes."""
        if self.size != 1:
            return self.size or len(queue)
        return sum(1 for _ in takewhile(lambda record: not self.is_alone(record), queue)) or 1

    def find(self, queue: deque[Record]) -> tuple[RejectedRecord | None, int]:
        """Return the first rejected record of a queue, and how many records stand before it."""
        for number, record in enumerate(queue if self.rejected else ()):
            place = Partition(record.topic, record.partition)
            rejected = self.rejected.get(place)
            if rejected is not None and record.offset >= rejected.offset:
                if record.offset == rejected.offset:
                    return rejected, number
                del self.rejected[place]  # the log no longer holds it
        return None, len(queue)

    def advance(self) -> None:
        """Learn that suspected records were processed; after enough of them alone, more are taken together."""
        if not self.size:
            return
        if self._until is None:
            self._until = self._pace() + _ALONE_FOR
        self._alone += 1
        is_over = self._pace() >= self._until and self._alone >= _ALONE_AT_LEAST
        if is_over or self._alone >= _ALONE_AT_MOST:
            self.size *= 2
        if self.size > _LARGEST:
            self._acquit()

    def wait(self, turns: int) -> None:
        """Learn that another stage processes a record alone; stop waiting for it after some seconds with one record.

        Args:
            turns: How many records were processed alone so far, by all stages.

        """
        if self._barred_since is None or turns != self._turns:
            self._barred_since, self._turns = self._pace(), turns
        elif self._pace() - self._barred_since >= _BARRED_FOR:
            self._acquit()

    def passed(self, committed: Mapping[Partition, Committed]) -> None:
        """Learn the committed offsets: records before them are no longer suspected."""
        self.ends = {p: end for p, end in self.ends.items() if p in committed and committed[p].offset < end}
        if not self.ends:
            self._acquit()

    def _acquit(self) -> None:
        self.ends.clear()
        self.size = 0


def failure_text(error: Exception) -> str:
    """Return what an exception is and where it was raised; not its message, which may quote a payload."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}; the log has the traceback"
