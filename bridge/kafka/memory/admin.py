"""The admin client of the in-memory Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from bridge.kafka.log import (
    DENIED,
    HIDDEN,
    LEADERLESS,
    MISSING,
    Admin,
    Committed,
    LogError,
    Partition,
    TopicInfo,
    TopicSpec,
    UnansweredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bridge.kafka.memory.broker import Client, MemoryBroker
    from bridge.kafka.memory.partition import PartitionLog


class MemoryAdmin(Admin):
    """See :class:`~bridge.kafka.log.Admin`."""

    def __init__(self, broker: MemoryBroker, client: Client) -> None:
        self._broker = broker
        self._client = client

    @override
    def topics(self) -> dict[str, int]:
        with self._broker.turn(self._client):
            return {topic.name: len(topic.logs) for topic in self._broker.topics.values() if self._is_told(topic.name)}

    @override
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        asked = list(names)
        with self._broker.turn(self._client):
            denied = [name for name in asked if self._broker.denied.get(name) == "describe"]
            if denied:
                raise LogError(f"we may not describe {', '.join(denied)}")
            topics = [
                self._broker.topics[name] for name in asked if name in self._broker.topics and self._is_told(name)
            ]
            return {topic.name: TopicInfo(topic.name, topic.id, len(topic.logs), 1, topic.config) for topic in topics}

    def _is_told(self, name: str) -> bool:
        return name not in self._broker.left_out and self._broker.denied.get(name) != "describe"

    @override
    def unreadable(self, names: Iterable[str]) -> dict[str, str]:
        asked = list(names)
        with self._broker.turn(self._client):
            reasons = {"read": DENIED, "describe": HIDDEN}
            denied = {name: reasons[self._broker.denied[name]] for name in asked if name in self._broker.denied}
            known = self._broker.topics.keys() - self._broker.left_out
            return {name: MISSING for name in asked if name not in known} | denied

    @override
    def create(self, specs: Iterable[TopicSpec]) -> None:
        with self._broker.turn(self._client):
            for spec in specs:
                self._broker.create(spec)

    @override
    def start_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return self._answers(partitions, lambda log: log.start)

    @override
    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return self._answers(partitions, lambda log: log.end)

    @override
    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return self._answers(partitions, lambda log: log.stable_end)

    @override
    def offsets_at(self, partitions: Iterable[Partition], timestamp: int) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return self._answers(partitions, lambda log: log.offset_at(timestamp))

    def _answers(self, partitions: Iterable[Partition], of: Callable[[PartitionLog], int]) -> dict[Partition, int]:
        broker = self._broker
        answered: dict[Partition, int] = {}
        unanswered: dict[Partition, str] = {}
        for partition in partitions:
            topic = broker.topics.get(partition.topic)
            if broker.denied.get(partition.topic) == "describe":
                unanswered[partition] = HIDDEN
            elif topic is None or partition.topic in broker.left_out or not 0 <= partition.number < len(topic.logs):
                continue
            elif partition in broker.leaderless:
                unanswered[partition] = LEADERLESS
            else:
                answered[partition] = of(topic.logs[partition.number])
        if unanswered:
            raise UnansweredError(answered, unanswered)
        return answered

    @override
    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        asked = list(partitions)
        with self._broker.turn(self._client):
            denied = {place: HIDDEN for place in asked if self._broker.denied.get(place.topic) == "describe"}
            allowed = [place for place in asked if place not in denied]
            try:
                committed = self._broker.group(group).offsets(allowed, stable=stable)
            except LogError:
                self._broker.wait(self._broker.patience)
                committed = self._broker.group(group).offsets(allowed, stable=stable)
        if denied:
            raise UnansweredError(committed, denied)
        return committed

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
        """Do nothing: an admin client holds nothing open."""
