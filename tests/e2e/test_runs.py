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
from e2e.installation import DEADLINE, parameters
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


def recorded(installation: Installation, workflow: Manifest) -> str | None:
    """Return the phase of a Workflow's run, as the ledger has it."""
    place = f"{installation.namespace}/{workflow['metadata']['name']}"
    phase = None
    for value in installation.records("ledger"):
        entry = LEDGER_ENTRY.decode(value)
        facts = decode_facts(entry["run"]) if entry["state"] == "done" and entry["workflow"] == place else None
        phase = facts.phase.value if facts is not None and facts.phase is not None else phase
    return phase


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
    workflow = start(installation, name, f"o-{name}")
    status = wait_phase(installation, name, phase)["status"]
    assert message is None or message in status["message"]
    assert status["finishedAt"]
    wait_for(lambda: recorded(installation, workflow) == phase.lower(), DEADLINE, "the phase in the ledger")


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


def listed(installation: Installation, *words: str) -> list[Manifest]:
    """Return what ``flowbridge runs list`` prints."""
    done = installation.command("runs", "list", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("bridge")
def test_runs_are_listed_by_trigger_phase_time_key_and_parameter_and_shown(installation: Installation) -> None:
    workflow = start(installation, "ends-well", "o-listed")
    start(installation, "stays", "o-stays")
    name = workflow["metadata"]["name"]
    wanted = ("--trigger", "ends-well", "--param", "order=o-listed")
    wait_for(lambda: [run["phase"] for run in listed(installation, *wanted)] == ["succeeded"], DEADLINE, "the phase")
    (run,) = listed(installation, *wanted, "--phase", "succeeded", "--from", "1h", "--limit", "1")
    assert run["workflow"] == f"{installation.namespace}/{name}"
    assert run["parameters"] == {"order": "o-listed"}
    assert run["ended"] >= run["decided"] >= run["since"]
    assert listed(installation, *wanted, "--phase", "failed") == []
    assert listed(installation, *wanted, "--to", "1h") == []
    assert listed(installation, *wanted, "--key", "other") == []
    assert [run["phase"] for run in listed(installation, "--trigger", "stays")] == ["running"]
    (text,) = installation.command("runs", "list", *wanted).stdout.splitlines()
    assert f"succeeded  {installation.namespace}/ends-well" in text
    address = "https://argo.example/workflows/{namespace}/{name}"
    shown = installation.command("runs", "show", name, "-o", "json", FLOWBRIDGE_ARGO_URL=address)
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert record["url"] == f"https://argo.example/workflows/{installation.namespace}/{name}"
    assert record["cluster"]["phase"] == "Succeeded"
    assert [event["name"] for event in record["events"]] == ["runs.ends-well"]
    lines = installation.command("runs", "show", run["run_key"]).stdout
    assert "phase        succeeded" in lines
    assert "parameter    order=o-listed" in lines
    none = installation.command("runs", "show", "no-such-run")
    assert (none.returncode, none.stdout) == (2, "")
    assert "the ledger has no run" in none.stderr


@pytest.mark.usefixtures("bridge")
def test_a_rerun_has_the_same_parameters_and_is_made_once_for_each_id(installation: Installation) -> None:
    parent = start(installation, "times-out", "o-again")["metadata"]["name"]
    wait_for(
        lambda: [run["phase"] for run in listed(installation, "--param", "order=o-again")] == ["failed"],
        DEADLINE,
        "the failure",
    )
    before = len(installation.workflows("times-out"))
    made = [installation.command("runs", "rerun", parent, "--id", id_, "-o", "json") for id_ in ("a", "a", "b")]
    assert [done.returncode for done in made] == [0, 0, 0], [done.stderr for done in made]
    answers = [json.loads(done.stdout) for done in made]
    assert [answer["is_new"] for answer in answers] == [True, False, True]
    assert answers[0]["run_key"] == answers[1]["run_key"] != answers[2]["run_key"]
    workflows = installation.workflows("times-out")
    assert len(workflows) == before + 2
    again = {f"{installation.namespace}/{each['metadata']['name']}": each for each in workflows}
    for answer in answers:
        workflow = again[answer["workflow"]]
        assert parameters(workflow) == {"order": "o-again"}
        assert workflow["metadata"]["annotations"]["flowbridge.dev/repeats"] == answer["of"]
    shown = json.loads(installation.command("runs", "show", parent, "-o", "json").stdout)
    keys = {each["run_key"] for each in shown["runs_in_its_place"]}
    assert keys == {answer["run_key"] for answer in answers}


@pytest.mark.usefixtures("bridge")
def test_a_run_that_is_terminated_fails_and_only_then_can_be_made_again(installation: Installation) -> None:
    name = start(installation, "stays", "o-stopped")["metadata"]["name"]

    def phase() -> list[str]:
        return [run["phase"] for run in listed(installation, "--param", "order=o-stopped")]

    wait_for(lambda: phase() == ["running"], DEADLINE, "the run")
    refused = installation.command("runs", "rerun", name)
    assert refused.returncode == 2
    assert "is running" in refused.stderr
    done = installation.command("runs", "terminate", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is being terminated" in done.stdout
    wait_for(lambda: phase() == ["failed"], DEADLINE, "the end")
    again = installation.command("runs", "terminate", name)
    assert again.returncode == 1
    assert "is failed" in again.stdout
