"""Names that share a topic, on real Kafka: gateway, SDK and command line publish into it, and each run has its own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient
from metaflow.plugins.argo.argo_events import ArgoEvent

from bridge.errors import ExitCode
from e2e.installation import parameters
from servers.loopback import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

MARK = uuid.uuid4().hex[:8]
TOPIC = f"flows-{MARK}"
FIRST, SECOND, NOBODYS = (f"metaflow.{MARK}.{flow}.end" for flow in ("First", "Second", "Nobodys"))
SHARED = f"metaflow.{MARK}.*={TOPIC}"
TRIGGERS = f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: single}}
spec:
  events: [{{name: {FIRST}, as: flow}}]
  run: {{workflowTemplate: job, parameters: {{id: flow.id}}}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: pair}}
spec:
  events: [{{name: {FIRST}, as: first}}, {{name: {SECOND}, as: second}}]
  key: payload.key
  window: {{within: 1h}}
  run: {{workflowTemplate: job, parameters: {{id: second.id}}}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: waits}}
spec:
  events: [{{name: {FIRST}, as: first}}, {{name: {SECOND}.never, as: never}}]
  key: payload.key
  window: {{within: 1s}}
  grace: 1s
  run: {{workflowTemplate: job, parameters: {{id: first.id}}}}
"""


PORT = free_port()


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with a gateway."""
    installation.environment["FLOWBRIDGE_SHARED_TOPICS"] = SHARED
    installation.create_template("job", id=None)
    installation.write_triggers(TRIGGERS)
    running = installation.process(FLOWBRIDGE_GATEWAY="1", FLOWBRIDGE_GATEWAY_LISTEN=f"{HOST}:{PORT}")
    with running:
        running.wait_ready()
        installation.wait_triggers("single", "pair", "waits")
        yield running


@pytest.fixture
def url(bridge: BridgeProcess) -> str:
    """Where it takes events."""
    assert bridge.running
    return f"http://{HOST}:{PORT}/metaflow-event"


def test_whoever_publishes_a_name_finds_its_slots_in_the_shared_topic(url: str, installation: Installation) -> None:
    by_gateway = ArgoEvent(FIRST, url=url, payload={"key": "a"}).publish(ignore_errors=False)
    with installation.publisher(shared_topics={f"metaflow.{MARK}.*": TOPIC}) as publisher:
        by_sdk = publisher.publish(FIRST, {"key": "b"})
        second = publisher.publish(SECOND, {"key": "a"})
        publisher.publish(NOBODYS, {"key": "a"})
    done = installation.command("publish", FIRST, "key=c", "--id", "by-hand")
    assert done.returncode == ExitCode.OK, done.stderr
    singles = installation.wait_workflows("single", 3)
    assert {parameters(single)["id"] for single in singles} == {by_gateway, by_sdk, "by-hand"}
    (pair,) = installation.wait_workflows("pair", 1)
    assert parameters(pair) == {"id": second}
    topics = AdminClient({"bootstrap.servers": installation.bootstrap}).list_topics(timeout=20).topics
    assert [name for name in topics if MARK in name] == [TOPIC]


def test_time_passes_for_windows_on_a_shared_topic(url: str, bridge: BridgeProcess, installation: Installation) -> None:
    before = installation.decisions(bridge, "waits")["expired"]
    assert ArgoEvent(FIRST, url=url, payload={"key": "z"}).publish(ignore_errors=False)
    installation.wait_decisions(bridge, "waits", expired=before + 1)
