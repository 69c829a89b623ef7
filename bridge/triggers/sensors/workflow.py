"""The Workflow that a Sensor creates: its one trigger, of one of two kinds that Metaflow has written.

Since 2.17 Argo Events creates the Workflow (``k8s``). Before, it submitted the Workflow (``argoWorkflow``). The content
is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.trigger import Schedule
from bridge.triggers import values
from bridge.triggers.sensors.parts import Part, SensorMisfitError
from flowbridge_sdk.avro.misfit import MisfitError

SENSOR_LABEL = "events.argoproj.io/sensor"
TRIGGER_LABEL = "events.argoproj.io/trigger"
"""The labels with which Argo Events marks its Workflows. Its third label, a time, has no counterpart here."""

_KINDS = {
    "k8s": {"operation": "create"},
    "argoWorkflow": {"operation": "submit", "group": "argoproj.io", "version": "v1alpha1", "resource": "workflows"},
}
_LABEL_LIMIT = 63


@dataclass(frozen=True)
class WorkflowPart:
    """The Workflow of a Sensor's trigger.

    Attributes:
        name: Name of the trigger.
        early: The Sensor is of a Metaflow before 2.17.
        conditions: The expression over dependencies.
        reset: When events that wait are forgotten; None for never.
        template: Name of the WorkflowTemplate.
        namespace: Namespace of the Workflow; None for the Sensor's.
        labels: Labels of the Workflow.
        annotations: Annotations of the Workflow.
        texts: Its parameters, in order; a value of None comes from an event.
        parameters: The list of parameters that events fill.

    """

    name: str
    early: bool
    conditions: Part
    reset: Schedule | None
    template: str
    namespace: str | None
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str | None], ...]
    parameters: Part


def read_workflow(triggers: Part) -> WorkflowPart:
    """Return the Workflow in ``spec.triggers`` of a Sensor.

    Raises:
        SensorMisfitError: Metaflow does not write such a trigger.

    """
    # Argo Events' own delivery (retryStrategy, atLeastOnce) has no meaning here, because a run is never given up.
    trigger = triggers.one().only("template", "retryStrategy", "atLeastOnce")
    template = trigger["template"].only("name", "conditions", "conditionsReset", *_KINDS)
    kinds = [kind for kind in _KINDS if template[kind]]
    if len(kinds) != 1:
        raise SensorMisfitError(template.path, f"{len(kinds)} of the kinds {' and '.join(_KINDS)}")
    action = template[kinds[0]].only("source", "parameters", *_KINDS[kinds[0]])
    for field, written in _KINDS[kinds[0]].items():
        action[field].must_be(written, None)
    resource = action["source"].only("resource")["resource"].only("apiVersion", "kind", "metadata", "spec")
    resource["apiVersion"].must_be("argoproj.io/v1alpha1")
    resource["kind"].must_be("Workflow")
    metadata = resource["metadata"].only("generateName", "namespace", "labels", "annotations")
    spec = resource["spec"].only("arguments", "workflowTemplateRef")
    reference = spec["workflowTemplateRef"].only("name")["name"]
    name = template["name"].text()
    reset = None
    if template["conditionsReset"]:
        by_time = template["conditionsReset"].one().only("byTime")["byTime"].only("cron", "timezone")
        # '?' is '*' for Argo Events; without a zone it takes its pod's, which is UTC.
        cron = by_time["cron"].text().replace("?", "*")
        reset = Schedule(timezone=by_time["timezone"].text() if by_time["timezone"] else "UTC", cron=cron)
    return WorkflowPart(
        name=name,
        early=kinds[0] == "argoWorkflow",
        conditions=template["conditions"],
        reset=reset,
        template=_valid(reference, values.resource_name),
        namespace=_valid(metadata["namespace"], values.namespace_name) if metadata["namespace"] else None,
        labels=_pairs(metadata["labels"], values.label_pairs),
        annotations=_pairs(metadata["annotations"], values.annotation_pairs),
        texts=_texts(spec["arguments"].only("parameters")["parameters"]),
        parameters=action["parameters"],
    )


def marks(sensor: str, trigger: str) -> tuple[tuple[str, str], ...]:
    """Return the labels with which Argo Events would mark the Workflow. Too long values are left out."""
    pairs = ((SENSOR_LABEL, sensor), (TRIGGER_LABEL, trigger))
    return tuple((name, value) for name, value in pairs if len(value) <= _LABEL_LIMIT)


def _texts(part: Part) -> tuple[tuple[str, str | None], ...]:
    texts: dict[str, str | None] = {}
    for member in part.members():
        name = member.only("name", "value")["name"]
        if _valid(name, values.parameter_name) in texts:
            raise name.misfit("name each parameter once")
        value = member["value"].value
        if value is not None and not isinstance(value, str):
            raise member["value"].misfit("write a text")
        texts[name.text()] = value
    if not texts:
        raise SensorMisfitError(part.path, "no parameters, where Metaflow writes one for each event")
    return tuple(texts.items())


def _valid(part: Part, check: Callable[[str], str]) -> str:
    try:
        return check(part.text())
    except MisfitError as error:
        raise SensorMisfitError(part.path, error.found, error.expected) from error


def _pairs(part: Part, check: Callable[[dict[str, str]], tuple[tuple[str, str], ...]]) -> tuple[tuple[str, str], ...]:
    try:
        return check(part.texts())
    except SensorMisfitError:
        raise
    except MisfitError as error:
        raise SensorMisfitError(part.path, error.found, error.expected) from error
