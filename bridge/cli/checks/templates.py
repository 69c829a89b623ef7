"""Check that the WorkflowTemplates that triggers name are on the cluster, and fit the triggers.

An error is what would fail for certain: a template that does not exist, a parameter that it does not take, or a
parameter that it needs and nothing fills. A short life of finished Workflows is a warning: a create whose outcome is
unknown can be settled only while its Workflow still exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Literal

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.workflow import WorkflowTemplate
from bridge.errors import KubernetesRefusedError, KubernetesUnreachableError
from bridge.triggers.errors import FieldPath, TriggerError, path_text
from bridge.triggers.resources import LoadedTrigger

SHORT_TTL = 300.0
"""Seconds. A bridge that died is replaced within 15 s; the rest is for an API server that is away for a while."""

_TEMPLATE: FieldPath = ("spec", "run", "workflowTemplate")
_PARAMETERS: FieldPath = ("spec", "run", "parameters")
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class Finding:
    """An error, a warning or a note about a trigger."""

    severity: Literal["error", "warning", "note"]
    error: TriggerError


def template_findings(loaded: Iterable[LoadedTrigger], api: WorkflowApi) -> Iterator[Finding]:
    """Yield the errors and warnings about triggers and the templates that they name.

    Raises:
        KubernetesUnreachableError: The API server gave no usable answer.
        KubernetesRefusedError: The account may not read templates.

    """

    @cache
    def template_of(namespace: str, name: str) -> WorkflowTemplate | None:
        template = api.template(namespace, name)
        if isinstance(template, Unavailable):
            text = f"the WorkflowTemplate {namespace}/{name} cannot be looked at: {template.reason}"
            if template.reason.startswith(tuple(str(int(status)) for status in _REFUSALS)):
                raise KubernetesRefusedError(text)
            raise KubernetesUnreachableError(text)
        return template

    for source in loaded:
        plan = source.trigger.run
        template = template_of(plan.namespace, plan.template)
        if template is None:
            found = f"there is no WorkflowTemplate {plan.template!r} in the namespace {plan.namespace!r}"
            yield _finding(source, _TEMPLATE, found, "create it there, or name another")
        else:
            yield from _parameter_findings(source, template)
            if template.ttl is not None and template.ttl < SHORT_TTL:
                found = f"finished Workflows of {template.name!r} disappear after {template.ttl:g} s"
                expected = (
                    f"set its ttlStrategy to {SHORT_TTL:g} s or more: until then an unknown outcome can be settled"
                )
                yield _finding(source, _TEMPLATE, found, expected, severity="warning")


def _parameter_findings(trigger: LoadedTrigger, template: WorkflowTemplate) -> Iterator[Finding]:
    taken = [parameter.name for parameter in template.parameters]
    filled: dict[str, FieldPath] = {name: (*_PARAMETERS, name) for name, _ in trigger.trigger.run.parameters}
    for number, slot in enumerate(trigger.trigger.slots):
        filled |= {name: ("spec", "events", number, "parameters", name) for name, _ in slot.parameters}
    expected = f"it takes {', '.join(taken)}" if taken else "it takes none"
    for name, path in filled.items():
        if name not in taken:
            yield _finding(trigger, path, f"the WorkflowTemplate {template.name!r} has no parameter {name!r}", expected)
    if trigger.trigger.is_default_mapped:
        return  # the payload may fill any of them
    for parameter in template.parameters:
        if not parameter.has_default and parameter.name not in filled:
            found = f"nothing fills the parameter {parameter.name!r}, which has no default"
            yield _finding(trigger, _PARAMETERS, found, f"write {parameter.name}: … there")


def _finding(
    trigger: LoadedTrigger,
    path: FieldPath,
    found: str,
    expected: str,
    severity: Literal["error", "warning"] = "error",
) -> Finding:
    written = path
    while written and written not in trigger.lines:  # a list of names has no line for each
        written = written[:-1]
    origin = trigger.origin._replace(line=trigger.lines.get(written, trigger.origin.line))
    return Finding(severity, TriggerError(origin, path_text(path), found, expected, trigger.trigger.identity))
