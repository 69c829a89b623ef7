"""Serve an ASGI application. Accept as many connections as there is room for, and bound each of them.

A connection for which there is no room waits in the kernel's queue. Its client waits, and loses nothing. Meanwhile
useless connections make room: first idle ones, the longest idle first, and then stalled ones, of the address with the
most connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from typing_extensions import override

from bridge.http.protocol import BoundedProtocol

TICK_S = 1.0
"""Seconds between two looks for clients that are too slow."""

SLACK_S = 3.0
"""Seconds after the last answer that is due. Then connections that have not received their answer are abandoned."""

_EXHAUSTED_S = 0.2
_IDLE_S = 1.0  # a connection that is idle for less makes no room: its request may be on its way
_STALLED_S = 2.0  # nor does one whose request comes in for less
_SAID_S = 60.0  # between two log lines about the same error
_RESERVED_FILES = 128  # descriptors for Kafka, the API server, files and other listeners of the process
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Connections:
    """Bounds on the clients.

    Attributes:
        most: Connections at once.
        first: Seconds from connecting until the first byte, and for a TLS handshake.
        receive: Seconds from a request's first byte until it is whole, and for receiving an answer.
        idle: Seconds that a connection may be idle between two requests.

    """

    most: int = 2_000
    first: float = 5.0
    receive: float = 20.0
    idle: float = 30.0


class _Server(uvicorn.Server):
    """uvicorn's server. It looks ten times a second whether it has to end; this one is told, and is idle until then.

    Attributes:
        told: Set once it has to end.

    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @override
    async def main_loop(self) -> None:
        await self.on_tick(0)  # makes the headers of all answers
        await self.told.wait()


class Serving:
    """Serves an application on a listening socket. For one event loop.

    Args:
        app: The ASGI application.
        listener: A listening socket; closed at the end.
        connections: Bounds on the clients.
        tls: The context for HTTPS; None for HTTP.
        dropped: Called with the reason for which a connection is dropped: ``slow``, ``no-room``, ``no-http``,
            ``no-tls``.

    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        connections: Connections,
        *,
        tls: ssl.SSLContext | None = None,
        dropped: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._listener = listener
        # No more connections than files that the process may have open, less a reserve. Its soft limit is raised first.
        open_files, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if open_files not in (hard_limit, resource.RLIM_INFINITY):
            with contextlib.suppress(ValueError, OSError):  # a sandbox may forbid it
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
                open_files = hard_limit
        if open_files != resource.RLIM_INFINITY:
            connections = replace(connections, most=max(min(connections.most, open_files - _RESERVED_FILES), 1))
        self._bounds = connections
        self._tls = tls
        self._dropped = dropped
        self._config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(connections.idle),
        )
        self._server = _Server(self._config)
        self._addresses: dict[BoundedProtocol, str] = {}  # of every connection that takes room
        self._has_room = asyncio.Event()
        self._ending = asyncio.Event()

    async def serve(self) -> None:
        """Serve until :meth:`end` is called. An error that ends the server earlier is raised."""
        self._listener.settimeout(0)  # as the event loop wants it
        self._config.load()
        serving = asyncio.create_task(self._server.serve(sockets=[]))
        tasks = [asyncio.create_task(work) for work in (self._accept(), self._tend(), self._ending.wait())]
        try:
            done, _ = await asyncio.wait((serving, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # only the last ends without an error; this raises the error of another
        finally:
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks[:2], return_exceptions=True)
            tasks[2].cancel()
            self._listener.close()
            self._server.told.set()
            await serving

    def end(self, seconds: float) -> None:
        """Accept no more connections, and close the others once they are answered, or after ``seconds``."""
        self._config.timeout_graceful_shutdown = int(seconds)
        self._ending.set()

    # -- accepting -----------------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        taking: set[asyncio.Task[None]] = set()
        warned_at = float("-inf")
        while True:
            while len(self._addresses) >= self._bounds.most:
                if not self._make_room():
                    self._has_room.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(TICK_S):
                            await self._has_room.wait()
            try:
                client, address = await loop.sock_accept(self._listener)
            except OSError as error:  # no more files, or the client went at once
                # At most one warning a minute, because a server without descriptors would fill the disk with its log.
                if loop.time() - warned_at >= _SAID_S:
                    warned_at = loop.time()
                    _log.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(_EXHAUSTED_S)
                continue
            protocol = BoundedProtocol(
                self._config, self._server.server_state, lost=self._forget, refused=lambda: self._dropped("no-http")
            )
            self._addresses[protocol] = str(address[0])
            task = loop.create_task(self._take(client, protocol))
            taking.add(task)
            task.add_done_callback(taking.discard)

    def _make_room(self) -> bool:
        """Drop a useless connection; return False if there is none."""
        now = asyncio.get_running_loop().time()
        idle = [protocol for protocol in self._addresses if now - (protocol.idle_since or now) >= _IDLE_S]
        if idle:
            useless = min(idle, key=lambda protocol: protocol.idle_since or now)
        else:
            greediest, _ = Counter(self._addresses.values()).most_common(1)[0]
            stalled = [
                protocol
                for protocol, address in self._addresses.items()
                if address == greediest and now - (protocol.receiving_since or now) >= _STALLED_S
            ]
            if not stalled:
                return False
            useless = min(stalled, key=lambda protocol: protocol.receiving_since or now)
        self._drop(useless, "no-room")
        return True

    def _drop(self, protocol: BoundedProtocol, reason: str) -> None:
        self._dropped(reason)
        protocol.transport.abort()
        self._forget(protocol)

    async def _take(self, client: socket.socket, protocol: BoundedProtocol) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only for sockets of its own
        seconds = min(self._bounds.first, self._bounds.receive) if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, client, ssl=self._tls, ssl_handshake_timeout=seconds
            )
        except OSError:  # no TLS, or too slow for it: SSLError and TimeoutError are OSErrors
            self._dropped("no-tls")
            self._forget(protocol)

    def _forget(self, protocol: BoundedProtocol) -> None:
        """Give a connection's room back."""
        if self._addresses.pop(protocol, None) is not None:
            self._has_room.set()

    async def _tend(self) -> None:
        """Drop clients that are too slow."""
        while True:
            await asyncio.sleep(min(TICK_S, self._bounds.first / 2, self._bounds.receive / 2))
            now = asyncio.get_running_loop().time()
            for protocol in list(self._addresses):
                if protocol.is_slow(now, self._bounds.first, self._bounds.receive):
                    self._drop(protocol, "slow")
