"""A schema registry that is a real HTTP server: franz-go's in-memory one, on loopback.

It is an implementation of Confluent's routes that owes nothing to ours. It holds what it was told in memory, so a
``restart`` forgets it. It finds every schema compatible.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Self

from servers.builds import schema_registry
from servers.loopback import HOST, answers, free_port
from servers.process import ServerProcess

_START_SECONDS = 10.0
_STOP_SECONDS = 2.0


class RegistryServer:
    """A schema registry. A context manager: started on entering, stopped on leaving. It keeps its port.

    Attributes:
        url: Where it answers.

    """

    def __init__(self) -> None:
        """Choose a port; nothing runs yet."""
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="flowbridge-registry-"))
        self._process: ServerProcess | None = None
        self.url = f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers.

        Raises:
            ServerError: It cannot be built, or did not answer in time.

        """
        program = str(schema_registry() / "registry")
        self._process = ServerProcess("the schema registry", [program, str(self._port)], self._folder / "log")
        self._process.start()
        self._process.wait_until(lambda: answers(self._port), _START_SECONDS)

    def stop(self) -> None:
        """Stop it. Its port refuses connections until ``start``."""
        if self._process is not None:
            self._process.stop(_STOP_SECONDS)

    def register(
        self,
        subject: str,
        schema: str | dict[str, Any],
        kind: str = "AVRO",
        references: list[dict[str, Any]] | None = None,
    ) -> int:
        """Register a schema under a subject as any client would, and return its id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        body = {"schema": text, "schemaType": kind, "references": references or []}
        answer: int = self.ask(f"/subjects/{subject}/versions", body)["id"]
        return answer

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer to a GET, or to a POST with a body."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(self.url + path, content, headers)  # noqa: S310 - http, on loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return json.load(answer)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
