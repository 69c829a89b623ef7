"""HTTP out: ``/livez``, ``/readyz`` and ``/metrics`` on an address of its own, in a thread of its own.

No answer holds a payload, a key, an id or a setting, and no request changes anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.console.health import Health, Verdict
from bridge.console.metrics import CONTENT_TYPE, Metrics
from bridge.errors import ListenError
from bridge.http.serving import SLACK_S, Connections, Serving

_BACKLOG = 64
_START_SECONDS = 10.0
_STOP_SECONDS = 2.0
_CONNECTIONS = Connections(most=50, first=5.0, receive=10.0, idle=30.0)  # probes and Prometheus need a handful

_log = logging.getLogger(__name__)


def application(health: Health, metrics: Metrics) -> Starlette:
    """Return the HTTP application over the health and metrics of the stages."""

    async def metrics_page(_request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/livez", _verdict_page(health.live)),
            Route("/readyz", _verdict_page(health.is_ready)),
            Route("/metrics", metrics_page),
        ],
    )


def open_listener(host: str, port: int, *, or_any_free: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Address or name to listen on.
        port: Its port; 0 is any free one.
        or_any_free: Take any free port if this port is taken, because it is only a default.

    Raises:
        ListenError: The address is not available.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if or_any_free and port != 0:
            listener = open_listener(host, 0)
            _log.warning("port %d of %s is taken: health and metrics are on port %d", port, host, port_of(listener))
            return listener
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def port_of(listener: socket.socket) -> int:
    """Return the port that a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


class ConsoleServer:
    """Serve an application on a listening socket, in a thread of its own. A context manager: it serves inside."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        self._app = app
        self._listener = listener
        self.port = port_of(listener)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: Serving | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="console", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise ListenError(f"the server on port {self.port} did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._serving is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._serving.end, _STOP_SECONDS)
        self._thread.join(_STOP_SECONDS + SLACK_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._serving = Serving(self._app, self._listener, _CONNECTIONS)
        self._started.set()
        await self._serving.serve()


def _verdict_page(verdict: Callable[[], Verdict]) -> Callable[[Request], Awaitable[Response]]:
    async def page(_request: Request) -> Response:
        answer = verdict()
        return JSONResponse({"ok": answer.ok, "stages": dict(answer.stages)}, 200 if answer.ok else 503)

    return page
