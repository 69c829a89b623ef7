"""How KubernetesWorkflowApi reads what comes over HTTP: answers that a real API server cannot be made to give."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from bridge.argo.api import Unavailable
from bridge.argo.create_attempt import RefusedForNow, Retry, attempt
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.workflow import RUN_KEY
from bridge.cluster.responses import MESSAGE_LIMIT, Answer, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = "k" * 52
MANIFEST = {"metadata": {"namespace": "ml", "name": "refresh-1", "annotations": {RUN_KEY: OURS}}, "spec": {}}


@dataclass
class Scripted:
    """A server that answers as it is told, and keeps what it was asked."""

    status: int = 201
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    hold: threading.Event | None = None
    first: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def fails(self, status: int, reason: str, message: str, **headers: str) -> None:
        """Answer with a Status from now on."""
        self.status = status
        self.body = json.dumps({"kind": "Status", "reason": reason, "message": message, "code": status}).encode()
        self.headers = headers


def _handler(script: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            script.connections += 1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.requests.append(
                (self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            )
            if script.hold is not None:
                script.hold.wait(30)
                self.close_connection = True
                return
            if script.first:
                script.status, document = script.first.pop(0)
                script.body = json.dumps(document).encode()
            self.send_response(script.status)
            for name, value in script.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(script.body)))
            self.end_headers()
            self.wfile.write(script.body)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815  (the names that http.server calls)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
def api(script: Scripted, tmp_path: Path) -> Iterator[KubernetesWorkflowApi]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api = KubernetesWorkflowApi(kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}/"))
    try:
        yield api
    finally:
        api.close()
        if script.hold is not None:
            script.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(folder: Path, url: str, **user: str) -> str:
    path = folder / "kubeconfig"
    document: dict[str, Any] = {
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": user or {"token": "secret"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    path.write_text(json.dumps(document))
    return str(path)


def _url(api: KubernetesWorkflowApi) -> str:
    return api._server._host


def test_a_create_is_one_request_with_the_whole_manifest(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.body = json.dumps(MANIFEST).encode()
    assert api.create(MANIFEST, timeout=5) == Answer(201, object=MANIFEST)
    method, path, headers, body = script.requests[0]
    assert (method, path) == ("POST", "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows")
    assert headers["authorization"] == "Bearer secret"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == MANIFEST


def test_nothing_is_retried_and_connections_are_used_again(api: KubernetesWorkflowApi, script: Scripted) -> None:
    for status in (500, 503, 429, 409, 301, 201):
        script.fails(status, "Reason", "text", Retry_After="1", Location="http://127.0.0.1:1/")
        api.create(MANIFEST, timeout=5)
    assert len(script.requests) == 6
    assert script.connections == 1


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("soon", None), ("-1", None), ("", None)])
def test_retry_after_in_seconds(api: KubernetesWorkflowApi, script: Scripted, header: str, seconds: float) -> None:
    script.fails(429, "TooManyRequests", "slow down", Retry_After=header)
    outcome = attempt(api, MANIFEST, OURS)
    assert outcome == Retry("429 TooManyRequests: slow down", applied=False, after=seconds)


def test_retry_after_as_a_date(api: KubernetesWorkflowApi, script: Scripted) -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    script.fails(429, "TooManyRequests", "slow down", Retry_After=format_datetime(later, usegmt=True))
    outcome = attempt(api, MANIFEST, OURS)
    assert isinstance(outcome, Retry)
    assert outcome.after is not None
    assert 90 < outcome.after <= 100


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_servers_failure_leaves_open_whether_it_was_applied(
    api: KubernetesWorkflowApi, script: Scripted, status: int
) -> None:
    script.fails(status, "InternalError", "etcdserver: request timed out")
    outcome = attempt(api, MANIFEST, OURS)
    assert outcome == Retry(f"{status} InternalError: etcdserver: request timed out", applied=None)


def test_another_server_in_its_place_never_kills_a_run(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.status, script.body = 400, b"<html>Client sent an\r\nHTTP request to an HTTPS server</html>" + b"x" * 5_000
    outcome = attempt(api, MANIFEST, OURS)
    assert isinstance(outcome, RefusedForNow)
    assert "HTTP request to an HTTPS server" in outcome.reason
    assert len(outcome.reason) < 400


@pytest.mark.parametrize("body", [b"404 page not found\n", b"", b"[]", b"\xff", b'{"kind":"Other"}'])
def test_a_404_that_no_workflow_api_gave_is_no_absence(
    api: KubernetesWorkflowApi, script: Scripted, body: bytes
) -> None:
    script.status, script.body = 404, body
    assert isinstance(api.find("ml", "refresh-1"), Unavailable)
    assert isinstance(api.template("ml", "refresh"), Unavailable)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_look_that_is_refused_is_no_absence(api: KubernetesWorkflowApi, script: Scripted, status: int) -> None:
    script.fails(status, "Reason", "text")
    passes = status not in (401, 403)  # somebody has to lift these two
    assert api.find("ml", "refresh-1") == Unavailable(f"{status} Reason: text", passes=passes)


@pytest.mark.parametrize(
    "body", [b"<html>log in here</html>", b"{}", b'{"metadata":7}', b'{"metadata":{"name":"other","namespace":"ml"}}']
)
def test_a_200_that_is_not_that_object_is_no_presence(
    api: KubernetesWorkflowApi, script: Scripted, body: bytes
) -> None:
    script.status, script.body = 200, body
    assert isinstance(api.find("ml", "refresh-1"), Unavailable)
    assert isinstance(api.template("ml", "refresh-1"), Unavailable)


def test_names_cannot_leave_their_place_in_the_address(api: KubernetesWorkflowApi, script: Scripted) -> None:
    api.find("ml/../x", "a?b#c/d")
    api.terminate("ml/../x", "a?b#c/d")
    api.phases("ml/../x", {})
    paths = [path for _, path, _, _ in script.requests]
    assert all(path.endswith("/namespaces/ml%2F..%2Fx/workflows/a%3Fb%23c%2Fd") for path in paths[:2])
    assert paths[2].partition("?")[0].endswith("/namespaces/ml%2F..%2Fx/workflows")


EXPIRED = (410, {"kind": "Status", "reason": "Expired", "message": "the continue parameter is too old", "code": 410})


def page(*names: str, rest: str = "") -> tuple[int, dict[str, Any]]:
    items = [
        {"metadata": {"name": name, "labels": {"replay": "gap"}}, "status": {"phase": "Running"}} for name in names
    ]
    return 200, {"metadata": {"continue": rest} if rest else {}, "items": items}


def test_each_page_of_a_list_is_asked_for_with_the_same_labels(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.first = [page("a", "b", rest="x=&y"), page("c")]
    assert api.phases("ml", {"replay": "gap", "flowbridge.dev/trigger": "ml.refresh"}) == {}
    script.first = [page("a", "b", rest="x=&y"), page("c")]
    assert api.phases("ml", {"replay": "gap"}) == {"a": "Running", "b": "Running", "c": "Running"}
    method, path, _, _ = script.requests[0]
    assert (method, path.partition("?")[0]) == ("GET", "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows")
    queries = [dict(parse_qsl(path.partition("?")[2])) for _, path, _, _ in script.requests]
    two = {"labelSelector": "replay=gap,flowbridge.dev/trigger=ml.refresh", "limit": "500"}
    only = {"labelSelector": "replay=gap", "limit": "500"}
    assert queries == [two, {**two, "continue": "x=&y"}, only, {**only, "continue": "x=&y"}]


def test_a_list_that_expires_between_its_pages_starts_over_once(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.first = [page("a", rest="1"), EXPIRED, page("b", rest="2"), page("c")]
    assert api.phases("ml", {}) == {"b": "Running", "c": "Running"}  # `a` has been deleted in between
    script.first = [page("a", rest="1"), EXPIRED, page("b", rest="2"), EXPIRED, page("never asked for")]
    assert api.phases("ml", {}) == Unavailable("410 Expired: the continue parameter is too old", passes=True)
    assert len(script.first) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_page_that_is_refused_leaves_no_half_list(api: KubernetesWorkflowApi, script: Scripted, status: int) -> None:
    script.first = [page("a", rest="1"), (status, {"kind": "Status", "reason": "Reason", "message": "text"})]
    passes = status in (429, 500, 503)  # somebody has to lift the others
    assert api.phases("ml", {}) == Unavailable(f"{status} Reason: text", passes=passes)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in here</html>",
        b"{}",
        b'{"items":[]}',
        b'{"metadata":{},"items":null}',
        b'{"metadata":{},"items":[7]}',
    ],
)
def test_a_200_that_is_no_list_is_no_absence(api: KubernetesWorkflowApi, script: Scripted, body: bytes) -> None:
    script.status, script.body = 200, body
    assert isinstance(api.phases("ml", {}), Unavailable)


def test_terminate_is_one_merge_patch(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.fails(503, "ServiceUnavailable", "not now", Retry_After="1")
    response = api.terminate("ml", "refresh-1")
    assert isinstance(response, Answer)
    assert (response.status, response.retry_after) == (503, 1.0)
    ((method, path, headers, body),) = script.requests
    assert (method, path) == ("PATCH", "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/refresh-1")
    assert headers["content-type"] == "application/merge-patch+json"
    assert json.loads(body) == {"spec": {"shutdown": "Terminate"}}


def test_a_server_that_is_silent_is_unknown_in_time(
    api: KubernetesWorkflowApi, script: Scripted, tmp_path: Path
) -> None:
    script.hold = threading.Event()
    impatient = KubernetesWorkflowApi(kubeconfig(tmp_path, _url(api)), read_timeout=0.5)
    response = impatient.create(MANIFEST, timeout=0.5)
    assert isinstance(response, Unknown)
    assert "timed out" in response.reason
    assert isinstance(impatient.find("ml", "refresh-1"), Unavailable)
    impatient.close()


@contextmanager
def dripping(answer: bytes, *, reads: bool = True) -> Iterator[str]:
    """Serve one connection, a byte each tenth of a second; or do not even read what it sends."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        is_over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                if reads:
                    connection.recv(65536)
                for byte in answer:
                    connection.sendall(bytes([byte]))
                    if is_over.wait(0.1):
                        return
                is_over.wait(30)

        thread.submit(serve)
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Slow: " + b"a" * 200,
        b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{" + b" " * 400,
        b"HTTP/1.1 201 Created\r\n\r\n{" + b" " * 400,
    ],
    ids=["head", "body", "a body without a length"],
)
def test_a_server_that_drips_is_given_up_when_the_time_of_the_request_is_over(tmp_path: Path, answer: bytes) -> None:
    with dripping(answer) as url:
        api = KubernetesWorkflowApi(kubeconfig(tmp_path, url), read_timeout=0.7)
        began = time.monotonic()
        response = api.create(MANIFEST, timeout=0.7)
        took = time.monotonic() - began
        api.close()
    assert isinstance(response, Unknown)
    assert "timed out" in response.reason
    assert took < 5  # of more than 20 that its bytes take


