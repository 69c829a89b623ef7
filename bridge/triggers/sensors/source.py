"""Sensors as a source of triggers: what is to be in force, given what is.

Each reading takes in what changed since the last one. An API server that is away changes nothing; neither does a
Sensor that cannot be compiled, which keeps the trigger that it was before and says what is wrong. A Sensor that is
gone, or marked for deletion, takes its trigger with it at once. Only when a namespace has no Sensor left all of a
sudden is that believed after a while: so a cluster on which somebody removes Argo Events with its kinds, and with them
every Sensor, leaves some seconds in which it shows that the kind is gone, and nothing is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.trigger import Trigger
from bridge.triggers.errors import TriggerError, path_text
from bridge.triggers.sensors.api import Away, Expired, Plain, SensorApi
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from bridge.triggers.sources import Sourced, Sources

HOLD_OFF = 10.0
"""Seconds for which a namespace must stay without any Sensor until that is believed."""

_ORIGIN = "Sensor "


@dataclass(frozen=True, slots=True, order=True)
class SensorError(TriggerError):
    """One thing that is wrong with a Sensor (``file``), or with reading those of a namespace; there are no lines."""

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        return f"{self.file}: {place}{self.found}; {self.right}"


class SensorSource:
    """The Sensors of some namespaces as a source of triggers.

    Args:
        api: The cluster.
        namespaces: Where Sensors are looked for.
        rules: What holds for all of them.
        hold_off: Seconds for which a namespace must stay without any Sensor until that is believed.
        clock: Seconds that never go back.

    """

    def __init__(
        self,
        api: SensorApi,
        namespaces: Iterable[str],
        rules: SensorRules,
        *,
        hold_off: float = HOLD_OFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._views = [_NamespaceView(api, namespace, rules) for namespace in namespaces]
        self._hold_off = hold_off
        self._clock = clock
        self._empty_since: dict[str, float] = {}

    def read(self, in_force: Mapping[str, Sourced]) -> Sources:
        """Return what is to be in force, where ``in_force`` (by identity) is now."""
        triggers: list[Sourced] = []
        errors: list[TriggerError] = []
        for view in self._views:
            home = f"{_ORIGIN}{view.namespace}/"
            before = {one.origin: one for one in in_force.values() if one.origin.startswith(home)}
            trouble = view.refresh()
            if trouble is not None:
                self._empty_since.pop(view.namespace, None)  # only what the API itself goes on showing counts
            else:
                trouble = self._sudden(view, len(before))
            if trouble is not None or view.known is None:
                triggers += before.values()
                errors += [trouble] if trouble is not None else []
                continue
            for origin, compiled in view.known.items():
                if isinstance(compiled, Trigger):
                    triggers.append(Sourced(compiled, origin))
                    continue
                errors += compiled
                triggers += [before[origin]] if origin in before else []
        return Sources(triggers, errors)

    def _sudden(self, view: _NamespaceView, before: int) -> TriggerError | None:
        """Return why it is not believed yet that a namespace has no Sensor left."""
        if view.known or not before:
            self._empty_since.pop(view.namespace, None)
            return None
        since = self._empty_since.setdefault(view.namespace, self._clock())
        if self._clock() - since >= self._hold_off:
            return None
        found = f"all {before} Sensors are gone"
        return _namespace_error(view.namespace, found, f"their triggers are dropped after {self._hold_off:g} s of this")


class _NamespaceView:
    """What is known of the Sensors of a namespace.

    Attributes:
        namespace: The namespace.
        known: By origin what became of each Sensor: a trigger, or what is wrong. None until it was read once.

    """

    def __init__(self, api: SensorApi, namespace: str, rules: SensorRules) -> None:
        self.namespace = namespace
        self.known: dict[str, Trigger | list[TriggerError]] | None = None
        self._api = api
        self._rules = rules
        self._version: str | None = None

    def refresh(self) -> TriggerError | None:
        """Take in what changed; return why that could not be read."""
        changes = self._api.changes(self.namespace, self._version) if self._version is not None else Expired()
        if isinstance(changes, Expired):
            listing = self._api.sensors(self.namespace)
            if isinstance(listing, Away):
                return self._away(listing)
            self.known = {}
            for sensor in listing.sensors:
                self._put(sensor)
            self._version = listing.version
            return None
        if isinstance(changes, Away):
            return self._away(changes)
        for change in changes:
            self._put(change.sensor, deleted=change.kind == "deleted")
            self._version = change.version
        return None

    def _put(self, sensor: Plain, *, deleted: bool = False) -> None:
        known = self.known if self.known is not None else {}
        name = sensor["metadata"]["name"]
        origin = f"{_ORIGIN}{self.namespace}/{name}"
        # Argo Events' finalizer keeps a deleted Sensor there for as long as its controller is gone.
        if deleted or sensor["metadata"].get("deletionTimestamp"):
            known.pop(origin, None)
            return
        known[origin] = _compiled(sensor, origin, f"{self.namespace}/{name}", self._rules)

    def _away(self, away: Away) -> TriggerError:
        return _namespace_error(
            self.namespace, f"the Sensors cannot be read: {away.reason}", "until they can, those known stay in force"
        )


def _compiled(sensor: Any, origin: str, identity: str, rules: SensorRules) -> Trigger | list[TriggerError]:
    compiled = compile_sensor(sensor, rules)
    if isinstance(compiled, Trigger):
        return compiled
    return [SensorError(origin, 0, path_text(path), one.found, one.right, identity) for path, one in compiled]


def _namespace_error(namespace: str, found: str, right: str) -> TriggerError:
    return SensorError(f"namespace {namespace}", 0, "", found, right)
