"""Publishes events from asyncio: what blocks a thread in ``Publisher`` awaits here.

librdkafka sends in a thread of its own, so nothing here needs another one. A full buffer and a flush are waited for by
looking again after a short sleep of the coroutine. confluent-kafka's own client for asyncio takes no headers.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, Unpack

from flowbridge_sdk.errors import PublishError
from flowbridge_sdk.publisher import PublisherArguments, prepared

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from types import TracebackType

_LOOK_S = 0.01


class AsyncPublisher:
    """Publishes events from coroutines of one event loop. One per process is enough.

    Args:
        bootstrap: As in ``Publisher``.
        arguments: All further arguments of ``Publisher``.

    Raises:
        SettingsError: A setting is missing or wrong.
        NotConnectedError: No broker answered within ``connect_within``, for which the constructor blocks.
        SchemaError: A typed schema cannot be used.

    """

    def __init__(self, bootstrap: str | None = None, **arguments: Unpack[PublisherArguments]) -> None:
        self._encoder, self._buffer = prepared(bootstrap, **arguments)

    async def publish(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: datetime | None = None,
        source: str | None = None,
    ) -> str:
        """Take an event to send; return its id before it is delivered.

        Awaits room while the buffer is full, at most for the delivery timeout; other coroutines run meanwhile. Events
        of one coroutine are sent in order. If the call is cancelled, the event was not taken.

        Args:
            name: The event's name.
            payload: As in ``Publisher.publish``, and so are all further arguments.
            key: Its key.
            id: Its id.
            time: When it happened.
            source: Its ``source`` attribute.

        Raises:
            RefusedError: The event cannot be sent; the error names the field. Nothing was sent.
            BufferFullError: No room came free in time. The event was not taken.
            ClosedError: The publisher is closed.

        """
        buffer, encode = self._buffer, partial(self._encoder.encode, key=key, id=id, time=time, source=source)
        buffer.require_open()
        if self._encoder.asks_registry(name):  # which may take seconds
            encoded = await asyncio.to_thread(encode, name, payload)
        else:
            encoded = encode(name, payload)
        since = monotonic()
        while not buffer.offer(encoded, name):
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
