"""A member of a group of the in-memory Kafka, and a reader without a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from bridge.kafka.log import (
    DENIED,
    FETCHED_BYTES,
    MISSING,
    FencedError,
    GroupConsumer,
    LogError,
    OffsetLostError,
    Partition,
    RangeReader,
    Reader,
    Rebalance,
    Record,
    UnfetchableError,
    UnreadableTopicError,
)
from bridge.kafka.memory.broker import Client, MemoryBroker
from bridge.kafka.memory.group import GroupMetadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bridge.kafka.memory.group import Group, Member

_READ_AT_ONCE = 1_000


class MemoryConsumer(GroupConsumer):
    """See :class:`~bridge.kafka.log.GroupConsumer`. Partitions are served in turn, from poll to poll."""

    def __init__(self, broker: MemoryBroker, client: Client, group: str, instance: str | None) -> None:
        self._broker = broker
        self._client = client
        self._name = group
        self._instance = instance
        self._topics: frozenset[str] = frozenset()
        self._rebalance: Rebalance | None = None
        self._member: Member | None = None
        self._standing_by: Member | None = None  # was told that nothing is left for it
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._last: Partition | None = None
        self._topic_changes = -1
        self._refused: set[str] = set()  # topics that cannot be read, told once

    @property
    def _group(self) -> Group:
        return self._broker.group(self._name)

    @override
    def subscribe(self, topics: Iterable[str], rebalance: Rebalance) -> None:
        with self._broker.turn(self._client):
            self._topics = frozenset(topics)
            self._rebalance = rebalance
            if self._member is None:
                self._join()
            elif self._group.has(self._member):
                self._member.topics = self._topics
                self._group.rebalance()
            self._broker.notify()

    def _join(self) -> None:
        self._member = self._group.join(self._client, self._instance, self._topics)

    @override
    def poll(self, seconds: float, limit: int = 500) -> list[Record]:
        records = self._poll_now(limit)
        if not records and self._broker.patience > 0:  # without it nothing can change meanwhile
            with self._broker.turn(self._client):
                self._broker.wait(seconds)
            records = self._poll_now(limit)
        return records

    def _poll_now(self, limit: int) -> list[Record]:
        while self._serve_rebalance():
            pass
        with self._broker.turn(self._client):
            unreadable = (self._topics & self._broker.denied.keys()) | (self._topics - self._broker.topics.keys())
            self._refused &= unreadable
            untold = sorted(unreadable - self._refused)
            if untold:
                self._refused.add(untold[0])
                raise UnreadableTopicError(untold[0], DENIED if untold[0] in self._broker.denied else MISSING)
            return self._fetch(limit)

    def _serve_rebalance(self) -> bool:
        """Do one step of a rebalance, calling out without the lock; return whether there was one to do."""
        with self._broker.turn(self._client):
            if self._member is None or self._rebalance is None:
                return False
            rebalance, group, member = self._rebalance, self._group, self._member
            if self._topic_changes != self._broker.topic_changes:
                self._topic_changes = self._broker.topic_changes
                group.watch_topics()
            if group.fenced(member):
                raise FencedError(f"another member of {self._name} goes by the name {self._instance}")
            expelled = not group.has(member)
            leaving = sorted(member.owned) if expelled else group.to_give_up(member)
            taken = [] if expelled or leaving else group.take_on(member)
            if expelled and not leaving:
                self._join()
                return True
        if leaving:
            self._paused.difference_update(leaving)
            try:
                (rebalance.lost if expelled else rebalance.revoked)(leaving)
            finally:
                with self._broker.turn(self._client):
                    for partition in leaving:
                        self._positions.pop(partition, None)
                        self._paused.discard(partition)
                    group.given_up(member, leaving)
                    self._broker.notify()
        elif taken or (not member.owned and self._standing_by is not member):
            self._standing_by = None if taken else member
            self._positions.update(rebalance.assigned(taken))
        return bool(leaving or taken)

    def _fetch(self, limit: int) -> list[Record]:
        topics = self._broker.topics
        order = sorted(self._positions)
        following = [partition for partition in order if self._last is None or partition > self._last]
        records: list[Record] = []
        for partition in [*following, *order[: len(order) - len(following)]]:
            topic = topics.get(partition.topic)
            if partition in self._paused or topic is None or partition.number >= len(topic.logs):
                continue
            if partition in self._broker.leaderless or partition.topic in self._broker.denied:
                continue
            position = self._positions[partition]
            log = topic.logs[partition.number]
            if self._broker.unfetchable.get(partition) == position:
                if records:
                    break
                self._paused.add(partition)
                raise UnfetchableError(partition, position, "its compression is unknown")
            if not log.holds(position):
                if records:
                    break
                self._paused.add(partition)
                raise OffsetLostError(partition, position)
            fetched, behind = log.fetch(position, limit - len(records), FETCHED_BYTES)
            bad = self._broker.unfetchable.get(partition)
            if bad is not None and position <= bad < behind:
                fetched, behind = [record for record in fetched if record.offset < bad], bad
            self._positions[partition] = behind
            records += fetched
            if fetched:
                self._last = partition
            if len(records) >= limit:
                break
        return records

    @override
    def positions(self) -> dict[Partition, int]:
        with self._broker.turn(self._client):
            return dict(self._positions)

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        with self._broker.turn(self._client):
            if partition not in self._positions:
                raise LogError(f"cannot seek in {partition.topic}/{partition.number}: it is not assigned")
            self._positions[partition] = offset

    @override
    def pause(self, partitions: Iterable[Partition]) -> None:
        with self._broker.turn(self._client):
            self._paused.update(partitions)

    @override
    def resume(self, partitions: Iterable[Partition]) -> None:
        with self._broker.turn(self._client):
            self._paused.difference_update(partitions)

    @override
    def metadata(self) -> GroupMetadata:
        with self._broker.turn(self._client):
            member = self._member
            if member is None or not (self._group.has(member) or self._group.fenced(member)):
                # The client hears of its expulsion in the background, and forgets its member id at once.
                return GroupMetadata(self._name, "", -1, self._instance)
            return GroupMetadata(self._name, member.id, member.generation, self._instance)

    @override
    def close(self) -> None:
        with self._broker.turn(self._client):
            member = self._member
            if member is None or self._rebalance is None:
                return
            rebalance, owned = self._rebalance, sorted(member.owned)
            in_group = self._group.has(member)
        try:
            if owned:
                (rebalance.revoked if in_group else rebalance.lost)(owned)
        finally:
            with self._broker.turn(self._client):
                self._member = None
                self._positions.clear()
                member.owned.clear()
                if self._instance is None:
                    self._group.leave(member)
                else:  # a static member does not leave; only nothing is heard of it from now on
                    member.client = Client()
                    member.client.stall(self._broker.clock())
                self._broker.notify()


class MemoryReader(Reader):
    """See :class:`~bridge.kafka.log.Reader`. Its patience is the broker's."""

    def __init__(self, broker: MemoryBroker, client: Client, *, hidden: bool = False) -> None:
        self._broker = broker
        self._client = client
        self._hidden = hidden

    @override
    def read(self, partition: Partition, start: int, end: int) -> Iterator[list[Record]]:
        with self._broker.turn(self._client):
            position = max(start, self._broker.log(partition).start)
        while position < end:
            with self._broker.turn(self._client):
                for _ in range(2):
                    log = self._broker.log(partition)
                    begin = max(position, log.start)
                    visible_end = log.end if self._hidden else log.stable_end
                    if visible_end > begin and partition not in self._broker.leaderless:
                        records, position = log.fetch(begin, _READ_AT_ONCE, hidden=self._hidden)
                        break
                    self._broker.wait(self._broker.patience)
                else:
                    raise LogError(f"{partition.topic}/{partition.number} does not go on at {position}")
            within = [record for record in records if record.offset < end]
            if within:
                yield within

    @override
    def close(self) -> None:
        """Do nothing: a reader holds nothing open."""


