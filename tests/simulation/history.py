"""What the logs of a simulated world have held: all committed records, also those that are purged or compacted by now.

Reads the in-memory partitions by itself, not as consumers do: what a deliberate fault does to consumers must not change
what the checks see.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from bridge.kafka.log import Partition, Record
from bridge.kafka.memory.log import MemoryBroker
from bridge.kafka.memory.partition import PartitionLog
from simulation.versions import Format


def committed_records(log: PartitionLog, start: int, end: int) -> list[Record]:
    """Return the committed records of [start, end)."""
    first = bisect_left(log._entries, start, key=lambda entry: entry.record.offset)
    return [entry.record for entry in log._entries[first:] if entry.record.offset < end and entry.visible()]


def stable_end(log: PartitionLog) -> int:
    """Return the first offset that nobody may read yet."""
    return min(log._open.values(), default=log.end)


class History:
    """All committed records of some topics, in order of their partitions."""

    def __init__(self, broker: MemoryBroker, topics: Iterable[str], format_: Format | None = None) -> None:
        self._format = format_
        self._broker = broker
        self._seen: dict[Partition, list[Record]] = {
            log.partition: [] for topic in topics for log in broker.topics[topic].logs
        }
        self._up_to = dict.fromkeys(self._seen, 0)

    def note(self) -> None:
        """Read on; to be called before anything is removed from a log."""
        for place, seen in self._seen.items():
            log = self._broker.topics[place.topic].logs[place.number]
            if (end := stable_end(log)) > self._up_to[place]:
                records = committed_records(log, self._up_to[place], end)
                seen.extend(records if self._format is None else map(self._format.read, records))
                self._up_to[place] = end

    def records(self, topic: str) -> list[Record]:
        """Return all committed records of a topic so far."""
        self.note()
        return [record for place, seen in self._seen.items() if place.topic == topic for record in seen]

    def between(self, place: Partition, start: int, end: int) -> list[Record]:
        """Return the committed records of a partition in [start, end)."""
        self.note()
        seen = self._seen[place]
        first = bisect_left(seen, start, key=lambda record: record.offset)
        return [record for record in seen[first:] if record.offset < end]
