"""Publishes events to Kafka durably: an event that ``publish`` took arrives, or its failure is reported.

The life of an event here: checked and encoded by ``publish`` in the caller's thread, put into librdkafka's bounded
buffer, sent by its own thread with idempotence and acks=all. Only failures come back (``delivery.report.only.error``):
a report for each success would double the cost of publishing. A full buffer makes ``publish`` wait. The end of the
process and its forks are in ``process_end.py``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet, finalize

from confluent_kafka import KafkaException, Producer

from flowbridge_sdk.attributes import key_of, moment_of, text_of
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.delivery.failures import Failures
from flowbridge_sdk.delivery.outage import Outage
from flowbridge_sdk.delivery.process_end import events_were_lost, flushes_at_end, is_forked
from flowbridge_sdk.errors import (
    BufferFullError,
    ClosedError,
    Failure,
    NotConnectedError,
    NotDeliveredError,
    PublishError,
    SettingsError,
)
from flowbridge_sdk.headers import OwnHeaders, write_headers
from flowbridge_sdk.schemas import EventSchemas
from flowbridge_sdk.settings import PublisherSettings

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from flowbridge_sdk.registry import Registry

_log = logging.getLogger(__name__)
_kafka_log = logging.getLogger("flowbridge_sdk.kafka")  # for librdkafka's own lines

_ROOM_POLL_S = 0.05
_FIRST_LOOK_S = 0.5  # each further look for Kafka may take twice as long: a large cluster answers slowly
CLOSING_SLACK_S = 5.0  # librdkafka looks for timed-out messages once a second


class Publisher:
    """Publishes events. One per process is enough; it may be shared between threads.

    Args:
        bootstrap: Kafka's addresses; else of ``config``, else FLOWBRIDGE_BOOTSTRAP_SERVERS.
        source: The source of events that name none; else FLOWBRIDGE_SOURCE.
        schemas: Typed schemas, or the folder that holds them; else FLOWBRIDGE_SCHEMAS.
        registry: A schema registry; else FLOWBRIDGE_SCHEMA_REGISTRY_URL.
        shared_topics: Topics that names share, ``{"metaflow.*": "metaflow-events"}``; else FLOWBRIDGE_SHARED_TOPICS.
        config: Any librdkafka properties.
        on_failure: Called for each event that was not delivered, in the thread that publishes, flushes or closes.
            With it, ``flush`` and ``close`` no longer raise for those events.
        connect_within: Seconds within which a broker has to answer before the publisher is made; else
            FLOWBRIDGE_CONNECT_WITHIN. Neither: the publisher does not look for Kafka, and events wait for it.

    Raises:
        SettingsError: A setting is missing or wrong.
        NotConnectedError: No broker answered within ``connect_within``.
        SchemaError: A typed schema cannot be used.

    """

    _producer: Producer | None
    _unclosed: finalize[..., object]

    def __init__(
        self,
        bootstrap: str | None = None,
        *,
        source: str | None = None,
        schemas: EventSchemas | str | os.PathLike[str] | None = None,
        registry: Registry | None = None,
        shared_topics: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        on_failure: Callable[[Failure], None] | None = None,
        connect_within: float | None = None,
    ) -> None:
        settings = PublisherSettings.of(
            bootstrap, config, source, shared_topics=shared_topics, connect_within=connect_within
        )
        self._source = text_of("source", settings.source)
        self._shared_topics = settings.shared_topics
        if schemas is None:
            schemas = EventSchemas.from_setting(settings.schemas)
        elif not isinstance(schemas, EventSchemas):
            schemas = EventSchemas.load(schemas)
        if not registry and settings.registry_url:
            from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

            registry = Registry(settings.registry_url)
        self._encoder = Encoder(schemas, registry)
        self._kafka = {**settings.kafka, "delivery.report.only.error": True}
        self._timeout_s = settings.delivery_timeout_s
        self._on_failure = on_failure
        self._closed = self._is_entered = False
        # Kafka's client looks at its settings; without an address it connects to nothing
        _producer({**self._kafka, "bootstrap.servers": ""}, Outage("", 0, silent=True))
        self._forget_producer()
        _publishers.add(self)
        if settings.connect_within_s:
            self._connect(self._open(), settings.connect_within_s)

    def publish(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: datetime | None = None,
        source: str | None = None,
    ) -> str:
        """Take an event to send; returns before it is delivered.

        Waits while the buffer is full, at most for the delivery timeout (``delivery.timeout.ms``, two minutes).

        Args:
            name: The event's name.
            payload: Its payload; none is an empty one.
            key: Its key, which decides its partition. Events of one key stay in order.
            id: Its id; a random one unless given. ``event_id`` derives ids that repeat with a job's retry.
            time: When it happened, with a time zone; now unless given.
            source: Its ``source`` attribute; the publisher's own unless given.

        Returns:
            The event's id.

        Raises:
            RefusedError: The event cannot be sent; the error names the field. Nothing was sent.
            BufferFullError: No room came free in time. The event was not taken.
            NotDeliveredError: Only in a forked child whose end cannot be noticed, and which did not enter the publisher
                as a context manager: there ``publish`` waits as ``flush`` does.
            ClosedError: The publisher is closed.

        """
        if self._closed:
            raise ClosedError("the publisher is closed; open another")
        topic = self._shared_topics.topic_for(name)
        event_id = os.urandom(16).hex() if id is None else text_of("id", id)
        origin = self._source if source is None else text_of("source", source)
        headers = write_headers(name, event_id, origin, moment_of(time))
        value = self._encoder.encode(name, {} if payload is None else payload)
        self._send(topic, value, key_of(key), headers, (name, event_id))
        if self._waits:
            self.flush()
        return event_id

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything published is delivered or has failed. Ctrl-C ends the wait.

        Args:
            timeout: Seconds to wait; the delivery timeout unless given, after which nothing is left waiting.

        Raises:
            NotDeliveredError: Events failed since the last flush, or still wait.

        """
        if self._producer is None:
            return
        before, failed_before = len(self._producer), self._failures.total
        try:
            waiting = self._failures.wait(
                self._producer, self._timeout_s + CLOSING_SLACK_S if timeout is None else timeout
            )
        except BaseException as interruption:
            interruption.add_note(f"{len(self._producer)} events are still in the publisher's buffer")
            raise
        failures, failed, noted = self._failures.untold()
        if before and not waiting and self._failures.total == failed_before:
            self._outage.delivered()
        if waiting or failed:
            error = NotDeliveredError(failures, failed, waiting)
            try:
                raise error
            finally:
                self._failures.tell(noted)  # not before: Ctrl-C may come in between

    def close(self, timeout: float | None = None) -> None:
        """Flush, and take no more events. Closing again does nothing.

        Raises:
            NotDeliveredError: As ``flush``.

        """
        if not self._closed:
            self._closed = True
            self._unclosed.detach()
            self.flush(timeout)

    def __enter__(self) -> Self:
        self._is_entered, self._waits = True, False  # the block's end flushes
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PublishError as undelivered:
            if error is None:
                raise
            error.add_note(str(undelivered))  # the block's own error comes first, but nothing is lost silently

    def _send(
        self,
        topic: str,
        value: bytes,
        key: str | bytes | None,
        headers: OwnHeaders,
        identity: tuple[str, str],
    ) -> None:
        producer = self._producer or self._open()
        undelivered = partial(self._failures.report, *identity)
        give_up = 0.0
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=undelivered)
            except BufferError:
                now = time.monotonic()
                give_up = give_up or now + self._timeout_s
                if now >= give_up:
                    raise BufferFullError(
                        f"the buffer stayed full for {self._timeout_s:g} s; is Kafka at "
                        f"{self._kafka['bootstrap.servers']} reachable? The event was not taken",
                    ) from None
                self._failures.serve(producer, _ROOM_POLL_S)
            except KafkaException as error:
                raise PublishError(f"topic {topic}: {error.args[0].str()}; the event was not taken") from error
            else:
                self._failures.serve(producer, 0)
                return

    def _open(self) -> Producer:
        """Make the producer, at the first event: so a process that forks before it publishes has no threads to lose."""
        with self._opening:
            if self._producer is None:
                silent = str(self._kafka.get("log_level")) == "0"
                self._outage = Outage(self._kafka["bootstrap.servers"], self._timeout_s, silent=silent)
                self._failures = Failures(self._on_failure, self._outage)
                producer = _producer(self._kafka, self._outage)
                if is_forked():
                    _never_free(producer)
                self._waits = not flushes_at_end(_flush_all) and not self._is_entered
                self._unclosed = finalize(self, _flush_unclosed, producer, self._failures, self._timeout_s)
                self._producer = producer
            return self._producer

    def _forget_producer(self) -> None:
        self._producer = None
        self._opening = Lock()
        self._waits = False
        self._unclosed = finalize(self, bool)

    def _connect(self, producer: Producer, within_s: float) -> None:
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
        self._closed = True
        self._unclosed.detach()
        raise NotConnectedError(
            f"no broker of Kafka at {self._kafka['bootstrap.servers']} answered within {within_s:g} s: "
            f"{self._outage.reason or detail}"
        )

    def _after_fork(self) -> None:
        """Forget the producer in a child process: librdkafka's threads stayed with the parent, and so did its buffer.

        The child makes one of its own when it publishes.
        """
        self._unclosed.detach()
        if self._producer is not None:
            _never_free(self._producer)
        self._forget_producer()
        self._is_entered = False  # the end of the block is the parent's


