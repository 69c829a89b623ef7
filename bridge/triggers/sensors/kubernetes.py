"""The Sensors of a real cluster: a list, and behind it a watch for each namespace in a thread of its own.

It takes a configured ``kubernetes`` client, of which it uses the connection pool and the credentials, and speaks HTTP
on that pool. A watch that ends is taken up where it was; one that the API server no longer knows the beginning of is
:class:`Expired`; any other trouble is :class:`Away` until the API answers again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from bridge.triggers.sensors.api import LABELS, Away, Change, Expired, Listing, Plain, SensorApi

READ_TIMEOUT = 10.0
"""Seconds for a list, and for the beginning of a watch."""
WATCH_SECONDS = 60
"""Seconds for which one request watches."""

_RETRY_SECONDS = 1.0
_JOIN_SECONDS = 1.0
_SILENCE_SECONDS = 2 * WATCH_SECONDS
_SHOWN = 200  # characters of an answer, for the error's text
_SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
_KINDS: dict[str, Any] = {"ADDED": "put", "MODIFIED": "put", "DELETED": "deleted"}


class KubernetesSensorApi(SensorApi):
    """The Sensors of the cluster that a client is configured for.

    Args:
        client: A ``kubernetes.client.ApiClient``, with a connection for each namespace and one more.

    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._base = f"{client.configuration.host.rstrip('/')}/apis/argoproj.io/v1alpha1/namespaces"
        self._watches: dict[str, _Watch] = {}

    def sensors(self, namespace: str) -> Listing | Away:
        """Return the Sensors of a namespace now (:meth:`SensorApi.sensors`)."""
        response = self.request(namespace, {}, READ_TIMEOUT, stream=False)
        if isinstance(response, Away):
            return response
        try:
            body = json.loads(response.data)
            return Listing(body["items"], body["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError):
            return Away(f"no list of Sensors was answered: {response.data[:_SHOWN].decode(errors='replace')}")

    def changes(self, namespace: str, version: str) -> Sequence[Change] | Expired | Away:
        """Return what changed since (:meth:`SensorApi.changes`)."""
        watch = self._watches.get(namespace)
        if watch is None or watch.given != version:
            self._stop(namespace)
            watch = self._watches[namespace] = _Watch(self, namespace, version)
        return watch.take()

    def close(self) -> None:
        """End all watches."""
        for namespace in list(self._watches):
            self._stop(namespace)

    def request(self, namespace: str, query: dict[str, str], seconds: float, *, stream: bool) -> Any:
        """Return the answer to a GET on the Sensors of a namespace, or why there is none (``Away``)."""
        url = f"{self._base}/{quote(namespace, safe='')}/sensors?{urlencode({'labelSelector': _SELECTOR, **query})}"
        headers = {"Accept": "application/json", "User-Agent": "flowbridge"}
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        except Exception as error:  # noqa: BLE001  (credential plugins raise what they like)
            return Away(f"the cluster's credentials could not be renewed: {error}")
        try:
            limits = Timeout(connect=READ_TIMEOUT, read=seconds)
            response = self._client.rest_client.pool_manager.request(
                "GET", url, headers=headers, timeout=limits, retries=False, redirect=False, preload_content=not stream
            )
            if response.status == HTTPStatus.OK:
                return response
            text = response.data[:_SHOWN].decode(errors="replace")
        except (HTTPError, OSError) as error:
            return Away(str(error))
        return Expired() if response.status == HTTPStatus.GONE else Away(f"{response.status} {' '.join(text.split())}")

    def _stop(self, namespace: str) -> None:
        watch = self._watches.pop(namespace, None)
        if watch is not None:
            watch.stop()


class _Watch:
    """One namespace, watched from a version on by a thread.

    Attributes:
        given: The version up to which all changes have been taken.

    """

    def __init__(self, api: KubernetesSensorApi, namespace: str, version: str) -> None:
        self.given = version
        self._api = api
        self._namespace = namespace
        self._version = version
        self._changes: list[Change] = []
        self._trouble: Expired | Away | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._response: Any = None
        self._thread = threading.Thread(target=self._run, name=f"sensors-{namespace}", daemon=True)
        self._thread.start()

    def take(self) -> Sequence[Change] | Expired | Away:
        """Return the changes that came since the last time, or what is wrong."""
        with self._lock:
            taken, self._changes = self._changes, []
            if taken:
                self.given = taken[-1].version
                return taken
            return self._trouble or ()

    def stop(self) -> None:
        """End the thread."""
        with self._lock:
            self._stopped.set()
            if self._response is not None:
                self._response.shutdown()
        self._thread.join(_JOIN_SECONDS)  # one that is still about to connect ends by itself

    def _run(self) -> None:
        while not self._stopped.is_set():
            trouble = self._watched()
            with self._lock:
                self._trouble = trouble
            if isinstance(trouble, Expired):
                return
            self._stopped.wait(_RETRY_SECONDS if trouble else 0)

    def _watched(self) -> Expired | Away | None:
        """Watch once; return why it ended, None for its time."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self._version}
        query["timeoutSeconds"] = str(WATCH_SECONDS)
        response = self._api.request(self._namespace, query, _SILENCE_SECONDS, stream=True)
        if isinstance(response, Away | Expired):
            return response
        with self._lock:
            if self._stopped.is_set():
                response.close()
                return None
            self._trouble = None
            self._response = response
        try:
            for line in _lines(response):
                if self._stopped.is_set() or (ended := self._noted(json.loads(line))) is not None:
                    return None if self._stopped.is_set() else ended
        except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            return None if self._stopped.is_set() else Away(f"the watch broke: {error}")
        finally:
            with self._lock:
                self._response = None
            response.close()
        return None

    def _noted(self, event: Plain) -> Expired | Away | None:
        """Take in one line of a watch."""
        kind, sensor = event["type"], event["object"]
        if kind == "ERROR":
            gone = sensor.get("code") == HTTPStatus.GONE
            return Expired() if gone else Away(str(sensor.get("message")))
        with self._lock:
            self._version = sensor["metadata"]["resourceVersion"]
            if kind in _KINDS:
                self._changes.append(Change(_KINDS[kind], sensor, self._version))
        return None


def _lines(response: Any) -> Iterator[bytes]:
    """Yield the lines of an answer as they come."""
    rest = b""
    for piece in response.stream(amt=None, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)
