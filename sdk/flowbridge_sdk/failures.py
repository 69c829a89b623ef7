"""What a publisher remembers of the events that did not arrive."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from flowbridge_sdk.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Message

FAILURES_KEPT = 100
"""Failures that ``NotDeliveredError`` lists; all are counted."""


class Failures:
    """The failures since somebody last asked.

    Args:
        on_failure: Called for each; they then count as heard, and ``take`` returns none of them.

    """

    def __init__(self, on_failure: Callable[[Failure], None] | None) -> None:
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._kept: list[Failure] = []
        self._count = 0

    def report(self, name: str, event_id: str, error: KafkaError | None, message: Message) -> None:
        """Take a delivery report; librdkafka sends only those of failures."""
        if error is None:
            return
        topic = message.topic() or name
        failure = Failure(name, event_id, topic, _reason(error, topic))
        if self._on_failure is not None:
            self._on_failure(failure)
            return
        with self._lock:
            self._count += 1
            if len(self._kept) < FAILURES_KEPT:
                self._kept.append(failure)

    def take(self) -> tuple[list[Failure], int]:
        """Return the failures, at most ``FAILURES_KEPT``, and their number; and forget them."""
        with self._lock:
            kept, count = self._kept, self._count
            self._kept, self._count = [], 0
        return kept, count


def _reason(error: KafkaError, topic: str) -> str:
    match error.code():
        case KafkaError._UNKNOWN_TOPIC | KafkaError.UNKNOWN_TOPIC_OR_PART:  # noqa: SLF001 - librdkafka's local codes
            return f"topic {topic} does not exist, and the broker does not create it; create it"
        case KafkaError._MSG_TIMED_OUT:  # noqa: SLF001 - the same
            return f"not acknowledged in time ({error.str()}); is Kafka reachable?"
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return f"this client may not write to topic {topic}"
        case KafkaError.MSG_SIZE_TOO_LARGE:
            return f"larger than topic {topic} allows (max.message.bytes)"
        case _:
            return str(error.str())
