"""One namespace, listed and then watched by a thread of its own, so that no reader waits for the API server.

A watch that ends is resumed from its last version. If the API server no longer knows this version, or if too many
changes wait to be taken, all Sensors are listed again. Any other error is :class:`Away` until the API answers again.
"""

from __future__ import annotations

import logging
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from bridge.cluster.api_server import ApiServer, Stream
from bridge.cluster.responses import Answer, Plain, Unknown
from bridge.plain_text import plain_text
from bridge.triggers.sensors.api import LABELS, Away, Change, Listing, News

logger = logging.getLogger(__name__)

WATCH_SECONDS = 60
"""Seconds of one watch request."""
NEWS_LIMIT = 10_000
"""Changes that are kept until they are taken."""

_RETRY_SECONDS = 1.0
_SILENCE_SECONDS = WATCH_SECONDS + 10.0  # the server ends a watch before this; one that is silent for longer is gone
_SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
_KINDS: dict[str, Any] = {"ADDED": "put", "MODIFIED": "put", "DELETED": "deleted"}


class Watch:
    """A thread that watches the Sensors of a namespace until it is stopped.

    Args:
        server: The API server.
        namespace: The namespace.

    """

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._path = f"/apis/argoproj.io/v1alpha1/namespaces/{quote(namespace, safe='')}/sensors"
        self._version = ""  # of the last change; empty before a list
        self._news: list[Listing | Change] = []
        self._trouble: Away | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._stream: Stream | None = None
        threading.Thread(target=self._run, name=f"sensors-{namespace}", daemon=True).start()

    def take(self) -> News | Away:
        """Return the changes since the last call, or why there can be none."""
        with self._lock:
            taken, self._news = self._news, []
            return taken or self._trouble or ()

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        with self._lock:
            self._stopped.set()
            if self._stream is not None:
                self._stream.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                trouble = self._watched() if self._version else self._listed()
            except Exception as error:  # this thread must never end unnoticed, because no change would be seen any more
                logger.exception("the watch of Sensors at %s broke", self._path)
                trouble = Away(f"a defect of Flowbridge: {type(error).__name__}: {plain_text(error)}")
            with self._lock:
                self._trouble = trouble
            self._stopped.wait(_RETRY_SECONDS if trouble or not self._version else 0)

    def _listed(self) -> Away | None:
        """List all Sensors; return why that failed."""
        response = self._server.list(self._path, {"labelSelector": _SELECTOR})
        if not isinstance(response, Answer):
            return Away(response.reason)
        if response.status != HTTPStatus.OK:
            return Away(response.text())
        body: Any = response.object
        try:
            if body["metadata"].get("continue"):
                return Away("the list of Sensors cannot be read: it is only a part")
            listing = Listing([_named(sensor) for sensor in body["items"]])
            version = str(body["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Away(f"the list of Sensors cannot be read: {plain_text(error)}")
        with self._lock:
            self._news, self._version = [listing], version
        return None

    def _watched(self) -> Away | None:
        """Watch once; return why it ended. None means that its time is over, or that a list is needed."""
        query = {"labelSelector": _SELECTOR, "watch": "true", "allowWatchBookmarks": "true"}
        query |= {"resourceVersion": self._version, "timeoutSeconds": str(WATCH_SECONDS)}
        stream = self._server.watch(self._path, query, timeout=_SILENCE_SECONDS)
        if isinstance(stream, Answer):
            if stream.status != HTTPStatus.GONE:
                return Away(stream.text())
            self._version = ""
            return None
        if not isinstance(stream, Stream):
            return Away(stream.reason)
        with self._lock:
            if self._stopped.is_set():
                stream.close()
                return None
            self._trouble = None
            self._stream = stream
        try:
            for event in stream.events():
                if self._stopped.is_set() or not self._version:
                    return None
                if isinstance(event, Unknown):
                    return Away(f"the watch broke: {event.reason}")
                kind, thing = event["type"], event["object"]
                if kind == "ERROR":
                    self._version = "" if thing.get("code") == HTTPStatus.GONE else self._version
                    return Away(str(thing.get("message"))) if self._version else None
                with self._lock:
                    self._version = thing["metadata"]["resourceVersion"]
                    if kind in _KINDS:
                        self._news.append(Change(_KINDS[kind], _named(thing)))
                    if len(self._news) > NEWS_LIMIT:
                        self._news, self._version = [], ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Away(f"the watch broke: {plain_text(error)}")
        finally:
            with self._lock:
                self._stream = None
            stream.close()
        return None


def _named(sensor: Any) -> Plain:
    if not isinstance(sensor["metadata"]["name"], str):
        raise TypeError("a Sensor without a name")
    named: Plain = sensor
    return named
