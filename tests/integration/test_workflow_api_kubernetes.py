"""What only a real API server and a broken network show of KubernetesWorkflowApi: permissions, limits, TLS, silence."""

from __future__ import annotations

import itertools
import time
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes.client import AdmissionregistrationV1Api, ApiException, CoreV1Api, RbacAuthorizationV1Api
from kubernetes.config import incluster_config

from bridge.argo.api import Unavailable
from bridge.argo.create_attempt import Dead, Done, Outcome, RefusedForNow, Retry, WaitReason, attempt
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.manifest import workflow_manifest
from bridge.argo.workflow import RUN_KEY
from bridge.cluster.responses import Unknown, Unreachable
from bridge.core.event import EventIdentity
from bridge.core.runs.run import Run
from servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.choice import AnyKubernetes

OURS = "k" * 52


def manifest(namespace: str, name: str = "refresh-1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": namespace, "annotations": {RUN_KEY: OURS}},
        "spec": spec,
    }


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def first_refusal(api: KubernetesWorkflowApi, namespace: str) -> Outcome:
    """Create one Workflow after another until the API server has heard of what forbids it."""
    deadline = time.monotonic() + 20.0
    for number in itertools.count():
        outcome = attempt(api, manifest(namespace, f"probe-{number}"), OURS)
        if outcome != Done("created"):
            return outcome
        assert time.monotonic() < deadline, "not in time"
    raise AssertionError


@pytest.fixture
def api(kubernetes: AnyKubernetes) -> Iterator[KubernetesWorkflowApi]:
    api = KubernetesWorkflowApi(str(kubernetes.kubeconfig))
    yield api
    api.close()


@pytest.fixture
def proxied(kubernetes: AnyKubernetes) -> Iterator[tuple[KubernetesWorkflowApi, Proxy]]:
    """An API behind a proxy; its connection already stands, as a busy bridge's does."""
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        token = str(kubernetes.kubeconfig_for(_admin_token(kubernetes), url=f"https://{proxy.address}"))
        api = KubernetesWorkflowApi(token, concurrency=1)
        wait_for(lambda: api.find("default", "warm-up") is None)
        yield api, proxy
        api.close()


def _admin_token(kubernetes: AnyKubernetes) -> str:
    """Return the token of an account that may do what the administrator may."""
    token = kubernetes.service_account_token("default", "test-administrator")
    with kubernetes.api() as client:
        rights = RbacAuthorizationV1Api(client)
        subject = {"kind": "ServiceAccount", "name": "test-administrator", "namespace": "default"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        name = "test-administrator"
        body: Any = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
        with suppress(ApiException):  # another test has made it
            rights.create_cluster_role_binding(body)
    return token


def test_a_whole_run_becomes_a_workflow(api: KubernetesWorkflowApi, namespace: str) -> None:
    events = tuple((f"s{number}", EventIdentity("order.created", "shop", f"é{number}")) for number in range(1_000))
    run = Run(
        run_key=OURS,
        trigger=f"{namespace}/{'refresh' * 10}",
        definition_hash="d" * 20,
        key="k" * 5_000,
        namespace=namespace,
        name="refresh-1",
        template="refresh",
        parameters=(("a", 'x"\\\n\x00\x7fé😀'), ("b", "y" * 60_000)),
        payload=None,
        labels=(("team", "ml"),),
        annotations=(("note", "hello"),),
        events=events,
        event_time=0,
        reached=0,
    )
    body = workflow_manifest(run)
    assert attempt(api, body, OURS) == Done("created")
    found = api.find(namespace, "refresh-1")
    assert found is not None
    assert not isinstance(found, Unavailable)
    assert found.manifest["spec"] == body["spec"]
    assert found.manifest["metadata"]["annotations"] == body["metadata"]["annotations"]
    assert found.manifest["metadata"]["labels"] == body["metadata"]["labels"]


def test_an_account_without_rights_is_told_loudly_and_one_with_them_works(
    kubernetes: AnyKubernetes, namespace: str
) -> None:
    token = kubernetes.service_account_token(namespace, "bridge")
    api = KubernetesWorkflowApi(str(kubernetes.kubeconfig_for(token)))
    outcome = attempt(api, manifest(namespace), OURS)
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.PERMISSION, True)
    assert f"system:serviceaccount:{namespace}:bridge" in outcome.reason
    assert isinstance(api.find(namespace, "refresh-1"), Unavailable)
    _grant(kubernetes, namespace, ["create", "get"])
    wait_for(lambda: attempt(api, manifest(namespace), OURS) == Done("created"))
    assert attempt(api, manifest(namespace), OURS) == Done("already")
    api.close()


