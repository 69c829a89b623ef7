"""HTTP out: ``/livez``, ``/readyz`` and ``/metrics`` on an address of its own, in a thread of its own.

Nothing that is answered here holds a payload, a key, an id or a setting, and nothing can be changed here.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.console.health import Health, Verdict
from bridge.console.metrics import CONTENT_TYPE, Metrics
from bridge.errors import ListenError

_BACKLOG = 64
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_WAIT = 0.01

_log = logging.getLogger(__name__)


def application(health: Health, metrics: Metrics) -> Starlette:
    """Return the HTTP application over what the stages say."""

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
        or_any_free: Take any free port if this one is taken: for a default that nobody chose.

    Raises:
        ListenError: The address cannot be had.

    """
    try:
        return socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
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
    """Serves an application on a listening socket. A context manager: it answers from entering until leaving."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, name="console", daemon=True)

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return port_of(self._listener)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ListenError(f"the server on port {self.port} did not start")
            time.sleep(_WAIT)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        with contextlib.suppress(OSError):
            self._listener.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])


def _verdict_page(verdict: Callable[[], Verdict]) -> Callable[[Request], Awaitable[Response]]:
    async def page(_request: Request) -> Response:
        found = verdict()
        return JSONResponse({"ok": found.ok, "stages": dict(found.stages)}, 200 if found.ok else 503)

    return page


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
