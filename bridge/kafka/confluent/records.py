"""librdkafka's messages as records: the inner loop of everything that is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.kafka.log import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Message


def records_of(messages: Iterable[Message]) -> tuple[list[Record], list[Message]]:
    """Return the records, and the messages that are errors."""
    records: list[Record] = []
    errors: list[Message] = []
    append = records.append
    new = tuple.__new__
    for m in messages:
        if m.error() is not None:
            errors.append(m)
        else:
            # a named tuple's own constructor costs as much again as all of these calls
            fields = (m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers() or ())
            append(new(Record, fields))
    return records, errors
