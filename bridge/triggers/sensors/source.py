"""The source of triggers in Sensors.

Each reading applies the changes since the last one. An API server that does not answer changes nothing. A Sensor that
cannot be compiled keeps its trigger, and its errors are reported. A Sensor that is gone, or marked for deletion, is
left out. The controller then waits for its hold-off before it retires the trigger. If an operator removes Argo Events
with its kinds, and so every Sensor, the API server shows within the hold-off that the kind is gone. This is
no deletion.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bridge.cluster.responses import Plain
from bridge.cluster.watch import Away, Listing
from bridge.core.trigger import Trigger
from bridge.triggers.errors import Origin, TriggerError, path_text
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sensors.api import SensorApi
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from bridge.triggers.sources.source import Sources, TriggerSource

logger = logging.getLogger(__name__)

_PREFIX = "Sensor "  # of the origin of a Sensor's trigger: Sensor namespace/name
_KEPT = "until they can, those known stay in force"


class SensorSource(TriggerSource):
    """The Sensors of some namespaces as a source of triggers.

    Args:
        api: The cluster.
        namespaces: Namespaces whose Sensors are read.
        rules: Rules for all Sensors.

    """

    def __init__(self, api: SensorApi, namespaces: Iterable[str], rules: SensorRules) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._rules = rules
        self._views: dict[str, _View] = {}

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return the triggers of the Sensors, and those kept from broken Sensors (:meth:`TriggerSource.read`)."""
        triggers: list[LoadedTrigger] = []
        errors: list[TriggerError] = []
        complete = True
        for namespace in self._namespaces:
            view = self._views.setdefault(namespace, _View(namespace, self._rules))
            trouble = view.take(self._api)
            home = f"{_PREFIX}{namespace}/"
            before = {loaded.origin: loaded for loaded in in_force.values() if loaded.origin.file.startswith(home)}
            triggers += view.triggers(before, is_sure=view.is_read and trouble is None)
            errors += [*view.errors(), *([trouble] if trouble is not None else ())]
            complete &= view.is_read
        return Sources(triggers, errors, complete)

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Write a Kubernetes Event on each Sensor that has new errors."""
        by_origin: dict[Origin, list[str]] = defaultdict(list)
        for error in errors:
            by_origin[error.origin].append(error.message)
        for view in self._views.values():
            view.tell(by_origin, self._api)

    def rest(self) -> None:
        """Stop all watches, and forget all Sensors."""
        self._api.rest()
        self._views.clear()


class _View:
    """The known Sensors of a namespace.

    Attributes:
        is_read: All Sensors of the namespace were listed once.

    """

    def __init__(self, namespace: str, rules: SensorRules) -> None:
        self.is_read = False
        self._namespace = namespace
        self._rules = rules
        self._sensors: dict[Origin, Plain] = {}
        self._compiled: dict[Origin, Trigger | list[TriggerError]] = {}
        self._told: dict[Origin, tuple[str, str]] = {}

    def take(self, api: SensorApi) -> TriggerError | None:
        """Apply what changed; return an error if the API could not be asked."""
        news = api.news(self._namespace)
        if isinstance(news, Away):
            found = f"the Sensors cannot be read: {news.reason}"
            return TriggerError(Origin(f"Sensors of {self._namespace}"), "", found, _KEPT)
        for new in news:
            if isinstance(new, Listing):
                self.is_read = True
                for origin in self._sensors.keys() - {_origin_of(self._namespace, sensor) for sensor in new.objects}:
                    self._remove(origin)
                for sensor in new.objects:
                    self._put(sensor)
            elif new.kind == "put":
                self._put(new.object)
            else:
                self._remove(_origin_of(self._namespace, new.object))
        return None

    def triggers(self, before: Mapping[Origin, LoadedTrigger], *, is_sure: bool) -> list[LoadedTrigger]:
        """Return the triggers that should be in force.

        Args:
            before: The triggers of this namespace that are in force, by origin.
            is_sure: True if all Sensors of the namespace are known. A Sensor that is not known then does not exist.

        """
        wanted = {} if is_sure else dict(before)
        for origin, compiled in self._compiled.items():
            if isinstance(compiled, Trigger):
                wanted[origin] = LoadedTrigger(compiled, origin)
            elif origin in before:
                wanted[origin] = before[origin]
        return list(wanted.values())

    def errors(self) -> list[TriggerError]:
        """Return the errors of the Sensors."""
        return [
            error for compiled in self._compiled.values() if not isinstance(compiled, Trigger) for error in compiled
        ]

    def tell(self, messages: Mapping[Origin, Sequence[str]], api: SensorApi) -> None:
        """Report the new errors of each Sensor of this namespace; ``messages`` are by origin."""
        for origin in self._told.keys() - messages.keys():
            del self._told[origin]
        for origin, sensor in self._sensors.items():
            message = "\n".join(sorted(messages.get(origin, ())))
            told = (str(sensor["metadata"].get("uid")), message)
            if message and self._told.get(origin) != told:
                self._told[origin] = told
                api.report(sensor, message)

    def _put(self, sensor: Plain) -> None:
        origin = _origin_of(self._namespace, sensor)
        # The finalizer of Argo Events keeps a deleted Sensor on the cluster for as long as its controller is gone.
        if sensor["metadata"].get("deletionTimestamp"):
            self._remove(origin)
        elif self._sensors.get(origin) != sensor:
            self._sensors[origin] = sensor
            self._compiled[origin] = _compiled(sensor, origin, self._rules)

    def _remove(self, origin: Origin) -> None:
        self._sensors.pop(origin, None)
        self._compiled.pop(origin, None)


def _compiled(sensor: Plain, origin: Origin, rules: SensorRules) -> Trigger | list[TriggerError]:
    identity = origin.file.removeprefix(_PREFIX)
    try:
        compiled = compile_sensor(sensor, rules)
    except Exception as error:  # an unexpected Sensor must not stop all others
        logger.exception("%s cannot be compiled", origin)
        found = f"a defect of Flowbridge: {type(error).__name__}: {error}"
        return [TriggerError(origin, "", found, "report it with the Sensor's YAML", identity)]
    if isinstance(compiled, Trigger):
        return compiled
    return [TriggerError(origin, path_text(path), misfit.found, misfit.expected, identity) for path, misfit in compiled]


def _origin_of(namespace: str, sensor: Plain) -> Origin:
    return Origin(f"{_PREFIX}{namespace}/{sensor['metadata']['name']}")
