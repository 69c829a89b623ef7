"""Flows deployed by the real ``metaflow`` are triggers of a real bridge, which has no right but its own account's."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes.client import CoreV1Api, CustomObjectsApi
from kubernetes.utils import create_from_dict

from bridge.errors import ExitCode
from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import DEADLINE, Installation, parameters
from flowbridge_sdk import Publisher
from flows.bed.deploy import deploy
from flows.bed.fixtures import NAMESPACE, fixture
from flows.bed.stand_in import StandIn
from servers.process import wait_for
from servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Manifest
    from servers.choice import AnyKafka, AnyKubernetes

BASE = Path(__file__).parents[2] / "deploy" / "base"
ARGO = ("argoproj.io", "v1alpha1")
SOON = 20.0
"""Seconds in which a change takes effect; one or two on an idle machine."""
HOLD_OFF = 2.0


class Flows:
    """An installation that reads the Sensors of its namespace, through a proxy that may be cut."""

    def __init__(self, kafka: AnyKafka, kubernetes: AnyKubernetes, folder: Path, proxy: Proxy) -> None:
        self.proxy = proxy
        self.installation = Installation(kafka, kubernetes, folder)
        self.namespace = self.installation.namespace
        self._kubernetes = kubernetes
        self._folder = folder
        with kubernetes.api() as api:
            for name in ("serviceaccount.yaml", "role.yaml", "rolebinding.yaml"):
                for manifest in yaml.safe_load_all((BASE / name).read_text(encoding="utf-8")):
                    create_from_dict(api, manifest, namespace=self.namespace)
        token = kubernetes.service_account_token(self.namespace, "flowbridge")
        account = kubernetes.kubeconfig_for(token, namespace=self.namespace, url=f"https://{proxy.address}")
        self.installation.environment |= {
            "KUBECONFIG": str(account),
            "FLOWBRIDGE_SENSORS": self.namespace,
            "FLOWBRIDGE_HOLD_OFF": f"{HOLD_OFF:g}s",
            "FLOWBRIDGE_TRIGGERS": "",
        }

    def deploy(self, form: str) -> None:
        """Deploy a test flow with the real command."""
        home = self._folder / form
        home.mkdir()
        with StandIn() as s3:
            deploy(form, home=home, kubeconfig=self._kubernetes.kubeconfig, s3=s3.url, namespace=self.namespace)

    def put(self, form: str, *, operation: str = "create") -> None:
        """Create the Sensor of a test flow, as Metaflow writes it but for the operation of its trigger."""
        text = json.dumps(fixture(form)["sensor"])
        body = json.loads(text.replace(f'"namespace": "{NAMESPACE}"', f'"namespace": "{self.namespace}"'))
        body["spec"]["triggers"][0]["template"]["k8s"]["operation"] = operation
        with self._kubernetes.api() as api:
            CustomObjectsApi(api).create_namespaced_custom_object(*ARGO, self.namespace, "sensors", body)

    def delete(self, name: str) -> None:
        """Delete a Sensor."""
        with self._kubernetes.api() as api:
            CustomObjectsApi(api).delete_namespaced_custom_object(*ARGO, self.namespace, "sensors", name)

    def put_right(self, name: str) -> None:
        """Give a Sensor the operation that Metaflow writes."""
        where = (*ARGO, self.namespace, "sensors", name)
        with self._kubernetes.api() as api:
            body: Any = CustomObjectsApi(api).get_namespaced_custom_object(*where)
            body["spec"]["triggers"][0]["template"]["k8s"]["operation"] = "create"
            CustomObjectsApi(api).replace_namespaced_custom_object(*where, body)

    def publish(self, name: str, **payload: Any) -> None:
        """Publish an event as Metaflow's publisher makes it."""
        with self.installation.publisher() as publisher:
            publisher.publish(name, {"name": name, "timestamp": 1, "generated-by-metaflow": True, **payload})

    def errors(self) -> list[Manifest]:
        """Return the errors that ``flowbridge status`` shows."""
        done = self.installation.command("status", "-o", "json")
        assert done.returncode == ExitCode.OK, done.stderr
        return [line for line in map(json.loads, done.stdout.splitlines()) if line["kind"] == "error"]

    def notices(self) -> list[Any]:
        """Return the Kubernetes Events in the namespace."""
        with self._kubernetes.api() as api:
            listed: Any = CoreV1Api(api).list_namespaced_event(self.namespace)
        found: list[Any] = listed.items
        return found


@pytest.fixture
def flows(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path) -> Iterator[Flows]:
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        yield Flows(kafka, kubernetes, tmp_path, proxy)


@pytest.fixture
def bridge(flows: Flows) -> Iterator[BridgeProcess]:
    with flows.installation.process() as bridge:
        bridge.wait_ready()
        yield bridge


