"""Dead letters: records and runs that a stage gives up, with the reason; and the marks of those that were dealt with.

A letter is never changed. What became of it is a mark in ``retries``, in the partition of the letter's number. It is
written in the transaction that does it. The router marks letters whose schema appeared, and ``flowbridge dead-letters``
all others (:mod:`bridge.letters.letter_log`).

Next to our record, a letter has headers that say the same to consoles of other programs: those of Kafka Streams
(``__streams.errors.…``, texts) and of Spring (``kafka_dlt-…``, big-endian numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from struct import pack
from typing import TYPE_CHECKING

from bridge.core.event import Micros
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Headers, Record
from bridge.kafka.records import DEAD_LETTER, SENT_BACK, SENT_LIMIT

if TYPE_CHECKING:
    from bridge.kafka.outbox import Outbox

UNKNOWN_SCHEMA = "unknown-schema"
"""Reason of the letter of an event that waits for its schema. The decision about the event is ``undecodable``."""

KEPT_LIMIT = 1_500_000
"""Largest value, in bytes, that a dead letter keeps. Of a larger one it keeps only the offset."""

HEADERS_LIMIT = 512 * 1024
"""Largest key, and largest sum of all headers, in bytes, that a dead letter keeps."""


class Cause(StrEnum):
    """What was done with a dead letter, and why."""

    SCHEMA = "schema"
    """The bridge sent its event back, because its schema appeared."""
    RETRY = "retry"
    """A person had its event or run sent back."""
    EDIT = "edit"
    """A person sent a corrected event in its place."""
    DISCARD = "discard"
    """A person gave it up."""


SENDING = frozenset({Cause.SCHEMA, Cause.RETRY})
"""The causes for which the event or run of a letter itself was sent back."""


def mark_record(
    place: tuple[int, int], cause: Cause, at: Micros, *, by: str = "", why: str = "", successor: str = ""
) -> tuple[int, bytes, bytes]:
    """Return the partition of ``retries``, the key and the value of the mark of a dead letter.

    Args:
        place: Partition and offset of the letter.
        cause: What is done.
        at: Now.
        by: The person who does it; empty for the bridge.
        why: The reason that the person gives.
        successor: The id of the event, or the key of the run, that is sent in place of the letter's own.

    """
    partition, offset = place
    mark = {
        "partition": partition,
        "offset": offset,
        "cause": cause.value,
        "by": by,
        "at": at,
        "why": why,
        "successor": successor,
    }
    return partition, f"{partition}/{offset}".encode(), SENT_BACK.encode(mark)


def letter_headers(
    topics: InternalTopics, stage: str, reason: str, text: str, trigger: str, record: Record | None
) -> Headers:
    """Return the headers of a dead letter: ours, and those that other consoles show.

    Args:
        topics: The internal topics.
        stage: The stage.
        reason: The decision.
        text: What is wrong.
        trigger: The trigger that it concerns; empty for several or all.
        record: The record that was given up; None for a run that is only in the ledger.

    """
    headers = [
        ("flowbridge-stage", stage.encode()),
        ("flowbridge-reason", reason.encode()),
        ("flowbridge-trigger", trigger.encode()),
        ("__streams.errors.exception", reason.encode()),
        ("__streams.errors.message", text.encode()),
        ("kafka_dlt-exception-fqcn", reason.encode()),
        ("kafka_dlt-exception-message", text.encode()),
        ("kafka_dlt-original-consumer-group", f"{topics.prefix}{stage}".encode()),
    ]
    if record is not None:
        headers += [
            ("__streams.errors.topic", record.topic.encode()),
            ("__streams.errors.partition", str(record.partition).encode()),
            ("__streams.errors.offset", str(record.offset).encode()),
            ("kafka_dlt-original-topic", record.topic.encode()),
            ("kafka_dlt-original-partition", pack(">i", record.partition)),
            ("kafka_dlt-original-offset", pack(">q", record.offset)),
            ("kafka_dlt-original-timestamp", pack(">q", record.timestamp)),
        ]
    return headers


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
        own = [{"name": name, "value": content or b""} for name, content in (record.headers or () if record else ())]
        is_kept = sum(len(header["name"]) + len(header["value"]) for header in own) <= HEADERS_LIMIT
        trigger = triggers[0] if len(triggers) == 1 else ""
        letter = DEAD_LETTER.encode(
            {
                "stage": self._stage,
                "reason": reason,
                "text": text,
                "trigger": trigger,
                "triggers": list(triggers),
                "run_key": run_key,
                "topic": record.topic if record else "",
                "partition": record.partition if record else -1,
                "offset": record.offset if record else -1,
                "timestamp": record.timestamp if record else -1,
                "key": _kept(record.key, HEADERS_LIMIT) if record else None,
                "value": _kept(record.value, KEPT_LIMIT) if record else _kept(value, SENT_LIMIT),
                "headers": own if is_kept else [],
                "at": at,
            }
        )
        key = place.encode()
        headers = letter_headers(self._topics, self._stage, reason, text, trigger, record)
        out.send(self._topics.dead_letters, partition_of(key, self._topics.partitions), key, letter, headers)


def _kept(value: bytes | None, limit: int) -> bytes | None:
    return value if value is None or len(value) <= limit else None
