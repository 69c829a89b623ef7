"""The promises of the console's server: it answers what the stages say, and lets go of its port."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack, suppress

import httpx
import pytest

from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener, port_of
from bridge.errors import ListenError

HOST = "127.0.0.1"


def test_it_answers_what_the_stages_say() -> None:
    health, metrics = Health(["router"]), Metrics()
    metrics.created("created")
    with ConsoleServer(application(health, metrics), open_listener(HOST, 0)) as server:
        url = f"http://{HOST}:{server.port}"
        live = httpx.get(f"{url}/livez")
        assert (live.status_code, live.json()) == (200, {"ok": True, "stages": {"router": "alive"}})
        unready = httpx.get(f"{url}/readyz")
        assert (unready.status_code, unready.json()["ok"]) == (503, False)
        health.stage("router").ready(ready=True)
        assert httpx.get(f"{url}/readyz").status_code == 200
        page = httpx.get(f"{url}/metrics")
        assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'flowbridge_creates_total{outcome="created"} 1.0' in page.text
        assert httpx.get(f"{url}/other").status_code == 404
        assert httpx.post(f"{url}/livez").status_code == 405
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/livez")


def test_half_open_connections_do_not_keep_probes_from_their_answer() -> None:
    health, metrics = Health(["router"]), Metrics()
    with ConsoleServer(application(health, metrics), open_listener(HOST, 0)) as server, ExitStack() as open_ones:
        for number in range(120):
            connection = open_ones.enter_context(socket.create_connection((HOST, server.port), timeout=10))
            connection.sendall(b"GET /livez HTTP/1.1\r\nx: " if number % 2 else b"")
        assert httpx.get(f"http://{HOST}:{server.port}/livez", timeout=20).status_code == 200


def test_a_head_of_many_headers_is_refused() -> None:
    health, metrics = Health(["router"]), Metrics()
    with ConsoleServer(application(health, metrics), open_listener(HOST, 0)) as server:
        with socket.create_connection((HOST, server.port), timeout=10) as connection:
            with suppress(OSError):  # it is closed while we send
                connection.sendall(b"GET /livez HTTP/1.1\r\n" + b"a:b\r\n" * 1_000_000)
            with suppress(ConnectionResetError):
                assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
        assert httpx.get(f"http://{HOST}:{server.port}/livez").status_code == 200


def test_a_default_port_that_is_taken_gives_way_to_a_free_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with open_listener(HOST, 0) as taken, open_listener(HOST, port_of(taken), or_any_free=True) as other:
        assert port_of(other) != port_of(taken)
        assert f"health and metrics are on port {port_of(other)}" in caplog.text


def test_a_port_that_somebody_chose_does_not_give_way() -> None:
    with open_listener(HOST, 0) as taken, pytest.raises(ListenError, match=f"{HOST}:{port_of(taken)}: Address already"):
        open_listener(HOST, port_of(taken))


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no\.such\.host\.invalid:0"):
        open_listener("no.such.host.invalid", 0)


def test_an_ipv6_address_is_one_too() -> None:
    if socket.has_ipv6:
        with open_listener("::1", 0) as listener:
            assert port_of(listener) > 0
