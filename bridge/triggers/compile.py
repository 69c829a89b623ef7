"""Compile a Trigger resource to core's trigger, with defaults filled in.

All misfits of a resource are found at once, each with its field. A resource with a misfit has no trigger.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.core.trigger import RunLimits, RunPlan, Slot, Trigger, default_grace, tenth_grace
from bridge.triggers.checks.combinations import combination_misfits, condition_of, required_slots
from bridge.triggers.checks.event_types import Schemas
from bridge.triggers.checks.expressions import expression_misfits
from bridge.triggers.errors import Misfit
from bridge.triggers.model import TriggerResource, read_resource
from bridge.triggers.slots import key_misfits, parameter_misfits, variable_misfits, variable_of
from bridge.triggers.windows import default_collect, default_dedupe, window_misfits, window_plan


def compile_trigger(plain: Any, default_namespace: str, schemas: Schemas | None = None) -> Trigger | list[Misfit]:
    """Return the trigger that ``plain`` describes, or all its misfits.

    Args:
        plain: The value of a YAML document.
        default_namespace: Namespace of a trigger that names none.
        schemas: The known Avro schemas, by event name. Expressions are checked against them.

    """
    resource = read_resource(plain)
    if isinstance(resource, list):
        return resource
    spec = resource.spec
    misfits = list(window_misfits(spec.window)) if spec.window is not None else []
    collects_all = spec.collect == "all"
    if not misfits:  # the rules on combinations need a window that is right by itself
        condition = condition_of(spec)
        collects_all = condition.collect == "all"
        misfits += combination_misfits(condition)
    misfits += [*variable_misfits(spec), *key_misfits(spec), *parameter_misfits(spec)]
    misfits += expression_misfits(spec, collects_all=collects_all, schemas=schemas)
    return misfits or _trigger(resource, default_namespace)


def _trigger(resource: TriggerResource, default_namespace: str) -> Trigger:
    spec, run = resource.spec, resource.spec.run
    namespace = resource.metadata.namespace or default_namespace
    plan = window_plan(spec.window) if spec.window is not None else None
    grace, written_grace, dedupe = 0, None, 0
    if plan is not None:
        tenth, default = tenth_grace(plan), default_grace(plan)
        long_grace = tenth if spec.grace is None else spec.grace
        grace = default if spec.grace is None else spec.grace
        if tenth != default:
            written_grace = tenth if spec.grace is None else None
            grace += spec.grace == tenth  # a microsecond more: a tenth of the window stands for the default
        has_absent = any(slot.absent for slot in spec.events)
        dedupe = spec.dedupe if spec.dedupe is not None else default_dedupe(plan, long_grace, has_absent=has_absent)
    rate, storm = run.limits.rate, run.limits.storm
    limits = RunLimits() if rate is None else RunLimits(rate=rate[0], per=rate[1])
    if storm is not None:
        limits = replace(limits, storm=storm.count, storm_within=storm.within)
    return Trigger(
        namespace=namespace,
        name=resource.metadata.name,
        slots=tuple(
            Slot(
                event=slot.name,
                variable=variable_of(slot),
                where=slot.where,
                key=slot.key or spec.key,
                parameters=slot.parameters,
                count=slot.count,
                absent=slot.absent,
            )
            for slot in spec.events
        ),
        run=RunPlan(
            template=run.workflow_template,
            namespace=run.namespace or namespace,
            parameters=run.parameters,
            labels=run.labels,
            annotations=run.annotations,
            id=run.id,
            allow_template_tags=run.allow_template_tags,
            limits=limits,
            start_deadline=run.start_deadline,
            synchronization=run.synchronization,
            emits=run.emits,
        ),
        require=required_slots(spec),
        order=spec.order,
        window=plan,
        grace=grace,
        written_grace=written_grace,
        dedupe=dedupe,
        collect=spec.collect or default_collect(spec),
        suspend=spec.suspend,
        start_from=spec.start_from,
        sensitive=spec.sensitive,
    )
