"""An in-memory Kafka: topics, transactions and groups behind one lock and one clock.

It does what Kafka 4 does as far as the port in :mod:`bridge.kafka.log` can show it. ``tests/contract/test_log.py``
holds it and real brokers to the same promises. Nothing happens by itself: the first call after a timeout acts on it,
so a run with a set clock is the same run every time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bridge.kafka.log import Headers, LogError, Partition, TopicSpec
from bridge.kafka.memory.group import Group
from bridge.kafka.memory.partition import Message, PartitionLog
from bridge.kafka.memory.producer import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bridge.kafka.memory.partition import Transaction

SESSION_TIMEOUT = 6_000
"""Milliseconds after which a silent member loses its partitions."""

TRANSACTION_TIMEOUT = 10_000
"""Milliseconds after which an open transaction is aborted and its producer fenced."""

_DEFAULTS = {
    "cleanup.policy": "delete",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
}


class CrashedError(RuntimeError):
    """A client that crashed is used again: an error of the test, never of Kafka."""


class Client:
    """A client heartbeats in the background, as librdkafka does, unless it is stalled or has crashed."""

    def __init__(self) -> None:
        self._silent_since: int | None = None
        self._crashed = False

    def crash(self, now: int) -> None:
        """Stop for good."""
        self.stall(now)
        self._crashed = True

    def stall(self, now: int) -> None:
        """Stand still, as under SIGSTOP, until the next call."""
        if self._silent_since is None:
            self._silent_since = now

    def wake(self) -> None:
        """End a stall: the client has called.

        Raises:
            CrashedError: The client has crashed.

        """
        if self._crashed:
            raise CrashedError("this client has crashed; make another MemoryLog")
        self._silent_since = None

    def silent_for(self, now: int) -> int:
        """Return for how many ms the client has been silent; -1 while it heartbeats."""
        return -1 if self._silent_since is None else now - self._silent_since


@dataclass
class Topic:
    """A topic. Its ``id`` changes when the topic is deleted and created again."""

    name: str
    id: str
    config: dict[str, str]
    logs: list[PartitionLog]

    @property
    def compacted(self) -> bool:
        """Whether records need a key."""
        return "compact" in self.config["cleanup.policy"]


class _Turn:
    """One call of a client, under the broker's lock; a class, since a simulation takes thousands of turns a second."""

    __slots__ = ("_broker", "_client")

    def __init__(self, broker: MemoryBroker, client: Client | None) -> None:
        self._broker = broker
        self._client = client

    def __enter__(self) -> None:
        self._broker.enter(self._client)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.leave()


