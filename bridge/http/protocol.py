"""uvicorn's HTTP protocol, with bounds on a client before its request is whole.

uvicorn bounds neither the head of a request nor the time that it takes, and it queues any number of pipelined requests.
It also takes an ``Upgrade`` to an unknown protocol for the end of the request, and loses the body. HTTP lets a server
ignore this header, and Java's HttpClient sends ``Upgrade: h2c`` with its first request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httptools
from typing_extensions import override
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_LIMIT = 16 * 1024
"""Bytes of a request's line and headers, including those behind a chunked body (trailers)."""

HEADER_COST = 64
"""Bytes that each header counts on top of its own, for the memory that keeps it."""

PIPELINE_LIMIT = 16
"""Requests that may wait on a connection."""

_UPGRADING = frozenset((b"upgrade", b"connection", b"http2-settings"))
_log = logging.getLogger("bridge.http")
_log.setLevel(logging.ERROR)  # wrong requests of strangers are counted, not logged


class HeadTooLargeError(Exception):
    """A request's head, or the pipeline, is too large. The client gets a 400."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        config: uvicorn's.
        state: uvicorn's.
        lost: Called when the connection is gone.
        refused: Called when a request is refused because it is no HTTP, or too large.

    Attributes:
        idle_since: Time (the loop's clock) since which no request is received or answered; None during a request.
        receiving_since: Time at which the request that is being received began; None between requests.
        has_spoken: Whether the client has sent anything.

    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        lost: Callable[[BoundedProtocol], None],
        refused: Callable[[], None],
    ) -> None:
        super().__init__(config, state, {})
        self.logger = _log
        self.idle_since: float | None = None
        self.receiving_since: float | None = None
        self.has_spoken = False
        self._writing_since: float | None = None
        self._lost = lost
        self._refused = refused
        self._is_in_head = False
        self._head = 0  # bytes of the head that the parser has handed over
        self._unparsed = 0  # bytes since the parser last handed something over, which it still keeps
        self._begun = 0  # requests that began in the bytes that are being parsed
        self._moved = False  # whether the parser handed over a part of them
        self._is_leaving = False

    def is_slow(self, now: float, first: float, whole: float) -> bool:
        """Return True if the client is too slow.

        Args:
            now: The loop's clock.
            first: Seconds from connecting to the first byte.
            whole: Seconds from a request's first byte until it is whole, and for receiving an answer.

        """
        if self._writing_since is not None:
            return now - self._writing_since > whole
        if not self.has_spoken:
            return self.idle_since is not None and now - self.idle_since > first
        since = self.receiving_since
        return since is not None and not self.flow.read_paused and now - since > whole

    @override
    def connection_made(self, transport: Any) -> None:
        self.idle_since = self.loop.time()
        super().connection_made(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost(self)

    @override
    def data_received(self, data: bytes) -> None:
        is_all_head = self._is_in_head or self.receiving_since is None
        self.has_spoken = True
        self.idle_since = None
        if self.receiving_since is None:
            self.receiving_since = self.loop.time()
        self._unset_keepalive_if_required()
        self._begun, self._moved = 0, False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("this is no HTTP request that is taken here")
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self.scope["method"] == "CONNECT":
                self.send_400_response("CONNECT is not taken here")
                return
            # Parse the request again without the headers that made the parser stop behind its head.
            line = self.scope["method"].encode() + b" " + self.url + b" HTTP/1.1\r\n"
            kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in _UPGRADING]
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(b"".join((line, *kept, b"\r\n", data[upgrade.args[0] :])))
            return
        # The parser keeps what is not whole yet: a name, a value, the line of a chunk.
        if not self._moved:
            self._unparsed += len(data)
        else:
            self._unparsed = len(data) if is_all_head and self._is_in_head and self._begun == 1 else 0
        if self._unparsed > HEAD_LIMIT and not self.transport.is_closing():
            self.send_400_response("the head of the request is too large")

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head = 0
        self._begun += 1
        self._moved = True
        if self.receiving_since is None:
            self.receiving_since = self.loop.time()

    @override
    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + HEADER_COST)
        if self._is_in_head:  # nothing here uses trailers
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._moved = True
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return  # the parser stops here and says so
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise HeadTooLargeError
        super().on_headers_complete()
        if self._is_leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    @override
    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._moved = True
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self.receiving_since = None

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.receiving_since is None and not self.pipeline:
            self.idle_since = self.loop.time()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refused()
        super().send_400_response(msg)

    @override
    def shutdown(self) -> None:
        """Close the connection if it is idle. A request that has begun is still answered."""
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
