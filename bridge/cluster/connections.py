"""HTTP connections that can tell *surely not sent* from *perhaps sent*, and that keep to the time of a request.

urllib3 reports a failed TLS handshake and a connection that broke behind the request by the same errors. So the
connections here mark their own beginning: whatever fails before a connection stands (name, TCP, proxy, TLS) is a
:class:`NotSentError`; any other failure may have come after the request.

A socket's timeout bounds each of its operations, so that a server which sends a byte now and then is waited for
without end. Here each operation gets what is left of the whole request's time. The body of a long answer may take
longer than that (:func:`body_takes`); the request's time then bounds each silence.
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
    """No connection came to stand, so nothing of the request was sent."""


_BODY: ContextVar[float | None] = ContextVar("seconds of a body", default=None)


@contextmanager
def body_takes(seconds: float) -> Iterator[None]:
    """Let the answers of requests that are sent in this context be read for so many seconds.

    Within them a silence still lasts for the read timeout of the request at most.
    """
    token = _BODY.set(seconds)
    try:
        yield
    finally:
        _BODY.reset(token)


class _Reading(io.RawIOBase):
    """The bytes that a socket receives until a deadline, without a silence that is longer than some seconds."""

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
    """A response that is whole when the time of its request is over, or fails.

    urllib3 sets the socket's timeout to what is left of the request's time right before it makes this.
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
    """Let every connection that ``manager`` opens from now on raise :class:`NotSentError` where it says so."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
