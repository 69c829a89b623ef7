"""Counts what is created in a namespace during a test: a Workflow made twice shows even if one is gone again."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from kubernetes.client import CustomObjectsApi
from kubernetes.watch import Watch

from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.fault_load import Parameters
    from servers.choice import AnyKubernetes

_WORKFLOWS = {"group": "argoproj.io", "version": "v1alpha1", "plural": "workflows"}
_TURN_SECONDS = 2  # a watch that is to end is noticed this late
_SEEN_SECONDS = 30.0


class WorkflowWatch:
    """A watch of a namespace's Workflows. A context manager: it watches between entering and leaving.

    Attributes:
        created: How often a Workflow of each name was created.
        deleted: Names of Workflows that were deleted.

    """

    def __init__(self, kubernetes: AnyKubernetes, namespace: str) -> None:
        self._api: Any = kubernetes.api()  # the client ships few types, or none
        self._objects: Any = CustomObjectsApi(self._api)
        self._place = {**_WORKFLOWS, "namespace": namespace}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{namespace}")
        self._version = ""
        self.created: Counter[str] = Counter()
        self.deleted: list[str] = []

    def found(self) -> Counter[Parameters]:
        """Return how many Workflows there are with the same parameters, once the watch has seen them all."""
        items = self._list()["items"]
        names = {item["metadata"]["name"] for item in items}
        wait_for(lambda: names <= self.created.keys(), _SEEN_SECONDS, "the watch to see what is there")
        return Counter(_parameters(item) for item in items)

    def __enter__(self) -> Self:
        self._version = self._list()["metadata"]["resourceVersion"]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._api.close()

    def _list(self) -> dict[str, Any]:
        listed: dict[str, Any] = self._objects.list_namespaced_custom_object(**self._place, _request_timeout=30)
        return listed

    def _watch(self) -> None:
        listing = self._objects.list_namespaced_custom_object
        watch: Any = Watch
        while not self._over.is_set():
            stream = watch().stream(
                listing, **self._place, resource_version=self._version, timeout_seconds=_TURN_SECONDS
            )
            for event in stream:
                metadata = event["object"]["metadata"]
                self._version = metadata["resourceVersion"]
                if event["type"] == "ADDED":
                    self.created[metadata["name"]] += 1
                elif event["type"] == "DELETED":
                    self.deleted.append(metadata["name"])


def _parameters(workflow: dict[str, Any]) -> Parameters:
    listed = workflow["spec"].get("arguments", {}).get("parameters", [])
    return tuple(sorted((parameter["name"], parameter["value"]) for parameter in listed))