def test_a_server_that_takes_nothing_is_given_up_when_the_time_of_the_request_is_over(tmp_path: Path) -> None:
    large = {**MANIFEST, "spec": {"text": "x" * 32_000_000}}
    with dripping(b"", reads=False) as url:
        api = KubernetesWorkflowApi(kubeconfig(tmp_path, url))
        began = time.monotonic()
        response = api.create(large, timeout=0.7)
        took = time.monotonic() - began
        api.close()
    assert isinstance(response, Unknown)
    assert took < 5


def test_a_text_of_megabytes_is_passed_on_as_its_beginning(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.fails(403, "Forbidden", "exceeded quota: q" + "x" * 5_000_000)
    outcome = attempt(api, MANIFEST, OURS)
    assert isinstance(outcome, RefusedForNow)
    assert len(outcome.reason) < 2 * MESSAGE_LIMIT
    assert "exceeded quota" in outcome.reason
    assert "of 5000032 characters" in outcome.reason


def test_an_answer_without_end_is_read_to_a_bound(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.status, script.body = 500, b"x" * 20_000_000
    response = api.create(MANIFEST, timeout=10)
    assert isinstance(response, Answer)
    assert response.status == 500
    assert len(response.message) < 400


def test_half_a_character_in_a_text_can_be_written() -> None:
    assert Answer(403, "Forbidden", "\ud83d no").text().encode() == b"403 Forbidden: ? no"


def test_a_connection_that_breaks_behind_the_request_is_unknown(api: KubernetesWorkflowApi, script: Scripted) -> None:
    script.hold = threading.Event()
    script.hold.set()
    assert isinstance(api.create(MANIFEST, timeout=5), Unknown)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://no-such-host.invalid"])
def test_what_cannot_be_connected_was_surely_not_sent(tmp_path: Path, url: str) -> None:
    api = KubernetesWorkflowApi(kubeconfig(tmp_path, url))
    response = api.create(MANIFEST, timeout=5)
    api.close()
    assert isinstance(response, Unreachable)
    assert "object at" not in response.reason
    assert response.reason


def test_a_tls_handshake_that_never_ends_was_surely_not_sent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = KubernetesWorkflowApi(kubeconfig(tmp_path, f"https://127.0.0.1:{silent.getsockname()[1]}"))
        response = api.create(MANIFEST, timeout=0.3)
        api.close()
    assert isinstance(response, Unreachable)


def test_tls_towards_a_server_without_it_was_surely_not_sent(api: KubernetesWorkflowApi, tmp_path: Path) -> None:
    secure = KubernetesWorkflowApi(kubeconfig(tmp_path, _url(api).replace("http:", "https:")))
    response = secure.create(MANIFEST, timeout=5)
    secure.close()
    assert isinstance(response, Unreachable)


def test_a_user_and_password_are_sent(script: Scripted, api: KubernetesWorkflowApi, tmp_path: Path) -> None:
    named = KubernetesWorkflowApi(kubeconfig(tmp_path, _url(api), username="u", password="p"))
    named.create(MANIFEST, timeout=5)
    named.close()
    assert script.requests[0][2]["authorization"] == "Basic dTpw"
