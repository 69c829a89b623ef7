"""The clusters that the contract of the log is tried on: the one in memory, and a real one."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import GroupConsumer, Log, LogError, Partition, Record, TopicSpec
from bridge.kafka.memory.log import MemoryBroker, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATIENCE = 30.0
_MEMBER = Path(__file__).with_name("log_member.py")


T0 = time.time_ns() // 1_000_000 - 60_000
"""The timestamps of records: a minute ago. The broker may remove at any moment what is older than its retention."""


class Membership:
    """A stage's side of a rebalance: begins where ``starts`` says (0 otherwise) and writes down what it is told."""

    def __init__(self, starts: Mapping[Partition, int] | None = None) -> None:
        self.starts = dict(starts or {})
        self.owned: set[Partition] = set()
        self.told: list[tuple[str, tuple[Partition, ...]]] = []

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.told.append(("assigned", tuple(partitions)))
        self.owned.update(partitions)
        return {partition: self.starts.get(partition, 0) for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.told.append(("revoked", tuple(partitions)))
        self.owned.difference_update(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.told.append(("lost", tuple(partitions)))
        self.owned.difference_update(partitions)


class Doomed(ABC):
    """A member in a process of its own, which can be ended without leaving its group."""

    @abstractmethod
    def owns_something(self) -> bool:
        """Poll, if that is ours to do, and return whether it owns partitions."""

    @abstractmethod
    def kill(self) -> None:
        """End it as SIGKILL does."""


class Bed(ABC):
    """A cluster, and clients on it that are closed when the test is over."""

    def __init__(self) -> None:
        self._closing: list[Callable[[], None]] = []

    @abstractmethod
    def log(self) -> Log:
        """Return a connection, as another process would have it."""

    @abstractmethod
    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        """Append a record outside of transactions."""

    @abstractmethod
    def delete(self, topic: str) -> None:
        """Delete a topic."""

    @abstractmethod
    def doomed(self, group: str, topic: str) -> Doomed:
        """Start a member that will be killed."""

    @abstractmethod
    def let_session_end(self) -> None:
        """Let time pass until a silent member's session is over."""

    def topic(self, partitions: int = 1, **config: str) -> str:
        """Create a topic of the test's own and return its name."""
        name = f"t{uuid.uuid4().hex[:10]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        self.log().admin().create([TopicSpec(name, partitions, 1, settings)])
        return name

    def consumer(
        self, group: str, topics: Sequence[str], membership: Membership, *, instance: str | None = None
    ) -> GroupConsumer:
        """Return a member that has subscribed, and leaves when the test is over."""
        consumer = self.log().consumer(group, instance=instance)
        consumer.subscribe(topics, membership)
        self._closing.append(consumer.close)
        return consumer

    def close(self) -> None:
        """Close what the test left open."""
        for close in reversed(self._closing):
            close()


def until(true: Callable[[], bool], what: str, *consumers: GroupConsumer) -> list[Record]:
    """Poll the consumers until something is true, and return what they read meanwhile."""
    deadline = time.monotonic() + PATIENCE
    records: list[Record] = []
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s: {what}"
        for consumer in consumers:
            records += consumer.poll(0.1)
    return records


def take(consumer: GroupConsumer, count: int) -> list[Record]:
    """Poll until ``count`` records have come."""
    deadline = time.monotonic() + PATIENCE
    records: list[Record] = []
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records in {PATIENCE} s"
        records += consumer.poll(0.1)
    return records


class MemoryBed(Bed):
    """The cluster in memory, with a clock that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.broker = MemoryBroker(clock=lambda: self.now)

    def log(self) -> MemoryLog:
        return MemoryLog(self.broker)

    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        self.broker.append(topic, partition, key, value, timestamp=timestamp)

    def delete(self, topic: str) -> None:
        self.broker.delete(topic)

    def doomed(self, group: str, topic: str) -> Doomed:
        return _MemoryDoomed(self.log(), group, topic)

    def let_session_end(self) -> None:
        self.now += self.broker.session_timeout


class _MemoryDoomed(Doomed):
    def __init__(self, log: MemoryLog, group: str, topic: str) -> None:
        self._log = log
        self._membership = Membership()
        self._consumer = log.consumer(group)
        self._consumer.subscribe([topic], self._membership)

    def owns_something(self) -> bool:
        self._consumer.poll(0)
        return bool(self._membership.owned)

    def kill(self) -> None:
        self._log.crash()


class KafkaBed(Bed):
    """A real cluster."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__()
        self._bootstrap = bootstrap

    def log(self) -> ConfluentLog:
        return ConfluentLog({"bootstrap.servers": self._bootstrap}, patience=5.0)

    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap})
        producer.produce(topic, value, key, partition, timestamp=timestamp)
        assert producer.flush(PATIENCE) == 0

    def delete(self, topic: str) -> None:
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        admin.delete_topics([topic])[topic].result()
        until(lambda: topic not in self.log().admin().topics(), f"{topic} to be deleted")

    def doomed(self, group: str, topic: str) -> Doomed:
        doomed = _KafkaDoomed(self._bootstrap, group, topic)
        self._closing.append(doomed.kill)
        return doomed

    def let_session_end(self) -> None:
        """Do nothing: who waits for what comes of it waits for longer than a session."""


class _KafkaDoomed(Doomed):
    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        command = [sys.executable, str(_MEMBER), bootstrap, group, topic]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def owns_something(self) -> bool:
        """Wait for its only line, which it writes when it owns partitions."""
        assert self._process.stdout is not None
        return self._process.stdout.readline() == "owned\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def commit_records(log: Log, topic: str, values: Sequence[bytes], name: str = "") -> None:
    """Write records to partition 0, in one transaction."""
    producer = log.producer(name or f"w{uuid.uuid4().hex[:10]}")
    producer.init()
    producer.begin()
    for value in values:
        producer.send(topic, 0, value, value)
    producer.commit()
    producer.close()


def eventually(call: Callable[[], object], what: str) -> None:
    """Try a call again while it raises LogError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(LogError):
            call()
            return
    pytest.fail(f"waited {PATIENCE} s: {what}")
