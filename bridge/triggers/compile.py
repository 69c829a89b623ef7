"""From the resource that somebody wrote to core's trigger: defaults filled in, what makes no sense refused.

All that is wrong is found at once, each with its field; a trigger comes out only when nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from bridge.core.event import MINUTE, Micros
from bridge.core.expression import RESERVED_WORDS, TYPE_NAMES, Expression, ExpressionSyntaxError
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.triggers.errors import FieldPath, MisfitError
from bridge.triggers.model import SlotPart, SpecPart, TriggerResource, read_resource

EVENT_VARIABLES = frozenset({"payload", "event"})
"""What ``where`` and ``key`` are evaluated over."""

GRACE_SHARE = 10
"""The default grace is the window divided by this, and a minute at least."""

Misfit = tuple[FieldPath, MisfitError]

_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]")


def compile_trigger(plain: Any, default_namespace: str) -> Trigger | list[Misfit]:
    """Return the trigger that ``plain`` (the YAML's value) describes, or all that is wrong with it and where."""
    resource = read_resource(plain)
    if isinstance(resource, list):
        return resource
    misfits = [*_condition_misfits(resource.spec), *_parameter_misfits(resource.spec)]
    misfits += _expression_misfits(resource.spec)
    return misfits or _trigger(resource, default_namespace)


def variable_of(slot: SlotPart) -> str:
    """Return the slot's name in CEL: its ``as``, or the event's name with ``_`` for what no identifier has."""
    if slot.variable is not None:
        return slot.variable
    name = _NO_IDENTIFIER.sub("_", slot.name)
    return f"_{name}" if name[0].isdigit() else name


def _trigger(resource: TriggerResource, default_namespace: str) -> Trigger:
    spec = resource.spec
    namespace = resource.metadata.namespace or default_namespace
    within = spec.window.within if spec.window else None
    grace = _grace(spec, within)
    return Trigger(
        namespace=namespace,
        name=resource.metadata.name,
        slots=tuple(_slot(slot, spec) for slot in spec.events),
        run=_run_plan(spec, namespace),
        require=_required(spec),
        window=WindowPlan("within", within) if within is not None else None,
        grace=grace,
        dedupe=spec.dedupe if spec.dedupe is not None else (within or 0) + grace,
        collect=spec.collect or "latest",
        suspend=spec.suspend,
        start_from=spec.start_from,
    )


def _slot(slot: SlotPart, spec: SpecPart) -> Slot:
    return Slot(
        event=slot.name,
        variable=variable_of(slot),
        where=slot.where,
        key=slot.key or spec.key,
        parameters=slot.parameters,
    )


def _run_plan(spec: SpecPart, namespace: str) -> RunPlan:
    run = spec.run
    return RunPlan(
        template=run.workflow_template,
        namespace=run.namespace or namespace,
        parameters=run.parameters,
        labels=run.labels,
        annotations=run.annotations,
        id=run.id,
        allow_template_tags=run.allow_template_tags,
    )


def _grace(spec: SpecPart, within: Micros | None) -> Micros:
    if spec.grace is not None:
        return spec.grace
    return max(MINUTE, within // GRACE_SHARE) if within else 0


def _required(spec: SpecPart) -> int:
    if spec.require == "all":
        return len(spec.events)
    return 1 if spec.require == "any" else spec.require


def _condition_misfits(spec: SpecPart) -> Iterator[Misfit]:
    slots = len(spec.events)
    if slots > 1 and spec.window is None:
        found = f"{slots} events and no window"
        yield (
            ("spec", "window"),
            MisfitError(found, "write window: {within: 1h} (how far apart they may have happened)"),
        )
    if slots == 1:
        for name in ("window", "grace", "dedupe", "collect"):
            if getattr(spec, name) is not None:
                yield ("spec", name), MisfitError(f"{name} for a single event, which never waits", "leave it out")
    if _required(spec) > slots:
        yield (
            ("spec", "require"),
            MisfitError(f"found {spec.require}", f"there are {slots} events: write at most {slots}"),
        )
    yield from _variable_misfits(spec)
    yield from _key_misfits(spec)


def _variable_misfits(spec: SpecPart) -> Iterator[Misfit]:
    variables = [variable_of(slot) for slot in spec.events]
    for index, variable in enumerate(variables):
        place: FieldPath = ("spec", "events", index)
        if variable in variables[:index]:
            found = f"the variable {variable!r} is already that of events[{variables.index(variable)}]"
            yield (*place, "name"), MisfitError(found, "give this one another name with `as`")
        elif variable in RESERVED_WORDS | TYPE_NAMES:
            yield (*place, "name"), MisfitError(f"{variable!r} is a word of CEL", "give it another name with `as`")


def _key_misfits(spec: SpecPart) -> Iterator[Misfit]:
    keyed = [slot for slot in spec.events if slot.key]
    if keyed and spec.key is None and len(keyed) < len(spec.events):
        index = next(index for index, slot in enumerate(spec.events) if not slot.key)
        found = "no key, although other events have one"
        yield ("spec", "events", index, "key"), MisfitError(found, "write one here, or spec.key for all")
    for (_, one), (index, other) in combinations(enumerate(spec.events), 2):
        if one.name == other.name and (one.key or spec.key) != (other.key or spec.key):
            found = f"another key for {other.name!r} than its other slot has"
            right = "give both slots the same key: an event is used in one match at most, so its slots share a window"
            yield ("spec", "events", index, "key"), MisfitError(found, right)


def _parameter_misfits(spec: SpecPart) -> Iterator[Misfit]:
    filled = {name: "run.parameters" for name, _ in spec.run.parameters}
    for index, slot in enumerate(spec.events):
        for name, _ in slot.parameters:
            if name in filled:
                found = f"the parameter {name!r} is already filled by {filled[name]}"
                yield ("spec", "events", index, "parameters", name), MisfitError(found, "fill it once")
            filled.setdefault(name, f"events[{index}]")


def _expression_misfits(spec: SpecPart) -> Iterator[Misfit]:
    variables = frozenset(variable_of(slot) for slot in spec.events)
    yield from _checked(spec.key, EVENT_VARIABLES, ("spec", "key"))
    for index, slot in enumerate(spec.events):
        yield from _checked(slot.where, EVENT_VARIABLES, ("spec", "events", index, "where"))
        yield from _checked(slot.key, EVENT_VARIABLES, ("spec", "events", index, "key"))
    for name, source in spec.run.parameters:
        yield from _checked(source, variables, ("spec", "run", "parameters", name))
    yield from _checked(spec.run.id, variables, ("spec", "run", "id"))


def _checked(source: str | None, variables: frozenset[str], path: FieldPath) -> Iterator[Misfit]:
    """Yield what is wrong with one expression, at its line and column."""
    if source is None:
        return
    try:
        Expression(source).check(variables)
    except ExpressionSyntaxError as error:
        place = f"line {error.line}, column {error.column}" if "\n" in source.strip() else f"column {error.column}"
        known = ", ".join(sorted(variables))
        yield path, MisfitError(f"{error.reason} (at {place} of the expression)", f"write CEL over {known}")