def _grant(kubernetes: AnyKubernetes, namespace: str, verbs: list[str]) -> None:
    with kubernetes.api() as client:
        rights = RbacAuthorizationV1Api(client)
        rule = {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": verbs}
        role: Any = {"metadata": {"name": "bridge"}, "rules": [rule]}
        rights.create_namespaced_role(namespace, role)
        binding: Any = {
            "metadata": {"name": "bridge"},
            "subjects": [{"kind": "ServiceAccount", "name": "bridge", "namespace": namespace}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "bridge"},
        }
        rights.create_namespaced_role_binding(namespace, binding)


def test_a_token_that_nobody_knows_is_tried_again(kubernetes: AnyKubernetes, namespace: str) -> None:
    api = KubernetesWorkflowApi(str(kubernetes.kubeconfig_for("not-a-token")))
    outcome = attempt(api, manifest(namespace), OURS)
    assert isinstance(outcome, Retry)
    assert outcome.applied is False
    assert "401 Unauthorized" in outcome.reason
    assert isinstance(api.find(namespace, "refresh-1"), Unavailable)
    api.close()


def test_too_large_is_for_good(api: KubernetesWorkflowApi, namespace: str) -> None:
    huge = attempt(api, manifest(namespace, note="x" * 4_000_000), OURS)
    assert isinstance(huge, Dead)
    assert "413 RequestEntityTooLarge" in huge.reason
    body = manifest(namespace)
    body["metadata"]["annotations"]["note"] = "x" * 300_000
    annotated = attempt(api, body, OURS)
    assert isinstance(annotated, Dead)
    assert "422 Invalid" in annotated.reason


def test_a_body_of_another_kind_is_for_good(api: KubernetesWorkflowApi, namespace: str) -> None:
    outcome = attempt(api, {**manifest(namespace), "kind": "Other"}, OURS)
    assert isinstance(outcome, Dead)
    assert outcome.reason.startswith("422 Invalid")


def test_a_quota_that_is_not_counted_yet_is_waited_for(
    kubernetes: AnyKubernetes, api: KubernetesWorkflowApi, namespace: str
) -> None:
    hard = {"count/workflows.argoproj.io": "5"}
    body: Any = {"metadata": {"name": "new"}, "spec": {"hard": hard}}
    with kubernetes.api() as client:
        core = CoreV1Api(client)
        core.create_namespaced_resource_quota(namespace, body)
        core.patch_namespaced_resource_quota_status("new", namespace, {"status": {"hard": hard}})
    outcome = first_refusal(api, namespace)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.waits_for is WaitReason.QUOTA
    assert "status unknown for quota" in outcome.reason


def test_a_namespace_that_is_going_away_parks(
    kubernetes: AnyKubernetes, api: KubernetesWorkflowApi, namespace: str
) -> None:
    with kubernetes.api() as client:
        CoreV1Api(client).delete_namespace(namespace)
    outcome = first_refusal(api, namespace)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.needs_operator
    assert "terminated" in outcome.reason


def test_a_silent_network_is_unknown_in_time_and_a_request_it_lost_was_not_applied(
    proxied: tuple[KubernetesWorkflowApi, Proxy], api: KubernetesWorkflowApi, namespace: str
) -> None:
    through, proxy = proxied
    proxy.stall()
    began = time.monotonic()
    response = through.create(manifest(namespace), timeout=0.5)
    assert time.monotonic() - began < 5.0
    assert isinstance(response, Unknown)
    proxy.cut()
    proxy.restore()
    assert api.find(namespace, "refresh-1") is None
    assert attempt(through, manifest(namespace), OURS) == Done("created")


def test_a_cut_network_was_surely_not_used(proxied: tuple[KubernetesWorkflowApi, Proxy], namespace: str) -> None:
    through, proxy = proxied
    proxy.cut()
    wait_for(lambda: isinstance(through.create(manifest(namespace), timeout=2), Unreachable))
    proxy.restore()
    assert attempt(through, manifest(namespace), OURS) == Done("created")


def test_a_server_that_cannot_prove_itself_gets_nothing(
    kubernetes: AnyKubernetes, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    text = kubernetes.kubeconfig.read_text()
    kept = [line for line in text.splitlines() if "certificate-authority" not in line]
    path.write_text("\n".join(kept))
    api = KubernetesWorkflowApi(str(path))
    response = api.create(manifest(namespace), timeout=5)
    api.close()
    assert isinstance(response, Unreachable)
    assert "certificate" in response.reason.lower()


def test_a_pods_own_account_is_used(
    kubernetes: AnyKubernetes, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(kubernetes.service_account_token(namespace, "bridge"))
    cluster = yaml.safe_load(kubernetes.kubeconfig.read_text())["clusters"][0]["cluster"]
    inline = cluster.get("certificate-authority-data")
    authority.write_bytes(b64decode(inline) if inline else Path(cluster["certificate-authority"]).read_bytes())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    host, _, port = kubernetes.url.removeprefix("https://").rpartition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    _grant(kubernetes, namespace, ["create", "get"])
    api = KubernetesWorkflowApi()
    wait_for(lambda: attempt(api, manifest(namespace), OURS) == Done("created"))
    api.close()


def test_a_denial_by_an_admission_policy_waits_for_a_person(
    kubernetes: AnyKubernetes, api: KubernetesWorkflowApi, namespace: str
) -> None:
    name = f"deny.{namespace}"
    rule = {
        "apiGroups": ["argoproj.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["workflows"],
    }
    policy: Any = {
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "not on Fridays"}],
        },
    }
    binding: Any = {
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    }
    with kubernetes.api() as admin:
        rules = AdmissionregistrationV1Api(admin)
        rules.create_validating_admission_policy(policy)
        rules.create_validating_admission_policy_binding(binding)
        try:
            outcome = first_refusal(api, namespace)
        finally:
            rules.delete_validating_admission_policy_binding(name)
            rules.delete_validating_admission_policy(name)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.waits_for is WaitReason.PERMISSION
    assert "422" in outcome.reason
    assert "not on Fridays" in outcome.reason


def test_a_token_file_that_is_renewed_is_used_from_the_next_request_on(
    kubernetes: AnyKubernetes, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("expired\n", encoding="utf-8")
    config = yaml.safe_load(kubernetes.kubeconfig_for("expired").read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"tokenFile": "token"}
    (tmp_path / "config").write_text(yaml.safe_dump(config), encoding="utf-8")
    api = KubernetesWorkflowApi(str(tmp_path / "config"))
    try:
        assert isinstance(api.find("default", "w"), Unavailable)
        renewed = tmp_path / "renewed"
        renewed.write_text(f"{_admin_token(kubernetes)}\n", encoding="utf-8")
        renewed.replace(token)
        wait_for(lambda: api.find("default", "w") is None)
    finally:
        api.close()
