"""Runs that really end: Argo's own controller takes up the Workflows that the bridge creates, and ends them.

No kubelet runs. A template that suspends needs no pod, so it succeeds, fails and times out by itself. A pod stays
pending, and the API server shows what it would have been given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import decode_facts
from e2e.installation import DEADLINE
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation, Manifest
    from servers.choice import AnyKubernetes
    from servers.controller import ArgoController

_SUSPENDS: dict[str, dict[str, Any]] = {
    "ends-well": {"suspend": {"duration": "0s"}},
    "stays": {"suspend": {}},
    "times-out": {"suspend": {}},
}
"""Templates of one step that needs no pod."""

_TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: runs.{name}, as: made}}]
  run:
    workflowTemplate: {name}
    parameters: {{order: made.payload.order_id}}
"""

_ENVIRONMENT = "METAFLOW_ARGO_EVENT_PAYLOAD_event_order"


@pytest.fixture(scope="module")
def bridge(installation: Installation, argo_controller: Callable[[str], ArgoController]) -> Iterator[BridgeProcess]:
    """A bridge in whose namespace Argo's controller runs Workflows."""
    argo_controller(installation.namespace)
    order = {"parameters": [{"name": "order"}]}
    for name, step in _SUSPENDS.items():
        limit = {"activeDeadlineSeconds": 1} if name == "times-out" else {}
        steps = [{"name": "step", **step}]
        installation.create_template_of(name, {"entrypoint": "step", "arguments": order, "templates": steps, **limit})
    wrong = {"entrypoint": "nowhere", "arguments": order, "templates": [{"name": "step", "suspend": {}}]}
    installation.create_template_of("ends-badly", wrong)
    installation.create_template_of("has-a-pod", _metaflow_like())
    names = (*_SUSPENDS, "ends-badly", "has-a-pod")
    installation.write_triggers("---".join(_TRIGGER.format(name=name) for name in names))
    with installation.process() as bridge:
        bridge.wait_ready()
        installation.wait_triggers(*names)
        yield bridge


def _metaflow_like() -> Manifest:
    """Return a template as Metaflow makes them: the pod reads a parameter of the Workflow from its environment."""
    variable = {"name": _ENVIRONMENT, "value": "{{workflow.parameters.order}}"}
    run = {"name": "RUN_ID", "value": "argo-{{workflow.name}}"}
    container = {"image": "flowbridge.invalid/flow:1", "command": ["true"], "env": [variable, run]}
    return {
        "entrypoint": "step",
        "arguments": {"parameters": [{"name": "order"}]},
        "templates": [{"name": "step", "container": container}],
    }


def phases(installation: Installation, trigger: str) -> list[str]:
    """Return the phases of the runs of a trigger, as the ledger has them."""
    last: dict[str, str] = {}
    for value in installation.records("ledger"):
        entry = LEDGER_ENTRY.decode(value)
        facts = decode_facts(entry["run"]) if entry["state"] == "done" else None
        if facts is not None and facts.phase is not None and entry["trigger"].endswith(f"/{trigger}"):
            last[entry["workflow"]] = facts.phase.value
    return list(last.values())


def wait_recorded(installation: Installation, trigger: str, *wanted: str) -> None:
    """Wait until the runs of a trigger have these phases in the ledger."""
    try:
        wait_for(lambda: sorted(phases(installation, trigger)) == sorted(wanted), DEADLINE, "the phases")
    except TimeoutError:
        found = phases(installation, trigger)
        raise AssertionError(f"waited in vain for {wanted} of {trigger} in the ledger; there are {found}") from None


def start(installation: Installation, name: str, order: str) -> Manifest:
    """Publish an event of a trigger; return the Workflow that it starts."""
    before = len(installation.workflows(name))
    with installation.publisher() as publisher:
        publisher.publish(f"runs.{name}", {"order_id": order})
    return installation.wait_workflows(name, before + 1)[-1]


def wait_phase(installation: Installation, name: str, phase: str) -> Manifest:
    """Return the newest Workflow of a trigger once it has this phase."""

    def newest() -> Manifest:
        return installation.workflows(name)[-1]

    def has_phase() -> bool:
        return bool(newest().get("status", {}).get("phase") == phase)

    try:
        wait_for(has_phase, DEADLINE, f"phase {phase}")
    except TimeoutError:
        raise AssertionError(f"waited in vain for {phase}: {json.dumps(newest().get('status'))}") from None
    return newest()


@pytest.mark.usefixtures("bridge")
@pytest.mark.parametrize(
    ("name", "phase", "message"),
    [
        ("ends-well", "Succeeded", None),
        ("ends-badly", "Failed", "nowhere"),
        ("times-out", "Failed", "exceeded its deadline"),
    ],
)
def test_a_run_succeeds_fails_and_times_out(
    name: str, phase: str, message: str | None, installation: Installation
) -> None:
    start(installation, name, f"o-{name}")
    status = wait_phase(installation, name, phase)["status"]
    assert message is None or message in status["message"]
    assert status["finishedAt"]
    wait_recorded(installation, name, phase.lower())


@pytest.mark.usefixtures("bridge")
def test_a_pod_of_a_run_gets_the_event_in_its_environment(
    installation: Installation, kubernetes: AnyKubernetes
) -> None:
    workflow = start(installation, "has-a-pod", "o-7")
    name = workflow["metadata"]["name"]

    def pods() -> list[Any]:
        with kubernetes.api() as api:
            selector = f"workflows.argoproj.io/workflow={name}"
            listed: Any = client.CoreV1Api(api).list_namespaced_pod(installation.namespace, label_selector=selector)
        return list(listed.items)

    wait_for(lambda: bool(pods()), DEADLINE, "the pod")
    (pod,) = pods()
    (main,) = [container for container in pod.spec.containers if container.name == "main"]
    environment = {variable.name: variable.value for variable in main.env}
    assert environment[_ENVIRONMENT] == "o-7"
    assert environment["RUN_ID"] == f"argo-{name}"
