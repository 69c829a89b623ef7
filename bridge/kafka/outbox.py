"""The effects of one batch: records to send in its transaction, decisions, and partitions to hold back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from bridge.core.event import Micros
from bridge.core.slot_filters import Decisions
from bridge.core.spans import Span, span_of
from bridge.kafka.log import Headers, LogError, Partition, TransactionalProducer
from bridge.kafka.records import headers_of

RECORD_LIMIT = 4 * 1024 * 1024
"""Bytes of a value. Internal topics take somewhat more, for keys and headers."""


class OversizeError(ValueError):
    """A record too large for our topics."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a record of {size} bytes: the limit is {RECORD_LIMIT}")


class Outbox:
    """Collects the effects of one batch. It is complete when :meth:`flush` was called, before its commit.

    Args:
        producer: Sends its records.
        clock: Gives the ends of spans; None where none are told.
        ahead: By partition of ``runs`` that the submitter of this process owns, the mark of a run that it may send
            ahead (:mod:`bridge.stages.submitter.submitter`).

    Attributes:
        decisions: The decisions about events and runs; counted once the transaction is committed.
        held: Partitions to be read again, from the given offset, after some seconds.
        ahead: The marks.
        sent: Number of records that were given to be sent.
        size: Bytes of their values.
        spans: The spans of traced events; exported once the transaction is committed.
        at: The record, or the run of the submitter, that is being processed. An exception is attributed to it. None for
            work that belongs to no record.

    """

    def __init__(
        self,
        producer: TransactionalProducer,
        clock: Callable[[], Micros] | None = None,
        ahead: Mapping[int, bytes] | None = None,
    ) -> None:
        self._producer = producer
        self._last: dict[tuple[str, int, bytes], bytes | None] = {}  # what `send_last` was given
        self._clock = clock
        self.ahead = {} if ahead is None else ahead
        self.spans: list[Span] = []
        self.decisions = Decisions()
        self.held: dict[Partition, tuple[int, float]] = {}
        self.sent = 0
        self.size = 0
        self.at: object = None

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers | None = None) -> None:
        """Send a record in the batch's transaction; None for the value is a tombstone.

        Args:
            topic: The topic.
            partition: The partition.
            key: The key.
            value: The value.
            headers: Headers besides the one that its format has.

        Raises:
            OversizeError: The record is larger than our topics take.

        """
        self._count(value)
        own = headers_of(value)
        self._producer.send(topic, partition, key, value, own if headers is None else [*(own or ()), *headers])

    def send_last(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        """Send a record of a state, of which the last of each key counts, and only that one is sent in the end.

        While a backlog is worked off, most windows open and end in the same batch.

        Args:
            topic: The topic. Nothing else of this batch is sent to it with the same key.
            partition: The partition.
            key: The key.
            value: The value; None is a tombstone.

        Raises:
            OversizeError: The record is larger than our topics take.

        """
        self._count(value)
        self._last[topic, partition, key] = value

    def flush(self) -> None:
        """Send what :meth:`send_last` was given. The batch is complete."""
        send = self._producer.send
        for (topic, partition, key), value in self._last.items():
            send(topic, partition, key, value, headers_of(value))
        self._last.clear()

    def _count(self, value: bytes | None) -> None:
        if value is not None:
            size = len(value)
            if size > RECORD_LIMIT:
                raise OversizeError(size)
            self.size += size
        self.sent += 1

    def trace(self, name: str, contexts: Sequence[str], start: Micros, **attributes: str) -> tuple[str, ...]:
        """Tell the span of a step, if one of the events that take part is traced.

        Args:
            name: Its name.
            contexts: The trace contexts of the events.
            start: When the step began. It is over now.
            attributes: What it is about; ``flowbridge.`` stands before their names in the span.

        Returns:
            The trace contexts that the result of the step carries on: that of the span, or ``contexts`` as they are.

        """
        if self._clock is None or not contexts:
            return tuple(contexts)
        about = {f"flowbridge.{name}": text for name, text in attributes.items()}
        span = span_of(name, contexts, start, self._clock(), secrets.randbits(64) or 1, about)
        if span is None:
            return tuple(contexts)
        self.spans.append(span)
        return (span.context,)

    def hold(self, partition: Partition, offset: int, seconds: float) -> None:
        """Read ``partition`` again from ``offset``, but not before ``seconds`` have passed.

        Raises:
            LogError: The partition is held already.

        """
        if partition in self.held:
            raise LogError(f"{partition} is held twice in one batch")
        self.held[partition] = (offset, seconds)


class Discard(Outbox):
    """Drops all records that it is given to send: for a trial."""

    def __init__(self) -> None:
        self.decisions, self.held, self.sent, self.size, self.at = Decisions(), {}, 0, 0, None
        self._clock, self.ahead, self.spans = None, {}, []

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers | None = None) -> None:
        """Drop it."""

    def send_last(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Send nothing."""
