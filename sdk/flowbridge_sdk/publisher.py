"""Publishes events to Kafka durably: what ``publish`` took arrives, or somebody is told.

The life of an event here: checked and encoded by ``publish`` in the caller's thread, put into librdkafka's bounded
buffer, sent by its own thread with idempotence and acks=all. Only failures come back (``delivery.report.only.error``):
a report for each success would double the cost of publishing. A full buffer makes ``publish`` wait.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet, finalize

from confluent_kafka import KafkaError, KafkaException, Producer

from flowbridge_sdk.attributes import key_of, moment_of, text_of
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.errors import (
    BufferFullError,
    ClosedError,
    Failure,
    NotDeliveredError,
    PublishError,
    SettingsError,
)
from flowbridge_sdk.failures import Failures
from flowbridge_sdk.headers import OwnHeaders, write_headers
from flowbridge_sdk.schemas import EventSchemas
from flowbridge_sdk.settings import PublisherSettings

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from flowbridge_sdk.registry import Registry

_log = logging.getLogger(__name__)
_kafka_log = logging.getLogger("flowbridge_sdk.kafka")  # what librdkafka would print

_ROOM_POLL_S = 0.05
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

    Raises:
        SettingsError: A setting is missing or wrong.
        SchemaError: A typed schema cannot be used.

    """

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
    ) -> None:
        settings = PublisherSettings.of(bootstrap, config, source, shared_topics=shared_topics)
        self._source = text_of("source", settings.source)
        self._shared_topics = settings.shared_topics
        self._encoder = Encoder(_schemas(schemas, settings), registry or _registry(settings))
        self._kafka = {**settings.kafka, "delivery.report.only.error": True, "error_cb": _quiet}
        self._timeout_s = settings.delivery_timeout_s
        self._on_failure = on_failure
        self._closed = False
        self._producer: Producer | None = None  # only in a child process that has not published yet
        self._open()
        _publishers.add(self)

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
            key: What decides its partition. Events of one key stay in order.
            id: Its id; a random one unless given. ``event_id`` derives ids that repeat with a job's retry.
            time: When it happened, with a time zone; now unless given.
            source: Who publishes it; the publisher's own unless given.

        Returns:
            The event's id.

        Raises:
            RefusedError: The event cannot be sent; the error names the field. Nothing was sent.
            BufferFullError: No room came free in time. The event was not taken.
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
        return event_id

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything published is delivered or has failed.

        Args:
            timeout: Seconds to wait; the delivery timeout unless given, after which nothing is left waiting.

        Raises:
            NotDeliveredError: Events failed since the last flush, or still wait.

        """
        if self._producer is None:
            return
        waiting = self._producer.flush(self._timeout_s + CLOSING_SLACK_S if timeout is None else timeout)
        failures, failed = self._failures.take()
        if waiting or failed:
            raise NotDeliveredError(failures, failed, waiting)

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
                producer.poll(_ROOM_POLL_S)
            except KafkaException as error:
                raise PublishError(f"topic {topic}: {error.args[0].str()}; the event was not taken") from error
            else:
                producer.poll(0)
                return

    def _open(self) -> Producer:
        self._failures = Failures(self._on_failure)
        producer = self._producer = _producer(self._kafka)
        self._unclosed = finalize(self, _flush_unclosed, producer, self._failures, self._timeout_s)
        return producer

    def _after_fork(self) -> None:
        """Forget the producer in a child process: librdkafka's threads stayed with the parent, and so did its buffer.

        The child makes one of its own when it publishes.
        """
        # never to be freed here: freeing it would wait for threads that this process does not have
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))
        self._unclosed.detach()
        self._producer = None


def _flush_unclosed(producer: Producer, failures: Failures, timeout_s: float) -> None:
    """Send what a publisher still holds that nobody closed, at the latest when the process ends."""
    waiting = producer.flush(timeout_s + CLOSING_SLACK_S)
    kept, failed = failures.take()
    if waiting or failed:
        _log.error("a publisher was never closed: %s", NotDeliveredError(kept, failed, waiting))


_publishers: WeakSet[Publisher] = WeakSet()


def _renew_publishers() -> None:
    for publisher in list(_publishers):
        publisher._after_fork()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_renew_publishers)


def _producer(kafka: Mapping[str, Any]) -> Producer:
    try:
        return Producer(dict(kafka), logger=_kafka_log)
    except (KafkaException, TypeError, ValueError) as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else error
        raise SettingsError(f"Kafka's client refuses a setting: {detail}") from error


def _quiet(_error: KafkaError) -> None:
    """Ignore a broker that is away for now: librdkafka tries again, and undelivered events are reported one by one."""


def _schemas(given: EventSchemas | str | os.PathLike[str] | None, settings: PublisherSettings) -> EventSchemas:
    if isinstance(given, EventSchemas):
        return given
    return EventSchemas.load(given) if given is not None else EventSchemas.from_setting(settings.schemas)


def _registry(settings: PublisherSettings) -> Registry | None:
    if not settings.registry_url:
        return None
    from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

    return Registry(settings.registry_url)
