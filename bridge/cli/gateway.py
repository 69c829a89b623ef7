"""``flowbridge gateway``: the HTTP server that publishers post events to, as a process of its own."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack

from prometheus_client import CollectorRegistry

from bridge.cli import logs
from bridge.cli.gateway_wiring import LINGER_S, PART, gateway_server
from bridge.cli.wiring import connect
from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener
from bridge.gateway.server import GatewayServer
from bridge.settings.settings import Settings

_LOOK_S = 1.0
logger = logging.getLogger(__name__)


def execute(*, settings: Settings) -> None:
    """Take events over HTTP until SIGTERM or SIGINT."""
    logs.set_up(settings, logs.kafka_outage(settings))
    registry = CollectorRegistry()
    health = Health([PART])
    with ExitStack() as stack:
        if settings.listen is not None:
            address, is_free = settings.listen, not settings.is_listen_explicit
            console = open_listener(address.host, address.port, or_any_free=is_free)
            stack.enter_context(ConsoleServer(application(health, Metrics(registry)), console))
        server = stack.enter_context(gateway_server(settings, connect(settings), registry, health.stage(PART)))
        asked = _wait(server)
        logger.info("stopping: finishing held requests first")
        server.leave(LINGER_S if asked == signal.SIGTERM else 0.0)  # nobody balances what a person starts by hand


def _wait(server: GatewayServer) -> int:
    """Wait for a signal to stop, and return it; 0 if the server ended by itself."""
    asked: list[int] = []
    stopped = threading.Event()

    def note(number: int, _frame: object) -> None:
        asked.append(number)
        stopped.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while server.is_alive and not stopped.wait(_LOOK_S):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked[0] if asked else 0
