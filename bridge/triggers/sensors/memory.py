"""Sensors in memory, for tests and ``flowbridge dev``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from bridge.triggers.sensors.api import LABELS, Away, Change, Expired, Listing, Plain, SensorApi


class MemorySensorApi(SensorApi):
    """An API that holds what was put into it.

    Attributes:
        away: Why it does not answer; None while it does.

    """

    def __init__(self) -> None:
        self.away: str | None = None
        self._sensors: dict[tuple[str, str], dict[str, Any]] = {}
        self._changes: list[tuple[str, Change]] = []
        self._forgotten = 0
        self._version = 0

    def put(self, sensor: Plain) -> None:
        """Create or replace a Sensor."""
        kept = self._next_version(sensor)
        identity = (kept["metadata"]["namespace"], kept["metadata"]["name"])
        self._sensors[identity] = kept
        kind = kept["metadata"].get("labels") or {}
        self._note("put" if LABELS.items() <= kind.items() else "deleted", kept)

    def delete(self, namespace: str, name: str) -> None:
        """Delete a Sensor; one that has finalizers stays, marked, as on a cluster."""
        kept = self._next_version(self._sensors[namespace, name])
        if kept["metadata"].get("finalizers"):
            kept["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.put(kept)
            return
        del self._sensors[namespace, name]
        self._note("deleted", kept)

    def forget_changes(self) -> None:
        """Forget what changed until now, as an API server does after some minutes."""
        self._forgotten = self._version

    def sensors(self, namespace: str) -> Listing | Away:
        """Return the Sensors of a namespace now (:meth:`SensorApi.sensors`)."""
        if self.away is not None:
            return Away(self.away)
        listed = [sensor for (home, _), sensor in self._sensors.items() if home == namespace]
        selected = [one for one in listed if LABELS.items() <= (one["metadata"].get("labels") or {}).items()]
        return Listing(copy.deepcopy(selected), str(self._version))

    def changes(self, namespace: str, version: str) -> Sequence[Change] | Expired | Away:
        """Return what changed since (:meth:`SensorApi.changes`)."""
        if self.away is not None:
            return Away(self.away)
        if int(version) < self._forgotten:
            return Expired()
        return [change for home, change in self._changes if home == namespace and int(change.version) > int(version)]

    def _next_version(self, sensor: Plain) -> dict[str, Any]:
        self._version += 1
        kept = copy.deepcopy(dict(sensor))
        kept["metadata"]["resourceVersion"] = str(self._version)
        return kept

    def _note(self, kind: Any, kept: dict[str, Any]) -> None:
        self._changes.append((kept["metadata"]["namespace"], Change(kind, copy.deepcopy(kept), str(self._version))))
