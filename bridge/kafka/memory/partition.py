"""One partition of the in-memory Kafka: offsets, transactions' markers, and what a committed reader may see.

As in Kafka, a marker takes an offset, aborted records keep theirs, and nobody reads past the first record of a
transaction that is still open (the stable end).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bridge.kafka.log import LogError, Record

if TYPE_CHECKING:
    from bridge.kafka.log import Headers, Partition

_BATCH_OVERHEAD = 70  # bytes of a batch of one record beyond its key, value and headers


class Outcome(Enum):
    """The state of a transaction."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


class OffsetKeeper(Protocol):
    """Keeps the offsets of a transaction: a consumer group."""

    def settle(self, transaction: Transaction) -> None:
        """Take over, or forget, the offsets that were pending with ``transaction``."""


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction: where it wrote, and the offsets that it carries."""

    producer: str
    started: int
    outcome: Outcome = Outcome.OPEN
    broken: str = ""
    logs: list[PartitionLog] = field(default_factory=list)
    groups: list[OffsetKeeper] = field(default_factory=list)

    def end(self, outcome: Outcome, now: int) -> None:
        """End it: markers go to every partition that it wrote to, its offsets to their groups."""
        self.outcome = outcome
        for log in self.logs:
            log.mark(self, now)
        for group in self.groups:
            group.settle(self)


class Message(NamedTuple):
    """A record without its place, as a publisher sends it."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    def size(self) -> int:
        """Return its bytes in the log, as Kafka counts a batch of one record."""
        headers = sum(len(name) + len(content) for name, content in self.headers)
        return _BATCH_OVERHEAD + len(self.key or b"") + len(self.value or b"") + headers


class _Entry(NamedTuple):
    record: Record
    transaction: Transaction | None
    marker: bool

    def visible(self) -> bool:
        if self.marker:
            return False
        return self.transaction is None or self.transaction.outcome is Outcome.COMMITTED


def _offset(entry: _Entry) -> int:
    return entry.record.offset


class PartitionLog:
    """The log of one partition. ``start`` is the first offset still held, ``end`` the high watermark."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.start = 0
        self.end = 0
        self._entries: list[_Entry] = []
        self._open: dict[Transaction, int] = {}

    @property
    def stable_end(self) -> int:
        """The first offset that a committed reader may not see yet."""
        return min(self._open.values(), default=self.end)

    def holds(self, offset: int) -> bool:
        """Return whether a reader may stand at ``offset``."""
        return self.start <= offset <= self.end

    def append(self, timestamp: int, message: Message, transaction: Transaction | None) -> int:
        """Append a record and return its offset."""
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = self.end
            transaction.logs.append(self)
        return self._add(timestamp, message, transaction, marker=False)

    def mark(self, transaction: Transaction, timestamp: int) -> None:
        """Append the marker that ends ``transaction`` here."""
        if self._open.pop(transaction, None) is None:
            return  # what it wrote here was truncated
        self._add(timestamp, Message(None, None), transaction, marker=True)

    def _add(self, timestamp: int, message: Message, transaction: Transaction | None, *, marker: bool) -> int:
        offset = self.end
        record = Record(*self.partition, offset, timestamp, message.key, message.value, tuple(message.headers))
        self._entries.append(_Entry(record, transaction, marker))
        self.end += 1
        return offset

    def fetch(self, offset: int, limit: int, size: float = inf, *, hidden: bool = False) -> tuple[list[Record], int]:
        """Return up to ``limit`` committed records from ``offset`` on, and the position behind them.

        At the last visible record the position is the stable end: behind the markers. The records have at most ``size``
        bytes of values, but at least one record is returned. With ``hidden`` all records are returned, to the true end.
        """
        records: list[Record] = []
        fetched = 0
        visible_end = self.end if hidden else self.stable_end
        for index in range(bisect_left(self._entries, offset, key=_offset), len(self._entries)):
            entry = self._entries[index]
            if entry.record.offset >= visible_end:
                break
            if len(records) == limit:
                return records, max(offset, records[-1].offset + 1 if records else 0)
            if not entry.marker if hidden else entry.visible():
                fetched += len(entry.record.value or b"")
                if records and fetched > size:
                    return records, entry.record.offset
                records.append(entry.record)
        return records, max(offset, visible_end)

    def purge(self, offset: int) -> None:
        """Delete everything below ``offset``.

        Raises:
            LogError: The offset lies behind the end.

        """
        if offset > self.end:
            raise LogError(f"cannot purge {self.partition} below {offset}: it ends at {self.end}")
        self.start = max(self.start, offset)
        del self._entries[: bisect_left(self._entries, self.start, key=_offset)]

    def truncate(self, offset: int) -> None:
        """Lose everything from ``offset`` on, and what is open there."""
        del self._entries[bisect_left(self._entries, offset, key=_offset) :]
        self.end = min(self.end, offset)
        self._open = {transaction: begin for transaction, begin in self._open.items() if begin < self.end}

    def compact(self, oldest_tombstone: int) -> None:
        """Keep the last record of each key below the stable end; tombstones older than the timestamp go too."""
        stable_end = self.stable_end
        closed = [entry for entry in self._entries if entry.record.offset < stable_end]
        last = {entry.record.key: entry.record.offset for entry in closed if entry.visible()}
        kept = [
            entry
            for entry in closed
            if entry.visible()
            and last[entry.record.key] == entry.record.offset
            and (entry.record.value is not None or entry.record.timestamp >= oldest_tombstone)
        ]
        self._entries = kept + self._entries[len(closed) :]

    def offset_at(self, timestamp: int) -> int:
        """Return the first offset at or after ``timestamp`` (ms), or the end."""
        offsets = (entry.record.offset for entry in self._entries if entry.record.timestamp >= timestamp)
        return next(offsets, self.end)
