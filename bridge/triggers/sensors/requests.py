"""Requests to the API server on the connections and with the credentials of a configured ``kubernetes`` client."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from bridge.plain_text import plain_text
from bridge.triggers.sensors.api import Away, Plain

READ_TIMEOUT = 10.0
"""Seconds for an answer, and for the beginning of a watch."""

_SHOWN = 200  # characters of an answer, for the error's text


class Requests:
    """An API server that can be asked from several threads at once; it never raises, and never tries again.

    Args:
        client: A ``kubernetes.client.ApiClient``, with a connection for each thread that asks.

    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._host = client.configuration.host.rstrip("/")

    def get(self, path: str, query: dict[str, str], seconds: float = READ_TIMEOUT, *, stream: bool = False) -> Any:
        """Return the answer to a GET: a urllib3 response with the status 200 or 410, or :class:`Away`.

        Args:
            path: Path of the resource.
            query: Its query.
            seconds: How long the server may be silent.
            stream: The body is read by the caller, as it comes.

        """
        url = f"{path}?{urlencode(query)}"
        return self._sent("GET", url, None, "", seconds, {HTTPStatus.OK, HTTPStatus.GONE}, stream=stream)

    def post(self, path: str, body: Plain) -> Any:
        """Return the answer to a POST of JSON: a response with the status 201, or 409 for what is there, or Away."""
        kind = "application/json"
        return self._sent("POST", path, body, kind, READ_TIMEOUT, {HTTPStatus.CREATED, HTTPStatus.CONFLICT})

    def patch(self, path: str, body: Plain) -> Any:
        """Return the answer to a merge patch: a response with the status 200, or :class:`Away`."""
        return self._sent("PATCH", path, body, "application/merge-patch+json", READ_TIMEOUT, {HTTPStatus.OK})

    def _sent(
        self,
        method: str,
        path: str,
        body: Plain | None,
        kind: str,
        seconds: float,
        expected: set[HTTPStatus],
        *,
        stream: bool = False,
    ) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "flowbridge"} | ({"Content-Type": kind} if kind else {})
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        except Exception as error:  # noqa: BLE001  (credential plugins raise what they like)
            return Away(f"the cluster's credentials could not be renewed: {error}")
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                self._host + path,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=Timeout(connect=READ_TIMEOUT, read=seconds),
                retries=False,
                redirect=False,
                preload_content=not stream,
            )
            if response.status in expected:
                return response
            text = " ".join(response.data[:_SHOWN].decode(errors="replace").split())
        except (HTTPError, OSError) as error:
            return Away(plain_text(error))
        return Away(f"{response.status} {_message(response.data) or text}")


def _message(data: bytes) -> str:
    """Return the message of a Kubernetes Status; empty where the answer is none."""
    try:
        status = json.loads(data)
    except ValueError:
        return ""
    return str(status.get("message") or "") if isinstance(status, dict) else ""
