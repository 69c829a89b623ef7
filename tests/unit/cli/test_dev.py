"""What ``flowbridge dev`` tells a person: what to publish, what was misspelt, what is wrong before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.argo.workflow import WorkflowTemplate
from bridge.cli.dev.memory_cluster import StandIn
from bridge.cli.dev.watch import closest, suggestion
from bridge.cli.main import cli
from bridge.errors import ExitCode, UsageError
from bridge.triggers.sources.folder import TriggerFolder

TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events:
    - {name: order.created, where: payload.amount > 3}
    - {name: payment.done}
  key: payload.order_id
  window: {within: 1h}
  run: {workflowTemplate: ship, parameters: {to: order_created.payload.address, paid: payment_done.payload.sum}}
"""
LIST = """
kind: List
items:
  - kind: WorkflowTemplate
    metadata: {name: ship, namespace: jobs}
    spec: {arguments: {parameters: [{name: order}, {name: size, default: small}, {name: to, value: home}]}}
---
metadata: {name: bare}
"""


def test_the_suggested_event_is_read_by_a_trigger_and_shows_the_fields_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGER, encoding="utf-8")
    triggers = [loaded.trigger for loaded in TriggerFolder([tmp_path], "default").read().loaded]
    assert suggestion(triggers) == "flowbridge publish order.created order_id=… amount:=1 address=…"


def test_an_unread_event_is_told_with_the_closest_name_that_a_trigger_reads() -> None:
    names = ["order.created", "payment.done"]
    assert closest("order.creatd", names) == "; did you mean order.created?"
    assert closest("something.else", names) == "; triggers read order.created, payment.done"
    assert closest("order.created", []) == ""


def test_the_stand_in_takes_lists_of_templates_and_both_kinds_of_default(tmp_path: Path) -> None:
    (tmp_path / "templates.yaml").write_text(LIST, encoding="utf-8")
    found = StandIn("default", [tmp_path / "templates.yaml"]).template("jobs", "ship")
    assert isinstance(found, WorkflowTemplate)
    assert {parameter.name: parameter.has_default for parameter in found.parameters} == {
        "order": False,
        "size": True,
        "to": True,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Pod\nmetadata: {name: x}", "document 1: expected a WorkflowTemplate, got Pod"),
        ("just text", "document 1: expected a WorkflowTemplate, got str"),
        ("metadata: {name: x}\n---\nmetadata: 3", "document 2: expected a WorkflowTemplate, got a mapping"),
        ("a: b: c", "mapping values are not allowed here"),
    ],
)
def test_a_file_without_templates_says_what_it_holds(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "templates.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"templates\.yaml") as error:
        StandIn("default", [tmp_path / "templates.yaml"])
    assert expected in error.value.found


def test_dev_refuses_a_path_without_triggers_before_anything_starts() -> None:
    result = CliRunner().invoke(cli, ["dev", "--triggers", "nope.yaml"], standalone_mode=False)
    assert isinstance(result.exception, UsageError)
    assert result.exception.found == "--triggers nope.yaml: no such file or folder"


def test_devs_addresses_are_in_its_json_output() -> None:
    result = CliRunner().invoke(cli, ["dev", "--once", "--port", "0", "-o", "json"], prog_name="flowbridge")
    assert result.exit_code == ExitCode.OK, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    addresses = lines[0]
    assert addresses["kind"] == "addresses"
    assert addresses["bootstrap_servers"].startswith("127.0.0.1:")
    assert addresses["gateway"].endswith("/metaflow-event")
    assert all(line["parameters"] for line in lines if line.get("reason") == "created")
