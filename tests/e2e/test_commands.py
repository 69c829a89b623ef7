"""The commands as a person meets them: on the embedded default, on the real servers, and in trouble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from confluent_kafka import Producer

import bridge.cli.dev.example
from bridge.errors import ExitCode
from e2e.bridge_process import flowbridge
from e2e.installation import parameters
from servers.loopback import HOST, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation, Manifest

PATIENCE = 120.0
EXAMPLE = Path(bridge.cli.dev.example.__file__).parent
TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: refresh}
spec:
  events: [{name: commands.updated}]
  run: {workflowTemplate: refresh}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: waits}
spec:
  events: [{name: commands.updated}, {name: commands.approved}]
  window: {within: 1h}
  run: {workflowTemplate: refresh}
"""


@pytest.fixture(scope="module")
def running(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with one trigger on one event, and one that waits for another event."""
    installation.create_template("refresh", table=None, rows=None)
    installation.write_triggers(TRIGGER)
    with installation.process() as process:
        installation.wait_triggers("refresh", "waits")
        yield process


def _lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _created(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["workflow"] for line in lines if line.get("reason") == "created")


def _template_parameters() -> Iterator[tuple[str, dict[str, str | None]]]:
    for template in yaml.safe_load_all((EXAMPLE / "templates.yaml").read_text()):
        listed = template["spec"]["arguments"]["parameters"]
        yield template["metadata"]["name"], {parameter["name"]: parameter.get("value") for parameter in listed}


def _assert_clear(done: subprocess.CompletedProcess[str], code: ExitCode, *words: str) -> None:
    """Assert that a command ended with this code, and said in a few lines what is wrong and what to do."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert "what to do: " in done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_dev_runs_the_example_to_its_end_with_nothing_but_python() -> None:
    done = flowbridge({}, "dev", "--once", seconds=PATIENCE)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    for workflow in ("refresh-model-", "ship-order-"):
        assert any("created" in line and workflow in line for line in done.stdout.splitlines())
    assert "3 Workflows, as expected" in done.stdout


def test_dev_runs_the_example_on_real_servers(installation: Installation) -> None:
    for name, given in _template_parameters():
        installation.create_template(name, **given)
    environment = {
        "FLOWBRIDGE_NAMESPACE": installation.namespace,
        "FLOWBRIDGE_INTERNAL_PREFIX": f"dev-{installation.prefix}",
        "FLOWBRIDGE_PARTITIONS": "4",
    }
    servers = ("--kafka", installation.bootstrap, "--kubeconfig", installation.environment["KUBECONFIG"])
    done = flowbridge(environment, "dev", "--once", "-o", "json", *servers, seconds=PATIENCE)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    lines = _lines(done)
    assert lines[-1]["ok"] is True
    found = installation.workflows("refresh-model") + installation.workflows("ship-order")
    assert _created(lines) == sorted(f"{installation.namespace}/{workflow['metadata']['name']}" for workflow in found)
    assert sorted(map(parameters, found), key=str) == lines[-1]["expected"]


@pytest.mark.usefixtures("running")
def test_an_event_published_from_the_command_line_becomes_its_workflow(installation: Installation) -> None:
    done = installation.command(
        "publish", "commands.updated", "table=sales", "rows:=3", "--id", "e-1", "--key", "sales", "-o", "json"
    )
    assert done.returncode == ExitCode.OK, done.stderr
    assert _lines(done) == [{"event": "commands.updated", "id": "e-1"}]
    (workflow,) = installation.wait_workflows("refresh", 1)
    assert parameters(workflow) == {"table": "sales", "rows": "3"}


def test_status_tells_how_the_bridge_stands(installation: Installation, running: BridgeProcess) -> None:
    before = len(installation.workflows("refresh"))  # an outcome is counted a moment after its Workflow is there
    with installation.publisher() as publisher:
        publisher.publish("commands.updated", {"table": "orders", "rows": 1})
    installation.wait_decisions(running, "refresh", created=before + 1)
    installation.wait_decisions(running, "waits", waiting=before + 1)
    done = installation.command("status", "-o", "json")
    assert done.returncode == ExitCode.OK, done.stderr
    lines = _lines(done)
    stages = {line["stage"]: line for line in lines if line["kind"] == "stage"}
    assert list(stages) == ["controller", "router", "matcher", "submitter"]
    assert {line["lag"] for line in stages.values()} == {0}
    assert len({owner for line in stages.values() for owner in line["owners"]}) == 1
    triggers = {line["trigger"]: line["ready"] for line in lines if line["kind"] == "trigger"}
    assert triggers == {f"{installation.namespace}/{name}": True for name in ("refresh", "waits")}
    waiting = before + 1
    assert [line for line in lines if line["kind"] == "windows"] == [{"kind": "windows", "open": 1, "waiting": waiting}]
    runs: list[Manifest] = [line for line in lines if line["kind"] == "runs"]
    assert runs == [{"kind": "runs", "outcome": "created", "count": before + 1}]
    text = installation.command("status").stdout
    assert f"trigger    {installation.namespace}/refresh   ready" in text


@pytest.mark.usefixtures("running")
def test_status_counts_dead_letters_by_reason(installation: Installation) -> None:
    producer = Producer({"bootstrap.servers": installation.bootstrap})
    producer.produce("commands.updated", b"no event of ours")
    assert producer.flush(PATIENCE) == 0
    installation.wait_dead_letters("commands.updated", 1)
    lines = [line for line in _lines(installation.command("status", "-o", "json")) if line["kind"] == "dead letters"]
    assert [(line["stage"], line["reason"], line["number"]) for line in lines] == [("router", "undecodable", 1)]
    assert "1 dead: undecodable (router), the latest 2" in installation.command("status").stdout


def test_run_says_that_kafka_cannot_be_reached(installation: Installation) -> None:
    address = f"{HOST}:{free_port()}"
    done = installation.command("run", FLOWBRIDGE_BOOTSTRAP_SERVERS=address)
    _assert_clear(done, ExitCode.KAFKA, address)


def test_run_says_that_there_is_no_way_to_kubernetes(installation: Installation, tmp_path: Path) -> None:
    missing = tmp_path / "no-such-kubeconfig"
    done = installation.command("run", KUBECONFIG=str(missing))
    _assert_clear(done, ExitCode.KUBERNETES, str(missing))


def test_status_says_that_there_is_no_such_installation(installation: Installation) -> None:
    done = installation.command("status", FLOWBRIDGE_INTERNAL_PREFIX="nobody.")
    _assert_clear(done, ExitCode.KAFKA, "'nobody.'", "flowbridge run")


def test_publish_says_that_kafka_cannot_be_reached(installation: Installation) -> None:
    address = f"{HOST}:{free_port()}"
    done = installation.command("publish", "commands.updated", "--timeout", "2s", FLOWBRIDGE_BOOTSTRAP_SERVERS=address)
    _assert_clear(done, ExitCode.KAFKA, address)
