"""A TCP proxy on loopback between a client and a server, for networks that break.

*Cut*: nothing listens any more and every connection is reset. *Stalled*: connections are taken and stay open, and
not a byte passes, as in a network that swallows packets. *Restored*: what stalled goes on where it stood; what was
cut has to connect again, to the same port.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from servers.loopback import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: the peer sees a reset at once
_CONNECT_SECONDS = 5
_JOIN_SECONDS = 5
_AWAKE_SECONDS = 0.2  # a thread that waits for a peer looks this often whether its connection was cut


class Proxy:
    """Passes TCP connections on to one address. A context manager: listens on entering, cut for good on leaving.

    Attributes:
        port: Where it listens on 127.0.0.1; the same for its whole life.

    """

    def __init__(self, target: str) -> None:
        """Take the address of the server behind it.

        Args:
            target: ``host:port``.

        """
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.port = free_port()
        self._flowing = threading.Event()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"{HOST}:{self.port}"

    def cut(self) -> None:
        """Refuse new connections and reset those that there are."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._open = self._open, set()
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which close() alone does not
            listener.close()
        for connection in connections:
            _reset(connection)
        self._flowing.set()  # lets threads that held bytes back find their connections gone

    def stall(self) -> None:
        """Take connections, keep those that there are, and pass nothing."""
        self._flowing.clear()
        self._listen()

    def restore(self) -> None:
        """Pass everything again, also what was held back while stalled."""
        self._flowing.set()
        self._listen()

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def _listen(self) -> None:
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server((HOST, self.port))
                self._run(self._accept, self._listener)

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name=f"proxy-{self.port}", daemon=True)
        thread.start()
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed: this thread has nothing left to do
            while True:
                connection, _ = listener.accept()
                self._keep(listener, connection)

    def _keep(self, listener: socket.socket, connection: socket.socket) -> None:
        with self._lock:
            if listener is not self._listener:  # cut between accept() and here
                _reset(connection)
                return
            self._open.add(connection)
            self._run(self._connect, connection)

    def _connect(self, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self._target, timeout=_CONNECT_SECONDS)
        except OSError:
            self._drop(client)
            return
        with self._lock:
            if client not in self._open:  # cut while we connected
                _reset(server)
                return
            client.settimeout(_AWAKE_SECONDS)  # not before: a cut closes it
            server.settimeout(_AWAKE_SECONDS)
            self._open.add(server)
            answers = self._run(self._pass, server, client)
        self._pass(client, server)
        answers.join()
        self._drop(client)
        self._drop(server)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := _receive(source):
                self._flowing.wait()
                _send(sink, chunk)
            with self._lock:
                if source in self._open:  # its peer is done, and the other side may still have something to say
                    sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(source)
            self._drop(sink)

    def _drop(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        _reset(connection)


def _receive(source: socket.socket) -> bytes:
    while True:
        with suppress(TimeoutError):
            return source.recv(_CHUNK)


def _send(sink: socket.socket, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        with suppress(TimeoutError):
            rest = rest[sink.send(rest) :]


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.shutdown(socket.SHUT_RD)  # wakes a thread in recv(); shutting both ways would send an orderly end
    connection.close()