@dataclass
class MemoryBroker:
    """All of an in-memory Kafka.

    Attributes:
        clock: The time in ms; simulations set it.
        topic_changes: How often topics came, went or grew.
        patience: Seconds (real time) that a call waits at most for another thread. 0, for runs in one thread, makes
            every call answer at once.
        leaderless: Partitions without a leader. Questions about their offsets get no answer, nothing of them is read,
            and nothing is written to them. What they hold is back with their leader.
        left_out: Topics that the broker which answers the admin client has not heard of: its answers leave them out, as
            if they did not exist. Members and producers, which ask other brokers, go on.
        denied: Topics that we may not ``"read"``, or not even ``"describe"``.
        unfetchable: Partitions with a batch that no client can read, and the offset of it.

    """

    clock: Callable[[], int]
    patience: float = 0.0
    session_timeout: int = SESSION_TIMEOUT
    transaction_timeout: int = TRANSACTION_TIMEOUT
    topics: dict[str, Topic] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    transactions: Transactions = field(init=False)
    topic_changes: int = 0
    leaderless: set[Partition] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    denied: dict[str, Literal["read", "describe"]] = field(default_factory=dict)
    unfetchable: dict[Partition, int] = field(default_factory=dict)
    _created: int = 0
    _expired: int = -1
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.clock, self.notify)

    def turn(self, client: Client | None = None) -> _Turn:
        """Return the lock for one call of ``client``; what has timed out by now happens first."""
        return _Turn(self, client)

    def enter(self, client: Client | None) -> None:
        """Begin a turn; see :meth:`turn`."""
        self._changed.acquire()
        try:
            self._expire()
            if client is not None:
                client.wake()
        except BaseException:
            self._changed.release()
            raise

    def leave(self) -> None:
        """End a turn."""
        self._changed.release()

    def wait(self, seconds: float) -> None:
        """Wait, inside a turn, until something changes: at most ``seconds`` and the broker's patience."""
        if (wait := min(seconds, self.patience)) > 0:
            self._changed.wait(wait)
            self._expire()

    def notify(self) -> None:
        """Wake the threads that wait; called inside a turn when something has changed."""
        self._changed.notify_all()

    def _expire(self) -> None:
        now = self.clock()
        if now == self._expired:  # all timeouts depend on the clock alone
            return
        self._expired = now
        self.transactions.expire(self.transaction_timeout)
        for group in self.groups.values():
            if group.expel_silent(now, self.session_timeout):
                self.notify()

    def create(self, spec: TopicSpec) -> None:
        """Create a topic; one that exists is left as it is.

        Raises:
            LogError: Another one has the same name but for ``.`` and ``_``, which Kafka refuses.

        """
        with self.turn():
            if spec.name not in self.topics:
                rival = next((name for name in self.topics if _in_metrics(name) == _in_metrics(spec.name)), None)
                if rival is not None:
                    raise LogError(f"Topic '{spec.name}' collides with existing topic: {rival}")
                self._created += 1
                self.topic_changes += 1
                logs = [PartitionLog(Partition(spec.name, number)) for number in range(spec.partitions)]
                self.topics[spec.name] = Topic(spec.name, f"id-{self._created}", {**_DEFAULTS, **spec.config}, logs)
                self.notify()

    def delete(self, name: str) -> None:
        """Delete a topic, its records, and the groups' offsets on it."""
        with self.turn():
            self.topics.pop(name, None)
            self.topic_changes += 1
            for group in self.groups.values():
                group.forget_topic(name)
            self.notify()

    def grow(self, name: str, partitions: int) -> None:
        """Add partitions to a topic until it has as many as given."""
        with self.turn():
            logs = self.topics[name].logs
            self.topic_changes += 1
            logs.extend(PartitionLog(Partition(name, number)) for number in range(len(logs), partitions))
            self.notify()

    def compact(self, name: str) -> None:
        """Compact a topic now, up to each partition's stable end."""
        with self.turn():
            topic = self.topics[name]
            for log in topic.logs:
                log.compact(self.clock() - int(topic.config["delete.retention.ms"]))

    def expire_below(self, partition: Partition, offset: int) -> None:
        """Drop the records below ``offset``, as retention does."""
        with self.turn():
            self.log(partition).purge(offset)

    def truncate(self, partition: Partition, offset: int) -> None:
        """Lose the records from ``offset`` on, as a partition does when a replica that lagged becomes its leader."""
        with self.turn():
            self.log(partition).truncate(offset)

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp: int | None = None,
    ) -> int:
        """Append a record outside of any transaction, as other publishers do, and return its offset.

        Args:
            topic: Must exist.
            partition: Must exist.
            key: The record's key.
            value: Its value; None is a tombstone.
            headers: Its headers.
            timestamp: In ms; the clock's when left out, and always on topics with LogAppendTime.

        Raises:
            LogError: The partition has no leader; nothing is acknowledged.

        """
        with self.turn():
            if (topic, partition) in self.leaderless:
                raise LogError(f"{topic}/{partition} has no leader")
            return self._append(Partition(topic, partition), Message(key, value, headers), None, timestamp)

    def _append(
        self, partition: Partition, message: Message, transaction: Transaction | None, timestamp: int | None = None
    ) -> int:
        log = self.log(partition)
        now = self.clock()
        appended = self.topics[partition.topic].config["message.timestamp.type"] == "LogAppendTime"
        self.notify()
        return log.append(now if appended or timestamp is None else timestamp, message, transaction)

    def log(self, partition: Partition) -> PartitionLog:
        """Return a partition's log.

        Raises:
            LogError: There is none.

        """
        topic = self.topics.get(partition.topic)
        if topic is None or not 0 <= partition.number < len(topic.logs):
            raise LogError(f"there is no partition {partition.topic}/{partition.number}")
        return topic.logs[partition.number]

    def group(self, name: str) -> Group:
        """Return a group; an empty one if it was not used before."""
        if name not in self.groups:
            self.groups[name] = Group(name, self.topics)
        return self.groups[name]

    def write(self, transactional_id: str, partition: Partition, message: Message) -> None:
        """Append a record to the producer's transaction. One that Kafka would refuse breaks the transaction."""
        transaction = self.transactions.open(transactional_id)
        topic = self.topics.get(partition.topic)
        if topic is None or not 0 <= partition.number < len(topic.logs):
            transaction.broken = f"there is no partition {partition.topic}/{partition.number}"
        elif partition in self.leaderless:
            transaction.broken = f"{partition.topic}/{partition.number} has no leader"
        elif message.key is None and topic.compacted:
            transaction.broken = f"{partition.topic} is compacted: a record needs a key"
        elif message.size() > int(topic.config["max.message.bytes"]):
            transaction.broken = f"a record of {message.size()} bytes is too large for {partition.topic}"
        else:
            self._append(partition, message, transaction)


def _in_metrics(topic: str) -> str:
    return topic.replace(".", "_")
