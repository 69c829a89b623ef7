"""What the Workflow API in memory promises beyond the contract: time, faults in order, and who is told."""

from __future__ import annotations

from typing import Any

from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, MemoryWorkflowApi, answered
from bridge.argo.workflow import RUN_KEY, Workflow
from bridge.cluster.responses import Answer, Unknown, Unreachable


def manifest(name: str = "refresh-1") -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": name, "annotations": {RUN_KEY: "k" * 52}}
    return {"metadata": metadata, "spec": {"workflowTemplateRef": {"name": "refresh"}}}


def test_a_finished_workflow_disappears_by_its_templates_ttl() -> None:
    now = [1_000.0]
    api = MemoryWorkflowApi(lambda: now[0], namespaces=["ml"])
    api.add_template("ml", "refresh", ttl=60)
    api.create(manifest(), timeout=1)
    now[0] = 5_000.0
    assert api.find("ml", "refresh-1") is not None
    api.finish("ml", "refresh-1")
    now[0] = 5_059.0
    assert api.find("ml", "refresh-1") is not None
    now[0] = 5_060.0
    assert api.find("ml", "refresh-1") is None
    assert api.workflows() == []


def test_a_finished_workflow_has_the_phase_that_it_ended_in() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    for name in ("refresh-1", "refresh-2"):
        api.create(manifest(name), timeout=1)
    api.finish("ml", "refresh-1")
    api.finish("ml", "refresh-2", "Failed")
    assert api.phases("ml", {}) == {"refresh-1": "Succeeded", "refresh-2": "Failed"}
    assert [workflow.manifest["status"] for workflow in api.workflows()] == [
        {"phase": "Succeeded"},
        {"phase": "Failed"},
    ]


def test_faults_come_in_order_and_then_no_more() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    api.fail_next(LOST_REQUEST, answered(500), LOST_ANSWER)
    assert isinstance(api.create(manifest(), timeout=1), Unknown)
    refused = api.create(manifest(), timeout=1)
    assert isinstance(refused, Answer)
    assert refused.status == 500
    assert api.workflows("ml") == []
    assert isinstance(api.create(manifest(), timeout=1), Unknown)
    assert [workflow.name for workflow in api.workflows("ml")] == ["refresh-1"]


def test_each_created_workflow_is_told_once_also_when_its_answer_is_lost() -> None:
    told: list[Workflow] = []
    api = MemoryWorkflowApi(namespaces=["ml"], on_created=told.append)
    api.fail_next(LOST_ANSWER)
    for name in ("a", "a", "b"):
        api.create(manifest(name), timeout=1)
    assert [workflow.name for workflow in told] == ["a", "b"]


def test_a_cut_lasts_until_it_is_mended_and_keeps_what_was_there() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    api.create(manifest(), timeout=1)
    api.cut()
    assert isinstance(api.create(manifest("other"), timeout=1), Unreachable)
    api.mend()
    assert api.find("ml", "refresh-1") is not None
    assert api.find("ml", "other") is None


def test_what_is_stored_is_nobodys_to_change() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    mine = manifest()
    api.create(mine, timeout=1)
    mine["spec"]["workflowTemplateRef"]["name"] = "changed"
    found = api.workflows()[0]
    assert found.manifest["spec"] == {"workflowTemplateRef": {"name": "refresh"}}


def test_a_template_and_a_quota_can_be_taken_away() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    api.add_template("ml", "refresh", ["rows"])
    api.remove_template("ml", "refresh")
    assert api.template("ml", "refresh") is None
    api.set_quota("ml", 0)
    api.set_quota("ml", None)
    created = api.create(manifest(), timeout=1)
    assert isinstance(created, Answer)
    assert created.status == 201
