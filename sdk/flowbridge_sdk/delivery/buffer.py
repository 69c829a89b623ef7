"""The buffer of a publisher: librdkafka's producer of this process, and what becomes of the events in it.

The buffer is bounded, and librdkafka's own thread sends what is in it, with idempotence and acks=all. Only failures
come back (``delivery.report.only.error``): a report for each success would double the cost of publishing. A publisher
waits in its own way, by blocking its thread or by awaiting. The end of the process and its forks are in
``process_end.py``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, finalize

from confluent_kafka import KafkaException, Producer

from flowbridge_sdk.delivery.failures import Failures
from flowbridge_sdk.delivery.outage import Outage
from flowbridge_sdk.delivery.process_end import events_were_lost, flushes_at_end, is_forked
from flowbridge_sdk.encoder import EncodedEvent
from flowbridge_sdk.errors import (
    BufferFullError,
    ClosedError,
    Failure,
    NotConnectedError,
    NotDeliveredError,
    PublishError,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flowbridge_sdk.headers import OwnHeaders

CLOSING_SLACK_S = 5.0  # librdkafka looks for timed-out messages once a second

_log = logging.getLogger("flowbridge_sdk.publisher")
_kafka_log = logging.getLogger("flowbridge_sdk.kafka")  # for librdkafka's own lines

_ROOM_POLL_S = 0.05
_SERVE_EVERY_S = 0.001  # how long a failure's report may wait while events are published
_SERVED_EACH = 1000  # events between two looks for failures
_ANY_PARTITION, _NOW = -1, 0  # librdkafka's words; arguments with names would take a fifth longer
_FIRST_LOOK_S = 0.5  # each further look for Kafka may take twice as long: a large cluster answers slowly


class FlushBegun:
    """How things stood when a flush began: events in the buffer, and failures so far."""

    def __init__(self, waiting: int, failed: int) -> None:
        self.waiting = waiting
        self.failed = failed


class Buffer:
    """The events that were taken and not acknowledged yet.

    Args:
        kafka: librdkafka's properties.
        timeout_s: The delivery timeout, in seconds.
        on_failure: Called for each event that was not delivered; without it, flushes raise.

    Attributes:
        waits: Each event has to be flushed at once, since the end of this process cannot be noticed.

    Raises:
        SettingsError: librdkafka refuses a property.

    """

    _producer: Producer | None
    _serve_at: float
    _unclosed: finalize[..., object]

    def __init__(
        self, kafka: Mapping[str, Any], timeout_s: float, on_failure: Callable[[Failure], None] | None
    ) -> None:
        self._kafka = {**kafka, "delivery.report.only.error": True}
        self.timeout_s = timeout_s
        self._on_failure = on_failure
        self._closed = self._is_entered = False
        # Kafka's client looks at its settings; without an address it connects to nothing
        _producer({**self._kafka, "bootstrap.servers": ""}, Outage("", 0, silent=True))
        self._forget_producer()
        _buffers.add(self)

    def __len__(self) -> int:
        """Return how many events wait for their acknowledgement."""
        return 0 if self._producer is None else len(self._producer)

    # -- events go in --------------------------------------------------------------------------------------------------

    def require_open(self) -> None:
        """Raise ClosedError if no events are taken any more."""
        if self._closed:
            raise ClosedError("the publisher is closed; open another")

    def offer(self, encoded: EncodedEvent, name: str) -> bool:
        """Take an event; return False if the buffer is full.

        Raises:
            PublishError: librdkafka refuses the event.

        """
        producer = self._producer or self._open()
        topic, key, value, headers, event_id = encoded
        undelivered = partial(self._report, name, event_id)
        try:
            # positions cost less than names: any partition, the callback under both of its names, and now
            producer.produce(topic, value, key, _ANY_PARTITION, undelivered, undelivered, _NOW, headers)  # type: ignore[arg-type] # the stubs want the widest of lists
        except BufferError:
            return False
        except KafkaException as error:
            raise PublishError(f"topic {topic}: {error.args[0].str()}; the event was not taken") from error
        now = time.monotonic()
        if now >= self._serve_at:  # at a high rate not for every event, which would cost as much as producing
            self._serve_at = now + _SERVE_EVERY_S
            self._failures.serve(producer, 0)
        return True

    def put(self, encoded: EncodedEvent, name: str) -> None:
        """Take an event; block this thread while the buffer is full.

        Raises:
            BufferFullError: No room came free in time.
            PublishError: librdkafka refuses the event.

        """
        if self.offer(encoded, name):
            return
        since = time.monotonic()
        while not self.offer(encoded, name):
            self.check_patience(since)
            self.serve(_ROOM_POLL_S)

    def put_all(self, topic: str, records: Iterable[tuple[bytes | None, bytes, OwnHeaders]], name: str) -> None:
        """Take the records of many events of one name, at half of what :meth:`put` costs for each.

        Failures do not say which events they are of: a report of its own for each would double the cost.

        Args:
            topic: The topic of all.
            records: Key, value and headers of each.
            name: The name of the events.

        Raises:
            BufferFullError: No room came free in time.
            PublishError: librdkafka refuses an event.

        """
        producer = self._producer or self._open()
        produce, undelivered = producer.produce, partial(self._failures.report, name, "")
        for number, (key, value, headers) in enumerate(records):
            try:
                produce(topic, value, key, _ANY_PARTITION, undelivered, None, _NOW, headers)  # type: ignore[arg-type] # as in ``offer``
            except (BufferError, KafkaException):  # ``put`` waits for room, and explains what librdkafka refuses
                self.put(EncodedEvent(topic, key, value, headers, ""), name)
            if number % _SERVED_EACH == 0:
                self._failures.serve(producer, 0)

    def check_patience(self, since: float) -> None:
        """Raise BufferFullError if the buffer has been full since a moment of the steady clock, and for too long."""
        if time.monotonic() - since >= self.timeout_s:
            raise BufferFullError(
                f"the buffer stayed full for {self.timeout_s:g} s; is Kafka at "
                f"{self._kafka['bootstrap.servers']} reachable? The event was not taken",
            )

    def serve(self, seconds: float) -> None:
        """Handle the reports of failures, waiting ``seconds`` for the first."""
        if self._producer is not None:
            self._failures.serve(self._producer, seconds)

    # -- they go out ---------------------------------------------------------------------------------------------------

    def begin_flush(self) -> FlushBegun:
        """Return how things stand."""
        return FlushBegun(len(self), 0 if self._producer is None else self._failures.total)

    def patience(self, timeout: float | None) -> float:
        """Return for how many seconds a flush waits: with None until nothing can be left."""
        return self.timeout_s + CLOSING_SLACK_S if timeout is None else timeout

    def end_flush(self, begun: FlushBegun, waiting: int) -> None:
        """Tell what failed since the last flush.

        Args:
            begun: How things stood when the flush began.
            waiting: How many events still wait.

        Raises:
            NotDeliveredError: Events failed since the last flush, or still wait.

        """
        if self._producer is None:
            return
        failures, failed, noted = self._failures.untold()
        if begun.waiting and not waiting and self._failures.total == begun.failed:
            self._outage.delivered()
        if waiting or failed:
            error = NotDeliveredError(failures, failed, waiting)
            try:
                raise error
            finally:
                self._failures.tell(noted)  # not before: Ctrl-C may come in between

    def flush(self, timeout: float | None) -> None:
        """Block this thread until nothing waits, at most for ``timeout`` seconds; it raises as :meth:`end_flush`."""
        if self._producer is None:
            return
        begun = self.begin_flush()
        try:
            waiting = _flushed(self._producer, self._failures, self.patience(timeout))
        except BaseException as interruption:
            interruption.add_note(f"{len(self)} events are still in the publisher's buffer")
            raise
        self.end_flush(begun, waiting)

    # -- its life ------------------------------------------------------------------------------------------------------

    def connect(self, within_s: float) -> None:
        """Look for Kafka.

        Raises:
            NotConnectedError: No broker answered in time. The buffer is closed.

        """
        producer = self._open()
        give_up, look_s = time.monotonic() + within_s, _FIRST_LOOK_S
        while (left := give_up - time.monotonic()) > 0:
            try:
                producer.list_topics(timeout=min(left, look_s))
            except KafkaException as error:
                detail = str(error.args[0].str())
            else:
                return
            self._failures.serve(producer, min(max(give_up - time.monotonic(), 0), _ROOM_POLL_S))
            look_s *= 2
        self.close()
        raise NotConnectedError(
            f"no broker of Kafka at {self._kafka['bootstrap.servers']} answered within {within_s:g} s: "
            f"{self._outage.reason or detail}"
        )

    def enter(self) -> None:
        """Note that the end of a ``with`` block flushes."""
        self._is_entered, self.waits = True, False

    def close(self) -> bool:
        """Take no more events, and leave it to the caller to flush; return False if it was closed before."""
        if self._closed:
            return False
        self._closed = True
        self._unclosed.detach()
        return True

    def after_fork(self) -> None:
        """Forget the producer in a child process: librdkafka's threads stayed with the parent, and so did its buffer.

        The child makes one of its own when it publishes.
        """
        self._unclosed.detach()
        if self._producer is not None:
            _never_free(self._producer)
        self._forget_producer()
        self._is_entered = False  # the end of the block is the parent's

    def flush_unclosed(self) -> None:
        """Flush at the end of the process, unless it is closed."""
        self._unclosed()

    def _open(self) -> Producer:
        """Make the producer, at the first event: so a process that forks before it publishes has no threads to lose."""
        with self._opening:
            if self._producer is None:
                silent = str(self._kafka.get("log_level")) == "0"
                self._outage = Outage(self._kafka["bootstrap.servers"], self.timeout_s, silent=silent)
                self._failures = Failures(self._on_failure, self._outage)
                self._report, self._serve_at = self._failures.report, 0.0
                producer = _producer(self._kafka, self._outage)
                if is_forked():
                    _never_free(producer)
                self.waits = not flushes_at_end(_flush_all) and not self._is_entered
                self._unclosed = finalize(self, _flush_unclosed, producer, self._failures, self.timeout_s)
                self._producer = producer
            return self._producer

    def _forget_producer(self) -> None:
        self._producer = None
        self._opening = Lock()
        self.waits = False
        self._unclosed = finalize(self, bool)


def _never_free(producer: Producer) -> None:
    """Keep a producer to the end of this process.

    In a forked child, freeing a producer could wait without end. The parent's would wait for threads that the child
    does not have. The child's own would wait for a thread that waits for a lock in the C library, which the parent held
    while it forked.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(producer))


