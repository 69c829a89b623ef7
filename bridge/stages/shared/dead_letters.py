"""Dead letters: records and runs that a stage gives up, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.event import Micros
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import DEAD_LETTER
from bridge.stages.shared.run_records import SENT_LIMIT

UNKNOWN_SCHEMA = "unknown-schema"
"""Reason of the letter of an event that waits for its schema. The decision about the event is ``undecodable``."""

KEPT_LIMIT = 1_500_000
"""Largest value, in bytes, that a dead letter keeps. Of a larger one it keeps only the offset."""

HEADERS_LIMIT = 512 * 1024
"""Largest key, and largest sum of all headers, in bytes, that a dead letter keeps."""


class DeadLetters:
    """Writes the dead letters of a stage.

    Args:
        topics: The internal topics.
        stage: The stage that gives up what they are about.

    """

    def __init__(self, topics: InternalTopics, stage: str) -> None:
        self._topics = topics
        self._stage = stage

    def send(
        self,
        out: Outbox,
        record: Record | None,
        *,
        place: str,
        reason: str,
        text: str,
        at: Micros,
        triggers: Sequence[str] = (),
        run_key: str = "",
        value: bytes | None = None,
    ) -> None:
        """Send a dead letter in the transaction of a batch.

        Args:
            out: The batch.
            record: The record that could not be used; None for a run that is only in the ledger.
            place: The letter's key: a trigger, or the record's topic. Letters of one place keep their order.
            reason: The decision.
            text: What was found, and what was expected.
            at: Now.
            triggers: The triggers that it concerns; none where it concerns all, or where they are not known.
            run_key: The run that it concerns.
            value: The whole run, where there is no record.

        """
        headers = [
            {"name": name, "value": content or b""} for name, content in (record.headers or () if record else ())
        ]
        is_kept = sum(len(header["name"]) + len(header["value"]) for header in headers) <= HEADERS_LIMIT
        letter = DEAD_LETTER.encode(
            {
                "stage": self._stage,
                "reason": reason,
                "text": text,
                "trigger": triggers[0] if len(triggers) == 1 else "",
                "triggers": list(triggers),
                "run_key": run_key,
                "topic": record.topic if record else "",
                "partition": record.partition if record else -1,
                "offset": record.offset if record else -1,
                "timestamp": record.timestamp if record else -1,
                "key": _kept(record.key, HEADERS_LIMIT) if record else None,
                "value": _kept(record.value, KEPT_LIMIT) if record else _kept(value, SENT_LIMIT),
                "headers": headers if is_kept else [],
                "at": at,
            }
        )
        key = place.encode()
        out.send(self._topics.dead_letters, partition_of(key, self._topics.partitions), key, letter)


def _kept(value: bytes | None, limit: int) -> bytes | None:
    return value if value is None or len(value) <= limit else None
