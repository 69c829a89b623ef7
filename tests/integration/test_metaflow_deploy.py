"""What only the real ``metaflow`` command shows: its Sensors on a real API server, and flows started from our texts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import CustomObjectsApi, RbacAuthorizationV1Api

from bridge.core.event import HOUR
from bridge.core.runs.field_parameters import field_text
from bridge.core.trigger import Trigger
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from bridge.triggers.sensors.kubernetes import KubernetesSensorApi
from bridge.triggers.sensors.source import SensorSource
from flows.bed.deploy import deploy
from flows.bed.fixtures import NAMESPACE, fixture, generated
from flows.bed.stand_in import StandIn
from flows.bed.start import started
from servers.cluster import client_of
from servers.process import wait_for
from servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.choice import AnyKubernetes


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with StandIn() as stand_in:
        yield stand_in.url


def test_a_sensor_that_is_deployed_again_loses_its_annotations_and_keeps_its_docstring(
    kubernetes: AnyKubernetes, namespace: str, s3: str, tmp_path: Path
) -> None:
    with kubernetes.api() as api:
        deploy("window_lines", home=tmp_path, kubeconfig=kubernetes.kubeconfig, s3=s3, namespace=namespace)
        (first,) = _sensors(api, namespace)
        where = ("argoproj.io", "v1alpha1", namespace, "sensors", first["metadata"]["name"])
        body: Any = {"metadata": {"annotations": {"flowbridge.dev/window": "1h"}}}
        CustomObjectsApi(api).patch_namespaced_custom_object(*where, body)
        deploy("window_lines", home=tmp_path, kubeconfig=kubernetes.kubeconfig, s3=s3, namespace=namespace)
        (second,) = _sensors(api, namespace)
    assert "flowbridge.dev/window" not in second["metadata"]["annotations"]
    assert "flowbridge.dev/window: 6h" in second["metadata"]["annotations"]["workflows.argoproj.io/description"]


@pytest.mark.parametrize("form", ["two_mapped", "typed_parameters", "finish_project"])
def test_the_installed_metaflow_still_writes_what_is_tested(form: str) -> None:
    assert json.loads(json.dumps(generated(form))) == fixture(form)


TYPED = {
    "text": 'a "quoted" text, with spaces; and {braces} \\ & more',
    "count": 12,
    "share": 2.5,
    "fresh": False,
    "tree": {"leaves": [1, 2.5, "dr\u00e9i", None, {"deep": True}], "text": 'it\'s\n"fine"'},
    "nothing": "something",
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (TYPED, TYPED),
        ({"count": 5.0, "share": 3, "tree": [], "fresh": True}, {"count": 5, "share": 3.0, "tree": [], "fresh": True}),
        ({"count": 2**70, "tree": '{"as": "text"}'}, {"count": 2**70, "tree": {"as": "text"}}),
        ({"count": "7", "share": "0.25", "fresh": "True"}, {"count": 7, "share": 0.25, "fresh": True}),
        ({"nothing": None}, {"nothing": None}),
        ({}, {"text": 'a "quoted" text', "count": 7, "tree": {"leaves": [1, "two", None]}, "nothing": None}),
    ],
)
def test_parameters_of_each_type_arrive_in_the_flow(
    given: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    values = started("typed_parameters", _parameters("typed_parameters", given), tmp_path, ["nothing"])
    assert {name: values[name] for name in expected} == expected
    assert all(type(values[name]) is type(value) for name, value in expected.items())


def test_what_happens_to_sensors_on_a_cluster_is_seen_within_seconds(watched: _Watched) -> None:
    watched.put("one_event")
    watched.put("two_events")
    watched.wait_for({"oneevent", "twoevents"})
    watched.put("two_events", {"flowbridge.dev/window": "1h"})
    watched.wait_until(lambda: watched.window("twoevents") == HOUR)
    watched.delete("oneevent")
    watched.wait_for({"twoevents"})
    watched.put("mapping", {"flowbridge.dev/windows": "1h"})
    watched.wait_until(lambda: any("windows is not known" in error for error in watched.errors))
    assert watched.read() == {"twoevents"}


def test_a_bridge_that_may_not_write_events_says_so_and_loses_nothing_else(
    watched: _Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.put("mapping", {"flowbridge.dev/windows": "1h"})
    watched.put("one_event")
    watched.wait_for({"oneevent"})
    said = "no Kubernetes Event can be written about a Sensor: 403"
    watched.wait_until(lambda: any(said in record.getMessage() for record in caplog.records))
    assert watched.read() == {"oneevent"}


def test_a_network_that_breaks_deletes_nothing_and_is_caught_up_with(watched: _Watched) -> None:
    watched.put("one_event")
    watched.put("two_events")
    watched.wait_for({"oneevent", "twoevents"})
    watched.proxy.cut()
    watched.delete("oneevent")
    watched.put("mapping")
    watched.wait_until(lambda: bool(watched.errors))
    assert watched.read() == {"oneevent", "twoevents"}
    watched.proxy.restore()
    watched.wait_for({"twoevents", "mapping"})
    assert not watched.errors


class _Watched:
    """A namespace whose Sensors are read through a proxy, as the controller reads them."""

    def __init__(self, kubernetes: AnyKubernetes, namespace: str, proxy: Proxy) -> None:
        self.proxy = proxy
        self.errors: list[str] = []
        self._namespace = namespace
        self._direct = kubernetes.api()
        token = kubernetes.service_account_token(namespace, "bridge")
        _allow_reading(self._direct, namespace)
        self._behind = client_of(kubernetes.kubeconfig_for(token, url=f"https://{proxy.address}"))
        self._api = KubernetesSensorApi(self._behind)
        self._source = SensorSource(self._api, [namespace], SensorRules())
        self._in_force: dict[str, LoadedTrigger] = {}

    def put(self, form: str, annotations: dict[str, str] | None = None) -> None:
        """Create or replace the Sensor of a test flow."""
        text = json.dumps(fixture(form)["sensor"]).replace(
            f'"namespace": "{NAMESPACE}"', f'"namespace": "{self._namespace}"'
        )
        sensor = json.loads(text)
        sensor["metadata"]["annotations"] |= annotations or {}
        where = ("argoproj.io", "v1alpha1", self._namespace, "sensors")
        if annotations and sensor["metadata"]["name"] in self.read():
            body: Any = {"metadata": {"annotations": annotations}}
            CustomObjectsApi(self._direct).patch_namespaced_custom_object(*where, sensor["metadata"]["name"], body)
            return
        CustomObjectsApi(self._direct).create_namespaced_custom_object(*where, sensor)

    def delete(self, name: str) -> None:
        """Delete a Sensor."""
        where = ("argoproj.io", "v1alpha1", self._namespace, "sensors", name)
        CustomObjectsApi(self._direct).delete_namespaced_custom_object(*where)

    def read(self) -> set[str]:
        """Read once and return the names of the triggers in force."""
        read = self._source.read(self._in_force)
        self._source.tell(read.errors)
        self._in_force = {trigger.trigger.identity: trigger for trigger in read.triggers}
        self.errors = [str(error) for error in read.errors]
        return {trigger.trigger.name for trigger in read.triggers}

    def window(self, name: str) -> int:
        """Return the length of a trigger's window."""
        window = self._in_force[f"{self._namespace}/{name}"].trigger.window
        return window.length if window else 0

    def wait_for(self, names: set[str]) -> None:
        """Read until exactly these are in force."""
        self.wait_until(lambda: {sourced.trigger.name for sourced in self._in_force.values()} == names)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Read until something holds."""

        def read() -> bool:
            self.read()
            return holds()

        wait_for(read, 20.0, "the Sensors to be read")

    def close(self) -> None:
        """End the watches."""
        self._api.rest()
        self._behind.close()
        self._direct.close()


def _allow_reading(api: Any, namespace: str) -> None:
    """Let the account ``bridge`` do what a bridge must be able to do with Sensors, and nothing else."""
    rights = RbacAuthorizationV1Api(api)
    rules = [{"apiGroups": ["argoproj.io"], "resources": ["sensors"], "verbs": ["list", "watch"]}]
    role: Any = {"metadata": {"name": "sensors"}, "rules": rules}
    rights.create_namespaced_role(namespace, role)
    subject = {"kind": "ServiceAccount", "name": "bridge", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sensors"}
    binding: Any = {"metadata": {"name": "sensors"}, "subjects": [subject], "roleRef": reference}
    rights.create_namespaced_role_binding(namespace, binding)


@pytest.fixture
def watched(kubernetes: AnyKubernetes, namespace: str) -> Iterator[_Watched]:
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        watched = _Watched(kubernetes, namespace, proxy)
        yield watched
        watched.close()


def _parameters(form: str, payload: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of a run from one event that are the flow's own."""
    compiled = _compiled(form)
    events = {field.parameter for field in compiled.run.fields if field.field is None}
    texts = dict(compiled.run.texts) | {
        field.parameter: field_text(field, payload, allow_shell=compiled.run.allow_shell)
        for field in compiled.run.fields
    }
    return {name: text for name, text in texts.items() if name not in events and text is not None}


@cache
def _compiled(form: str) -> Trigger:
    compiled = compile_sensor(fixture(form)["sensor"], SensorRules())
    assert isinstance(compiled, Trigger)
    return compiled


def _sensors(api: Any, namespace: str) -> list[dict[str, Any]]:
    listed: Any = CustomObjectsApi(api).list_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, "sensors")
    sensors: list[dict[str, Any]] = listed["items"]
    return sensors
