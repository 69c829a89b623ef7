"""Merge partitions by record time, in bounded memory.

Of each partition up to :data:`BUFFERED` records or :data:`BUFFERED_BYTES` of values wait until they are the oldest. A
partition with more is paused. A partition that has no record left in its range does not hold up the others: its
position has reached the end of its range, also where the last offsets are markers or were compacted away.

The time of a record is its timestamp, and never before that of the record in front of it in its partition. So each
partition stays in order, whatever its publishers wrote. A timestamp that is more than a day ahead
cannot be true, as for a router: the record counts as if it had that of the record in front of it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import LogError, Partition, RangeReader, Record

BUFFERED = 2_000
"""Records of one partition that wait, before it is paused."""

BUFFERED_BYTES = 4 * 1024 * 1024
"""Bytes of values of one partition that wait, before it is paused."""

PATIENCE: Micros = 30 * SECOND
"""How long Kafka may be silent about a range that is not over; an abandoned transaction holds readers up for 20 s."""

TOGETHER = 200
"""Records that are given at once where their order does not matter: their events fit into a processor's cache."""

_POLL = 0.1  # seconds


class Timed(NamedTuple):
    """A record and its time in the merged order, in milliseconds."""

    time: int
    record: Record


@dataclass
class _Lane:
    """The records of one partition that wait."""

    end: int
    records: deque[Timed] = field(default_factory=deque)
    size: int = 0
    newest: int = 0
    is_paused: bool = False
    is_over: bool = False

    @property
    def is_full(self) -> bool:
        return len(self.records) >= BUFFERED or self.size >= BUFFERED_BYTES


def merged(
    reader: RangeReader, ends: Mapping[Partition, int], pace: Callable[[], Micros], latest: int
) -> Iterator[Timed]:
    """Yield the records before the ends, the oldest first; of equal times, partition by partition.

    Args:
        reader: Reads the partitions from their beginnings.
        ends: Offset behind the last record of each range.
        pace: A steady clock.
        latest: Timestamps behind this one (in milliseconds) cannot be true: they count as that of the record before.

    Raises:
        LogError: Kafka was silent for too long, or reported trouble that stays.

    """
    lanes = {partition: _Lane(end) for partition, end in ends.items()}
    _look(lanes, reader)
    waiting = [partition for partition, lane in lanes.items() if not lane.is_over]  # without a record at hand
    first: list[tuple[int, Partition]] = []  # the oldest record of each partition that has one
    while waiting or first:
        heard = pace()  # the caller may have taken long
        while waiting:
            heard = _fill(lanes, reader, pace, heard, latest)
            still = []
            for partition in waiting:
                lane = lanes[partition]
                if lane.records:
                    heapq.heappush(first, (lane.records[0].time, partition))
                elif not lane.is_over:
                    still.append(partition)
            waiting = still
        if not first:
            return
        _, partition = first[0]
        lane = lanes[partition]
        timed = lane.records.popleft()
        lane.size -= len(timed.record.value or b"")
        if lane.records:
            heapq.heapreplace(first, (lane.records[0].time, partition))
        else:
            heapq.heappop(first)
            if not lane.is_over:
                waiting.append(partition)
        is_low = len(lane.records) < BUFFERED // 2 and lane.size < BUFFERED_BYTES // 2
        if lane.is_paused and is_low and not lane.is_over:
            lane.is_paused = False
            reader.resume([partition])
        yield timed


def in_any_order(
    reader: RangeReader, ends: Mapping[Partition, int], pace: Callable[[], Micros], latest: int
) -> Iterator[list[Timed]]:
    """Yield the records before the ends as they come, up to :data:`TOGETHER` of a partition, which stay in order.

    It raises as :func:`merged`.
    """
    lanes = {partition: _Lane(end) for partition, end in ends.items()}
    _look(lanes, reader)
    heard = pace()
    while any(not lane.is_over for lane in lanes.values()):
        heard = _fill(lanes, reader, pace, heard, latest)
        for partition, lane in lanes.items():
            if lane.records:
                while lane.records:
                    yield [lane.records.popleft() for _ in range(min(TOGETHER, len(lane.records)))]
                lane.size, heard = 0, pace()
            if lane.is_paused and not lane.is_over:
                lane.is_paused = False
                reader.resume([partition])


def _fill(
    lanes: Mapping[Partition, _Lane], reader: RangeReader, pace: Callable[[], Micros], heard: Micros, latest: int
) -> Micros:
    """Poll once; return when Kafka was last heard of."""
    try:
        records = reader.poll(_POLL)
    except LogError:
        if pace() - heard > PATIENCE:
            raise
        return heard
    topic, number, lane = "", -1, _Lane(0)
    for record in records:
        if record.partition != number or record.topic != topic:  # most are of the partition of the record before
            topic, number = record.topic, record.partition
            lane = lanes[Partition(topic, number)]
        if record.offset >= lane.end:
            lane.is_over = True
            continue
        if lane.newest < record.timestamp <= latest:
            lane.newest = record.timestamp
        lane.records.append(Timed(lane.newest, record))
        if record.value is not None:
            lane.size += len(record.value)
    has_moved = _look(lanes, reader) or bool(records)
    full = [partition for partition, lane in lanes.items() if lane.is_full and not lane.is_paused]
    for partition in full:
        lanes[partition].is_paused = True
    if full:
        reader.pause(full)
    if has_moved:
        return pace()
    if pace() - heard > PATIENCE:
        silent = ", ".join(f"{topic}/{number}" for (topic, number), lane in lanes.items() if not lane.is_over)
        raise LogError(f"no record came for {PATIENCE // SECOND} s, and these are not read to their ends: {silent}")
    return heard


def _look(lanes: Mapping[Partition, _Lane], reader: RangeReader) -> bool:
    """Note which partitions are over; return whether that is news. Those that are over are not read any more."""
    over = [
        partition
        for partition, position in reader.positions().items()
        if not lanes[partition].is_over and position >= lanes[partition].end
    ]
    over += [partition for partition, lane in lanes.items() if lane.is_over and not lane.is_paused]
    for partition in over:
        lanes[partition].is_over = lanes[partition].is_paused = True
    if over:
        reader.pause(over)
    return bool(over)
