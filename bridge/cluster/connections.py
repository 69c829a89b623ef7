"""HTTP connections that can tell *surely not sent* from *perhaps sent*, and that keep to the time of a request.

urllib3 raises the same errors for a failed TLS handshake and for a connection that broke after the request. So the
connections here mark their own beginning. A failure before a connection is established (name, TCP, proxy, TLS) is a
:class:`NotSentError`. Any other failure may have happened after the request.

A socket's timeout bounds each of its operations, so a client would wait without end for a server that sends a byte now
and then. Here each operation gets the rest of the whole request's time. The body of a long answer may take longer
(:func:`body_takes`). The request's time then bounds each silence.
"""

from __future__ import annotations

import http.client
import io
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from bridge.plain_text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

    from urllib3 import PoolManager


class NotSentError(HTTPError):
    """No connection was established, so nothing of the request was sent."""


_BODY: ContextVar[float | None] = ContextVar("seconds of a body", default=None)


@contextmanager
def body_takes(seconds: float) -> Iterator[None]:
    """Allow so many seconds for the body of each answer to a request in this context.

    A silence within them still lasts for the read timeout of the request at most.
    """
    token = _BODY.set(seconds)
    try:
        yield
    finally:
        _BODY.reset(token)


class _Reading(io.RawIOBase):
    """The bytes that a socket receives until a deadline, with a limit in seconds on each silence."""

    def __init__(self, sock: socket, deadline: float, silence: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._silence = silence
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(min(_left(self._deadline), self._silence))
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A response that is read whole within the time of its request, or fails.

    Right before urllib3 makes this response, it sets the socket's timeout to the rest of the request's time.
    """

    def __init__(self, sock: socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        left = sock.gettimeout()
        if left is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_Reading(sock, time.monotonic() + (_BODY.get() or left), left))


class _Timed(HTTPConnection):
    """A connection that keeps to a request's time, from connecting to the last byte that is sent."""

    response_class = _TimedResponse
    _began: float | None = None

    def connect(self) -> None:
        self._began = self._began or time.monotonic()
        try:
            super().connect()
            if self.timeout is not None:
                self.sock.settimeout(_left(self._began + self.timeout))
        except (HTTPError, OSError, ValueError) as error:  # ValueError: certificates that the TLS library cannot use
            self._began = None
            self.close()
            raise NotSentError(plain_text(error)) from error

    def request(self, *arguments: Any, **named: Any) -> None:
        self._began = self._began or time.monotonic()
        try:
            super().request(*arguments, **named)
        finally:
            self._began = None

    def send(self, data: Any) -> None:
        if self.sock is not None and self.timeout is not None and self._began is not None:
            self.sock.settimeout(_left(self._began + self.timeout))
        super().send(data)


class _TimedTls(_Timed, HTTPSConnection):
    """The same with TLS."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTls


def witness_connections(manager: PoolManager) -> None:
    """Make ``manager`` open only connections of this module from now on."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
