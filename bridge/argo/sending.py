"""HTTP connections that can tell *surely not sent* from *perhaps sent*.

urllib3 reports a failed TLS handshake and a connection that broke behind the request by the same errors. So the
connections here mark their own beginning: whatever fails before a connection stands (name, TCP, proxy, TLS) is a
:class:`NotSentError`; any other failure may have come after the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from bridge.plain_text import plain_text

if TYPE_CHECKING:
    from urllib3 import PoolManager


class NotSentError(HTTPError):
    """No connection came to stand, so nothing of the request was sent."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError) as error:
            self.close()
            raise NotSentError(plain_text(error)) from error


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError, ValueError) as error:  # ValueError: certificates that the TLS library cannot use
            self.close()
            raise NotSentError(plain_text(error)) from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def witness_connections(manager: PoolManager) -> None:
    """Let every connection that ``manager`` opens from now on raise :class:`NotSentError` where it says so."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
