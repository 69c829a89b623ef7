"""The promises of deploy/: least privilege, nothing secret, probes, a minute to drain, settings that are settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.console.server import application
from bridge.settings.settings import load_settings

DEPLOY = Path(__file__).parents[3] / "deploy"
BASE = DEPLOY / "base"
NEEDED = {
    "workflows": {"create", "get", "list", "watch"},
    "workflowtemplates": {"get", "list", "watch"},
    "sensors": {"list", "watch"},
    "events": {"create", "patch"},
    "triggers": {"get", "list", "watch"},
    "triggers/status": {"patch"},
}


def objects() -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    texts = [(BASE / name).read_text(encoding="utf-8") for name in kustomization["resources"]]
    return [thing for text in texts for thing in yaml.safe_load_all(text)]


def the(kind: str, name: str = "flowbridge") -> dict[str, Any]:
    return next(thing for thing in objects() if thing["kind"] == kind and thing["metadata"]["name"] == name)


@pytest.fixture
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = the("Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


def test_a_pod_has_twice_the_memory_that_windows_may_take(container: dict[str, Any]) -> None:
    settings = load_settings({}, the("ConfigMap", "flowbridge-settings")["data"])
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert int(limit.removesuffix("Gi")) * 1024**3 >= 2 * settings.window_bytes


def test_a_pod_has_disk_for_windows_and_for_the_runs_of_a_trigger_that_wait(pod: dict[str, Any]) -> None:
    settings = load_settings({}, the("ConfigMap", "flowbridge-settings")["data"])
    limit = next(volume for volume in pod["volumes"] if volume["name"] == "tmp")["emptyDir"]["sizeLimit"]
    assert limit.endswith("Gi")
    assert int(limit.removesuffix("Gi")) * 1024**3 >= settings.window_disk_bytes + settings.waiting_bytes


def test_every_manifest_belongs_to_the_base() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")
    kinds = {thing["kind"] for thing in objects()}
    assert kinds == {
        *("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget")
    }


def test_the_role_allows_nothing_that_the_bridge_does_not_need() -> None:
    for rule in the("Role")["rules"]:
        assert rule["apiGroups"] in (["argoproj.io"], ["flowbridge.dev"], [""])
        for resource in rule["resources"]:
            assert set(rule["verbs"]) <= NEEDED[resource]


def test_the_role_allows_what_the_submitter_and_the_controller_do() -> None:
    allowed = {
        (resource, verb) for rule in the("Role")["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert allowed >= {("workflows", "create"), ("workflows", "get"), ("workflowtemplates", "get")}
    assert allowed >= {("sensors", "list"), ("sensors", "watch"), ("events", "create"), ("events", "patch")}


def test_the_role_is_bound_to_the_account_of_the_pods_and_to_no_other(pod: dict[str, Any]) -> None:
    binding = the("RoleBinding")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flowbridge"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": pod["serviceAccountName"]}]


def test_replays_have_a_role_of_their_own_that_no_account_of_the_base_gets() -> None:
    assert the("Role", "flowbridge-replay")["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get", "list", "patch"]}
    ]
    bindings = [thing for thing in objects() if thing["kind"].endswith("RoleBinding")]
    assert [binding["roleRef"]["name"] for binding in bindings] == ["flowbridge"]
    verbs = {verb for rule in the("Role")["rules"] if "workflows" in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {"create", "get", "list", "watch"}


def test_nothing_secret_is_in_the_manifests() -> None:
    assert not [thing for thing in objects() if thing["kind"] == "Secret"]
    for thing in objects():
        for name in thing.get("data", {}):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|KEY", name)


def test_the_settings_are_settings(container: dict[str, Any]) -> None:
    data = the("ConfigMap", "flowbridge-settings")["data"]
    settings = load_settings({}, {**data, "FLOWBRIDGE_NAMESPACE": "team"})
    assert str(settings.triggers[0]) == container["volumeMounts"][0]["mountPath"]
    assert settings.listen is not None
    assert settings.listen.port == container["ports"][0]["containerPort"]
    set_here = {*data, *(entry["name"] for entry in container["env"])}
    assert {name.removeprefix("FLOWBRIDGE_").lower() for name in set_here} <= set(type(settings).model_fields)


def test_the_probes_ask_for_pages_that_there_are(container: dict[str, Any]) -> None:
    routes = {getattr(route, "path", "") for route in application(Health([]), Metrics()).routes}
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert probes == {"/livez", "/readyz"} <= routes


def test_a_pod_has_a_minute_to_drain_and_no_more_rights_than_it_needs(
    pod: dict[str, Any],
    container: dict[str, Any],
) -> None:
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert not pod["enableServiceLinks"]


def test_a_disruption_takes_one_pod_at_a_time() -> None:
    budget = the("PodDisruptionBudget")["spec"]
    deployment = the("Deployment")["spec"]
    assert budget["maxUnavailable"] == 1 < deployment["replicas"]
    assert budget["selector"] == deployment["selector"]
    assert deployment["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()


def test_the_image_runs_the_bridge_as_a_user_without_rights(pod: dict[str, Any]) -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert lines[-2:] == ['ENTRYPOINT ["flowbridge"]', 'CMD ["run"]']
    assert f"USER {user}" in lines


def test_all_that_the_image_copies_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (DEPLOY.parent / source).exists(), source


def test_what_the_image_is_made_of_is_pinned() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+|python@sha256:[0-9a-f]{64}", base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}"] * 2
    assert re.search(r"pip install --no-cache-dir uv==\d+\.\d+\.\d+$", text, re.MULTILINE)
    assert "uv sync --frozen" in text


@pytest.mark.parametrize("base", ["base", "gateway"])
def test_no_pod_fills_the_disk_of_its_node(base: str) -> None:
    deployment = yaml.safe_load((DEPLOY / base / "deployment.yaml").read_text(encoding="utf-8"))
    folders = [
        volume["emptyDir"] for volume in deployment["spec"]["template"]["spec"]["volumes"] if "emptyDir" in volume
    ]
    assert folders
    assert all(re.fullmatch(r"\d+[MG]i", folder["sizeLimit"]) for folder in folders)


def test_trigger_files_name_the_namespace_of_the_bridge_alone(container: dict[str, Any]) -> None:
    (allowed,) = [variable for variable in container["env"] if variable["name"] == "FLOWBRIDGE_TRIGGER_NAMESPACES"]
    assert allowed["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_the_role_says_what_creating_workflows_implies() -> None:
    text = (BASE / "role.yaml").read_text(encoding="utf-8")
    assert "templateReferencing: Strict" in text
    assert "service account" in text


@pytest.mark.parametrize("base", ["base", "gateway"])
def test_health_and_metrics_are_not_for_the_whole_cluster(base: str) -> None:
    deployment, policy = (
        yaml.safe_load((DEPLOY / base / f"{name}.yaml").read_text(encoding="utf-8"))["spec"]
        for name in ("deployment", "networkpolicy")
    )
    assert policy["podSelector"] == deployment["selector"]
    (container,) = deployment["template"]["spec"]["containers"]
    rules = {rule["ports"][0]["port"]: rule for rule in policy["ingress"]}
    assert set(rules) == {port["containerPort"] for port in container["ports"]}
    assert rules[9630]["from"] == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"flowbridge.dev/scrape": "true"}}},
    ]
