"""uvicorn's HTTP protocol with bounds on what a client may do before its request is whole.

uvicorn bounds neither the head of a request nor the time that it takes, and queues any number of pipelined requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from typing_extensions import override
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_LIMIT = 16 * 1024
"""Bytes of a request's line and headers."""

PIPELINE_LIMIT = 16
"""Requests that may wait behind one another on a connection."""

_log = logging.getLogger("bridge.gateway.http")
_log.setLevel(logging.ERROR)  # what strangers send is counted, not logged


class HeadTooLargeError(Exception):
    """A request's head, or its pipeline, is larger than it may be; the client is told 400."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        receiving_since: When the request that is coming in began (the loop's clock), or the wait for the first one;
            None while none is.

    """

    def __init__(
        self, config: Config, state: ServerState, *, lost: Callable[[], None], refused: Callable[[], None]
    ) -> None:
        """Take uvicorn's parts; ``lost`` is called when the connection is gone, ``refused`` when it spoke no HTTP."""
        super().__init__(config, state, {})
        self.logger = _log
        self.receiving_since: float | None = None
        self._writing_since: float | None = None
        self._lost = lost
        self._refused = refused
        self._is_in_head = False
        self._head = 0  # bytes of the head that the parser has handed over
        self._unparsed = 0  # bytes that came while it was not whole: what the parser keeps for itself counts, too
        self._is_leaving = False

    def is_slow(self, now: float, seconds: float) -> bool:
        """Tell whether the client has kept us waiting for longer than ``seconds``."""
        if self._writing_since is not None:
            return now - self._writing_since > seconds
        since = self.receiving_since
        return since is not None and not self.flow.read_paused and now - since > seconds

    @property
    def was_never_connected(self) -> bool:
        """Whether it failed before there was a connection to speak on: then ``lost`` is not called."""
        return self.flow is None

    @override
    def connection_made(self, transport: Any) -> None:
        self.receiving_since = self.loop.time()
        super().connection_made(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost()

    @override
    def data_received(self, data: bytes) -> None:
        is_all_head = self._is_in_head or self.cycle is None or self.receiving_since is None
        if self.receiving_since is None:
            self.receiving_since = self.loop.time()
        super().data_received(data)
        if is_all_head and self._is_in_head and not self.transport.is_closing():
            self._unparsed += len(data)
            if self._unparsed > HEAD_LIMIT:
                self.send_400_response("the head of the request is too large")

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head = self._unparsed = 0
        if self.receiving_since is None:
            self.receiving_since = self.loop.time()

    @override
    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise HeadTooLargeError
        super().on_headers_complete()
        if self._is_leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.receiving_since = None

    @override
    def send_400_response(self, msg: str) -> None:
        self._refused()
        super().send_400_response(msg)

    @override
    def shutdown(self) -> None:
        """Close when nothing is under way; a request that has begun to come in is still answered."""
        self._is_leaving = True
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._is_in_head:
            return
        super().shutdown()

    @override
    def pause_writing(self) -> None:
        self._writing_since = self.loop.time()
        super().pause_writing()

    @override
    def resume_writing(self) -> None:
        self._writing_since = None
        super().resume_writing()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_LIMIT:
            raise HeadTooLargeError
