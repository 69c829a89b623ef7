"""Watches Workflows appear, and remembers when each was first seen."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any, Self

from urllib3.exceptions import HTTPError

from servers.cluster import Cluster

_SECONDS = 3600


class Sightings:
    """A watch on the Workflows of one namespace, on a thread of its own. A context manager.

    Attributes:
        seen: When each Workflow was seen, in seconds of ``time.monotonic``, by its parameter ``order``.

    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.seen: dict[str, float] = {}
        self._came = threading.Condition()
        self._client: Any = cluster.api()
        url = f"{cluster.url}/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows?watch=1"
        headers: dict[str, str] = {"Accept": "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        self._answer = self._client.rest_client.pool_manager.request(
            "GET", url, headers=headers, preload_content=False, timeout=_SECONDS
        )
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def wait(self, order: str, seconds: float) -> float:
        """Return when a Workflow was seen; wait for it.

        Raises:
            TimeoutError: It was not seen within ``seconds``.

        """
        with self._came:
            if not self._came.wait_for(lambda: order in self.seen, seconds):
                raise TimeoutError(f"no Workflow of {order} was seen within {seconds} s")
            return self.seen[order]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.shutdown()  # closing alone would wait for the thread that reads
        self._client.close()

    def _watch(self) -> None:
        with suppress(HTTPError, OSError, ValueError, AttributeError):  # it is closed from outside, wherever it is then
            for line in self._answer:
                self._note(json.loads(line), time.monotonic())

    def _note(self, event: dict[str, Any], now: float) -> None:
        if event["type"] != "ADDED":
            return
        parameters = event["object"]["spec"]["arguments"]["parameters"]
        order = next(parameter["value"] for parameter in parameters if parameter["name"] == "order")
        with self._came:
            self.seen.setdefault(order, now)
            self._came.notify_all()
