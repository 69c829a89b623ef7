"""The embedded broker of ``flowbridge dev``: librdkafka's mock cluster, and what it lacks made up for.

Good for trying things out on a machine with nothing but Python. It loses everything when it ends, a partition keeps
5 MiB, and it keeps no offsets of transactions: they are committed plainly, after the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer
from typing_extensions import override

from bridge.kafka.confluent_admin import ConfluentAdmin
from bridge.kafka.confluent_errors import error_of, meaning
from bridge.kafka.confluent_settings import logger
from bridge.kafka.log import MISSING, TopicInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.kafka.log import Partition, TopicSpec

PARTITIONS = 4
"""Partitions of every topic on the embedded broker."""

_TIMEOUT = 10.0


class EmbeddedBroker:
    """A broker inside this process, on loopback; other processes reach it at ``bootstrap`` too."""

    def __init__(self) -> None:
        self._client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "embedded"}, logger=logger)
        brokers = self._client.list_topics(timeout=_TIMEOUT).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def close(self) -> None:
        """End it, and all that it held."""
        self._client.close()


class EmbeddedAdmin(ConfluentAdmin):
    """An admin client for the embedded broker: topics come by being asked for, and have no id and no settings."""

    def __init__(self, config: Mapping[str, str]) -> None:
        super().__init__(config)
        self._producer = Producer(dict(config), logger=logger)

    @override
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        counts = self.topics()
        return {name: TopicInfo(name, "", counts[name], 1, {}) for name in names if name in counts}

    @override
    def unreadable(self, names: Iterable[str]) -> dict[str, str]:
        known = self.topics()
        return {name: MISSING for name in names if name not in known}

    @override
    def create(self, specs: Iterable[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        for name in names:
            try:
                self._producer.list_topics(name, timeout=_TIMEOUT)  # a producer's question creates the topic
            except KafkaException as exception:
                raise meaning(error_of(exception)) from exception
        self._wait_until_known(names)

    @override
    def fence(self, transactional_id: str) -> None:
        """Do nothing: the embedded broker knows no fencing."""

    @override
    def purge(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing: a partition of the embedded broker keeps 5 MiB and drops what is older by itself."""

    @override
    def close(self) -> None:
        self._producer.close()
        super().close()
