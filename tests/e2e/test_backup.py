"""An installation whose topics were copied to another Kafka goes on there: docs/operations.md, backup and restore."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from e2e.installation import DEADLINE, Installation, parameters
from servers.kafka import KafkaServer

if TYPE_CHECKING:
    from servers.choice import AnyKafka, AnyKubernetes

COPY = Path(__file__).parents[2] / "docs" / "examples" / "backup" / "copy_topics.py"
NOW = datetime.now(UTC)
TRIGGERS = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: pair}}
spec:
  events: [{{name: {name}.a, as: a}}, {{name: {name}.b, as: b}}]
  key: payload.key
  window: {{within: 1h}}
  run: {{workflowTemplate: job, parameters: {{id: a.id, text: b.id}}}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: each}}
spec:
  events: [{{name: {name}.a, as: a}}]
  run: {{workflowTemplate: job, parameters: {{id: a.id}}}}
"""


def _publish(installation: Installation, name: str, key: str, event_id: str) -> None:
    with installation.publisher() as publisher:
        publisher.publish(name, {"key": key}, key=key, id=event_id, time=NOW)


def _delete_workflows(kubernetes: AnyKubernetes, installation: Installation) -> None:
    """Delete all Workflows: their names no longer tell the bridge what it has made."""
    with kubernetes.api() as api:
        client.CustomObjectsApi(api).delete_collection_namespaced_custom_object(
            "argoproj.io", "v1alpha1", installation.namespace, "workflows"
        )
    assert installation.workflows() == []


@pytest.mark.servers
def test_a_copy_on_another_kafka_makes_no_run_twice_and_completes_the_open_windows(
    kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path
) -> None:
    installation = Installation(kafka, kubernetes, tmp_path)
    installation.create_template("job", id=None, text="none")
    name = f"shop-{installation.prefix}".rstrip(".")
    installation.write_triggers(TRIGGERS.format(name=name))
    with installation.process() as bridge:
        installation.wait_triggers("each", "pair")
        _publish(installation, f"{name}.a", "done", "a-done")
        _publish(installation, f"{name}.b", "done", "b-done")
        _publish(installation, f"{name}.a", "open", "a-open")
        installation.wait_workflows("pair", 1)
        installation.wait_workflows("each", 2)
        installation.wait_idle()
        assert bridge.terminate().code == 0
    # One more event comes while nothing runs, so no internal topic has it.
    _publish(installation, f"{name}.a", "late", "a-late")
    _delete_workflows(kubernetes, installation)
    with KafkaServer() as other:
        words = [str(COPY), installation.bootstrap, other.bootstrap, installation.prefix, "24"]
        words += [f"{name}.a", f"{name}.b"]
        copied = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert copied.returncode == 0, copied.stderr
        assert len(copied.stdout.splitlines()) == 8

        installation.bootstrap = installation.environment["FLOWBRIDGE_BOOTSTRAP_SERVERS"] = other.bootstrap
        with installation.process("restored") as bridge:
            installation.wait_triggers("each", "pair")
            _publish(installation, f"{name}.b", "open", "b-open")
            _publish(installation, f"{name}.b", "late", "b-late")
            installation.wait_workflows("pair", 2)
            installation.wait_idle()
            made = {tuple(parameters(workflow).values()) for workflow in installation.workflows()}
            decided = installation.decisions(bridge, "each") + installation.decisions(bridge, "pair")
            assert f"topic {name}.a was deleted and created again" in bridge.text()  # as the page says
    assert made == {("a-open", "b-open"), ("a-late", "b-late"), ("a-late",)}
    assert decided["already-ran"] >= 2  # the runs of `each`, whose events are read again, and all in the copy of `runs`
    assert decided["duplicate"] >= 3  # the events of pairs: the windows remember them
