"""Sensors in memory, for tests."""

from __future__ import annotations

import copy
from typing import Any

from bridge.cluster.responses import Plain
from bridge.cluster.watch import Away, Change, Listing
from bridge.triggers.sensors.api import LABELS, News, SensorApi


class MemorySensorApi(SensorApi):
    """An API that holds the Sensors that a test puts into it.

    Attributes:
        away: Why it does not answer; None while it answers.
        is_slow: The first listing is not there yet.
        reports: The reports, as (namespace/name, message), in order.

    """

    def __init__(self) -> None:
        self.away: str | None = None
        self.is_slow = False
        self.reports: list[tuple[str, str]] = []
        self._sensors: dict[tuple[str, str], dict[str, Any]] = {}
        self._changes: list[Change[Plain]] = []
        self._taken: dict[str, int] = {}

    def put(self, sensor: Plain) -> None:
        """Create or replace a Sensor."""
        kept = copy.deepcopy(dict(sensor))
        self._sensors[kept["metadata"]["namespace"], kept["metadata"]["name"]] = kept
        self._note(Change("put" if _is_selected(kept) else "deleted", kept))

    def delete(self, namespace: str, name: str) -> None:
        """Delete a Sensor. A Sensor with finalizers stays, marked for deletion, as on a cluster."""
        kept = copy.deepcopy(self._sensors[namespace, name])
        if kept["metadata"].get("finalizers"):
            kept["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.put(kept)
            return
        del self._sensors[namespace, name]
        self._note(Change("deleted", kept))

    def forget_changes(self) -> None:
        """Forget the changes until now, as an API server does after some minutes."""
        self._taken.clear()

    def news(self, namespace: str) -> News | Away:
        """Return the changes of a namespace (:meth:`SensorApi.news`)."""
        if self.away is not None:
            return Away(self.away)
        taken = self._taken.get(namespace)
        if taken is None and self.is_slow:
            return ()
        self._taken[namespace] = len(self._changes)
        if taken is None:
            listed = [sensor for (home, _), sensor in self._sensors.items() if home == namespace]
            return [Listing(copy.deepcopy([sensor for sensor in listed if _is_selected(sensor)]))]
        changes = self._changes[taken:]
        return [change for change in changes if change.object["metadata"]["namespace"] == namespace]

    def report(self, sensor: Plain, message: str) -> None:
        """Remember a warning (:meth:`SensorApi.report`)."""
        metadata = sensor["metadata"]
        self.reports.append((f"{metadata['namespace']}/{metadata['name']}", message))

    def rest(self) -> None:
        """Start with listings again."""
        self._taken.clear()

    def _note(self, change: Change[Plain]) -> None:
        self._changes.append(copy.deepcopy(change))


def _is_selected(sensor: Plain) -> bool:
    return LABELS.items() <= (sensor["metadata"].get("labels") or {}).items()
