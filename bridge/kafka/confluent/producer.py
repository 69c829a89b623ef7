"""The transactional producer on librdkafka, with a bound on calls that do not keep their own."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from typing_extensions import override

from bridge.kafka.confluent.errors import error_of, meaning, patiently
from bridge.kafka.confluent.properties import logger
from bridge.kafka.log import AbortableError, Committed, Headers, LogError, Partition, TransactionalProducer
from bridge.kafka.outage import ABOUT_KAFKA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_PATIENCE = 30.0  # seconds that a call is tried again for while its errors are retriable
_CLOSING_PATIENCE = 5.0
_OFFSETS_PATIENCE = 15.0  # a transaction lasts 10
_STUCK_AFTER = 20.0
_BUFFER_WAIT = 0.05
_NOW = 0  # the client's word for a timestamp that it gives itself


class StuckError(LogError):
    """A call has not come back, and perhaps never will. Its client cannot be used any more."""


class Membership(NamedTuple):
    """A consumer's group metadata, and the consumer itself: the embedded broker is told offsets by the consumer."""

    consumer: Consumer
    metadata: Any


class ConfluentProducer(TransactionalProducer):
    """See :class:`~bridge.kafka.log.TransactionalProducer`."""

    def __init__(self, properties: Mapping[str, str | bool]) -> None:
        self._producer = Producer(dict(properties), logger=logger)
        self._produce: Callable[..., None] = self._producer.produce  # its own types refuse what it accepts
        self._begun = False
        self._is_stuck = False

    @override
    def init(self) -> None:
        patiently(self._producer.init_transactions, time.monotonic, _PATIENCE)

    @override
    def begin(self) -> None:
        self._check()
        try:
            self._producer.begin_transaction()
        except KafkaException as exception:
            raise meaning(error_of(exception)) from exception
        self._begun = True

    @override
    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        listed = headers if headers is None or type(headers) is list else list(headers)  # it takes nothing but lists
        try:
            # Positions cost less than names. No callback (it has two names) and no timestamp is given.
            self._produce(topic, value, key, partition, None, None, _NOW, listed)
        except BufferError:
            self._producer.poll(_BUFFER_WAIT)
            self.send(topic, partition, key, value, headers)
        except KafkaException as exception:
            error = error_of(exception)
            if error.code() == KafkaError._STATE and self._begun:  # noqa: SLF001 - spelt so; the transaction is broken
                raise AbortableError(error.str()) from exception
            raise meaning(error) from exception

    @override
    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        listed = _listed(offsets)
        member: Membership = metadata

        def send(timeout: float) -> None:
            self._producer.send_offsets_to_transaction(listed, member.metadata, timeout)

        try:
            within(_STUCK_AFTER, lambda: patiently(send, time.monotonic, _OFFSETS_PATIENCE))
        except StuckError:
            self._is_stuck = True
            raise

    def _check(self) -> None:
        if self._is_stuck:
            raise StuckError("a producer that is stuck in a call is of no further use")

    @override
    def commit(self) -> None:
        self._check()
        patiently(self._producer.commit_transaction, time.monotonic, _PATIENCE)
        self._begun = False
        self._producer.poll(0)  # hands on what librdkafka logged

    @override
    def abort(self) -> None:
        self._check()
        patiently(self._producer.abort_transaction, time.monotonic, _PATIENCE)
        self._begun = False
        self._producer.poll(0)

    @override
    def close(self) -> None:
        if self._is_stuck:  # closing would wait for the call; the next producer of this id ends the transaction
            return
        try:
            if self._begun:
                patiently(self._producer.abort_transaction, time.monotonic, _CLOSING_PATIENCE)
            self._producer.close()
        except (LogError, KafkaException) as error:  # it was fenced, or Kafka is away: there is nothing left to end
            logger.info("a transaction stays open until Kafka aborts it: %s", error, extra=ABOUT_KAFKA)


class EmbeddedProducer(ConfluentProducer):
    """A producer on librdkafka's mock cluster, which forgets the offsets of transactions: they are committed plainly.

    So between a commit and its offsets there is a gap that a crash can fall into; good for trying out, not for
    keeping.
    """

    def __init__(self, properties: Mapping[str, str | bool]) -> None:
        super().__init__(properties)
        self._offsets: list[tuple[Consumer, list[TopicPartition]]] = []

    @override
    def begin(self) -> None:
        self._offsets.clear()
        super().begin()

    @override
    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        member: Membership = metadata
        self._offsets.append((member.consumer, _listed(offsets)))

    @override
    def commit(self) -> None:
        super().commit()
        for consumer, offsets in self._offsets:
            try:
                consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as exception:
                logger.warning("the embedded broker did not take offsets: %s", error_of(exception).str())
        self._offsets.clear()


def _listed(offsets: Mapping[Partition, Committed]) -> list[TopicPartition]:
    return [TopicPartition(*partition, offset, metadata) for partition, (offset, metadata) in offsets.items()]


def within(seconds: float, call: Callable[[], None]) -> None:
    """Do ``call`` in a thread of its own, and wait at most ``seconds`` for it; a call that is stuck keeps its thread.

    ``send_offsets_to_transaction`` of librdkafka 2.16 ignores its timeout and may never return when the group's
    coordinator goes and comes while it waits (librdkafka's issues 5456 and 5511). A stage must not wait for that.

    Raises:
        StuckError: It has not come back in time.
        Exception: What the call raised.

    """
    outcome: SimpleQueue[Exception | None] = SimpleQueue()

    def work() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  (raised again in the waiting thread)
            outcome.put(error)
        else:
            outcome.put(None)

    # A daemon thread never delays the end of the process.
    threading.Thread(target=work, name="bounded-call", daemon=True).start()
    try:
        error = outcome.get(timeout=seconds)
    except Empty:
        raise StuckError(f"no answer from Kafka's client within {seconds:g} s, which is over its own limit") from None
    if error is not None:
        raise error
