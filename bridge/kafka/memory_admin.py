"""The admin client of the in-memory Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from bridge.kafka.log import Admin, Committed, LogError, Partition, TopicInfo, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.kafka.memory_broker import MemoryBroker
    from bridge.kafka.memory_client import Client
    from bridge.kafka.memory_partition import PartitionLog


class MemoryAdmin(Admin):
    """See :class:`~bridge.kafka.log.Admin`."""

    def __init__(self, broker: MemoryBroker, client: Client) -> None:
        self._broker = broker
        self._client = client

    @override
    def topics(self) -> dict[str, int]:
        with self._broker.turn(self._client):
            return {topic.name: len(topic.logs) for topic in self._broker.topics.values()}

    @override
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        with self._broker.turn(self._client):
            topics = [self._broker.topics[name] for name in names if name in self._broker.topics]
            return {topic.name: TopicInfo(topic.name, topic.id, len(topic.logs), 1, topic.config) for topic in topics}

    @override
    def create(self, specs: Iterable[TopicSpec]) -> None:
        with self._broker.turn(self._client):
            for spec in specs:
                self._broker.create(spec)

    @override
    def start_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return {log.partition: log.start for log in self._logs(partitions)}

    @override
    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return {log.partition: log.end for log in self._logs(partitions)}

    @override
    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return {log.partition: log.stable_end for log in self._logs(partitions)}

    @override
    def offsets_at(self, partitions: Iterable[Partition], timestamp: int) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return {log.partition: log.offset_at(timestamp) for log in self._logs(partitions)}

    def _logs(self, partitions: Iterable[Partition]) -> list[PartitionLog]:
        counts = {topic.name: len(topic.logs) for topic in self._broker.topics.values()}
        return [self._broker.log(p) for p in partitions if 0 <= p.number < counts.get(p.topic, 0)]

    @override
    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        asked = list(partitions)
        with self._broker.turn(self._client):
            try:
                return self._broker.group(group).offsets(asked, stable=stable)
            except LogError:
                self._broker.wait(self._broker.patience)
                return self._broker.group(group).offsets(asked, stable=stable)

    @override
    def fence(self, transactional_id: str) -> None:
        with self._broker.turn(self._client):
            self._broker.transactions.fence(transactional_id)

    @override
    def purge(self, offsets: Mapping[Partition, int]) -> None:
        with self._broker.turn(self._client):
            for partition, offset in offsets.items():
                self._broker.log(partition).purge(offset)

    @override
    def close(self) -> None:
        """Let go: nothing is held."""