class MemoryRangeReader(RangeReader):
    """See :class:`~bridge.kafka.log.RangeReader`. Partitions are served in turn, from poll to poll."""

    def __init__(self, broker: MemoryBroker, client: Client, starts: Mapping[Partition, int]) -> None:
        self._broker = broker
        self._client = client
        self._positions = dict(starts)
        self._paused: set[Partition] = set()

    @override
    def poll(self, seconds: float) -> list[Record]:
        with self._broker.turn(self._client):
            for partition in list(self._positions):
                log, position = self._broker.log(partition), self._positions[partition]
                if partition in self._paused or partition in self._broker.leaderless or position >= log.stable_end:
                    continue
                records, self._positions[partition] = log.fetch(max(position, log.start), _READ_AT_ONCE)
                if records:
                    self._positions[partition] = self._positions.pop(partition)  # to the end of the turns
                    return records
            self._broker.wait(seconds)
        return []

    @override
    def positions(self) -> dict[Partition, int]:
        return dict(self._positions)

    @override
    def pause(self, partitions: Iterable[Partition]) -> None:
        self._paused.update(partitions)

    @override
    def resume(self, partitions: Iterable[Partition]) -> None:
        self._paused.difference_update(partitions)

    @override
    def close(self) -> None:
        """Do nothing: a reader holds nothing open."""
