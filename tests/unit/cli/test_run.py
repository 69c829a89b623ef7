"""A process with stages and a gateway ends as one: whichever is asked to, or ends by itself, takes the other along."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from bridge.cli.gateway import LINGER_S
from bridge.cli.run import serve
from bridge.console.health import Health
from bridge.console.server import open_listener
from bridge.gateway.server import GatewayServer
from unit.gateway.house import House, metaflow_body
from unit.stages.world import World

HOST = "127.0.0.1"


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def server(house: House) -> Iterator[GatewayServer]:
    with GatewayServer(house.gateway, open_listener(HOST, 0)) as running:
        yield running


def served(server: GatewayServer, end: object) -> float:
    """Serve without any stage while ``end`` happens in another thread; return the seconds until the stages ended."""
    world = World()
    assert callable(end)
    acting = threading.Timer(0.3, end)
    acting.start()
    began = time.monotonic()
    serve(world.dependencies(world.start("p", ())), (), Health([]), server)
    acting.join()
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_makes_the_gateway_leave_while_the_stages_end(
    house: House, server: GatewayServer, number: signal.Signals
) -> None:
    assert served(server, lambda: os.kill(os.getpid(), number)) < LINGER_S
    deadline = time.monotonic() + 10
    while not house.gateway.is_leaving:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGTERM:  # for balancers that have not noticed yet
        url = f"http://{HOST}:{server.port}/metaflow-event"
        assert httpx.post(url, json=metaflow_body("a")).status_code == 200


def test_a_gateway_that_ends_ends_the_process(server: GatewayServer) -> None:
    assert served(server, server.leave) < 10
    assert not server.is_alive
