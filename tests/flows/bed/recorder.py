"""Stands before the gateway and keeps what real publishers posted, in its order."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import httpx

from servers.loopback import HOST

_HEADERS = {"Content-Type": "application/json"}
_SECONDS = 60


class Recorder:
    """Passes each post on to a webhook and its answer back; it listens while its context lasts.

    Attributes:
        posts: The bodies that were answered 200, in the order in which the answers came.
        target: Where posts go; to be set before the first one.

    """

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.target = ""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((HOST, 0), type("Handler", (_Handler,), {"recorder": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where publishers post."""
        return f"http://{HOST}:{self._server.server_port}/metaflow-event"

    def passed_on(self, body: bytes) -> tuple[int, bytes]:
        """Post a body and return status and body of the answer."""
        answer = httpx.post(self.target, content=body, headers=_HEADERS, timeout=_SECONDS)
        if answer.status_code == HTTPStatus.OK:
            with self._lock:
                self.posts.append(body.decode())
        return answer.status_code, answer.content

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one publisher of the recorder whose class carries it."""

    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def do_POST(self) -> None:
        status, content = self.recorder.passed_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
