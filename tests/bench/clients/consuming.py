"""Ceilings: what consuming and decoding alone cost, with the same client library and settings, and nothing else."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import fastavro
from confluent_kafka import Consumer, TopicPartition
from fastavro.schema import parse_schema

from bench.clients.progress import Progress
from bridge.kafka.confluent.log import HEARTBEAT_MS, SESSION_MS
from bridge.kafka.confluent.properties import consumer_properties
from bridge.kafka.records import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from confluent_kafka import Message

_BATCH = 500
_PATIENCE = 5.0
_SINGLE_OBJECT_PREFIX = 10


def consume_events(*, bootstrap: str, schemas: Mapping[str, str], partitions: int, count: int) -> dict[str, float]:
    """Consume events: value, headers and key of each, and its typed record decoded by fastavro.

    Args:
        bootstrap: Where Kafka answers.
        schemas: The file of the schema of each topic that is consumed.
        partitions: Of each topic.
        count: Events of all topics together.

    """
    parsed = {topic: parse_schema(json.loads(Path(file).read_text())) for topic, file in schemas.items()}

    def take(message: Message) -> None:
        body = BytesIO(message.value() or b"")
        message.headers()
        message.key()
        body.seek(_SINGLE_OBJECT_PREFIX)
        fastavro.schemaless_reader(body, parsed[message.topic() or ""], None)

    return _rates(bootstrap, schemas, partitions, count, take)


def consume_arrivals(*, bootstrap: str, topic: str, partitions: int, count: int) -> dict[str, float]:
    """Consume arrivals: value and key of each, and the arrival decoded."""

    def take(message: Message) -> None:
        message.key()
        ARRIVAL.decode(message.value() or b"")

    return _rates(bootstrap, [topic], partitions, count, take)


def _rates(
    bootstrap: str, topics: Iterable[str], partitions: int, count: int, take: Callable[[Message], None]
) -> dict[str, float]:
    config = {"bootstrap.servers": bootstrap}
    consumer = Consumer(consumer_properties(config, "bench-ceiling", None, SESSION_MS, HEARTBEAT_MS))
    consumer.assign([TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)])
    progress = Progress()
    while progress.done < count:
        messages = consumer.consume(min(_BATCH, count - progress.done), _PATIENCE)
        if not messages:
            raise TimeoutError(f"{', '.join(topics)} holds {progress.done} records, not {count}")
        for message in messages:
            take(message)
        progress.add(len(messages))
    consumer.close()
    return {"rate": progress.rate(), "per_core": progress.per_core()}
