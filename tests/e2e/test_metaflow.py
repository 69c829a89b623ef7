"""Metaflow on Flowbridge instead of Argo Events, from end to end, with nothing of Metaflow left out.

Flows in every form that Metaflow's documentation has are deployed by its own command; its own client publishes; the
Workflows are compared with those that Argo Events' own code makes of the same Sensors and the same posts; and their
pods run, with the whole command of the WorkflowTemplate, until the flow's code sees its Parameters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from metaflow.plugins.argo.argo_events import ArgoEvent

from bridge.core.trigger import Trigger
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from e2e.installation import parameters
from e2e.metaflow_bed import MetaflowBed, flow_of
from e2e.metaflow_compare import differences
from e2e.metaflow_story import BRANCH_EVENT, FINISHED, SEEN, STARTED_BY_THAT, TOLD, events
from flows.bed.deploy import FORMS
from flows.bed.fixtures import comparable, fixture
from flows.bed.node import container_of, environment_of
from flows.bed.recorder import Recorder
from flows.bed.stand_in import StandIn
from servers.loopback import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.installation import Installation, Manifest
    from flows.bed.node import Ran
    from servers.choice import AnyKubernetes

# Sixteen deployments and as many pods: some four minutes of CPU time, half of that where two cores are free.
# All of them together: the bed that they share is made by the first.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.integrations]

_AT_FIRST = tuple(form for form in FORMS if form not in STARTED_BY_THAT)


@pytest.fixture(scope="module")
def bed(installation: Installation, kubernetes: AnyKubernetes) -> Iterator[MetaflowBed]:
    """All flows, deployed to the installation's namespace."""
    with StandIn() as s3, Recorder() as recorder:
        bed = MetaflowBed(installation, kubernetes, s3, recorder)
        bed.deploy_all()
        yield bed


class Started(NamedTuple):
    """What events started, by form: the bridge's Workflows, and those of Argo Events."""

    ours: dict[str, list[Manifest]]
    theirs: dict[str, list[Manifest]]


@pytest.fixture(scope="module")
def started(bed: MetaflowBed, installation: Installation, argo: None) -> Iterator[Started]:  # noqa: ARG001 (what `expected` asks is built)
    """A bridge with its gateway, and what published events have started."""
    port = free_port()
    settings = {"FLOWBRIDGE_GATEWAY": "true", "FLOWBRIDGE_GATEWAY_LISTEN": f"{HOST}:{port}"}
    bed.recorder.target = f"http://{HOST}:{port}/metaflow-event"
    with installation.process(FLOWBRIDGE_SENSORS=installation.namespace, **settings) as bridge:
        bridge.wait_ready()
        installation.wait_triggers(*(flow.name for flow in bed.flows.values()))
        for _ in events(bed.recorder.url):
            installation.wait_idle()
        expected = bed.expected()
        yield Started({form: bed.workflows(form, len(expected[form])) for form in _AT_FIRST}, expected)


@pytest.fixture(scope="module")
def ran(bed: MetaflowBed, started: Started) -> dict[tuple[str, int], list[Ran]]:
    """What came of the pods of these Workflows, by form and number."""
    pods = [(form, started.ours[form][number], form in FINISHED) for form, number in SEEN]
    return dict(zip(SEEN, bed.run_pods(pods), strict=True))


class Finished(NamedTuple):
    """What flows that had finished started, and what came of the first pods of some of that, by form."""

    ours: dict[str, list[Manifest]]
    theirs: dict[str, list[Manifest]]
    pods: dict[str, Ran]


@pytest.fixture(scope="module")
def finished(bed: MetaflowBed, ran: dict[tuple[str, int], list[Ran]]) -> Finished:
    """The flows that wait for other flows, after those have finished."""
    assert [pod.code for form in FINISHED for pod in ran[form, 0]] == [0] * (2 * len(FINISHED))
    workflows = {form: bed.workflows(form, 1) for form in STARTED_BY_THAT}
    shown = ("finish_one", "finish_many")
    pods = bed.run_pods((form, workflows[form][0], False) for form in shown)
    return Finished(workflows, bed.expected(), {form: pod[0] for form, pod in zip(shown, pods, strict=True)})


@pytest.mark.parametrize("form", FORMS)
def test_a_sensor_on_a_real_api_server_is_the_one_that_was_compiled(
    form: str, bed: MetaflowBed, installation: Installation
) -> None:
    sensor = bed.flows[form].sensor
    assert comparable(sensor, installation.namespace) == fixture(form)["sensor"]
    compiled = compile_sensor(sensor, SensorRules())
    assert isinstance(compiled, Trigger), compiled
    assert compiled.identity == f"{installation.namespace}/{bed.flows[form].name}"


@pytest.mark.parametrize("form", _AT_FIRST)
def test_a_workflow_is_the_one_that_argo_events_would_have_created(form: str, started: Started) -> None:
    ours, theirs = started.ours[form], started.theirs[form]
    assert theirs
    assert [differences(*pair) for pair in zip(ours, theirs, strict=True)] == [[]] * len(theirs)


