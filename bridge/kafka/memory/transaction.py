"""Transactions of the in-memory Kafka: who may write under a transactional id, and what is open there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.kafka.log import AbortableError, FencedError
from bridge.kafka.memory.partition import Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable


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
        """Abort what has been open for ``timeout`` ms, and fence its producer."""
        now = self._clock()
        for producer in self._producers.values():
            if producer.transaction is not None and now - producer.transaction.started >= timeout:
                producer.epoch += 1
                self._end(producer, Outcome.ABORTED)

    def fence(self, transactional_id: str) -> int:
        """Abort what ``transactional_id`` has open, refuse its producers so far, and return the next epoch."""
        producer = self._producers.setdefault(transactional_id, _Producer())
        producer.epoch += 1
        self._end(producer, Outcome.ABORTED)
        return producer.epoch

    def is_current(self, transactional_id: str, epoch: int) -> bool:
        """Return whether no later producer has come, and no transaction of this one ran out of time."""
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
