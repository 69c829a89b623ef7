"""docs/metaflow.md, followed step by step: what it shows is run as it stands there, with other names of servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from e2e.bridge_process import DRAIN_SECONDS, FLOWBRIDGE, BridgeProcess
from e2e.installation import parameters
from flows.bed.deploy import environment_of
from flows.bed.recorder import Recorder
from flows.bed.stand_in import StandIn
from servers.argo import created_by_argo_events
from servers.loopback import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.installation import Installation
    from servers.choice import AnyKubernetes

pytestmark = pytest.mark.integrations  # all of them together: each goes on from the page's step before

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metaflow.md").read_text("utf-8")
RUN, STATUS, CREATE, PUBLISH, UNFINALIZE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
FLOW, EVENTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SHOWN,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
_FINALIZER = "sensor-controller"  # of Argo Events' controller
_SENSORS = ("argoproj.io", "v1alpha1")
_SECONDS = 120


class Place:
    """Where the page is followed: the reader's folder, cluster and Kafka."""

    def __init__(self, installation: Installation, kubernetes: AnyKubernetes, s3: StandIn, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.namespace = installation.namespace
        self.installation = installation
        self._kubernetes = kubernetes
        self._names = {
            "kafka:9092": installation.bootstrap,
            "0.0.0.0:12000": f"{HOST}:{self.port}",
            "flowbridge-gateway:12000": f"{HOST}:{self.port}",
        }
        metaflow = environment_of(folder, kubernetes.kubeconfig, s3.url, installation.namespace)
        self._environment = {
            **metaflow,
            **installation.environment,
            "FLOWBRIDGE_TRIGGERS": "",  # the page has Sensors alone
            "METAFLOW_DEFAULT_DATASTORE": "s3",
            "PATH": f"{FLOWBRIDGE.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def here(self, text: str) -> str:
        """Return a text of the page with the names of this place."""
        for name, ours in self._names.items():
            text = text.replace(name, ours)
        return re.sub(r"\bjobs\b", self.namespace, text)

    def run(self, block: str) -> str:
        """Run a block of commands and return what it prints."""
        return _run(["bash", "-euo", "pipefail", "-c", self.here(block)], self.folder, self._environment)

    def bridge(self) -> BridgeProcess:
        """Return the bridge that a block starts with its last line, after its settings."""
        *settings, command = self.here(RUN).strip().splitlines()
        assert command == "flowbridge run --gateway"
        said: dict[str, str] = {}
        for line in settings:
            export = re.fullmatch(r"export (\w+)=(\S+).*", line)
            assert export is not None
            said[export[1]] = export[2]
        own = {**self.installation.environment, "FLOWBRIDGE_TRIGGERS": "", "FLOWBRIDGE_HOLD_OFF": "1s"}
        process = BridgeProcess({**own, **said}, self.folder / "bridge.log")
        process.command.append("--gateway")
        return process

    def sensor(self) -> dict[str, Any]:
        """Return the Sensor of the page's flow."""
        with self._kubernetes.api() as api:
            objects: Any = client.CustomObjectsApi(api)
            sensor: dict[str, Any] = objects.get_namespaced_custom_object(*self._sensor())
        return sensor

    def patch_sensor(self, change: dict[str, Any]) -> None:
        """Change the Sensor of the page's flow."""
        with self._kubernetes.api() as api:
            objects: Any = client.CustomObjectsApi(api)
            objects.patch_namespaced_custom_object(*self._sensor(), change)

    def sensor_is_gone(self) -> bool:
        """Tell whether the cluster has no Sensor of the page's flow."""
        try:
            self.sensor()
        except client.ApiException as error:
            return bool(error.status == HTTPStatus.NOT_FOUND)
        return False

    def _sensor(self) -> tuple[str, ...]:
        return (*_SENSORS, self.namespace, "sensors", "revenueflow")


@pytest.fixture(scope="module")
def place(
    installation: Installation, kubernetes: AnyKubernetes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A reader who has written down the page's flow, and whose bridge runs."""
    with StandIn() as s3:
        place = Place(installation, kubernetes, s3, tmp_path_factory.mktemp("reader"))
        (place.folder / "revenue.py").write_text(FLOW)
        (place.folder / "publish.py").write_text(EVENTS)
        place.run(CREATE)
        with place.bridge() as bridge:
            bridge.wait_ready()
            installation.wait_triggers("revenueflow")
            yield place
            assert bridge.terminate(DRAIN_SECONDS).code == 0


def test_status_shows_the_flow_as_the_page_does(place: Place) -> None:
    wanted = place.here(SHOWN).strip()
    assert wanted in place.run(STATUS)


def test_the_flow_starts_once_for_two_events_that_belong_together(place: Place) -> None:
    place.run(PUBLISH)
    place.installation.wait_workflows("revenueflow", 1)
    place.installation.wait_idle()
    (workflow,) = place.installation.workflows("revenueflow")
    assert parameters(workflow)["day"] == '"2026-11-25"'


def test_a_flow_is_deleted_and_deployed_again_once_argo_events_finalizers_are_taken_away(place: Place) -> None:
    place.patch_sensor({"metadata": {"finalizers": [_FINALIZER]}})
    if shutil.which("kubectl"):
        place.run(UNFINALIZE)
    else:  # what the command asks for
        (change,) = re.findall(r"-p '(.*)'", UNFINALIZE)
        place.patch_sensor(json.loads(change))
    place.run(CREATE.replace("create", "delete"))
    place.installation.wait_triggers()
    place.run(CREATE)
    place.installation.wait_triggers("revenueflow")


def test_a_finalizer_that_stays_takes_the_flow_away_that_is_deployed_again(place: Place) -> None:
    place.patch_sensor({"metadata": {"finalizers": [_FINALIZER]}})
    place.run(CREATE.replace("create", "delete"))
    place.installation.wait_triggers()
    place.run(CREATE)
    assert place.sensor_is_gone()
    place.run(CREATE)
    place.installation.wait_triggers("revenueflow")


@pytest.mark.usefixtures("argo")
def test_going_back_needs_no_change_to_a_flow(place: Place) -> None:
    with Recorder() as argo_events:
        argo_events.target = f"http://{HOST}:{place.port}/metaflow-event"
        back = PUBLISH.replace("http://flowbridge-gateway:12000/metaflow-event", argo_events.url)
        place.run(back)
        created = created_by_argo_events([place.sensor()], argo_events.posts)["revenueflow"]
    assert parameters(created[0])["day"] == '"2026-11-24"'  # it pairs any two


def test_every_page_that_the_page_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert "docs/metaflow.md" in (ROOT / "README.md").read_text("utf-8")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
