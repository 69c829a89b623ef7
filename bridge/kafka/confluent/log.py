"""The implementation of the port to Kafka on confluent-kafka: for real brokers, and for ``dev``'s embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from bridge.kafka.confluent.admin import ConfluentAdmin, SharedClient
from bridge.kafka.confluent.consumer import ConfluentConsumer
from bridge.kafka.confluent.embedded import EmbeddedAdmin
from bridge.kafka.confluent.producer import ConfluentProducer, EmbeddedProducer
from bridge.kafka.confluent.properties import (
    consumer_properties,
    producer_properties,
    range_properties,
    reader_properties,
)
from bridge.kafka.confluent.reader import PATIENCE, ConfluentRangeReader, ConfluentReader
from bridge.kafka.log import Log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.kafka.log import Partition

SESSION_MS = 6_000
"""A dead member's partitions move after this."""

HEARTBEAT_MS = 1_000
"""Milliseconds between two heartbeats of a member."""

TRANSACTION_MS = 10_000
"""An abandoned transaction is aborted after this, at the brokers' next sweep."""


class ConfluentLog(Log):
    """A connection to one cluster.

    Args:
        config: librdkafka properties, ``bootstrap.servers`` among them. Those that the stages rest on (transactions,
            isolation, assignment) are set here, whatever this says.
        embedded: The cluster is librdkafka's mock cluster (:class:`bridge.kafka.confluent.embedded.EmbeddedBroker`).
        session_ms: A member that is silent for so long loses its partitions.
        heartbeat_ms: How often a member shows that it lives.
        transaction_ms: How long a transaction may be open.
        patience: Seconds that a reader waits for something new.

    """

    def __init__(
        self,
        config: Mapping[str, str],
        *,
        embedded: bool = False,
        session_ms: int = SESSION_MS,
        heartbeat_ms: int = HEARTBEAT_MS,
        transaction_ms: int = TRANSACTION_MS,
        patience: float = PATIENCE,
    ) -> None:
        self._config = dict(config)
        self._shared = SharedClient(config)
        self._embedded = embedded
        self._session_ms = session_ms
        self._heartbeat_ms = heartbeat_ms
        self._transaction_ms = transaction_ms
        self._patience = patience

    @override
    def consumer(self, group: str, *, instance: str | None = None) -> ConfluentConsumer:
        return ConfluentConsumer(
            consumer_properties(self._config, group, instance, self._session_ms, self._heartbeat_ms)
        )

    @override
    def producer(self, transactional_id: str) -> ConfluentProducer:
        properties = producer_properties(self._config, transactional_id, self._transaction_ms)
        return EmbeddedProducer(properties) if self._embedded else ConfluentProducer(properties)

    @override
    def reader(self, *, hidden: bool = False) -> ConfluentReader:
        return ConfluentReader(reader_properties(self._config, hidden=hidden), self._patience)

    @override
    def ranges(self, starts: Mapping[Partition, int]) -> ConfluentRangeReader:
        return ConfluentRangeReader(range_properties(self._config), starts)

    @override
    def admin(self) -> ConfluentAdmin:
        return (EmbeddedAdmin if self._embedded else ConfluentAdmin)(self._config, self._shared)
