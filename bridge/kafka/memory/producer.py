"""Transactional producers of the in-memory Kafka, and the coordinator of their transactions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bridge.kafka.log import AbortableError, Committed, FencedError, Headers, LogError, Partition, TransactionalProducer
from bridge.kafka.memory.group import GroupMetadata
from bridge.kafka.memory.partition import Message, Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bridge.kafka.memory.broker import Client, MemoryBroker


@dataclass(slots=True)
class _Producer:
    epoch: int = 0
    transaction: Transaction | None = None


class Transactions:
    """The transaction coordinator.

    Args:
        clock: The broker's time in ms.
        notify: Called when a transaction has ended.

    """

    def __init__(self, clock: Callable[[], int], notify: Callable[[], None]) -> None:
        self._clock = clock
        self._notify = notify
        self._producers: dict[str, _Producer] = {}

    def expire(self, timeout: int) -> None:
        """Abort the transactions that have been open for ``timeout`` ms, and fence their producers."""
        now = self._clock()
        for producer in self._producers.values():
            if producer.transaction is not None and now - producer.transaction.started >= timeout:
                producer.epoch += 1
                self._end(producer, Outcome.ABORTED)

    def fence(self, transactional_id: str) -> int:
        """Abort the open transaction of a transactional id, fence its producers so far, and return the next epoch."""
        producer = self._producers.setdefault(transactional_id, _Producer())
        producer.epoch += 1
        self._end(producer, Outcome.ABORTED)
        return producer.epoch

    def is_current(self, transactional_id: str, epoch: int) -> bool:
        """Return whether there is no later producer, and no transaction of this one ran out of time."""
        return self._producers[transactional_id].epoch == epoch

    def check(self, transactional_id: str, epoch: int) -> None:
        """Refuse a producer that is not the current one.

        Raises:
            FencedError: It is not.

        """
        if not self.is_current(transactional_id, epoch):
            raise FencedError(f"the producer {transactional_id} was fenced")

    def open(self, transactional_id: str) -> Transaction:
        """Return the open transaction of a producer; opened now if there is none, as with the first record."""
        producer = self._producers[transactional_id]
        if producer.transaction is None:
            producer.transaction = Transaction(transactional_id, self._clock())
        return producer.transaction

    def commit(self, transactional_id: str) -> None:
        """Commit the producer's transaction.

        Raises:
            AbortableError: It is broken.

        """
        producer = self._producers[transactional_id]
        if producer.transaction is not None and producer.transaction.broken:
            raise AbortableError(producer.transaction.broken)
        self._end(producer, Outcome.COMMITTED)

    def abort(self, transactional_id: str) -> None:
        """Abort the producer's transaction."""
        self._end(self._producers[transactional_id], Outcome.ABORTED)

    def _end(self, producer: _Producer, outcome: Outcome) -> None:
        transaction, producer.transaction = producer.transaction, None
        if transaction is not None:
            transaction.end(outcome, self._clock())
            self._notify()


class MemoryProducer(TransactionalProducer):
    """See :class:`~bridge.kafka.log.TransactionalProducer`. A fenced producer hears of it at its next call."""

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
