"""Publishes events to Kafka durably: an event that ``publish`` took arrives, or its failure is reported.

The life of an event here: checked and encoded by ``publish`` in the caller's thread (``encoder.py``), then put into
librdkafka's bounded buffer (``delivery/buffer.py``). While that is full, ``Publisher`` blocks its thread and
``AsyncPublisher`` awaits.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from flowbridge_sdk.delivery.buffer import Buffer
from flowbridge_sdk.delivery.settings import PublisherSettings
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import PublishError
from flowbridge_sdk.schemas import EventSchemas

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from flowbridge_sdk.errors import Failure
    from flowbridge_sdk.models.typed import EventType
    from flowbridge_sdk.registry import Registry

T = TypeVar("T")

_LOOK_S = 0.01  # between two looks of a coroutine that waits


class _Parts:
    """The two halves of a publisher, made from its arguments: an encoder and a buffer.

    Attributes:
        on_failure: Called for each event that was not delivered; None where ``flush`` raises.

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
        connect_within: float | None = None,
    ) -> None:
        settings = PublisherSettings.of(
            bootstrap, config, source, shared_topics=shared_topics, connect_within=connect_within
        )
        if not registry and settings.registry_url:
            from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

            registry = Registry(settings.registry_url)
        self._encoder = EventEncoder(
            settings.source,
            schemas=EventSchemas.from_setting(settings.schemas) if schemas is None else schemas,
            registry=registry,
            shared_topics=settings.shared_topics,
        )
        self.on_failure = on_failure
        self._buffer = Buffer(settings.kafka, settings.delivery_timeout_s, on_failure)
        if settings.connect_within_s:
            self._buffer.connect(settings.connect_within_s)


class Publisher(_Parts):
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

    @overload
    def publish(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str: ...

    @overload
    def publish(
        self,
        name: EventType[T],
        payload: T,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str: ...

    def publish(
        self,
        name: str | EventType[Any],
        payload: Any = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str:
        """Take an event to send; returns before it is delivered.

        Waits while the buffer is full, at most for the delivery timeout (``delivery.timeout.ms``, two minutes).

        Args:
            name: The event's name, or its type (``event_type``).
            payload: Its payload, for a type an object of its model; none is an empty one.
            key: Its key, which decides its partition. Events of one key stay in order.
            id: Its id; a random one unless given. ``event_id`` derives ids that repeat with a job's retry.
            time: When it happened, with a time zone; now unless given.
            source: Its ``source`` attribute; the publisher's own unless given.
            traceparent: Its trace context; that of the active span of OpenTelemetry unless given, if there is one.

        Returns:
            The event's id.

        Raises:
            RefusedError: The event cannot be sent; the error names the field. Nothing was sent.
            SchemaError: The schema of the type is not the one that the folder of schemas has for its name.
            BufferFullError: No room came free in time. The event was not taken.
            NotDeliveredError: Only in a forked child whose end cannot be noticed, and which did not enter the publisher
                as a context manager: there ``publish`` waits as ``flush`` does.
            ClosedError: The publisher is closed.

        """
        buffer = self._buffer
        buffer.require_open()
        encoded = self._encoder.encode(name, payload, key=key, id=id, time=time, source=source, traceparent=traceparent)
        buffer.put(encoded, name if isinstance(name, str) else name.name)
        if buffer.waits:
            buffer.flush(None)
        return encoded.id

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything published is delivered or has failed. Ctrl-C ends the wait.

        Args:
            timeout: Seconds to wait; the delivery timeout unless given, after which nothing is left waiting.

        Raises:
            NotDeliveredError: Events failed since the last flush, or still wait.

        """
        self._buffer.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, and take no more events. Closing again does nothing.

        Raises:
            NotDeliveredError: As ``flush``.

        """
        if self._buffer.close():
            self._buffer.flush(timeout)

    def __enter__(self) -> Self:
        self._buffer.enter()
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


class AsyncPublisher(_Parts):
    """Publishes events from coroutines of one event loop. One per process is enough.

    What blocks a thread in ``Publisher`` awaits here. librdkafka sends in a thread of its own, so nothing else needs
    one. A full buffer and a flush are waited for by looking again after a short sleep of the coroutine.
    confluent-kafka's own client for asyncio takes no headers.

    Args:
        bootstrap: As in ``Publisher``.
        arguments: All further arguments of ``Publisher``.

    Raises:
        SettingsError: A setting is missing or wrong.
        NotConnectedError: No broker answered within ``connect_within``, for which the constructor blocks.
        SchemaError: A typed schema cannot be used.

    """

    @overload
    async def publish(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str: ...

    @overload
    async def publish(
        self,
        name: EventType[T],
        payload: T,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str: ...

    async def publish(
        self,
        name: str | EventType[Any],
        payload: Any = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> str:
        """Take an event to send; return its id before it is delivered.

        Awaits room while the buffer is full, at most for the delivery timeout; other coroutines run meanwhile. Events
        of one coroutine are sent in order. If the call is cancelled, the event was not taken.

        Args:
            name: The event's name, or its type.
            payload: As in ``Publisher.publish``, and so are all further arguments.
            key: Its key.
            id: Its id.
            time: When it happened.
            source: Its ``source`` attribute.
            traceparent: Its trace context.

        Raises:
            RefusedError: The event cannot be sent; the error names the field. Nothing was sent.
            SchemaError: The schema of the type is not the one that the folder of schemas has for its name.
            BufferFullError: No room came free in time. The event was not taken.
            ClosedError: The publisher is closed.

        """
        buffer = self._buffer
        encode = partial(self._encoder.encode, key=key, id=id, time=time, source=source, traceparent=traceparent)
        buffer.require_open()
        if self._encoder.asks_registry(name):  # which may take seconds
            encoded = await asyncio.to_thread(encode, name, payload)
        else:
            encoded = encode(name, payload)
        since = monotonic()
        event = name if isinstance(name, str) else name.name
        while not buffer.offer(encoded, event):
            buffer.check_patience(since)
            await asyncio.sleep(_LOOK_S)
            buffer.serve(0)
        if buffer.waits:
            await self.flush()
        return encoded.id

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in ``Publisher``
        """Await until everything published is delivered or has failed.

        Args:
            timeout: Seconds to wait; the delivery timeout unless given, after which nothing is left waiting.

        Raises:
            NotDeliveredError: Events failed since the last flush, or still wait.

        """
        buffer, give_up = self._buffer, monotonic() + self._buffer.patience(timeout)
        begun = buffer.begin_flush()
        buffer.serve(0)
        try:
            while (waiting := len(buffer)) and monotonic() < give_up:
                await asyncio.sleep(_LOOK_S)
                buffer.serve(0)
        except asyncio.CancelledError as cancelled:
            cancelled.add_note(f"{len(buffer)} events are still in the publisher's buffer")
            raise
        buffer.end_flush(begun, waiting)

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in ``Publisher``
        """Flush, and take no more events. Closing again does nothing.

        Raises:
            NotDeliveredError: As ``flush``.

        """
        if self._buffer.close():
            await self.flush(timeout)

    async def __aenter__(self) -> Self:
        self._buffer.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except PublishError as undelivered:
            if error is None:
                raise
            error.add_note(str(undelivered))  # the block's own error comes first, but nothing is lost silently
