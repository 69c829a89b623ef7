"""A member of a consumer group on librdkafka, by the classic protocol with cooperative hand-over.

librdkafka joins and heartbeats in the background, and calls back about a rebalance inside ``poll``. It would swallow an
exception of a callback, so this class keeps the exception and raises it from ``poll``.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from typing_extensions import override

from bridge.kafka.confluent.errors import error_of, meaning, port_errors
from bridge.kafka.confluent.producer import Membership
from bridge.kafka.confluent.properties import logger
from bridge.kafka.confluent.records import records_of
from bridge.kafka.log import (
    DENIED,
    MISSING,
    GroupConsumer,
    LogError,
    OffsetLostError,
    Partition,
    Rebalance,
    Record,
    UnfetchableError,
    UnreadableTopicError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_OFFSET_LOST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001 - spelt so
_UNREADABLE = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: DENIED,
    KafkaError.UNKNOWN_TOPIC_OR_PART: MISSING,
    KafkaError._UNKNOWN_TOPIC: MISSING,  # noqa: SLF001 - spelt so
}
_UNFETCHABLE = frozenset(
    {
        KafkaError._BAD_MSG,  # noqa: SLF001 - spelt so
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - spelt so
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - spelt so; an unknown codec or format
        KafkaError._UNDERFLOW,  # noqa: SLF001 - spelt so
        KafkaError.INVALID_MSG,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    }
)


class ConfluentConsumer(GroupConsumer):
    """See :class:`~bridge.kafka.log.GroupConsumer`."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._consumer = Consumer(dict(properties), logger=logger)
        self._rebalance: Rebalance | None = None
        self._next: dict[Partition, int] = {}  # where each assigned partition began or was sent, until it has moved
        self._failures: deque[BaseException] = deque()
        self._held: list[Message] = []
        self._gone: set[Partition] = set()
        self._again: set[Partition] = set()

    @override
    def subscribe(self, topics: Iterable[str], rebalance: Rebalance) -> None:
        self._rebalance = rebalance
        names = sorted(topics)
        with port_errors():
            if not names:  # librdkafka takes no empty list
                self._consumer.unsubscribe()
                return
            self._consumer.subscribe(
                names,
                on_assign=self._on_assign,
                on_revoke=partial(self._let_go, rebalance.revoked),
                on_lost=partial(self._let_go, rebalance.lost),
            )

    @override
    def poll(self, seconds: float, limit: int = 500) -> list[Record]:
        if self._failures:
            raise self._failures.popleft()
        messages, self._held = self._held, []
        self._gone.clear()
        self._again.clear()
        try:
            if not messages:  # `consume` would wait until it has them all: it only takes what is there already
                first = self._consumer.poll(seconds)
                self._gone.clear()  # partitions that went have gone before this message came
                if first is not None:
                    messages.append(first)
            if messages and len(messages) < limit and not self._failures:
                messages.extend(self._consumer.consume(limit - len(messages), 0))
        except KafkaException as exception:
            self._failures.append(meaning(error_of(exception)))
        if self._gone or self._again:  # inside of `consume`; a partition that came back at once is read from its start
            for partition in self._again & self._next.keys():
                self.seek(partition, self._next[partition])
            out = self._gone | self._again
            messages = [message for message in messages if (message.topic(), message.partition()) not in out]
        if self._failures:
            self._held = messages
            raise self._failures.popleft()
        records, errors = records_of(messages)
        for message in errors:
            self._note(message)
        if not records and self._failures:
            raise self._failures.popleft()
        return records

    def _note(self, message: Message) -> None:
        error = message.error()
        topic, number = message.topic(), message.partition()
        if error is None:
            return
        if error.code() in _OFFSET_LOST and topic is not None and number is not None:
            partition = Partition(topic, number)
            if partition in self._next:
                logger.warning("%s/%s: %s", topic, number, error.str())
                self.pause([partition])
                offset = message.offset()
                known = offset if offset is not None and offset >= 0 else self.positions()[partition]
                self._failures.append(OffsetLostError(partition, known))
        elif error.code() in _UNREADABLE and topic is not None:
            self._failures.append(UnreadableTopicError(topic, _UNREADABLE[error.code()]))
        elif error.code() in _UNFETCHABLE and topic is not None and number is not None:
            partition = Partition(topic, number)
            if partition in self._next:
                self.pause([partition])
                self._failures.append(UnfetchableError(partition, self.positions()[partition], error.str()))
        else:
            self._failures.append(meaning(error))

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        taken = [Partition(each.topic, each.partition) for each in partitions]
        starts: Mapping[Partition, int] = {}
        if self._rebalance is not None:  # also told of nothing: it has joined, and stands by
            try:
                starts = self._rebalance.assigned(taken)
            except BaseException as error:  # noqa: BLE001 - librdkafka would swallow it; poll raises it
                self._failures.append(error)
        consumer.incremental_assign([TopicPartition(*each, starts.get(each, OFFSET_END)) for each in taken])
        begun = [TopicPartition(*each) for each in taken if each in starts]
        consumer.resume(begun)  # a pause survives being revoked and assigned again
        consumer.pause([TopicPartition(*each) for each in taken if each not in starts])
        self._next.update(starts)
        self._again.update(self._gone.intersection(taken))
        self._gone.difference_update(taken)

    def _let_go(
        self,
        tell: Callable[[Sequence[Partition]], None],
        consumer: Consumer,
        partitions: Sequence[TopicPartition],
    ) -> None:
        given = [Partition(each.topic, each.partition) for each in partitions]
        self._gone.update(given)
        if given:
            try:
                tell(given)
            except BaseException as error:  # noqa: BLE001 - librdkafka would swallow it; poll raises it
                self._failures.append(error)
        for partition in given:
            self._next.pop(partition, None)
        consumer.incremental_unassign(list(partitions))

    @override
    def positions(self) -> dict[Partition, int]:
        asked = [TopicPartition(*partition) for partition in self._next]
        with port_errors():
            places = self._consumer.position(asked) if asked else []
        for each in places:
            if each.offset >= 0:
                self._next[Partition(each.topic, each.partition)] = each.offset
        return dict(self._next)

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._next:
            raise LogError(f"cannot seek in {partition.topic}/{partition.number}: it is not assigned")
        place = TopicPartition(*partition, offset)
        with port_errors():
            try:
                self._consumer.seek(place)
            except KafkaException as exception:
                if error_of(exception).code() != KafkaError._STATE:  # noqa: SLF001 - spelt so
                    raise
                # It is not being fetched: its offset was lost, or it was assigned a moment ago. A pause survives this.
                self._consumer.incremental_unassign([place])
                self._consumer.incremental_assign([place])
        self._next[partition] = offset

    @override
    def pause(self, partitions: Iterable[Partition]) -> None:
        with port_errors():
            self._consumer.pause([TopicPartition(*partition) for partition in partitions if partition in self._next])

    @override
    def resume(self, partitions: Iterable[Partition]) -> None:
        known = [partition for partition in partitions if partition in self._next]
        places = [TopicPartition(*partition) for partition in known]
        # librdkafka resumes at the last position, and a partition that was paused before its first record has none
        with port_errors():
            for place in self._consumer.position(places) if places else []:
                if place.offset < 0:
                    partition = Partition(place.topic, place.partition)
                    self.seek(partition, self._next[partition])
            self._consumer.resume(places)

    @override
    def metadata(self) -> Membership:
        with port_errors():
            return Membership(self._consumer, self._consumer.consumer_group_metadata())

    @override
    def close(self) -> None:
        with port_errors():
            self._consumer.close()
        left = sorted(self._next)
        self._next.clear()
        if left and self._rebalance is not None:  # a fenced client does not tell what became of its partitions
            self._rebalance.lost(left)
        if self._failures:
            raise self._failures.popleft()
