"""The shape of a Trigger resource, field by field. How the fields go together is checked by compile.

Fields that are not here are refused, so that a misspelt field is never silently without effect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from bridge.core.event import Micros
from bridge.triggers import run_values, values
from bridge.triggers.errors import Misfit
from bridge.triggers.shapes import Part, Shapes, misfits_of

API_VERSION = "flowbridge.dev/v1"
SLOT_LIMIT = 32
"""Slots of one trigger."""

Text = Annotated[str, BeforeValidator(values.text)]
NamespaceName = Annotated[str, BeforeValidator(values.namespace_name)]
ResourceName = Annotated[str, BeforeValidator(values.resource_name)]
Mapped = Annotated[values.Pairs, PlainValidator(values.slot_parameters)]
Expressions = Annotated[values.Pairs, PlainValidator(values.expressions)]
Labels = Annotated[values.Pairs, PlainValidator(values.label_pairs)]
Annotations = Annotated[values.Pairs, PlainValidator(values.annotation_pairs)]
EventName = Annotated[str, BeforeValidator(values.event_name)]
Duration = Annotated[Micros, PlainValidator(values.duration)]
PositiveDuration = Annotated[Micros, PlainValidator(values.positive_duration)]


class MetadataPart(Part):
    """The identity of the trigger. Labels and annotations belong to its owner."""

    name: ResourceName
    namespace: NamespaceName | None = None
    labels: Any = None
    annotations: Any = None


class SlotPart(Part):
    """One entry of ``events``."""

    name: EventName
    variable: Annotated[str, BeforeValidator(values.variable)] | None = Field(default=None, alias="as")
    where: Text | None = None
    key: Text | None = None
    parameters: Mapped = ()
    count: Annotated[int, PlainValidator(values.count)] = 1
    absent: bool = False


class CronPart(Part):
    """Moments in a calendar, for ``until`` and ``reset``."""

    cron: Text
    timezone: Text = "UTC"


class BatchPart(Part):
    """When a batch is full: at ``size`` arrivals, or ``wait`` after the first of them, whichever comes first."""

    size: Annotated[int, PlainValidator(values.batch_size)] | None = None
    wait: PositiveDuration | None = None


class WindowPart(Part):
    """The window of a trigger: exactly one of the first six fields, and its modifiers."""

    within: PositiveDuration | None = None
    every: PositiveDuration | None = None
    until: CronPart | None = None
    session: PositiveDuration | None = None
    batch: BatchPart | None = None
    settle: PositiveDuration | None = None
    timezone: Text | None = None
    offset: Duration | None = None
    max_wait: PositiveDuration | None = Field(default=None, alias="maxWait")
    reset: CronPart | None = None


class StormPart(Part):
    """A trigger that asks for more than ``count`` runs ``within`` this time is held."""

    count: Annotated[int, PlainValidator(run_values.storm_count)]
    within: PositiveDuration


class LimitsPart(Part):
    """Limits on the runs of a trigger."""

    rate: Annotated[run_values.Rate, PlainValidator(run_values.rate)] | None = None
    storm: StormPart | None = None


class RunPart(Part):
    """The Workflow to start."""

    workflow_template: ResourceName = Field(alias="workflowTemplate")
    namespace: NamespaceName | None = None
    parameters: Expressions = ()
    labels: Labels = ()
    annotations: Annotations = ()
    id: Text | None = None
    allow_template_tags: bool = Field(default=False, alias="allowTemplateTags")
    limits: LimitsPart = LimitsPart()
    start_deadline: PositiveDuration | None = Field(default=None, alias="startDeadline")
    synchronization: Annotated[str, PlainValidator(run_values.synchronization)] | None = None
    emits: Annotated[tuple[str, ...], PlainValidator(run_values.event_names)] = ()


class SpecPart(Part):
    """The condition and the run."""

    events: Annotated[list[SlotPart], Field(min_length=1, max_length=SLOT_LIMIT)]
    run: RunPart
    require: Annotated[Literal["all", "any"] | int, PlainValidator(values.require)] | None = None
    order: Literal["any", "sequence"] = "any"
    window: WindowPart | None = None
    grace: Duration | None = None
    dedupe: Duration | None = None
    collect: Literal["latest", "first", "all"] | None = None
    key: Text | None = None
    sensitive: Annotated[tuple[str, ...], PlainValidator(run_values.field_paths)] = ()
    suspend: bool = False
    start_from: Annotated[Literal["now", "earliest"] | Micros, PlainValidator(values.start_from)] = Field(
        default="now",
        alias="startFrom",
    )


class TriggerResource(Part):
    """A Trigger as a file, a ConfigMap or a custom resource holds it."""

    api_version: Literal["flowbridge.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["Trigger"]
    metadata: MetadataPart
    spec: SpecPart


def read_resource(plain: Any) -> TriggerResource | list[Misfit]:
    """Return the resource in ``plain``, or all its misfits."""
    try:
        return TriggerResource.model_validate(plain)
    except ValidationError as error:
        return misfits_of(error, TriggerResource, _SHAPES)


_SHAPES: Shapes = {
    ("metadata",): "{name: …}",
    ("spec", "events"): "[{name: …}]",
    ("spec", "window"): "{within: …}",
    ("spec", "window", "until"): "{cron: …}",
    ("spec", "window", "reset"): "{cron: …}",
    ("spec", "window", "batch"): "{size: …}",
    ("spec", "run"): "{workflowTemplate: …}",
}
