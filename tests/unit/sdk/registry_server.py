"""A schema registry of the tests: the routes of Confluent's that clients use, in memory, on a free port of loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_OID, uuid5


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a client may say and need not."""
    return {key: value for key, value in body.items() if value and (key, value) != ("schemaType", "AVRO")}


class FakeRegistry:
    """What is registered, and how the server is to behave.

    Attributes:
        broken: A status that every request is answered with instead, or 0.
        incompatible: Whether it finds every schema incompatible with those of its subject.
        requests: How many requests came.
        answers: Requests wait while this is cleared, as those of a server that hangs.

    """

    def __init__(self) -> None:
        self.broken = 0
        self.incompatible = False
        self.requests = 0
        self.answers = threading.Event()
        self.answers.set()
        self.url = ""
        self._schemas: list[dict[str, Any]] = []
        self._versions: dict[str, list[int]] = {}

    def register(self, subject: str, body: dict[str, Any]) -> int:
        """Store a schema under a subject and return its id."""
        if body not in self._schemas:
            self._schemas.append(body)
        number = self._schemas.index(body) + 1
        versions = self._versions.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def guid(self, number: int) -> str:
        """Return the GUID of the schema with this id."""
        return str(uuid5(NAMESPACE_OID, str(number)))

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a request as the registry would."""
        self.requests += 1
        self.answers.wait(30)
        if self.broken:
            return self.broken, {}
        first, *rest = [unquote(part) for part in path.strip("/").split("/")]
        if first == "compatibility":
            return 200, {"is_compatible": not self.incompatible}
        found = self._schema(*rest) if first == "schemas" else self._subject(method, body, *rest)
        return (200, found) if found else (404, {"error_code": 40403, "message": "not found"})

    def _schema(self, kind: str, wanted: str) -> dict[str, Any] | None:
        for number, body in enumerate(self._schemas, 1):
            if wanted == (str(number) if kind == "ids" else self.guid(number)):
                return body
        return None

    def _subject(self, method: str, body: dict[str, Any], subject: str, *rest: str) -> dict[str, Any] | None:
        plain = _plain(body)
        if method == "POST" and rest:
            number = self.register(subject, plain)
            return {"id": number, "guid": self.guid(number)}
        versions = self._versions.get(subject)
        if not versions or (method == "POST" and plain not in self._schemas):
            return None
        if method == "POST":
            version = versions.index(self._schemas.index(plain) + 1) + 1
        else:
            version = len(versions) if rest[-1] == "latest" else int(rest[-1])
        return self._full(subject, version, versions[version - 1])

    def _full(self, subject: str, version: int, number: int) -> dict[str, Any]:
        body = self._schemas[number - 1]
        return {**body, "subject": subject, "version": version, "id": number, "guid": self.guid(number)}


@contextmanager
def serving() -> Iterator[FakeRegistry]:
    """Serve a registry until the block ends."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else {}
            status, answer = registry.answer(self.command, urlsplit(self.path).path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        registry.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()
