"""The Workflow that a run must be, whole, worked out from what was published and from nothing of the bridge's code."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.installation import Installation, Manifest

_SERVERS_OWN = ("uid", "creationTimestamp", "resourceVersion", "generation", "managedFields")
_OURS = "flowbridge.dev/"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ExpectedEvent:
    """An event of a match: the slot that it fills, and its identity. ``is_foreign``: its name is not the slot's."""

    slot: str
    name: str
    id: str
    source: str = "shop"
    is_foreign: bool = False


@dataclass(frozen=True)
class ExpectedRun:
    """A run as a test states it.

    Attributes:
        trigger: Its trigger's name.
        template: Its WorkflowTemplate.
        events: Its events, in the order of the slots.
        event_time: Of its newest event.
        parameters: Its parameters, by name.
        key: Its correlation key.
        run_id: What ``run.id`` says; None where something else is its identity.
        frame: The calendar window that it is of, which is its identity then; None where the events are.
        synchronization: What the trigger passes on to Argo.
        labels: What the trigger asks for.
        annotations: What the trigger asks for.

    """

    trigger: str
    template: str
    events: tuple[ExpectedEvent, ...]
    event_time: datetime
    parameters: Mapping[str, str]
    key: str = ""
    run_id: str | None = None
    frame: tuple[datetime, datetime] | None = None
    synchronization: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def assert_is(workflow: Manifest, run: ExpectedRun, installation: Installation) -> None:
    """Compare a Workflow, whole, with the run that it should be; only what the API server added is left out."""
    marks = workflow["metadata"]["annotations"]
    definition, reached = marks[_OURS + "definition"], marks[_OURS + "reached"]
    assert re.fullmatch(r"[0-9a-f]{20}", definition)
    assert datetime.fromisoformat(reached) <= datetime.now(UTC)
    added = {_OURS + "definition": definition, _OURS + "reached": reached}
    left = {name: value for name, value in workflow["metadata"].items() if name not in _SERVERS_OWN}
    assert {**workflow, "metadata": left} == _manifest(run, installation, added)


def name_of(run: ExpectedRun, installation: Installation) -> str:
    """Return the name of the Workflow that a run must be."""
    run_key = _run_key(installation.prefix, f"{installation.namespace}/{run.trigger}", run)
    return f"{run.template}-{run_key[:16]}"


def _manifest(run: ExpectedRun, installation: Installation, added: Mapping[str, str]) -> Manifest:
    trigger = f"{installation.namespace}/{run.trigger}"
    run_key = _run_key(installation.prefix, trigger, run)
    listed = [{"slot": event.slot, "name": event.name, "source": event.source, "id": event.id} for event in run.events]
    marks = {
        _OURS + "run-key": run_key,
        _OURS + "trigger": trigger,
        _OURS + "events": json.dumps(listed, separators=(",", ":")),
        _OURS + "event-time": run.event_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        **({_OURS + "key": run.key} if run.key else {}),
        **added,
    }
    own_labels = {
        _OURS + "trigger": f"{installation.namespace}.{run.trigger}",
        "app.kubernetes.io/managed-by": "flowbridge",
    }
    spec: dict[str, Any] = {"workflowTemplateRef": {"name": run.template}}
    if run.parameters:
        spec["arguments"] = {
            "parameters": [{"name": name, "value": value} for name, value in run.parameters.items()],
        }
    if run.synchronization is not None:
        spec["synchronization"] = run.synchronization
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": name_of(run, installation),
            "namespace": installation.namespace,
            "labels": {**run.labels, **own_labels},
            "annotations": {**run.annotations, **marks},
        },
        "spec": spec,
    }


def _run_key(prefix: str, trigger: str, run: ExpectedRun) -> str:
    """Return SHA-256, in lower-case base32, over all that makes a run what it is, each part behind its length."""
    digest = hashlib.sha256()
    for part in (prefix, trigger, run.key, "", *_identity(run)):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return base64.b32encode(digest.digest()).decode().rstrip("=").lower()


def _identity(run: ExpectedRun) -> list[str]:
    if run.run_id is not None:
        return ["run.id", run.run_id]
    if run.frame is not None:
        return ["window.frame", *[str((moment - _EPOCH) // timedelta(microseconds=1)) for moment in run.frame]]
    return [
        part
        for event in run.events
        for part in (f"{event.slot} {event.name}" if event.is_foreign else event.slot, event.source, event.id)
    ]
