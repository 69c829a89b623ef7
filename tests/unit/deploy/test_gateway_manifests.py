"""The promises of deploy/gateway: no rights and no Kubernetes token, tokens from a Secret's file, a minute to drain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli.commands import gateway
from bridge.cli.gateway import LINGER_S
from bridge.http.serving import SLACK_S
from bridge.settings.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[3] / "deploy"
NAME = "flowbridge-gateway"


def objects(base: str) -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((DEPLOY / base / "kustomization.yaml").read_text(encoding="utf-8"))
    texts = [(DEPLOY / base / name).read_text(encoding="utf-8") for name in kustomization["resources"]]
    return [thing for text in texts for thing in yaml.safe_load_all(text)]


def the(kind: str, name: str = NAME, base: str = "gateway") -> dict[str, Any]:
    return next(thing for thing in objects(base) if thing["kind"] == kind and thing["metadata"]["name"] == name)


def environment() -> dict[str, str]:
    """Return what the Deployment gives the gateway, later sources winning as in Kubernetes."""
    installation, own = the("ConfigMap", "flowbridge-settings", "base"), the("ConfigMap", f"{NAME}-settings")
    return {**installation["data"], **own["data"]}


@pytest.fixture
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = the("Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


@pytest.fixture
def settings() -> Settings:
    return load_settings({}, environment())


def test_every_manifest_belongs_to_the_base() -> None:
    listed = yaml.safe_load((DEPLOY / "gateway" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    found = [path.name for path in (DEPLOY / "gateway").glob("*.yaml") if path.name != "kustomization.yaml"]
    assert sorted(listed) == sorted(found)
    kinds = {thing["kind"] for thing in objects("gateway")}
    assert kinds == {"ServiceAccount", "ConfigMap", "Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}


def test_it_has_no_right_and_no_token_of_kubernetes(pod: dict[str, Any]) -> None:
    assert pod["serviceAccountName"] == the("ServiceAccount")["metadata"]["name"] == NAME
    assert pod["automountServiceAccountToken"] is False
    assert the("ServiceAccount")["automountServiceAccountToken"] is False
    subjects = [subject for thing in objects("base") for subject in thing.get("subjects", ())]
    assert NAME not in {subject["name"] for subject in subjects}


def test_its_settings_are_settings_and_those_of_the_installation(container: dict[str, Any], settings: Settings) -> None:
    names = [source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source]
    assert names == ["flowbridge-settings", f"{NAME}-settings"]
    assert {name.removeprefix("FLOWBRIDGE_").lower() for name in environment()} <= set(Settings.model_fields)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings.gateway_listen is not None
    assert settings.listen is not None
    assert ports == {"events": settings.gateway_listen.port, "http": settings.listen.port}
    assert container["args"] == [gateway.name]


def test_tokens_come_from_a_file_of_a_secret_without_which_no_pod_starts(
    pod: dict[str, Any], container: dict[str, Any], settings: Settings
) -> None:
    volume = next(volume["secret"] for volume in pod["volumes"] if volume["name"] == "tokens")
    mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "tokens")
    assert not volume.get("optional")
    assert volume["defaultMode"] == 0o440
    assert mount["readOnly"]
    assert "subPath" not in mount  # a file mounted by itself would never change
    assert settings.gateway_tokens == Path(mount["mountPath"]) / "tokens.yaml"
    assert not [thing for thing in objects("gateway") if thing["kind"] == "Secret"]


def test_probes_ask_the_port_that_no_publisher_fills(container: dict[str, Any]) -> None:
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {
        "livenessProbe": {"path": "/livez", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < LINGER_S


def test_what_is_held_is_answered_within_the_grace(pod: dict[str, Any], settings: Settings) -> None:
    assert pod["terminationGracePeriodSeconds"] == 60
    assert settings.gateway_hold.total_seconds() + SLACK_S < 60


def test_a_pod_has_no_more_rights_than_it_needs(pod: dict[str, Any], container: dict[str, Any]) -> None:
    bridge = the("Deployment", "flowbridge", "base")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {**bridge["securityContext"], "fsGroup": bridge["securityContext"]["runAsGroup"]}
    assert container["securityContext"] == bridge["containers"][0]["securityContext"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert not pod["enableServiceLinks"]


def test_publishers_reach_the_pods_of_the_deployment_and_no_others(container: dict[str, Any]) -> None:
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Service")["spec"]["selector"],
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    bridge = the("Deployment", "flowbridge", "base")["spec"]["template"]["metadata"]["labels"]
    assert not [selector for selector in selectors if selector.items() <= bridge.items()]
    assert not the("Deployment", "flowbridge", "base")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert the("Service")["spec"]["ports"] == [{"name": "events", "port": 12_000, "targetPort": "events"}]
    assert "events" in {port["name"] for port in container["ports"]}


def test_one_of_them_is_always_there() -> None:
    spec = the("Deployment")["spec"]
    assert the("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1 < spec["replicas"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_variables_that_its_service_puts_into_other_pods_are_taken_for_no_setting() -> None:
    links = {
        "FLOWBRIDGE_GATEWAY_SERVICE_HOST": "10.0.0.7",
        "FLOWBRIDGE_GATEWAY_SERVICE_PORT": "12000",
        "FLOWBRIDGE_GATEWAY_SERVICE_PORT_EVENTS": "12000",
        "FLOWBRIDGE_GATEWAY_PORT": "tcp://10.0.0.7:12000",
        "FLOWBRIDGE_GATEWAY_PORT_12000_TCP": "tcp://10.0.0.7:12000",
        "FLOWBRIDGE_GATEWAY_PORT_12000_TCP_ADDR": "10.0.0.7",
        "FLOWBRIDGE_GATEWAY_PORT_12000_TCP_PORT": "12000",
        "FLOWBRIDGE_GATEWAY_PORT_12000_TCP_PROTO": "tcp",
    }
    assert load_settings({}, links) == load_settings({}, {})
