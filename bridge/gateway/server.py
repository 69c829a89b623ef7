"""Serves a gateway in a thread of its own, from its first connection to an end in order.

At its end a server first becomes unready, and goes on serving until load balancers have noticed. Then it takes no new
connections, and answers the requests that it holds within the time that a request may be held. Then it closes the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from bridge.gateway.gateway import Gateway
from bridge.http.serving import SLACK_S, TICK_S, Connections, Serving

_START_S = 30.0
_CONNECTIONS = Connections()
_log = logging.getLogger(__name__)


class GatewayServer:
    """Serves a gateway in a thread of its own. A context manager: it answers from entering until leaving.

    Args:
        gateway: The gateway.
        listener: A listening socket; closed when leaving.
        connections: Limits of connections.
        tls: For HTTPS.
        chores: Called once a second on the event loop; they must not block.

    Attributes:
        port: The port that it answers on.

    """

    def __init__(
        self,
        gateway: Gateway,
        listener: socket.socket,
        connections: Connections = _CONNECTIONS,
        *,
        tls: ssl.SSLContext | None = None,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._gateway = gateway
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._connections = connections
        self._tls = tls
        self._chores = (gateway.tokens.refresh, *chores)
        self._linger = 0.0
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

        def stop() -> None:
            if not self._stopping.is_set():
                self._linger = linger
                self._stopping.set()

        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(stop)

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
        except BaseException as error:  # noqa: BLE001 - the thread ends here; __enter__ raises it, or the log has it
            self._failure = error
            _log.exception("the gateway failed")
        finally:
            self._started.set()

    async def _life(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._gateway.log.open()
        dropped = self._gateway.metrics.dropped
        server = Serving(self._gateway, self._listener, self._connections, tls=self._tls, dropped=dropped)
        serving = asyncio.create_task(server.serve())

        async def do_chores() -> None:
            for chore in self._chores:
                chore()

        # two tasks: asking for topics waits long for a Kafka that is away
        tending = [asyncio.create_task(_repeat(work)) for work in (do_chores, self._gateway.topics.refresh_when_due)]
        stopping = asyncio.create_task(self._stopping.wait())
        self._started.set()
        await asyncio.wait((stopping, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()  # it ends by itself only with an error, which is raised here
        self._gateway.leave()
        await asyncio.sleep(self._linger)
        server.end(max(self._gateway.bounds.hold - self._linger, 0) + SLACK_S)
        await serving
        await self._gateway.log.close()
        for task in tending:
            task.cancel()
        await asyncio.gather(*tending, return_exceptions=True)


async def _repeat(work: Callable[[], Awaitable[None]]) -> None:
    """Do some work once a second; a bug in it is logged, and does not end it."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - after any error, the other chores must go on
            _log.exception("the gateway goes on; this is a bug of Flowbridge")
        await asyncio.sleep(TICK_S)