@pytest.mark.parametrize(("form", "number"), SEEN)
def test_parameters_have_their_python_values_in_the_flow(
    form: str, number: int, ran: dict[tuple[str, int], list[Ran]]
) -> None:
    seen = _shown(ran[form, number][0])["parameters"]
    wanted = SEEN[form, number]
    assert {name: _typed(seen[name]) for name in wanted} == {name: _typed(value) for name, value in wanted.items()}


@pytest.mark.parametrize("form", TOLD)
def test_current_trigger_and_the_run_id_are_those_of_the_workflow(
    form: str, started: Started, ran: dict[tuple[str, int], list[Ran]]
) -> None:
    shown = _shown(ran[form, 0][0])
    payloads = _payloads(started.ours[form][0])
    wanted = sorted(["event", payload["name"], payload["id"], payload["timestamp"]] for payload in payloads)
    assert sorted(shown["events"]) == wanted
    assert sorted(payload["name"] for payload in payloads) == TOLD[form]
    assert shown["run"] == f"argo-{started.ours[form][0]['metadata']['name']}"


@pytest.mark.parametrize("form", STARTED_BY_THAT)
def test_a_flow_that_finishes_starts_those_that_wait_for_it_as_with_argo_events(form: str, finished: Finished) -> None:
    ours, theirs = finished.ours[form], finished.theirs[form]
    assert [differences(*pair) for pair in zip(ours, theirs, strict=True)] == [[]]


def test_a_run_is_told_of_the_runs_that_finished(
    started: Started, ran: dict[tuple[str, int], list[Ran]], finished: Finished
) -> None:
    def ended(form: str) -> tuple[str, str, str]:
        run = f"{flow_of(form)}/argo-{started.ours[form][0]['metadata']['name']}"
        return "run", f"metaflow.{flow_of(form)}.end", f"{run}/end/{ran[form, 0][1].task}"

    told = {form: {tuple(event[:3]) for event in _shown(pod)["events"]} for form, pod in finished.pods.items()}
    assert told == {"finish_one": {ended("one_event")}, "finish_many": {ended("one_event"), ended("two_mapped")}}
    assert _shown(finished.pods["finish_one"])["parameters"] == {"rows": 7}


def test_a_command_in_a_payload_runs_in_argo_events_pod_and_starts_nothing_here(
    bed: MetaflowBed, started: Started, installation: Installation
) -> None:
    ArgoEvent(BRANCH_EVENT, url=bed.recorder.url).publish({"rows": "$(touch owned)"}, ignore_errors=False)
    theirs = _named(bed.expected()["project_branch"][-1])
    ((pod,),) = bed.run_pods([("project_branch", theirs, False)])
    assert any(file.endswith("owned") for file in pod.files)
    (letter,) = installation.wait_dead_letters(BRANCH_EVENT, 1)
    assert "shell" in letter["text"]
    installation.wait_idle()
    assert len(bed.workflows("project_branch", 0)) == len(started.ours["project_branch"])


def test_a_tag_in_a_payload_is_evaluated_in_argo_events_pod_and_not_in_ours(bed: MetaflowBed) -> None:
    id_ = "{{workflow.parameters.rows}} {{=sprig.upper('x')}} $(METAFLOW_USER)"
    ArgoEvent(BRANCH_EVENT, url=bed.recorder.url).publish({"id": id_, "rows": 5}, ignore_errors=False)
    theirs = _named(bed.expected()["project_branch"][-1])
    ours = bed.workflows("project_branch", 2)[-1]
    assert differences(ours, theirs) == []
    template = bed.flows["project_branch"].template

    def id_in_pod(workflow: Manifest) -> str:
        environment = environment_of(container_of(template, workflow, "start"))
        (payload,) = [text for name, text in environment.items() if name.startswith("METAFLOW_ARGO_EVENT_PAYLOAD_")]
        return str(json.loads(payload)["id"])

    assert id_in_pod(theirs) == "5 X argo-workflows"
    assert id_in_pod(ours) == id_


def _named(workflow: Manifest) -> Manifest:
    """Return a Workflow of Argo Events with a name, which the API server would have given it."""
    metadata = {**workflow["metadata"], "name": f"{workflow['metadata']['generateName']}x7k2p"}
    return {**workflow, "metadata": metadata}


def _shown(pod: Ran) -> dict[str, Any]:
    assert pod.code == 0, pod.output
    return pod.shown


def _payloads(workflow: Manifest) -> list[dict[str, Any]]:
    """Return the payloads of the events of a Workflow."""
    read = [json.loads(text) for text in parameters(workflow).values() if text.startswith("{")]
    return [payload for payload in read if "generated-by-metaflow" in payload]


def _typed(value: Any) -> tuple[str, Any]:
    return type(value).__name__, value
