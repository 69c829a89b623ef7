"""Requests to a Kubernetes API server, and watches on it. All requests of the bridge to a cluster go through here.

It uses the ``kubernetes`` client's configuration, credentials (renewed by it) and connection pool, and speaks HTTP on
that pool itself. A request then costs no object mapping. Answers are read whole and their connections go back to the
pool. Nothing is retried, and a failure tells whether the request was sent (:mod:`bridge.cluster.connections`).
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from bridge.cluster.connections import NotSentError, body_takes, witness_connections
from bridge.cluster.responses import Answer, Plain, Response, Unknown, Unreachable, bounded
from bridge.plain_text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse

READ_TIMEOUT = 10.0
"""Seconds for an object that is read or written, and for the connection of a watch."""

LIST_TIMEOUT = 30.0
"""Seconds for the body of a list. Its head, and each silence, take :data:`READ_TIMEOUT` at most."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
METADATA = JSON + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = JSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_OBJECT_LIMIT = 8 * 1024 * 1024  # bytes of an answer that are read; an object in etcd is smaller
_LIST_LIMIT = 256 * 1024 * 1024  # bytes of a list
_BODY_SHOWN = 200  # characters of a body that is no JSON, for the error's text


class Stream:
    """A watch that the API server has accepted.

    Args:
        response: Its response, whose body is still to be read.

    """

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def events(self) -> Iterator[Plain | Unknown]:
        """Yield the events of the watch as they arrive, each a JSON object.

        An :class:`Unknown` is the last item of a watch that broke: the connection, its time, or what it sent.
        """
        rest = b""
        try:
            for piece in self._response.stream(amt=None, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(None, lines):
                    event = _json_object(line)
                    if event is None:
                        yield Unknown(f"expected a JSON object in a line of the watch, got {_beginning(line)!r}")
                        return
                    yield event
        except (HTTPError, OSError, ValueError) as error:  # ValueError: the response was stopped while it was read
            yield Unknown(bounded(plain_text(error)))

    def stop(self) -> None:
        """End the watch from another thread. The next read meets its end."""
        with suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself, and its socket may be closed
            self._response.shutdown()

    def close(self) -> None:
        """Close its connection."""
        self._response.close()


class ApiServer:
    """A Kubernetes API server. Safe for several threads. It never raises for an error of a cluster or a network.

    Args:
        client: A ``kubernetes.client.ApiClient`` (:func:`bridge.cluster.config.cluster_client`), with a connection for
            each thread that sends requests.

    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._pool = client.rest_client.pool_manager
        witness_connections(self._pool)
        self._host: str = client.configuration.host.rstrip("/")

    def get(self, path: str, *, timeout: float = READ_TIMEOUT) -> Response:
        """Ask for an object.

        Args:
            path: Its path, quoted.
            timeout: Seconds to wait at most, connecting included.

        """
        return self._whole("GET", path, None, "", Timeout(total=timeout))

    def list(self, path: str, query: Mapping[str, str], *, only_metadata: bool = False) -> Response:
        """Ask for a list of objects, whose body may take up to :data:`LIST_TIMEOUT`.

        Args:
            path: Path of the resource, quoted.
            query: Its query.
            only_metadata: Ask for the metadata of each object alone.

        """
        accept = METADATA_LIST if only_metadata else JSON
        limits = Timeout(total=READ_TIMEOUT)
        with body_takes(LIST_TIMEOUT):
            return self._whole("GET", f"{path}?{urlencode(query)}", None, "", limits, _LIST_LIMIT, accept)

    def post(self, path: str, body: Plain, *, timeout: float = READ_TIMEOUT) -> Response:
        """Ask once, without any retry, that an object be created.

        Args:
            path: Path of the resource, quoted.
            body: The object.
            timeout: Seconds to wait at most, connecting included.

        """
        return self._whole("POST", path, _encoded(body), JSON, Timeout(total=timeout))

    def patch(self, path: str, body: Plain, *, timeout: float = READ_TIMEOUT) -> Response:
        """Ask once, without any retry, that a merge patch be applied.

        Args:
            path: Path of the object, quoted.
            body: The patch.
            timeout: Seconds to wait at most, connecting included.

        """
        return self._whole("PATCH", path, _encoded(body), MERGE_PATCH, Timeout(total=timeout))

    def watch(
        self, path: str, query: Mapping[str, str], *, timeout: float, only_metadata: bool = False
    ) -> Stream | Response:
        """Ask for a watch. Return its stream, or the response of a server that does not start one.

        Args:
            path: Path of the resource, quoted.
            query: Its query.
            timeout: Seconds after which the watch is broken off. The server should end it before.
            only_metadata: Ask for the metadata of each object alone.

        """
        limits = Timeout(connect=READ_TIMEOUT, total=timeout)
        accept = METADATA if only_metadata else JSON
        response = self._sent("GET", f"{path}?{urlencode(query)}", None, "", limits, accept)
        if isinstance(response, Unreachable | Unknown):
            return response
        return Stream(response) if response.status == HTTPStatus.OK else _read_answer(response, _OBJECT_LIMIT)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _whole(
        self,
        method: str,
        path: str,
        body: bytes | None,
        kind: str,
        limits: Timeout,
        size: int = _OBJECT_LIMIT,
        accept: str = JSON,
    ) -> Response:
        response = self._sent(method, path, body, kind, limits, accept)
        return response if isinstance(response, Unreachable | Unknown) else _read_answer(response, size)

    def _sent(
        self, method: str, path: str, body: bytes | None, kind: str, limits: Timeout, accept: str = JSON
    ) -> BaseHTTPResponse | Unreachable | Unknown:
        """Send a request; return the response, whose body is not read yet."""
        headers = {"Accept": accept, "User-Agent": "flowbridge"} | ({"Content-Type": kind} if kind else {})
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        except Exception as error:  # noqa: BLE001  (credential plugins raise what they like, and nothing was sent yet)
            return Unreachable(bounded(f"the cluster's credentials could not be renewed: {error}"))
        try:
            response: BaseHTTPResponse = self._pool.request(
                method,
                self._host + path,
                body=body,
                headers=headers,
                timeout=limits,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except NotSentError as error:
            return Unreachable(bounded(str(error)))
        except (HTTPError, OSError) as error:
            return Unknown(bounded(plain_text(error)))
        return response


def _encoded(body: Plain) -> bytes:
    try:
        return _ENCODER.encode(body).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON may hold as an escape and UTF-8 may not
        return json.dumps(body).encode()


def _read_answer(response: BaseHTTPResponse, limit: int) -> Answer | Unknown:
    """Return the answer, and give its connection back. An endless body is cut, and its connection is closed."""
    try:
        data = response.read(limit)
    except (HTTPError, OSError) as error:
        response.close()
        return Unknown(bounded(plain_text(error)))
    except BaseException:
        response.close()
        raise
    if len(data) == limit:
        response.close()
    response.release_conn()
    body = _json_object(data)
    retry_after = _seconds(response.headers.get("Retry-After"))
    if response.status < HTTPStatus.BAD_REQUEST:
        return Answer(response.status, retry_after=retry_after, object=body)
    if body is None:
        return Answer(response.status, response.reason or "", _beginning(data), retry_after)
    reason, message = body.get("reason") or "", body.get("message") or ""
    return Answer(response.status, str(reason), str(message), retry_after, body)


def _beginning(data: bytes) -> str:
    return " ".join(data[: 4 * _BODY_SHOWN].decode(errors="replace")[:_BODY_SHOWN].split())


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):  # RecursionError: thousands of brackets
        return None
    return body if isinstance(body, dict) else None


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds a number or a date; None if it holds neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - time.time())
