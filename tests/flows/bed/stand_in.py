"""A server on loopback that keeps what is put into it: enough of S3, and of Kubernetes' API, for one deployment.

``metaflow`` uploads its code package to S3 and its resources to Kubernetes. Both are a path and a body here. What a
real API server would validate is not validated: tests/integration deploys to a real one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from servers.loopback import HOST

BUCKET = "bucket"


class StandIn:
    """The server; it listens while its context lasts.

    Attributes:
        objects: What S3 holds, by path.
        resources: What Kubernetes holds, by path.

    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer((HOST, 0), type("Handler", (_Handler,), {"stand_in": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._server.server_port}"

    def of_kind(self, plural: str) -> list[dict[str, Any]]:
        """Return the resources of one kind, in the order in which they came."""
        return [body for path, body in self.resources.items() if f"/{plural}/" in path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one client of the stand-in whose class carries it."""

    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not path.startswith("/apis/"):
            self._object(self.stand_in.objects.get(path))
        elif path in self.stand_in.resources:
            self._json(HTTPStatus.OK, self.stand_in.resources[path])
        else:
            self._json(HTTPStatus.NOT_FOUND, {"kind": "Status", "reason": "NotFound", "message": "not found"})

    def do_HEAD(self) -> None:
        self._object(self.stand_in.objects.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        body = json.loads(self._body())
        body["metadata"]["resourceVersion"] = "1"
        self.stand_in.resources[f"{self.path}/{body['metadata']['name']}"] = body
        self._json(HTTPStatus.CREATED, body)

    def do_PUT(self) -> None:
        path = self.path.partition("?")[0]
        content = self._body()
        if path.startswith("/apis/"):
            self.stand_in.resources[path] = json.loads(content)
            self._json(HTTPStatus.OK, self.stand_in.resources[path])
            return
        self.stand_in.objects[path] = content
        self._answer(HTTPStatus.OK, b"", ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    def _body(self) -> bytes:
        if self.headers.get("Expect"):
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self._chunks()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return _without_signatures(content) if "aws-chunked" in self.headers.get("Content-Encoding", "") else content

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return _without_signatures(content) if "aws-chunked" in self.headers.get("Content-Encoding", "") else content

    def _object(self, content: bytes | None) -> None:
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, b"")
        else:
            self._answer(HTTPStatus.OK, content, ETag='"1"', **{"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})

    def _json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._answer(status, json.dumps(body).encode(), **{"Content-Type": "application/json"})

    def _answer(self, status: HTTPStatus, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _without_signatures(content: bytes) -> bytes:
    """Return the object inside of S3's own chunks (``aws-chunked``)."""
    whole = b""
    while content:
        head, _, content = content.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        whole, content = whole + content[:size], content[size + 2 :]
    return whole
