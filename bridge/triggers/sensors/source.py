"""Sensors as a source of triggers: what is to be in force, given what is.

Each reading takes in what became known since the last one. An API server that is away changes nothing; neither does a
Sensor that cannot be compiled, which keeps the trigger that it was before and says what is wrong. A Sensor that is
gone, or marked for deletion, is left out, and the controller's hold-off does the rest: a cluster on which somebody
removes Argo Events with its kinds, and with them every Sensor, shows within it that the kind is gone, and that is no
deletion.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bridge.cluster.responses import Plain
from bridge.core.trigger import Trigger
from bridge.triggers.errors import Origin, TriggerError, path_text
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sensors.api import Away, Listing, SensorApi
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from bridge.triggers.sources.source import Sources, TriggerSource

logger = logging.getLogger(__name__)

_ORIGIN = "Sensor "
_KEPT = "until they can, those known stay in force"


class SensorSource(TriggerSource):
    """The Sensors of some namespaces as a source of triggers.

    Args:
        api: The cluster.
        namespaces: Where Sensors are looked for.
        rules: What holds for all of them.

    """

    def __init__(self, api: SensorApi, namespaces: Iterable[str], rules: SensorRules) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._rules = rules
        self._views: dict[str, _View] = {}

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return what the Sensors say, and what is kept of those that are broken (:meth:`TriggerSource.read`)."""
        triggers: list[LoadedTrigger] = []
        errors: list[TriggerError] = []
        complete = True
        for namespace in self._namespaces:
            view = self._views.setdefault(namespace, _View(namespace, self._rules))
            trouble = view.take(self._api)
            home = _origin(namespace, "")
            before = {
                sourced.origin.file: sourced for sourced in in_force.values() if sourced.origin.file.startswith(home)
            }
            triggers += view.triggers(before, is_sure=view.is_read and trouble is None)
            errors += [*view.errors(), *([trouble] if trouble is not None else ())]
            complete &= view.is_read
        return Sources(triggers, errors, complete)

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Write an Event on each Sensor with which something new is wrong."""
        by_origin: dict[str, list[str]] = defaultdict(list)
        for error in errors:
            by_origin[error.file].append(str(error).removeprefix(f"{error.file}: "))
        for view in self._views.values():
            view.tell(by_origin, self._api)

    def rest(self) -> None:
        """Stop watching, and forget."""
        self._api.rest()
        self._views.clear()


class _View:
    """What is known of the Sensors of a namespace.

    Attributes:
        is_read: All of them were read once.

    """

    def __init__(self, namespace: str, rules: SensorRules) -> None:
        self.is_read = False
        self._namespace = namespace
        self._rules = rules
        self._sensors: dict[str, Plain] = {}
        self._compiled: dict[str, Trigger | list[TriggerError]] = {}
        self._told: dict[str, tuple[str, str]] = {}

    def take(self, api: SensorApi) -> TriggerError | None:
        """Take in what is new; return why that could not be read."""
        news = api.news(self._namespace)
        if isinstance(news, Away):
            found = f"the Sensors cannot be read: {news.reason}"
            return TriggerError(f"Sensors of {self._namespace}", 0, "", found, _KEPT)
        for new in news:
            if isinstance(new, Listing):
                self._list(new.sensors)
            elif new.kind == "put":
                self._put(new.sensor)
            else:
                self._remove(_origin_of(self._namespace, new.sensor))
        return None

    def triggers(self, before: Mapping[str, LoadedTrigger], *, is_sure: bool) -> list[LoadedTrigger]:
        """Return what is to be in force.

        Args:
            before: What is in force from this namespace, by origin.
            is_sure: What is not known is not there.

        """
        wanted = {} if is_sure else dict(before)
        for origin, compiled in self._compiled.items():
            if isinstance(compiled, Trigger):
                wanted[origin] = LoadedTrigger(compiled, Origin(origin))
            elif origin in before:
                wanted[origin] = before[origin]
        return list(wanted.values())

    def errors(self) -> list[TriggerError]:
        """Return what is wrong with the Sensors."""
        return [
            error
            for definition in self._compiled.values()
            if not isinstance(definition, Trigger)
            for error in definition
        ]

    def tell(self, messages: Mapping[str, Sequence[str]], api: SensorApi) -> None:
        """Report what is wrong with a Sensor of this namespace, where that is new; messages are by origin."""
        for origin in self._told.keys() - messages.keys():
            del self._told[origin]
        for origin, sensor in self._sensors.items():
            message = "\n".join(sorted(messages.get(origin, ())))
            told = (str(sensor["metadata"].get("uid")), message)
            if message and self._told.get(origin) != told:
                self._told[origin] = told
                api.report(sensor, message)

    def _list(self, sensors: Sequence[Plain]) -> None:
        self.is_read = True
        for origin in self._sensors.keys() - {_origin_of(self._namespace, sensor) for sensor in sensors}:
            self._remove(origin)
        for sensor in sensors:
            self._put(sensor)

    def _put(self, sensor: Plain) -> None:
        origin = _origin_of(self._namespace, sensor)
        # Argo Events' finalizer keeps a deleted Sensor there for as long as its controller is gone.
        if sensor["metadata"].get("deletionTimestamp"):
            self._remove(origin)
        elif self._sensors.get(origin) != sensor:
            self._sensors[origin] = sensor
            self._compiled[origin] = _compiled(sensor, origin, self._rules)

    def _remove(self, origin: str) -> None:
        self._sensors.pop(origin, None)
        self._compiled.pop(origin, None)


def _compiled(sensor: Plain, origin: str, rules: SensorRules) -> Trigger | list[TriggerError]:
    identity = origin.removeprefix(_ORIGIN)
    try:
        compiled = compile_sensor(sensor, rules)
    except Exception as error:  # a Sensor of which nobody thought must not stop all others
        logger.exception("%s cannot be compiled", origin)
        found = f"a defect of Flowbridge: {type(error).__name__}: {error}"
        return [TriggerError(origin, 0, "", found, "report it with the Sensor's YAML", identity)]
    if isinstance(compiled, Trigger):
        return compiled
    return [
        TriggerError(origin, 0, path_text(path), definition.found, definition.right, identity)
        for path, definition in compiled
    ]


def _origin_of(namespace: str, sensor: Plain) -> str:
    return _origin(namespace, sensor["metadata"]["name"])


def _origin(namespace: str, name: str) -> str:
    return f"{_ORIGIN}{namespace}/{name}"
