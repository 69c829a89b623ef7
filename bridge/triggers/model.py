"""The shape of a Trigger resource, field by field. How the fields go together is checked by compile.

Fields that are not here are refused, so that a misspelt field is never silently without effect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeGuard, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from bridge.core.event import Micros
from bridge.triggers import run_values, values
from bridge.triggers.errors import FieldPath, quote_value
from flowbridge_sdk.misfit import MisfitError

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


class Part(BaseModel):
    """A part of the resource. Its names in YAML are camelCase, and other names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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


def read_resource(plain: Any) -> TriggerResource | list[tuple[FieldPath, MisfitError]]:
    """Return the resource in ``plain``, or all its misfits."""
    try:
        return TriggerResource.model_validate(plain)
    except ValidationError as error:
        return [_misfit(detail) for detail in error.errors(include_url=False)]


def _misfit(detail: Any) -> tuple[FieldPath, MisfitError]:
    path: FieldPath = tuple(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, MisfitError):
        return path, cause
    if detail["type"] == "extra_forbidden":
        places = [place for place, name in _all_fields(TriggerResource) if name == path[-1]]
        places.sort(key=lambda place: place.count("."))
        if places:
            return path, MisfitError("there is no such field here", f"write it in {' or '.join(places)}")
        part: type[Part] = TriggerResource
        for step in path[:-1]:
            fields = {info.alias or name: info for name, info in part.model_fields.items()}
            if isinstance(step, str):
                part = _part_of(fields[step].annotation)
        known = [info.alias or name for name, info in part.model_fields.items()]
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        expected = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
        return path, MisfitError("there is no such field", expected)
    names = tuple(step for step in path if isinstance(step, str))
    if detail["type"] == "missing":
        return path, MisfitError("it is missing", f"write {path[-1]}: {_SHAPES.get(names, '…')}")
    value = detail["input"]
    if detail["type"] in _SHAPELESS and names in _SHAPES:
        # A value stands where a mapping or a list with it belongs.
        is_plain = isinstance(value, str | int) and not isinstance(value, bool)
        text = f"'{value}'" if str(value).startswith(("*", "0 ")) else str(value)
        if names != ("spec", "events"):
            expected = f"write {names[-1]}: {_SHAPES[names].replace('…', text if is_plain else '…')}"
        elif isinstance(path[-1], int):
            expected = f"write - name: {text}" if is_plain else "write a mapping, as - name: order.created"
        else:
            expected = f"write a list, as - name: {text if is_plain else 'order.created'}"
    else:
        expected = _EXPECTED.get(detail["type"]) or detail["msg"].replace("Input should be", "write").replace("'", "")
    return path, MisfitError(f"found {quote_value(value)}", expected)


_EXPECTED = {
    "model_type": "write a mapping {name: value}",
    "model_attributes_type": "write a mapping {name: value}",
    "list_type": "write a list, each entry behind a '-'",
    "bool_type": "write true or false",
    "too_short": "write one entry at least",
    "too_long": f"write at most {SLOT_LIMIT} entries",
}


_SHAPELESS = frozenset({"model_type", "model_attributes_type", "list_type"})
_SHAPES: dict[tuple[str, ...], str] = {
    ("metadata",): "{name: …}",
    ("spec", "events"): "[{name: …}]",
    ("spec", "window"): "{within: …}",
    ("spec", "window", "until"): "{cron: …}",
    ("spec", "window", "reset"): "{cron: …}",
    ("spec", "window", "batch"): "{size: …}",
    ("spec", "run"): "{workflowTemplate: …}",
}
"""How a part is written. People often write only the value that matters in it."""


def _all_fields(part: type[Part], place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place and the name of each field of a part and of the parts inside it."""
    for name, info in part.model_fields.items():
        alias = info.alias or name
        if place:
            yield place, alias
        inner = [member for member in (info.annotation, *_arguments(info.annotation)) if _is_part(member)]
        for member in inner:
            is_list = member is not info.annotation and "list" in str(info.annotation)
            yield from _all_fields(member, f"{place}.{alias}".removeprefix(".") + ("[…]" if is_list else ""))


def _arguments(annotation: Any) -> Iterator[Any]:
    for member in get_args(annotation):
        yield member
        yield from _arguments(member)


def _is_part(annotation: Any) -> TypeGuard[type[Part]]:
    return isinstance(annotation, type) and issubclass(annotation, Part)


def _part_of(annotation: Any) -> type[Part]:
    """Return the part in an annotation: the annotation itself, or the part inside a list or an optional."""
    if _is_part(annotation):
        return annotation
    return next(_part_of(member) for member in get_args(annotation) if member is not type(None))