@pytest.mark.usefixtures("bridge")
def test_a_deployed_flow_runs_for_its_events_until_its_sensor_is_deleted(flows: Flows) -> None:
    flows.deploy("mapping")
    flows.installation.wait_triggers("mapping")
    flows.publish("data.updated", row_count=3, headline="new")
    (workflow,) = flows.installation.wait_workflows("mapping", 1)
    assert parameters(workflow).items() >= {"region": '"north"', "rows": "3", "title": '"new"'}.items()
    assert workflow["spec"]["workflowTemplateRef"]["name"] == "mapping"
    flows.delete("mapping")
    flows.installation.wait_triggers(seconds=SOON)
    flows.publish("data.updated", row_count=4, headline="newer")
    flows.installation.wait_idle()
    assert len(flows.installation.workflows()) == 1


def test_dev_reads_the_sensors_of_a_real_cluster(flows: Flows, tmp_path: Path) -> None:
    flows.installation.create_template("mapping", rows=None)
    flows.put("mapping")
    installation = flows.installation
    words = ["dev", "--sensors", flows.namespace, "--kubeconfig", installation.environment["KUBECONFIG"]]
    log = tmp_path / "dev.log"
    with log.open("wb") as out:
        dev = subprocess.Popen([*in_environment({}), str(FLOWBRIDGE), *words], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "\nready:" in log.read_text(), 2 * DEADLINE, "dev to be ready")
        (address,) = re.findall(r"^Kafka: (\S+)", log.read_text(), re.MULTILINE)
        with Publisher(address, source="shop") as publisher:
            publisher.publish("data.updated", {"name": "data.updated", "row_count": 5, "headline": "new"})
        (workflow,) = installation.wait_workflows("mapping", 1)
        assert parameters(workflow)["rows"] == "5"
    finally:
        dev.terminate()
        dev.wait(DEADLINE)


def test_a_broken_sensor_is_an_error_in_status_and_a_kubernetes_event_and_disturbs_nobody(
    flows: Flows, bridge: BridgeProcess
) -> None:
    flows.installation.create_template("twoevents", dataupdated_nn77=None, modelapproved_work=None)
    flows.put("two_events")
    flows.installation.wait_triggers("twoevents")
    flows.put("mapping", operation="delete")
    wait_for(lambda: bool(flows.errors()), DEADLINE, "the error in status")
    (error,) = flows.errors()
    assert error == {
        "kind": "error",
        "source": f"Sensor {flows.namespace}/mapping",
        "line": 0,
        "field": "spec.triggers[0].template.k8s.operation",
        "found": "found 'delete'",
        "right": "write create",
        "trigger": f"{flows.namespace}/mapping",
    }
    text = flows.installation.command("status").stdout
    assert f"error      Sensor {flows.namespace}/mapping: spec.triggers[0]" in text
    wait_for(lambda: bool(flows.notices()), DEADLINE, "the Kubernetes Event")
    (notice,) = flows.notices()
    assert (notice.type, notice.involved_object.kind, notice.involved_object.name) == ("Warning", "Sensor", "mapping")
    assert notice.message == "spec.triggers[0].template.k8s.operation: found 'delete'; write create"
    assert bridge.text().count("k8s.operation: found 'delete'") == 1
    flows.publish("data.updated")
    flows.publish("model-approved")
    flows.installation.wait_workflows("twoevents", 1)
    flows.put_right("mapping")
    flows.installation.wait_triggers("mapping", "twoevents", seconds=SOON)
    assert flows.errors() == []


def test_an_api_server_that_is_cut_off_ends_no_trigger_whoever_leads_and_is_caught_up_with(
    flows: Flows, bridge: BridgeProcess
) -> None:
    flows.put("mapping")
    flows.put("two_events")
    flows.installation.wait_triggers("mapping", "twoevents")
    flows.proxy.cut()
    flows.delete("mapping")
    wait_for(lambda: bool(flows.errors()), DEADLINE, "the error in status")
    (error,) = flows.errors()
    assert error["source"] == f"Sensors of {flows.namespace}"
    bridge.kill()
    with flows.installation.process("second") as second:
        wait_for(lambda: "the Sensors cannot be read" in second.text(), DEADLINE, "the second to lead")
        end = time.monotonic() + 2 * HOLD_OFF
        while time.monotonic() < end:
            assert set(flows.installation.triggers_in_force()) == {
                f"{flows.namespace}/mapping",
                f"{flows.namespace}/twoevents",
            }
        flows.proxy.restore()
        flows.installation.wait_triggers("twoevents", seconds=2 * SOON)
        wait_for(lambda: not flows.errors(), DEADLINE, "the error to be gone")
