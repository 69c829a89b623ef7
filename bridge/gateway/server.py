"""Serves a gateway: accepts connections, as many as there is room for, and bounds what each may do.

A connection for which there is no room waits in the kernel's queue: its publisher waits, and loses nothing. The end is
in order: not ready any more; still serving for a while, until balancers have noticed; no new connections; what is
held is answered, within the time that a request is held; the log is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uvicorn

from bridge.gateway.gateway import Gateway
from bridge.gateway.protocol import BoundedProtocol

_START_S = 30.0
_TICK_S = 1.0
_EXHAUSTED_S = 0.2
SLACK_S = 3.0
"""Seconds from the last answer that is due until whoever has not taken his is left."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Connections:
    """What clients may do.

    Attributes:
        most: Connections at once.
        receive: Seconds from a request's first byte until it is whole, for a TLS handshake, and for taking an answer.
        idle: Seconds that a connection may be idle between two requests.

    """

    most: int = 2_000
    receive: float = 20.0
    idle: float = 30.0


class GatewayServer:
    """Serves a gateway in a thread of its own. A context manager: it answers from entering until leaving.

    Args:
        gateway: What is served.
        listener: A listening socket; closed when leaving.
        connections: What clients may do.
        tls: For HTTPS.
        chores: Called once a second on the event loop; they must not block.

    Attributes:
        port: The port that it answers on.

    """

    def __init__(
        self,
        gateway: Gateway,
        listener: socket.socket,
        connections: Connections = Connections(),
        *,
        tls: ssl.SSLContext | None = None,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._gateway = gateway
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._bounds = connections
        self._tls = tls
        self._chores = (gateway.tokens.refresh, *chores)
        self._linger = 0.0
        self._config = uvicorn.Config(
            gateway,
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
        self._server = uvicorn.Server(self._config)
        self._started = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def leave(self, linger: float = 0.0) -> None:
        """Begin to end, and return at once; leaving the context waits for the end. To ask again changes nothing.

        Args:
            linger: Seconds that it goes on serving, unready, before it takes no more connections.

        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop, linger)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_S) or self._failure is not None:
            raise RuntimeError("the gateway did not start") from self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        self._thread.join()
        self._listener.close()
        if self._failure is not None and error is None:
            raise RuntimeError("the gateway failed") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._life())
        except BaseException as error:  # noqa: BLE001 - the thread's last word; __enter__ says it, or the log
            self._failure = error
            _log.exception("the gateway failed")
        finally:
            self._started.set()

    async def _life(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener.settimeout(0)  # as the event loop wants it
        self._config.load()
        await self._gateway.log.open()
        serving = asyncio.create_task(self._server.serve(sockets=[]))
        accepting = asyncio.create_task(self._accept())
        # two tasks: asking for topics waits long for a Kafka that is away
        tending = [asyncio.create_task(_repeat(work)) for work in (self._tend, self._gateway.topics.refresh_when_due)]
        stopping = asyncio.create_task(self._stopping.wait())
        self._started.set()
        await asyncio.wait((stopping, serving, accepting), return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            accepting.result()  # it never ends by itself, so this says why it did
        self._gateway.leave()
        await asyncio.sleep(self._linger)
        accepting.cancel()
        self._config.timeout_graceful_shutdown = int(max(self._gateway.bounds.hold - self._linger, 0) + SLACK_S)
        self._listener.close()
        self._server.should_exit = True
        await serving
        await self._gateway.log.close()
        for task in tending:
            task.cancel()
        await asyncio.gather(accepting, *tending, return_exceptions=True)

    def _stop(self, linger: float) -> None:
        if not self._stopping.is_set():
            self._linger = linger
            self._stopping.set()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(self._bounds.most)
        taking: set[asyncio.Task[None]] = set()
        while True:
            await room.acquire()
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no more files, or the client went at once
                _log.warning("a connection could not be accepted: %s", error)
                room.release()
                await asyncio.sleep(_EXHAUSTED_S)
                continue
            task = loop.create_task(self._take(client, room))
            taking.add(task)
            task.add_done_callback(taking.discard)

    async def _take(self, client: socket.socket, room: asyncio.Semaphore) -> None:
        protocol = BoundedProtocol(self._config, self._server.server_state, lost=room.release, refused=self._refused)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only for sockets of its own
        seconds = self._bounds.receive if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, client, ssl=self._tls, ssl_handshake_timeout=seconds
            )
        except OSError:  # no TLS, or too slow for it: SSLError and TimeoutError are OSErrors
            self._gateway.metrics.dropped("no-tls")
            if protocol.was_never_connected:
                room.release()

    def _refused(self) -> None:
        self._gateway.metrics.dropped("no-http")

    async def _tend(self) -> None:
        """Drop clients that are too slow, and do the chores."""
        now = asyncio.get_running_loop().time()
        for one in list(self._server.server_state.connections):
            if isinstance(one, BoundedProtocol) and one.is_slow(now, self._bounds.receive):
                self._gateway.metrics.dropped("slow")
                one.transport.abort()
        for chore in self._chores:
            chore()


async def _repeat(work: Callable[[], Awaitable[None]]) -> None:
    """Do something once a second, for ever; a bug in it is said, and does not end it."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it is, slow clients must still be dropped
            _log.exception("the gateway goes on; this is a bug of Flowbridge")
        await asyncio.sleep(_TICK_S)
