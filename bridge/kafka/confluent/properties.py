"""The librdkafka properties that each kind of client needs: what the stages rest on, and what is only well chosen.

A property that a user sets wins over what is well chosen, and loses against what the stages rest on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bridge.kafka.log import FETCHED_BYTES, LARGEST_RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("bridge.kafka.client")
"""Where librdkafka's own log lines go."""

_MIB = 1024 * 1024

_CHOSEN_FOR_CONSUMERS = {
    # Fetched and waiting in the client: 64 MiB by default, and as much again in each answer of a broker. Compressed
    # batches count as they were sent, and grow when they are unpacked.
    "queued.max.messages.kbytes": str(FETCHED_BYTES // 1024),
    "fetch.max.bytes": str(4 * _MIB),
    # Restoring is done inside of a poll; the default of five minutes would expel a member that has much to restore.
    "max.poll.interval.ms": str(30 * 60 * 1000),
    "fetch.queue.backoff.ms": "50",  # 1000 by default: a consumer whose queue was full would stall for so long
    # 500 by default: so long a partition that was just taken on waits for an idle fetch. With 100 an idle bridge spent
    # more than twice the time on its connections.
    "fetch.wait.max.ms": "300",
    "max.partition.fetch.bytes": str(_MIB),  # a larger record is fetched all the same
    "topic.metadata.refresh.interval.ms": "30000",  # five minutes by default until a new partition is noticed
}
_CHOSEN_FOR_READERS = {
    "queued.min.messages": "500000",
    "queued.max.messages.kbytes": str(64 * 1024),
    "fetch.queue.backoff.ms": "5",
    "fetch.wait.max.ms": "5",  # 500 by default: so long each partition would wait for the fetch at the end of the last
    "max.partition.fetch.bytes": str(2 * LARGEST_RECORD),
}


def consumer_properties(
    config: Mapping[str, str], group: str, instance: str | None, session_ms: int, heartbeat_ms: int
) -> dict[str, str]:
    """Return the properties of a group's member: cooperative, read-committed, and never guessing an offset."""
    needed = {
        "group.id": group,
        "group.protocol": "classic",  # a dead member's partitions move after the session, not after 45 s (KIP-848)
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": str(session_ms),
        "heartbeat.interval.ms": str(heartbeat_ms),
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "enable.partition.eof": "false",
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
    }
    if instance is not None:
        needed["group.instance.id"] = instance
    return {**_CHOSEN_FOR_CONSUMERS, **config, **needed}


def reader_properties(config: Mapping[str, str], *, hidden: bool = False) -> dict[str, str]:
    """Return the properties of a reader: large fetches, and an event at the end of a partition.

    Args:
        config: Chosen by the user.
        hidden: Read the records of open and aborted transactions, too.

    """
    needed = {
        "group.id": "flowbridge-reader",  # the client insists on one; it is never joined and nothing is committed
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "enable.partition.eof": "true",
        "isolation.level": "read_uncommitted" if hidden else "read_committed",
        "auto.offset.reset": "earliest",  # where retention or a purge has passed the start
    }
    return {**_CHOSEN_FOR_READERS, **config, **needed}


def range_properties(config: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of a reader of ranges: those of a reader, with the small buffers of a consumer.

    Small fetches take turns between partitions. So a merge rarely has to pause one that is ahead of the others.
    """
    return reader_properties({**_CHOSEN_FOR_CONSUMERS, "max.partition.fetch.bytes": str(_MIB // 8), **config})


def producer_properties(config: Mapping[str, str], transactional_id: str, timeout_ms: int) -> dict[str, str | bool]:
    """Return the properties of a transactional producer."""
    chosen = {
        "message.max.bytes": str(LARGEST_RECORD),
        "queue.buffering.max.kbytes": str(64 * 1024),  # 1 GiB by default; a stage that fills it waits
        # What a batch sends goes out while its offsets are still being sent, which saves a round trip; a smaller value
        # would wake the client's thread for nearly each record that a stage sends at its own pace.
        "linger.ms": "5",
        # The coordinator refuses the offsets of a transaction until the markers of the one before are written, some
        # milliseconds. 100 by default, which two transactions in a row would nearly always wait for. It doubles with
        # each try, so a broker in trouble is not asked more often than by default.
        "retry.backoff.ms": "2",
    }
    needed: dict[str, str | bool] = {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": str(timeout_ms),
        # The commit reports; a report for each record would cost several times the record.
        "delivery.report.only.error": True,
    }
    return {**chosen, **config, **needed}