def _flushed(producer: Producer, failures: Failures, seconds: float) -> int:
    """Wait until nothing waits in ``producer``'s buffer, at most for some seconds; return how many events still do."""
    flush = producer, failures, seconds
    _flushes.append(flush)
    try:
        return failures.wait(producer, seconds)
    finally:
        _flushes.remove(flush)


def _flush_unclosed(producer: Producer, failures: Failures, timeout_s: float) -> None:
    """Send the events that a publisher holds which was never closed, at the latest when the process ends."""
    _flush_at_end(producer, failures, timeout_s + CLOSING_SLACK_S, "a publisher was never closed")


def _flush_at_end(producer: Producer, failures: Failures, seconds: float, why: str) -> None:
    try:
        waiting = _flushed(producer, failures, seconds)
    except (KeyboardInterrupt, SystemExit):
        waiting = len(producer)
    kept, failed, noted = failures.untold()
    if waiting or failed:
        _log.error("%s: %s", why, NotDeliveredError(kept, failed, waiting))
        failures.tell(noted)
        events_were_lost()


_buffers: WeakSet[Buffer] = WeakSet()
_flushes: list[tuple[Producer, Failures, float]] = []  # those that are under way


def _flush_all() -> None:
    """Flush all publishers that nobody closed, and wait for the flushes that are under way.

    A signal may end the process in the middle of a flush, and other threads may flush meanwhile.
    """
    for buffer in list(_buffers):
        buffer.flush_unclosed()
    for flush in _flushes.copy():
        _flush_at_end(*flush, "the process ended while a publisher was flushed")


def _renew_buffers() -> None:
    _flushes.clear()
    for buffer in list(_buffers):
        buffer.after_fork()


os.register_at_fork(after_in_child=_renew_buffers)


def _producer(kafka: Mapping[str, Any], outage: Outage) -> Producer:
    quiet = {} if "debug" in kafka else {"log_level": 0}  # ``outage`` logs the connection's errors once
    try:
        return Producer({**quiet, **kafka, "error_cb": outage.errors.append}, logger=_kafka_log)
    except (KafkaException, TypeError, ValueError) as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else error
        raise SettingsError(f"Kafka's client refuses a setting: {detail}") from error
