"""Readers without a group on librdkafka: changelogs and the ledger are restored, and the past is read again.

A reader of one partition reads until its *position* is there: the last offsets before the end are often markers, or
were compacted away, and no record ever comes from them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from typing_extensions import override

from bridge.kafka.confluent.errors import meaning, port_errors
from bridge.kafka.confluent.properties import logger
from bridge.kafka.confluent.records import records_of
from bridge.kafka.log import LogError, Partition, RangeReader, Reader, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PATIENCE = 30.0
"""Seconds without anything new; an abandoned transaction holds readers up for 20 (timeout and brokers' sweep)."""

_POLL = 0.1
_AT_ONCE = 5_000
_OF_RANGES = 1_000  # at once: fewer than a merge keeps of a partition, since pausing throws away what was fetched
_PASSING = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001 - spelt so
)


class ConfluentReader(Reader):
    """See :class:`~bridge.kafka.log.Reader`. One client, and so one set of connections, for all that it reads.

    A client takes four threads and half a megabyte. So it is opened by the first call of ``read``.
    """

    def __init__(self, properties: Mapping[str, str], patience: float = PATIENCE) -> None:
        self._properties = dict(properties)
        self._consumer: Consumer | None = None
        self._patience = patience

    @override
    def read(self, partition: Partition, start: int, end: int) -> Iterator[list[Record]]:
        if start >= end:
            return
        consumer = self._consumer = self._consumer or Consumer(self._properties, logger=logger)
        with port_errors():
            # Tells the client who leads the topic's partitions; otherwise it asks up to a second later.
            consumer.list_topics(partition.topic, timeout=self._patience)
            watermarks = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=self._patience)
        if watermarks is None or watermarks[0] < 0:
            raise LogError(
                f"where {partition.topic}/{partition.number} begins is not known: Kafka answered {watermarks}"
            )
        # A partition whose records have all expired starts at its end: a position below its start never moves.
        start = max(start, watermarks[0])
        if start >= end:
            return
        place = TopicPartition(*partition, start)
        consumer.assign([place])
        position, heard = start, time.monotonic()
        while position < end:
            records = _polled(consumer, _POLL)
            if records and records[0].partition != partition.number:
                records = [record for record in records if record[:2] == partition]
            with port_errors():
                moved = max(consumer.position([place])[0].offset, position)
            if moved == position and time.monotonic() - heard > self._patience:
                raise LogError(f"{partition.topic}/{partition.number} does not go on at {position}, before {end}")
            if moved > position:
                position, heard = moved, time.monotonic()
            if records and (records[-1].offset >= end or records[0].offset < start):
                records = [record for record in records if start <= record.offset < end]
            if records:
                yield records
                heard = time.monotonic()  # the caller may have taken long
        consumer.unassign()

    @override
    def rest(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    @override
    def close(self) -> None:
        self.rest()


class ConfluentRangeReader(RangeReader):
    """See :class:`~bridge.kafka.log.RangeReader`."""

    def __init__(self, properties: Mapping[str, str], starts: Mapping[Partition, int]) -> None:
        self._consumer = Consumer(dict(properties), logger=logger)
        self._positions = dict(starts)
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in starts.items()])

    @override
    def poll(self, seconds: float) -> list[Record]:
        return _polled(self._consumer, seconds, _OF_RANGES)

    @override
    def positions(self) -> dict[Partition, int]:
        asked = [TopicPartition(*partition) for partition in self._positions]
        with port_errors():
            places = self._consumer.position(asked)
        for place in places:
            if place.offset >= 0:  # unknown before the first record
                self._positions[Partition(place.topic, place.partition)] = place.offset
        return dict(self._positions)

    @override
    def pause(self, partitions: Iterable[Partition]) -> None:
        with port_errors():
            self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    @override
    def resume(self, partitions: Iterable[Partition]) -> None:
        with port_errors():
            self._consumer.resume([TopicPartition(*partition) for partition in partitions])

    @override
    def close(self) -> None:
        self._consumer.close()


def _polled(consumer: Consumer, seconds: float, limit: int = _AT_ONCE) -> list[Record]:
    """Return up to ``limit`` of the records that a consumer has, or an empty list after ``seconds``.

    Raises:
        LogError: An error that does not pass by itself.

    """
    with port_errors():
        first = consumer.poll(seconds)
        messages: list[Message] = [] if first is None else [first]
        if first is not None and first.error() is None:
            messages.extend(consumer.consume(limit - 1, 0))
    records, errors = records_of(messages)
    for message in errors:
        error = message.error()
        if error is not None and error.code() not in _PASSING:
            raise meaning(error)
    return records
