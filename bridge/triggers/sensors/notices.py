"""Kubernetes Events on Sensors, which show the errors of a Sensor to its owner in ``kubectl describe``.

A thread of its own writes them, and tries each once. An Event that cannot be written is logged and forgotten, so a
bridge without the right to write Events loses nothing else. The name of an Event comes from the Sensor and the message.
The same message again, from any process, is therefore the same Event with a later time.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from bridge.cluster.api_server import ApiServer
from bridge.cluster.responses import Answer, Plain

logger = logging.getLogger(__name__)

REASON = "NotATrigger"
WAITING_LIMIT = 1_000
"""Events that may wait to be written. Further Events are dropped."""

_MESSAGE_LIMIT = 1_024  # characters; Kubernetes takes no more
_NAME_LIMIT = 253
_REPORTER = "flowbridge"


class Notices:
    """Writes Events.

    Args:
        server: The API server.

    """

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._waiting: queue.Queue[tuple[Plain, str]] = queue.Queue(WAITING_LIMIT)
        self._thread: threading.Thread | None = None
        self._said = ""

    def write(self, sensor: Plain, message: str) -> None:
        """Queue an Event, which is written later."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sensor-notices", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((sensor, message))
        except queue.Full:
            self._say("too many at once")

    def _run(self) -> None:
        while True:
            sensor, message = self._waiting.get()
            try:
                event = event_of(sensor, message, datetime.now(UTC))
                path = f"/api/v1/namespaces/{quote(event['metadata']['namespace'], safe='')}/events"
                response = self._server.post(path, event)
                if isinstance(response, Answer) and response.status == HTTPStatus.CONFLICT:
                    path = f"{path}/{event['metadata']['name']}"
                    response = self._server.patch(path, {"lastTimestamp": event["lastTimestamp"]})
                trouble: str | None
                if not isinstance(response, Answer):
                    trouble = response.reason
                else:
                    is_written = response.status in (HTTPStatus.CREATED, HTTPStatus.OK)
                    trouble = None if is_written else response.text()
            except Exception as error:  # this thread must never end unnoticed
                logger.exception("a Kubernetes Event about a Sensor cannot be made")
                trouble = f"{type(error).__name__}: {error}"
            if trouble is not None:
                self._say(trouble)

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            logger.warning("no Kubernetes Event can be written about a Sensor: %s", reason)


def event_of(sensor: Plain, message: str, now: datetime) -> dict[str, Any]:
    """Return the Event that warns of a Sensor."""
    metadata = sensor["metadata"]
    text = message if len(message) <= _MESSAGE_LIMIT else f"{message[: _MESSAGE_LIMIT - 1]}…"
    digest = hashlib.sha256(f"{metadata.get('uid')} {text}".encode()).hexdigest()[:16]
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][: _NAME_LIMIT - len(digest) - 1].rstrip('.-')}.{digest}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": sensor.get("apiVersion", "argoproj.io/v1alpha1"),
            "kind": sensor.get("kind", "Sensor"),
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata.get("uid", ""),
        },
        "type": "Warning",
        "reason": REASON,
        "message": text,
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "source": {"component": _REPORTER},
        "reportingComponent": _REPORTER,
    }
