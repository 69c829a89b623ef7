"""A transactional producer of the in-memory Kafka."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bridge.kafka.log import AbortableError, Committed, FencedError, Headers, LogError, Partition, TransactionalProducer
from bridge.kafka.memory.group import GroupMetadata
from bridge.kafka.memory.partition import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridge.kafka.memory.broker import MemoryBroker
    from bridge.kafka.memory.client import Client


class MemoryProducer(TransactionalProducer):
    """See :class:`~bridge.kafka.log.TransactionalProducer`. Fencing shows at the next call, whichever that is."""

    def __init__(self, broker: MemoryBroker, client: Client, transactional_id: str) -> None:
        self._broker = broker
        self._client = client
        self._id = transactional_id
        self._epoch: int | None = None
        self._begun = False

    @override
    def init(self) -> None:
        with self._broker.turn(self._client):
            self._epoch = self._broker.transactions.fence(self._id)

    @contextmanager
    def _turn(self, *, begun: bool) -> Iterator[None]:
        with self._broker.turn(self._client):
            if self._epoch is None:
                raise LogError(f"init the producer {self._id} before its first transaction")
            self._broker.transactions.check(self._id, self._epoch)
            if begun is not self._begun:
                raise LogError(f"the producer {self._id} has {'no' if begun else 'already an'} open transaction")
            yield

    @override
    def begin(self) -> None:
        with self._turn(begun=False):
            self._begun = True

    @override
    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        with self._turn(begun=True):
            self._broker.write(self._id, Partition(topic, partition), Message(key, value, headers or ()))

    @override
    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        if not isinstance(metadata, GroupMetadata):
            raise TypeError(f"{metadata!r} is no metadata of this log's consumers")
        with self._turn(begun=True):
            transaction = self._broker.transactions.open(self._id)
            if transaction.broken:
                raise AbortableError(transaction.broken)
            denied = sorted(partition.topic for partition in offsets if partition.topic in self._broker.denied)
            if denied:
                transaction.broken = f"we may not commit offsets of topic {denied[0]}"
                raise AbortableError(transaction.broken)
            try:
                self._broker.group(metadata.group).accept(transaction, metadata, offsets)
            except (AbortableError, FencedError) as error:
                transaction.broken = str(error)
                raise

    @override
    def commit(self) -> None:
        with self._turn(begun=True):
            self._broker.transactions.commit(self._id)
            self._begun = False

    @override
    def abort(self) -> None:
        with self._turn(begun=True):
            self._broker.transactions.abort(self._id)
            self._begun = False

    @override
    def close(self) -> None:
        with self._broker.turn(self._client):
            transactions = self._broker.transactions
            if self._begun and self._epoch is not None and transactions.is_current(self._id, self._epoch):
                self._broker.transactions.abort(self._id)
            self._begun = False
