"""One set of attacks on both servers, the gateway and the console: each is bounded, and others are served meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from bridge.console import server as console
from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.gateway.server import GatewayServer
from bridge.http.serving import Connections
from unit.gateway.house import House

HOST = "127.0.0.1"
BOUNDS = Connections(most=20, first=0.5, receive=0.5, idle=2)
PATIENCE = 15.0


@pytest.fixture(params=["gateway", "console"])
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of a server that answers GET /livez, with room for 20 connections."""
    listener = socket.create_server((HOST, 0), backlog=64)
    if request.param == "gateway":
        with GatewayServer(House().gateway, listener, BOUNDS) as server:
            yield server.port
    else:
        monkeypatch.setattr(console, "_CONNECTIONS", BOUNDS)
        with console.ConsoleServer(console.application(Health([]), Metrics()), listener) as other:
            yield other.port


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
        yield connection


def is_served(port: int) -> bool:
    return httpx.get(f"http://{HOST}:{port}/livez", timeout=PATIENCE).status_code == 200


def answer_and_end(connection: socket.socket) -> bytes:
    """Return all that the server sends until it closes the connection; fails if it never does."""
    found = b""
    with suppress(ConnectionResetError, BrokenPipeError):
        while chunk := connection.recv(65_536):
            found += chunk
    return found


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\r\n",
        b"GET /livez HTTP/1.1\r\nx: ",
        b"GET /livez HTTP/1.1\r\ncontent-length: 1000\r\n\r\n",
        b"POST /livez HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        b"POST /livez HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n",
    ],
)
def test_connections_that_stay_half_open_are_ended_and_keep_no_one_out(port: int, beginning: bytes) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(3 * BOUNDS.most)]
        for connection in silent:
            with suppress(OSError):
                connection.sendall(beginning)
        assert is_served(port)
        for connection in silent:
            answer_and_end(connection)


@pytest.mark.parametrize("rest", [b"GET /livez HTTP/1.1\r\n", b"POST /livez HTTP/1.1\r\ncontent-length: 9999\r\n\r\n"])
def test_a_byte_now_and_then_buys_no_time(port: int, rest: bytes) -> None:
    with connected(port) as slow:
        slow.sendall(rest)
        begun = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - begun < PATIENCE:
                slow.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - begun < PATIENCE
    assert is_served(port)


@pytest.mark.parametrize(
    "attack",
    [
        b"GET /livez HTTP/1.1\r\n" + b"a:b\r\n" * 500_000,
        b"GET /livez HTTP/1.1\r\n" + b"\r\n".join(b"h%d:" % number for number in range(200_000)),
        b"GET /" + b"x" * 1_000_000,
        b"GET /livez HTTP/1.1\r\nx: " + b"y" * 1_000_000,
        b"POST /livez HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100_000,
    ],
    ids=["tiny headers", "empty headers", "long path", "long header", "two lengths", "tls", "zeros"],
)
def test_what_is_too_much_or_no_http_is_answered_400_or_cut(port: int, attack: bytes) -> None:
    with connected(port) as greedy:
        with suppress(OSError):  # it is closed while we send
            greedy.sendall(attack)
        answer = answer_and_end(greedy)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))
        assert b"HTTP/1.1 200" not in answer
    assert is_served(port)


@pytest.mark.parametrize("trailer", [b"a:b\r\n" * 500_000, b"x: " + b"y" * 2_000_000])
def test_headers_behind_a_chunked_body_are_bounded(port: int, trailer: bytes) -> None:
    with connected(port) as greedy:
        with suppress(OSError):
            greedy.sendall(b"POST /livez HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + trailer)
        answer_and_end(greedy)
    assert is_served(port)


def test_answers_that_are_not_taken_do_not_pile_up(port: int) -> None:
    with connected(port) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sent = 0
        with suppress(OSError):
            while sent < 64 * 1_048_576:
                sent += greedy.send(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000)
        assert sent < 64 * 1_048_576
    assert is_served(port)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_ignored(port: int, protocol: str) -> None:
    headers = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": protocol,
        "http2-settings": "AAEAAEAAAAIAAAABAAMAAABk",
    }
    assert httpx.get(f"http://{HOST}:{port}/livez", headers=headers, timeout=PATIENCE).status_code == 200
