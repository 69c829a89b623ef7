"""The in-memory implementation of the port to Kafka, for tests, simulations and users' own tests.

One :class:`MemoryBroker` is the cluster; each :class:`MemoryLog` on it is one process that uses it::

    broker = MemoryBroker(clock=lambda: now)
    broker.create(TopicSpec("orders", 3))
    broker.append("orders", 0, b"k", b"v")
    log = MemoryLog(broker)
    consumer = log.consumer("g")

A process dies by :meth:`MemoryLog.crash` and stands still by :meth:`MemoryLog.stall`; its partitions move when the
broker's clock has gone on by the session timeout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from bridge.kafka.log import Log
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.broker import Client, CrashedError, MemoryBroker
from bridge.kafka.memory.consumer import MemoryConsumer, MemoryRangeReader, MemoryReader
from bridge.kafka.memory.producer import MemoryProducer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.kafka.log import Partition

__all__ = ["CrashedError", "MemoryBroker", "MemoryLog"]


class MemoryLog(Log):
    """One process's connection to a :class:`MemoryBroker`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._client = Client()

    @override
    def consumer(self, group: str, *, instance: str | None = None) -> MemoryConsumer:
        return MemoryConsumer(self.broker, self._client, group, instance)

    @override
    def producer(self, transactional_id: str) -> MemoryProducer:
        return MemoryProducer(self.broker, self._client, transactional_id)

    @override
    def reader(self, *, hidden: bool = False) -> MemoryReader:
        return MemoryReader(self.broker, self._client, hidden=hidden)

    @override
    def ranges(self, starts: Mapping[Partition, int]) -> MemoryRangeReader:
        return MemoryRangeReader(self.broker, self._client, starts)

    @override
    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self.broker, self._client)

    def crash(self) -> None:
        """Die as by SIGKILL: nothing is left properly, and every later call raises :class:`CrashedError`."""
        self._client.crash(self.broker.clock())

    def stall(self) -> None:
        """Stand still as by SIGSTOP: no heartbeats until the next call of anything of this log."""
        self._client.stall(self.broker.clock())
