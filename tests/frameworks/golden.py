"""One event that every integration of the SDK publishes, and the record that it must be on Kafka, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from flowbridge_sdk import EncodedEvent
from servers.process import wait_for

SCHEMA = """{
  "type": "record", "name": "Ordered", "namespace": "shop",
  "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "lines", "type": {"type": "array", "items": "long"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "note", "type": ["null", "string"], "default": null}
  ]
}
"""
NAME = "golden.ordered"
SOURCE = "golden"
KEY = "c-7"
ID = "golden-1"
TIME = datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=UTC)
FIELDS = {"order_id": "o-1", "amount": "12.50", "lines": [1, 2, 300], "at": "2026-01-31T11:59:59.250000Z", "note": None}
"""The payload in plain JSON: ``amount`` is a decimal, ``at`` a moment."""

# the value's bytes are stated here, and not computed: test_encoder.py holds the encoder against them
RECORD = EncodedEvent(
    NAME,
    KEY.encode(),
    bytes.fromhex("c30197d01eab7fe73529066f2d310404e2060204d80400a0f9edc3baeba40600"),
    [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"golden-1"),
        ("ce_source", b"golden"),
        ("ce_type", b"golden.ordered"),
        ("ce_time", b"2026-01-31T12:00:00.500000Z"),
        ("content-type", b"application/avro"),
    ],
    ID,
)


def read_one(
    bootstrap: str, topic: str, seconds: float = 30
) -> tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]:
    """Return topic, key, value and headers of the only record of a topic."""
    (record,) = read_all(bootstrap, topic, 1, seconds)
    return record.topic(), record.key(), record.value(), record.headers()


def read_all(bootstrap: str, topic: str, number: int, seconds: float = 60) -> list[Any]:
    """Return all committed records of a topic once there are ``number`` of them."""
    settings = {"bootstrap.servers": bootstrap, "group.id": f"read-{topic}", "enable.auto.commit": False}
    consumer = Consumer({**settings, "isolation.level": "read_committed", "log_level": 0})
    try:
        wait_for(lambda: consumer.list_topics(topic, timeout=10).topics[topic].partitions, seconds, f"topic {topic}")
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Any] = []

        def enough() -> bool:
            found.extend(record for record in consumer.consume(1000, timeout=0.5) if record.error() is None)
            return len(found) >= number

        wait_for(enough, seconds, f"{number} records of {topic}")
        found.extend(record for record in consumer.consume(1000, timeout=1) if record.error() is None)
        return found
    finally:
        consumer.close()
