"""The promises of a run's Workflow."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.manifest import EVENTS_LIMIT, UnresolvedRunError, trigger_label, workflow_manifest
from bridge.argo.workflow import Workflow
from bridge.core.event import EventIdentity
from bridge.core.runs.run import Run

RUN = Run(
    run_key="a" * 52,
    trigger="ml/refresh",
    definition_hash="d" * 20,
    key="c-7",
    namespace="ml",
    name="refresh-model-aaaaaaaaaaaaaaaa",
    template="refresh-model",
    parameters=(("rows", "7"), ("note", "")),
    payload=None,
    labels=(("team", "ml"),),
    annotations=(("note", "hello"),),
    events=(("orders", EventIdentity("order.created", "shop", "o-1")),),
    event_time=1_777_631_400_000_000,
    reached=1_777_631_400_250_000,
)


def test_a_run_of_a_replay_carries_its_name() -> None:
    live, replayed = workflow_manifest(RUN), workflow_manifest(RUN._replace(replay="gap-7", repeats="b" * 52))
    labels, annotations = replayed["metadata"]["labels"], replayed["metadata"]["annotations"]
    assert labels == {**live["metadata"]["labels"], "flowbridge.dev/replay": "gap-7"}
    more = {"flowbridge.dev/replay": "gap-7", "flowbridge.dev/repeats": "b" * 52}
    assert annotations == {**live["metadata"]["annotations"], **more}
    assert replayed["spec"] == live["spec"]


def test_the_whole_workflow() -> None:
    assert workflow_manifest(RUN) == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": "refresh-model-aaaaaaaaaaaaaaaa",
            "namespace": "ml",
            "labels": {
                "team": "ml",
                "flowbridge.dev/trigger": "ml.refresh",
                "app.kubernetes.io/managed-by": "flowbridge",
            },
            "annotations": {
                "note": "hello",
                "flowbridge.dev/run-key": "a" * 52,
                "flowbridge.dev/trigger": "ml/refresh",
                "flowbridge.dev/definition": "d" * 20,
                "flowbridge.dev/key": "c-7",
                "flowbridge.dev/events": '[{"slot":"orders","name":"order.created","source":"shop","id":"o-1"}]',
                "flowbridge.dev/event-time": "2026-05-01T10:30:00.000000Z",
                "flowbridge.dev/reached": "2026-05-01T10:30:00.250000Z",
            },
        },
        "spec": {
            "workflowTemplateRef": {"name": "refresh-model"},
            "arguments": {"parameters": [{"name": "rows", "value": "7"}, {"name": "note", "value": ""}]},
        },
    }


def test_the_bridge_knows_its_own_workflow() -> None:
    assert Workflow.from_manifest(workflow_manifest(RUN)).run_key == RUN.run_key


def test_a_run_without_parameters_leaves_the_templates_own() -> None:
    assert workflow_manifest(RUN._replace(parameters=()))["spec"] == {"workflowTemplateRef": {"name": "refresh-model"}}


def test_an_unresolved_run_is_refused() -> None:
    with pytest.raises(UnresolvedRunError, match=RUN.name):
        workflow_manifest(RUN._replace(parameters=None, payload="{}"))


def test_a_triggers_own_marks_never_replace_ours() -> None:
    forged = tuple((f"flowbridge.dev/{mark}", "forged") for mark in ("run-key", "trigger", "key", "anything"))
    labels = (*forged, ("app.kubernetes.io/managed-by", "forged"))
    manifest = workflow_manifest(RUN._replace(key="", labels=labels, annotations=forged))
    assert "forged" not in json.dumps(manifest)
    assert "flowbridge.dev/key" not in manifest["metadata"]["annotations"]


def test_many_events_are_shown_up_to_a_bound() -> None:
    events = tuple(("orders", EventIdentity("order.created", "shop", f"é-{number}")) for number in range(5_000))
    text = workflow_manifest(RUN._replace(events=events))["metadata"]["annotations"]["flowbridge.dev/events"]
    shown = json.loads(text)
    assert len(text.encode()) <= EVENTS_LIMIT + 40
    assert shown[0] == {"slot": "orders", "name": "order.created", "source": "shop", "id": "é-0"}
    assert shown[-1] == {"more": 5_000 - (len(shown) - 1)}


def test_marks_hold_nothing_that_argo_evaluates() -> None:
    events = (("orders", EventIdentity("order.created", "{{workflow.name}}", "{{x}}")),)
    run = RUN._replace(key="{{workflow.name}}", events=events)
    assert "{{" not in json.dumps(workflow_manifest(run)["metadata"]["annotations"])
    for key in ("x{", "{=workflow.name}}"):  # a template may write the key next to another text
        shown = workflow_manifest(RUN._replace(key=key))["metadata"]["annotations"]["flowbridge.dev/key"]
        assert "{" not in shown


def test_a_huge_key_is_shortened() -> None:
    annotations = workflow_manifest(RUN._replace(key="k" * 1_000_000))["metadata"]["annotations"]
    assert annotations["flowbridge.dev/key"] == "k" * 1_024 + "…"


dns_labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,200}[a-z0-9])?", fullmatch=True)


@given(dns_labels, names | st.text(max_size=80))
def test_each_trigger_has_a_label_that_kubernetes_accepts(namespace: str, name: str) -> None:
    label = trigger_label(f"{namespace}/{name}")
    assert len(label) <= 63
    assert re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", label)


@given(dns_labels, names, dns_labels, names)
def test_two_triggers_have_two_labels(namespace: str, name: str, other_namespace: str, other: str) -> None:
    identity, other_identity = f"{namespace}/{name}", f"{other_namespace}/{other}"
    assert (trigger_label(identity) == trigger_label(other_identity)) == (identity == other_identity)
