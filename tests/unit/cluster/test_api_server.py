"""What every request to an API server keeps to, whether it is about Workflows, Sensors or Events."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiClient, Configuration

from bridge.cluster import api_server
from bridge.cluster.api_server import ApiServer, Stream
from bridge.cluster.responses import Answer, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 10.0
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(head: bytes, drip: bytes = b"") -> Iterator[tuple[ApiServer, list[bytes]]]:
    """Serve a connection: ``head`` at once, then a byte of ``drip`` each tenth of a second, then silence."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        is_over = threading.Event()

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    received.append(request(connection))
                    connection.sendall(head)
                    for byte in drip:
                        if is_over.wait(0.1):
                            return
                        connection.sendall(bytes([byte]))
                    is_over.wait(DEADLINE)

        thread.submit(serve)
        settings = Configuration()
        settings.host = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        api = ApiServer(ApiClient(settings))
        try:
            yield api, received
        finally:
            is_over.set()
            api.close()
            listener.close()


def request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        return head + b"\r\n" + stream.read(int(length[1]) if length else 0)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_brackets_without_end_are_no_object_and_no_defect() -> None:
    brackets = b"[" * 100_000
    with server(whole("201 Created", brackets)) as (api, _):
        assert api.post("/things", {"kind": "Thing"}) == Answer(201)
    with server(whole("400 Bad", brackets)) as (api, _):
        response = api.get("/things/a")
    assert isinstance(response, Answer)
    assert len(response.message) == 200


def test_half_a_character_in_an_object_is_sent_as_it_is() -> None:
    with server(whole("201 Created", b"{}")) as (api, received):
        assert api.post("/events", {"message": "\ud83d no"}) == Answer(201, object={})
    assert json.loads(received[0].partition(b"\r\n\r\n")[2]) == {"message": "\ud83d no"}


def test_a_list_that_drips_is_given_up_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "LIST_TIMEOUT", 0.5)
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", b" " * 300) as (api, _):
        began = time.monotonic()
        response = api.list("/things", {"labelSelector": "a=b"})
        took = time.monotonic() - began
    assert isinstance(response, Unknown)
    assert "timed out" in response.reason
    assert took < 5  # of 30 that its bytes take


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n   "])
def test_a_list_of_a_server_that_falls_silent_is_given_up_as_soon_as_an_object(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_server, "READ_TIMEOUT", 0.3)
    with server(head) as (api, _):
        began = time.monotonic()
        response = api.list("/things", {})
        took = time.monotonic() - began
    assert isinstance(response, Unknown)
    assert "timed out" in response.reason
    assert took < 5  # of the 30 that a list may take


def test_a_list_that_comes_slowly_is_read_for_longer_than_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "READ_TIMEOUT", 0.8)
    body = b'{"items": []}'
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body) as (api, _):
        assert api.list("/things", {}) == Answer(200, object={"items": []})  # a byte each tenth of a second


def test_a_watch_gives_each_event_when_it_arrives_and_says_how_it_broke() -> None:
    events = b'{"type": "ADDED"}\n{"type": "DELE'
    with server(CHUNKED + chunk(events), chunk(b'TED"}\n')) as (api, received):
        stream = api.watch("/things", {"watch": "true"}, timeout=3)
        assert isinstance(stream, Stream)
        *seen, end = stream.events()
        stream.close()
    assert received[0].startswith(b"GET /things?watch=true HTTP/1.1\r\n")
    assert seen == [{"type": "ADDED"}, {"type": "DELETED"}]
    assert isinstance(end, Unknown)
    assert "timed out" in end.reason


def test_a_watch_that_is_stopped_from_another_thread_ends_at_once() -> None:
    with server(CHUNKED + chunk(b'{"type": "ADDED"}\n')) as (api, _), ThreadPoolExecutor(1) as thread:
        stream = api.watch("/things", {}, timeout=60)
        assert isinstance(stream, Stream)
        events = stream.events()
        assert next(events) == {"type": "ADDED"}
        rest = thread.submit(list, events)
        stream.stop()
        assert not [event for event in rest.result(DEADLINE) if not isinstance(event, Unknown)]
        stream.close()


def test_a_watch_whose_socket_was_just_closed_can_be_stopped() -> None:
    with server(CHUNKED + chunk(b'{"type": "ADDED"}\n')) as (api, _):
        stream = api.watch("/things", {}, timeout=60)
        assert isinstance(stream, Stream)
        response: Any = stream._response
        os.close(response._connection.sock.detach())
        stream.stop()
        stream.close()


def test_a_watch_that_the_server_does_not_give_is_its_answer() -> None:
    status = {"kind": "Status", "reason": "Forbidden", "message": "things is forbidden", "code": 403}
    with server(whole("403 Forbidden", json.dumps(status).encode())) as (api, _):
        response = api.watch("/things", {}, timeout=5)
    assert response == Answer(403, "Forbidden", "things is forbidden", object=status)


def test_a_request_whose_credentials_cannot_be_renewed_was_surely_not_sent() -> None:
    def broken(_: Configuration) -> None:
        raise RuntimeError("the plugin is missing")

    settings = Configuration()
    settings.host = "http://127.0.0.1:1"
    settings.api_key["BearerToken"] = "Bearer old"
    settings.refresh_api_key_hook = broken  # type: ignore[assignment]  # its types know only None
    api = ApiServer(ApiClient(settings))
    expected = Unreachable("the cluster's credentials could not be renewed: the plugin is missing")
    assert api.get("/things/a") == api.patch("/things/a", {}) == api.watch("/things", {}, timeout=5) == expected
    api.close()
