"""The gateway joined to the product: Metaflow's own client publishes to ``run --gateway`` and ``dev``; runs start."""

from __future__ import annotations

import re
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from metaflow.plugins.argo.argo_events import ArgoEvent

from bridge.errors import ExitCode
from e2e.bridge_process import DRAIN_SECONDS, FLOWBRIDGE, BridgeProcess, in_environment
from e2e.installation import Installation, parameters
from servers.kafka import KafkaServer
from servers.loopback import HOST, free_port
from servers.process import ServerProcess, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.choice import AnyKubernetes

PATIENCE = 60.0
EVENT = f"gateway.updated.{uuid.uuid4().hex[:8]}"
TRIGGER = f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: refresh}}
spec:
  events: [{{name: {EVENT}, where: 'payload.rows > 0'}}]
  run: {{workflowTemplate: refresh}}
"""


class GatewayBridge:
    """A bridge with a gateway, and where that takes events."""

    def __init__(self, installation: Installation, name: str = "bridge", **settings: str) -> None:
        self.port = free_port()
        listen = {"FLOWBRIDGE_GATEWAY": "true", "FLOWBRIDGE_GATEWAY_LISTEN": f"{HOST}:{self.port}"}
        self.process: BridgeProcess = installation.process(name, **listen, **settings)

    def url(self, path: str = "/metaflow-event") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def console(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{HOST}:{self.process.port}{path}", timeout=5)

    def publish(self, event_id: str, rows: int = 3) -> int:
        """Publish as Metaflow does, with an id of our choice; return the status."""
        payload = {"name": EVENT, "id": event_id, "timestamp": int(time.time()), "table": "sales", "rows": rows}
        return httpx.post(self.url(), json={"name": EVENT, "payload": payload}, timeout=90).status_code


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[GatewayBridge]:
    installation.create_template("refresh", table=None, rows="0")
    installation.write_triggers(TRIGGER)
    running = GatewayBridge(installation)
    with running.process:
        running.process.wait_ready()
        installation.wait_triggers("refresh")
        yield running


def test_what_argo_event_publishes_to_a_run_with_a_gateway_is_a_workflow(
    bridge: GatewayBridge, installation: Installation
) -> None:
    event = ArgoEvent(EVENT, url=bridge.url(), payload={"table": "sales"})
    assert event.publish({"rows": 3}, ignore_errors=False)
    (workflow,) = installation.wait_workflows("refresh", 1)
    assert parameters(workflow) == {"table": "sales", "rows": "3"}


def test_the_same_name_and_id_twice_starts_one_run(bridge: GatewayBridge, installation: Installation) -> None:
    before = len(installation.workflows("refresh"))
    assert [bridge.publish(name) for name in ("pathspec/1", "pathspec/1", "pathspec/2")] == [200] * 3
    installation.wait_workflows("refresh", before + 2)
    installation.wait_idle()
    assert len(installation.workflows("refresh")) == before + 2


def test_health_and_metrics_of_stages_and_gateway_are_on_one_page(bridge: GatewayBridge) -> None:
    assert bridge.publish("seen", rows=0) == 200
    stages = bridge.console("/readyz").json()["stages"]
    assert stages == dict.fromkeys(("controller", "router", "matcher", "submitter", "gateway"), "ready")
    metrics = bridge.console("/metrics").text
    assert re.search(r'^flowbridge_gateway_requests_total\{outcome="published"\} [1-9]', metrics, re.MULTILINE)
    assert "flowbridge_decisions_total" in metrics


def test_a_gateway_that_cannot_listen_is_said_and_ends_the_command(
    bridge: GatewayBridge, installation: Installation
) -> None:
    taken = f"{HOST}:{bridge.port}"
    done = installation.command(
        "run", "--gateway", "--gateway-listen", taken, FLOWBRIDGE_LISTEN=f"{HOST}:{free_port()}"
    )
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert f"error: cannot listen on {taken}" in done.stderr
    assert "--gateway-listen HOST:PORT" in done.stderr


@pytest.mark.servers
def test_a_stop_drains_gateway_and_stages_within_the_grace_while_kafka_is_away(
    kubernetes: AnyKubernetes, tmp_path: Path
) -> None:
    with KafkaServer() as kafka:
        installation = Installation(kafka, kubernetes, tmp_path)
        installation.create_template("refresh", table=None, rows="0")
        installation.write_triggers(TRIGGER)
        running = GatewayBridge(installation)
        with running.process, ThreadPoolExecutor(8) as clients:
            running.process.wait_ready()
            assert running.publish("before") == 200
            installation.wait_workflows("refresh", 1)
            kafka.pause()
            held = [clients.submit(running.publish, f"held-{number}") for number in range(4)]
            wait_for(lambda: "flowbridge_gateway_held 4.0" in running.console("/metrics").text, 10, "four to be held")
            ending = running.process.terminate(DRAIN_SECONDS)
            assert [request.result() for request in held] == [500] * 4
            assert ending.code == ExitCode.OK, running.process.text()
            kafka.resume()


@pytest.mark.servers
def test_a_stop_answers_what_is_held_when_kafka_comes_back(kubernetes: AnyKubernetes, tmp_path: Path) -> None:
    with KafkaServer() as kafka:
        installation = Installation(kafka, kubernetes, tmp_path)
        installation.create_template("refresh", table=None, rows="0")
        installation.write_triggers(TRIGGER)
        running = GatewayBridge(installation)
        with running.process, ThreadPoolExecutor(8) as clients:
            running.process.wait_ready()
            installation.wait_triggers("refresh")
            assert running.publish("before") == 200
            kafka.pause()
            held = [clients.submit(running.publish, f"held-{number}") for number in range(4)]
            wait_for(lambda: "flowbridge_gateway_held 4.0" in running.console("/metrics").text, 10, "four to be held")
            ending = clients.submit(running.process.terminate, DRAIN_SECONDS)
            wait_for(lambda: running.console("/readyz").status_code == 503, 10, "it to be unready")
            kafka.resume()
            assert [request.result() for request in held] == [200] * 4
            assert ending.result().code == ExitCode.OK
            running.process.start()
            installation.wait_workflows("refresh", 5)


class Dev(ServerProcess):
    """``flowbridge dev`` on the embedded broker."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        super().__init__("dev", [*in_environment(environment), str(FLOWBRIDGE), "dev", *arguments], log)

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def webhook(self) -> str:
        """Return the address that it prints for Metaflow."""
        wait_for(lambda: "WEBHOOK_URL=" in self.text(), PATIENCE, "dev to print its address")
        return self.text().partition("METAFLOW_ARGO_EVENTS_WEBHOOK_URL=")[2].split()[0]

    def interrupt(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE)


