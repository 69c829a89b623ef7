"""The committed offsets of groups, read through consumers that never join them.

``AdminClient.list_consumer_group_offsets`` is made for this. But if a connection breaks while it waits, the whole
process ends (librdkafka 2.16: a segmentation fault, or a failed assertion). The request of a consumer survives that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bridge.kafka.confluent.errors import error_of, meaning
from bridge.kafka.confluent.properties import logger
from bridge.kafka.log import Committed, Partition, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TIMEOUT = 15.0
_STABLE_TIMEOUT = 30.0  # the consumer waits for open transactions by itself; an abandoned one is swept after 20


class CommittedOffsets:
    """Asks for committed offsets. One consumer for each group and way of asking, opened when first needed."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = dict(config)
        self._consumers: dict[tuple[str, bool], Consumer] = {}

    def of(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        """Return the committed offsets (:meth:`bridge.kafka.log.Admin.committed`).

        Raises:
            LogError: No answer in time, or none without a transaction in the way.

        """
        asked = [TopicPartition(*partition) for partition in partitions]
        if not asked:
            return {}
        consumer = self._consumers.get((group, stable))
        if consumer is None:
            needed = {
                "group.id": group,
                "enable.auto.commit": "false",
                "isolation.level": "read_committed" if stable else "read_uncommitted",  # decides what is stable enough
            }
            consumer = self._consumers[group, stable] = Consumer({**self._config, **needed}, logger=logger)
        try:
            places = consumer.committed(asked, timeout=_STABLE_TIMEOUT if stable else _TIMEOUT)
        except KafkaException as exception:
            raise meaning(error_of(exception)) from exception
        committed = {
            Partition(place.topic, place.partition): Committed(place.offset, place.metadata or "")
            for place in places
            if place.error is None and place.offset >= 0
        }
        unanswered = {
            Partition(place.topic, place.partition): str(meaning(place.error))
            for place in places
            if place.error is not None
        }
        if unanswered:
            raise UnansweredError(committed, unanswered)
        return committed

    def close(self) -> None:
        """Close all consumers."""
        while self._consumers:
            self._consumers.popitem()[1].close()
