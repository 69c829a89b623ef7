"""Questions to a Kafka cluster that only the doctor asks: settings of brokers, rights, and the broker's clock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it offers these without exporting them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from bridge.kafka.confluent.admin import result_of
from bridge.kafka.confluent.errors import error_of, meaning
from bridge.kafka.confluent.properties import logger, producer_properties
from bridge.kafka.log import LogError

_TIMEOUT = 15.0  # seconds of one request
_TRANSACTION_MS = 10_000


class AppendTime(NamedTuple):
    """When a record was sent, appended and acknowledged; the second by the broker's clock. In milliseconds."""

    sent: int
    appended: int
    acknowledged: int


class Examination:
    """Asks a Kafka cluster. It changes nothing but by :meth:`set_topic`.

    Args:
        config: librdkafka's properties.

    """

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = dict(config)
        self._client = AdminClient({**config, "log_level": 0}, logger=logger)

    def broker_settings(self) -> dict[int, dict[str, str]]:
        """Return the settings of each broker.

        Raises:
            LogError: Kafka did not answer, or this account may not describe the brokers.

        """
        try:
            brokers = sorted(self._client.list_topics(timeout=_TIMEOUT).brokers)
        except KafkaException as exception:
            raise meaning(error_of(exception)) from exception
        resources = [ConfigResource(ResourceType.BROKER, str(broker)) for broker in brokers]
        described = self._client.describe_configs(resources, request_timeout=_TIMEOUT)
        return {
            int(resource.name): {name: entry.value or "" for name, entry in result_of(future).items()}
            for resource, future in described.items()
        }

    def operations(self, topics: Iterable[str]) -> dict[str, frozenset[str] | None]:
        """Return the operations that this account may do with each topic; None from brokers that do not tell.

        A topic that does not exist, or that may not be described, is left out.
        """
        asked = list(topics)
        if not asked:
            return {}
        described = self._client.describe_topics(
            TopicCollection(asked), request_timeout=_TIMEOUT, include_authorized_operations=True
        )
        found: dict[str, frozenset[str] | None] = {}
        for name, future in described.items():
            try:
                allowed = result_of(future).authorized_operations
            except LogError:
                continue
            found[name] = None if allowed is None else frozenset(operation.name for operation in allowed)
        return found

    def append_time(self, topic: str, transactional_id: str) -> AppendTime:
        """Return the broker's time, by a record whose transaction is aborted: no reader of the bridge ever sees it.

        Args:
            topic: A topic whose timestamps the broker sets.
            transactional_id: The id of the transaction.

        Raises:
            LogError: Kafka did not answer, or this account may not write there, or not under this id.

        """
        properties = producer_properties(self._config, transactional_id, _TRANSACTION_MS)
        producer = Producer({**properties, "delivery.report.only.error": False, "log_level": 0}, logger=logger)
        appended: list[int] = []
        failed: list[Any] = []

        def reported(error: Any, message: Message) -> None:
            if error is not None:
                failed.append(error)
            else:
                appended.append(message.timestamp()[1])

        try:
            producer.init_transactions(_TIMEOUT)
            producer.begin_transaction()
            producer.produce(topic, b"", on_delivery=reported)
            sent = time.time_ns() // 1_000_000
            producer.flush(_TIMEOUT)
            acknowledged = time.time_ns() // 1_000_000
            producer.abort_transaction(_TIMEOUT)
        except KafkaException as exception:
            raise meaning(error_of(exception)) from exception
        if failed or not appended:
            raise LogError(failed[0].str() if failed else f"a record of topic {topic} was never acknowledged")
        return AppendTime(sent, appended[0], acknowledged)

    def set_topic(self, topic: str, setting: str, value: str) -> None:
        """Set one setting of a topic, and leave the others.

        Raises:
            LogError: Kafka did not answer, or refuses.

        """
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in self._client.incremental_alter_configs([resource], request_timeout=_TIMEOUT).values():
            result_of(future)
