"""The promises of the server over real connections: slow, greedy and confused clients are bounded, others not."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from bridge.gateway.gateway import Bounds
from bridge.gateway.server import GatewayServer
from bridge.gateway.tls import Certificate
from bridge.http.serving import Connections
from unit.gateway.certificates import write_certificate
from unit.gateway.house import WEBHOOK, House, metaflow_body

HOST = "127.0.0.1"
BODY = json.dumps(metaflow_body("a")).encode()
REQUEST = b"POST /metaflow-event HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
QUICK = Connections(most=20, first=0.3, receive=0.3, idle=5)


@contextmanager
def serving(
    house: House, connections: Connections = QUICK, certificate: Certificate | None = None
) -> Iterator[GatewayServer]:
    listener = socket.create_server((HOST, 0), backlog=64)
    tls = certificate.context if certificate else None
    chores = [certificate.refresh] if certificate else []
    with GatewayServer(house.gateway, listener, connections, tls=tls, chores=chores) as server:
        yield server


def url(server: GatewayServer, path: str = WEBHOOK, scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{server.port}{path}"


@contextmanager
def connected(server: GatewayServer) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    found = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            found += chunk
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def dropped(house: House, reason: str) -> float:
    name = "flowbridge_gateway_dropped_connections_total"
    return house.metrics.registry.get_sample_value(name, {"reason": reason}) or 0.0


def test_a_connection_carries_many_requests() -> None:
    house = House()
    with serving(house) as server, httpx.Client() as client:
        for _ in range(20):
            assert client.post(url(server), content=BODY).text == "success"
    assert len(house.log.events["a"]) == 20


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\r\n\r\n",
        b"POST /metaflow-event HTTP/1.1\r\nho",
        b"POST /metaflow-event HTTP/1.1\r\ncontent-length: 100\r\n\r\n{",
        b"POST /metaflow-event HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        REQUEST + b"POST /metaflow",
    ],
)
def test_a_slow_client_is_dropped_and_the_others_are_served(beginning: bytes) -> None:
    house = House()
    with serving(house) as server, connected(server) as slow:
        slow.sendall(beginning)
        assert httpx.post(url(server), content=BODY).status_code == 200
        all_of(slow)
        assert dropped(house, "slow") == 1
        assert house.gateway.is_ready


def test_a_client_that_sends_a_byte_now_and_then_is_slow_as_well() -> None:
    house = House()
    with serving(house) as server, connected(server) as slow:
        with pytest.raises(OSError):  # noqa: PT012 - which of them fails is the server's affair
            for byte in REQUEST * 100:
                slow.sendall(bytes([byte]))
                time.sleep(0.05)
        assert dropped(house, "slow") == 1


def test_more_clients_than_there_is_room_for_wait_and_are_served() -> None:
    house = House()
    with serving(house, Connections(most=3, receive=5, idle=5)) as server:
        with ThreadPoolExecutor(20) as clients:
            answers = list(clients.map(lambda _: httpx.post(url(server), content=BODY).status_code, range(60)))
        assert answers == [200] * 60


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 50_000,
        b"POST /metaflow-event HTTP/1.1\r\nx: " + b"y" * 50_000,
        b"POST /metaflow-event HTTP/1.1\r\n" + b"x: y\r\n" * 10_000,
        b"no http at all\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST http://[ HTTP/1.1\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\n\r\n",
        b"POST /metaflow-event HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /metaflow-event HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n{}",
        b"POST /metaflow-event HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_or_too_much_of_it_is_answered_400_and_closed(head: bytes) -> None:
    house = House()
    with serving(house, Connections(receive=5)) as server, connected(server) as connection:
        with suppress(OSError):  # it may be closed while we send
            connection.sendall(head)
        answer = all_of(connection)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        assert dropped(house, "no-http") == 1
        assert not house.log.events


def test_a_pipeline_is_served_in_order_up_to_its_bound() -> None:
    house = House()
    with serving(house, Connections(receive=5)) as server:
        with connected(server) as connection:
            connection.sendall(REQUEST * 10)
            wait_for(lambda: len(house.log.events["a"]) == 10)
        with connected(server) as connection:
            connection.sendall(REQUEST * 1_000)
            all_of(connection)
        assert dropped(house, "no-http") == 1
        assert len(house.log.events["a"]) < 100


@pytest.mark.parametrize("chunk", [b"x: y\r\n" * 300, b"x" * 4_000])
def test_headers_behind_a_chunked_body_are_bounded_as_those_before_it(chunk: bytes) -> None:
    house = House()
    head = b"POST /metaflow-event HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with serving(house, Connections(receive=20)) as server, connected(server) as connection:
        connection.sendall(head + b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY))
        with suppress(OSError):  # it is closed while we send
            for _ in range(1_000):
                connection.sendall(chunk)
        wait_for(lambda: dropped(house, "no-http") == 1)


def test_silent_connections_make_room_for_a_publisher() -> None:
    house = House()
    with serving(house, Connections(most=10, first=60, receive=60)) as server, ExitStack() as silent:
        for _ in range(60):
            silent.enter_context(connected(server))
        started = time.monotonic()
        assert httpx.post(url(server), content=BODY, timeout=30).status_code == 200
        assert time.monotonic() - started < 20  # and not the 60 s that the silent may take
        assert dropped(house, "no-room") >= 10


def test_requests_that_do_not_come_along_make_room_for_a_publisher() -> None:
    house = House()
    with serving(house, Connections(most=5, first=60, receive=60)) as server, ExitStack() as stalled:
        for _ in range(5):
            stalled.enter_context(connected(server)).sendall(REQUEST[:-5])
        assert httpx.post(url(server), content=BODY, timeout=30).status_code == 200
        assert dropped(house, "no-room") >= 1


def test_javas_client_that_offers_to_upgrade_is_served_over_http_1_1() -> None:
    house = House()
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQB"
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    with serving(house, Connections(receive=5)) as server, connected(server) as connection:
        for pieces in ([head + b"\r\n" + offer + b"\r\n\r\n" + body], [head + b"\r\n" + offer + b"\r\n\r\n", body]):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.05)
            found = connection.recv(65_536)
            while b"success" not in found:
                found += connection.recv(65_536)
            assert found.startswith(b"HTTP/1.1 200 ")
    assert len(house.log.events["a"]) == 2


def test_a_body_over_the_bound_is_answered_before_it_was_read() -> None:
    with serving(House(), Connections(receive=5)) as server, connected(server) as connection:
        connection.sendall(b"POST /metaflow-event HTTP/1.1\r\nhost: x\r\ncontent-length: 1048577\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
        connection.sendall(b" " * 1_048_577 + REQUEST)  # and what comes behind it is understood
        found = connection.recv(65_536)
        while b"success" not in found:
            found += connection.recv(65_536)


def test_whoever_expects_100_is_told_to_go_on() -> None:
    with serving(House(), Connections(receive=5)) as server, connected(server) as connection:
        head, _, body = REQUEST.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        found = connection.recv(65_536)
        while b"success" not in found:
            found += connection.recv(65_536)


def test_the_end_waits_for_what_is_held() -> None:
    house = House()
    with ThreadPoolExecutor(5) as clients:
        with serving(house) as server:
            assert httpx.post(url(server), content=BODY).status_code == 200
            house.log.go_away()
            held = [clients.submit(httpx.post, url(server), content=BODY, timeout=20) for _ in range(5)]
            wait_for(lambda: house.log.waiting == 5)
            back = threading.Timer(0.5, lambda: server._loop and server._loop.call_soon_threadsafe(house.log.come_back))
            back.start()
        back.join()
        assert [request.result().status_code for request in held] == [200] * 5
    assert len(house.log.events["a"]) == 6


def test_while_it_lingers_it_is_unready_and_serves() -> None:
    house, seen = House(), []

    def ask() -> None:
        wait_for(lambda: house.gateway.is_leaving)
        seen.append(httpx.get(url(server, "/readyz")).status_code)
        seen.append(httpx.post(url(server), content=BODY).status_code)

    with serving(house) as server:
        asking = threading.Thread(target=ask)
        asking.start()
        server.leave(linger=1.0)
    asking.join()
    assert seen == [503, 200]
    with pytest.raises(httpx.ConnectError):
        httpx.post(url(server), content=BODY)


def test_https_with_a_certificate_that_changes(tmp_path: Path) -> None:
    first, second = (write_certificate(tmp_path / name) for name in ("first", "second"))
    (tmp_path / "tls.pem").write_bytes(first)
    house, certificate = House(), Certificate(tmp_path / "tls.pem")
    with serving(house, certificate=certificate) as server:

        def post(trusted: bytes) -> int:
            context = ssl.create_default_context(cadata=trusted.decode())
            return httpx.post(url(server, scheme="https"), content=BODY, verify=context).status_code

        assert post(first) == 200
        with pytest.raises(httpx.ConnectError):
            post(second)
        (tmp_path / "new.pem").write_bytes(b"half of")
        (tmp_path / "new.pem").rename(tmp_path / "tls.pem")
        certificate.refresh()
        assert post(first) == 200
        (tmp_path / "new.pem").write_bytes(second)
        (tmp_path / "new.pem").rename(tmp_path / "tls.pem")
        wait_for(lambda: _succeeds(lambda: post(second)))
        with connected(server) as plain:
            plain.sendall(REQUEST)
            assert not all_of(plain).startswith(b"HTTP")
        assert dropped(house, "no-tls") >= 1


def _succeeds(work: Callable[[], object]) -> bool:
    try:
        work()
    except httpx.ConnectError:
        return False
    return True


def test_a_client_that_never_shakes_hands_holds_no_place(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_bytes(write_certificate(tmp_path / "one"))
    certificate = Certificate(tmp_path / "tls.pem")
    context = ssl.create_default_context(cafile=str(tmp_path / "tls.pem"))
    with serving(House(), Connections(most=1, receive=0.5), certificate) as server:
        with connected(server):
            answer = httpx.post(url(server, scheme="https"), content=BODY, verify=context, timeout=10)
        assert answer.status_code == 200


def test_a_full_gateway_still_tells_that_it_is() -> None:
    house = House(Bounds(held=1))
    with ThreadPoolExecutor(1) as client:
        with serving(house) as server:
            assert httpx.post(url(server), content=BODY).status_code == 200
            house.log.go_away()
            held = client.submit(httpx.post, url(server), content=BODY, timeout=20)
            wait_for(lambda: house.log.waiting == 1)
            assert httpx.get(url(server, "/readyz")).status_code == 503
            assert httpx.get(url(server, "/livez")).status_code == 200
            assert server._loop is not None
            server._loop.call_soon_threadsafe(house.log.come_back)
        assert held.result().status_code == 200