def test_dev_prints_an_address_and_what_argo_event_publishes_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "triggers.yaml").write_text(TRIGGER)
    port = free_port()
    arguments = ("--triggers", str(tmp_path / "triggers.yaml"), "--gateway-listen", f"{HOST}:{port}")
    dev = Dev(tmp_path / "dev.log", *arguments)
    dev.start()
    try:
        assert dev.webhook() == f"http://{HOST}:{port}/metaflow-event"
        wait_for(lambda: "ready: events published from now on are seen" in dev.text(), PATIENCE, "dev to be ready")
        assert ArgoEvent(EVENT, url=dev.webhook()).publish({"rows": 3}, ignore_errors=False)
        wait_for(lambda: "submitter created     default/refresh" in dev.text(), PATIENCE, "the run")
        assert dev.interrupt() == ExitCode.OK
    finally:
        dev.kill()


def test_dev_takes_a_free_port_where_the_default_is_taken_and_ends_where_one_that_was_chosen_is(tmp_path: Path) -> None:
    first, second = Dev(tmp_path / "first.log"), Dev(tmp_path / "second.log")
    try:
        first.start()
        address = first.webhook()
        second.start()
        assert second.webhook() != address
        chosen = address.removeprefix("http://").partition("/")[0]
        third = Dev(tmp_path / "third.log", "--gateway-listen", chosen)
        third.start()
        wait_for(lambda: not third.running, PATIENCE, "the third to end")
        assert f"error: cannot listen on {chosen}" in third.text()
    finally:
        first.kill()
        second.kill()
