"""Compile a Sensor as Metaflow writes it to core's trigger, with the parameters of its runs.

A Sensor becomes a trigger with a slot for each dependency. The slot's event is the name in the dependency's filter. The
latest event of each slot counts and a match takes all, as with Argo Events. One thing is different from Argo Events:
several events wait for each other no longer than a window, so that an old event cannot pair with a new one.

As far as possible all misfits are found at once, each with its path in the Sensor. A Sensor with a misfit has no
trigger. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from bridge.core.event import DAY, Micros
from bridge.core.expressions.expression import Expression, ExpressionSyntaxError
from bridge.core.runs.field_parameters import FieldParameter
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan, default_grace
from bridge.core.windows.boundaries import schedule_fault
from bridge.triggers.checks.expressions import EVENT_VARIABLES
from bridge.triggers.errors import Misfit
from bridge.triggers.model import SLOT_LIMIT
from bridge.triggers.sensors.conditions import read_conditions
from bridge.triggers.sensors.directives import Directives, read_directives
from bridge.triggers.sensors.filters import Dependency, read_dependency
from bridge.triggers.sensors.parts import Part, SensorMisfitError
from bridge.triggers.sensors.templates import read_parameter
from bridge.triggers.sensors.workflow import WorkflowPart, marks, read_workflow
from bridge.triggers.windows import default_dedupe
from flowbridge_sdk.avro.misfit import MisfitError

Read = TypeVar("Read")


@dataclass(frozen=True)
class SensorRules:
    """Rules for all Sensors.

    Attributes:
        window: How far apart the events of a match may have happened, for a Sensor without a directive for this.
        run_namespaces: By namespace of Sensors, the other namespaces in which they may create Workflows.

    """

    window: Micros = DAY
    run_namespaces: Mapping[str, frozenset[str]] = field(default_factory=dict)


def compile_sensor(plain: Any, rules: SensorRules) -> Trigger | list[Misfit]:
    """Return the trigger of a Sensor (its plain JSON), or all its misfits."""
    return _Compiling(Part(plain), rules).result()


class _Compiling:
    """One Sensor that is being compiled, with the misfits found so far."""

    def __init__(self, sensor: Part, rules: SensorRules) -> None:
        self._sensor = sensor
        self._rules = rules
        self._misfits: list[Misfit] = []

    def result(self) -> Trigger | list[Misfit]:
        compiled = self._tried(self._compiled)
        return compiled if compiled is not None and not self._misfits else self._misfits

    def _tried(self, read: Callable[[], Read]) -> Read | None:
        """Return the result of ``read``. If it refuses, note the misfit and return None."""
        try:
            return read()
        except SensorMisfitError as error:
            self._misfits.append((error.path, error))
            return None

    def _compiled(self) -> Trigger | None:
        metadata, spec = self._sensor["metadata"], self._sensor["spec"]
        metadata["name"].text()
        # The settings of a Sensor's pod (template, replicas, bus, …) have no meaning here.
        pod = ("template", "replicas", "eventBusName", "revisionHistoryLimit", "loggingFields")
        self._tried(lambda: spec.only("dependencies", "triggers", *pod))
        dependencies = self._dependencies(spec["dependencies"])
        workflow = self._tried(lambda: read_workflow(spec["triggers"]))
        if not dependencies or workflow is None:
            return None
        used, required = read_conditions(workflow.conditions, [dependency.name for dependency in dependencies])
        slots = [dependency for dependency in dependencies if dependency.name in used]
        directives = self._tried(lambda: read_directives(metadata["annotations"], len(slots)))
        own, wanted = self._tried(metadata["namespace"].text), workflow.namespace
        if own is not None and wanted not in (None, own) and wanted not in self._rules.run_namespaces.get(own, ()):
            kind = "argoWorkflow" if workflow.early else "k8s"
            found = f"Workflows in the namespace {wanted}, while the Sensor is in {own}"
            misfit = MisfitError(found, f"allow it in FLOWBRIDGE_SENSORS, as {own}={wanted}")
            self._misfits.append((("spec", "triggers", 0, "template", kind, "source"), misfit))
        fault = schedule_fault(workflow.reset) if workflow.reset is not None else None
        if fault is not None:
            reset = spec["triggers"].one()["template"]["conditionsReset"].one()["byTime"][fault[0]]
            self._misfits.append((reset.path, reset.misfit(fault[1])))
        variables = {dependency.name: variable_of(dependency.name) for dependency in dependencies}
        known = dict(workflow.texts)
        fields: dict[str, FieldParameter] = {}
        for member in self._tried(lambda: list(workflow.parameters.members())) or []:
            parameter = self._tried(partial(read_parameter, member, variables, early=workflow.early))
            if parameter is None:
                continue
            if parameter.parameter in fields:
                found = f"the parameter {parameter.parameter!r} is filled twice"
                self._misfits.append((member["dest"].path, MisfitError(found, "fill it once")))
            if parameter.parameter in known:  # Argo Events sets nothing if the Workflow has no such parameter
                fields[parameter.parameter] = parameter
        if directives is None or own is None or self._misfits:
            return None
        return self._trigger(own, workflow, slots, required, list(fields.values()), directives)

    def _trigger(
        self,
        namespace: str,
        workflow: WorkflowPart,
        dependencies: Sequence[Dependency],
        required: int,
        fields: Sequence[FieldParameter],
        directives: Directives,
    ) -> Trigger:
        """Return the trigger of a Sensor without misfits; ``dependencies`` are those in its conditions."""
        name = self._sensor["metadata"]["name"].text()
        slots: list[Slot] = []
        for dependency in dependencies:
            try:
                Expression(dependency.where).check(EVENT_VARIABLES)
            except ExpressionSyntaxError as error:  # the bridge wrote it: a defect shows here and not in the router
                raise AssertionError(f"{dependency.where}: {error}") from error
            slots.append(Slot(dependency.event, variable_of(dependency.name), dependency.where, directives.key))
        variables = {slot.variable for slot in slots}
        # A dependency that the conditions leave out never has an event.
        idle = {
            field.parameter: field.left_out
            for field in fields
            if field.slot not in variables and field.left_out is not None
        }
        window: WindowPlan | None = None
        if len(slots) > 1:
            window = WindowPlan("within", directives.window or self._rules.window, reset=workflow.reset)
        grace = default_grace(window) if window else 0
        return Trigger(
            namespace=namespace,
            name=name,
            slots=tuple(slots),
            run=RunPlan(
                template=workflow.template,
                namespace=workflow.namespace or namespace,
                labels=(*marks(name, workflow.name), *workflow.labels),
                annotations=workflow.annotations,
                texts=tuple((parameter, idle.get(parameter, text)) for parameter, text in workflow.texts),
                fields=tuple(field for field in fields if field.slot in variables),
                allow_shell=directives.allow_shell,
            ),
            require=required,
            window=window,
            grace=grace,
            dedupe=default_dedupe(window, grace, has_absent=False) if window else 0,
        )

    def _dependencies(self, part: Part) -> list[Dependency]:
        members = self._tried(lambda: list(part.members())) or []
        if not 1 <= len(members) <= SLOT_LIMIT:
            found = f"{len(members)} dependencies"
            self._misfits.append((part.path, MisfitError(found, f"write 1 to {SLOT_LIMIT}")))
        read: list[Dependency] = []
        for member in members[:SLOT_LIMIT]:
            dependency = self._tried(partial(read_dependency, member))
            if dependency is None:
                continue
            if dependency.name in [other.name for other in read]:
                self._misfits.append((member["name"].path, member["name"].misfit("name each dependency once")))
            if read and dependency.source != read[0].source:
                self._misfits.append((member.path, MisfitError("another event source", "use one for all")))
            read.append(dependency)
        return read


def variable_of(dependency: str) -> str:
    """Return the slot's name in CEL. A dependency's name may begin with a digit or hold a dash."""
    name = dependency.replace("-", "_")
    return f"_{name}" if name[0].isdigit() else name