def _never_free(producer: Producer) -> None:
    """Keep a producer to the end of this process.

    In a forked child, freeing a producer could wait without end. The parent's would wait for threads that the child
    does not have. The child's own would wait for a thread that waits for a lock in the C library, which the parent held
    while it forked.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(producer))


def _flush_unclosed(producer: Producer, failures: Failures, timeout_s: float) -> None:
    """Send the events that a publisher holds which was never closed, at the latest when the process ends."""
    try:
        waiting = failures.wait(producer, timeout_s + CLOSING_SLACK_S)
    except (KeyboardInterrupt, SystemExit):
        waiting = len(producer)
    kept, failed, _ = failures.untold()
    if waiting or failed:
        _log.error("a publisher was never closed: %s", NotDeliveredError(kept, failed, waiting))
        events_were_lost()


_publishers: WeakSet[Publisher] = WeakSet()


def _flush_all() -> None:
    for publisher in list(_publishers):
        publisher._unclosed()  # noqa: SLF001 - this module's own


def _renew_publishers() -> None:
    for publisher in list(_publishers):
        publisher._after_fork()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_renew_publishers)


def _producer(kafka: Mapping[str, Any], outage: Outage) -> Producer:
    quiet = {} if "debug" in kafka else {"log_level": 0}  # ``outage`` logs the connection's errors once
    try:
        return Producer({**quiet, **kafka, "error_cb": outage.errors.append}, logger=_kafka_log)
    except (KafkaException, TypeError, ValueError) as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else error
        raise SettingsError(f"Kafka's client refuses a setting: {detail}") from error
