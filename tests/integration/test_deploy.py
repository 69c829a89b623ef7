"""The promises of deploy/ on a real API server: it takes the manifests, and the Role is enough and no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result
from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi, RbacAuthorizationV1Api
from kubernetes.utils import create_from_dict

from bridge.argo.api import Unavailable
from bridge.argo.create_attempt import Done, attempt
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.workflow import MANAGED, RUN_KEY, Workflow
from bridge.cli.main import cli
from bridge.cluster.responses import Answer
from bridge.errors import ExitCode
from servers.cluster import client_of

if TYPE_CHECKING:
    from servers.choice import AnyKubernetes

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "base"
ACCOUNT = "flowbridge"
RUN = "r" * 52
ARGO = ("argoproj.io", "v1alpha1")


@pytest.fixture
def account(kubernetes: AnyKubernetes, namespace: str) -> Path:
    """A kubeconfig of the account that the base creates in a namespace of the test's own."""
    with kubernetes.api() as api:
        apply(api, BASE, namespace)
        create_template(api, namespace)
    return kubernetes.kubeconfig_for(kubernetes.service_account_token(namespace, ACCOUNT), namespace=namespace)


def apply(api: ApiClient, base: Path, namespace: str) -> None:
    """Create all that a kustomize base names, as the API server takes it in its strictest mood."""
    for name in yaml.safe_load((base / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]:
        for manifest in yaml.safe_load_all((base / name).read_text(encoding="utf-8")):
            create_from_dict(api, manifest, namespace=namespace, field_validation="Strict")


def create_template(api: ApiClient, namespace: str) -> None:
    metadata = {"name": "refresh-model", "namespace": namespace}
    spec = {"arguments": {"parameters": [{"name": "rows"}]}, "ttlStrategy": {"secondsAfterCompletion": 3_600}}
    body = {"apiVersion": "/".join(ARGO), "kind": "WorkflowTemplate", "metadata": metadata, "spec": spec}
    CustomObjectsApi(api).create_namespaced_custom_object(*ARGO, namespace, "workflowtemplates", body)


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what the API server comes to know a moment later: new rights, for one."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def checked(kubeconfig: Path, namespace: str) -> Result:
    runner = CliRunner(env={"KUBECONFIG": str(kubeconfig), "FLOWBRIDGE_NAMESPACE": namespace})
    return runner.invoke(cli, ["check", str(BASE / "triggers.yaml"), "--cluster", "-o", "json"])


def test_the_account_of_the_base_can_do_the_bridges_work(account: Path, namespace: str) -> None:
    eventually(lambda: checked(account, namespace).exit_code == ExitCode.OK)
    numbers = json.loads(checked(account, namespace).stdout)
    assert numbers == {"triggers": 1, "files": 1, "errors": 0, "warnings": 0}
    annotations = {RUN_KEY: RUN}
    metadata = {"name": "refresh-model-1", "namespace": namespace, "annotations": annotations, "labels": MANAGED}
    workflow = {"apiVersion": "/".join(ARGO), "kind": "Workflow", "metadata": metadata, "spec": {}}
    api = KubernetesWorkflowApi(str(account))
    try:
        assert attempt(api, workflow, RUN) == Done("created")
        assert attempt(api, workflow, RUN) == Done("already")
        assert api.phases(namespace, MANAGED) == {"refresh-model-1": ""}
    finally:
        api.close()


def test_the_account_of_the_base_is_refused_all_else(
    kubernetes: AnyKubernetes,
    account: Path,
    namespace: str,
) -> None:
    eventually(lambda: checked(account, namespace).exit_code == ExitCode.OK)
    body: Any = {"metadata": {"name": "credentials"}, "stringData": {"password": "geheim"}}
    with kubernetes.api() as admin:
        CoreV1Api(admin).create_namespaced_secret(namespace, body)
    with client_of(account) as api:
        core, objects = CoreV1Api(api), CustomObjectsApi(api)
        forbidden: list[Callable[[], object]] = [
            lambda: core.read_namespaced_secret("credentials", namespace),
            lambda: core.list_namespaced_secret(namespace),
            lambda: core.list_namespaced_config_map(namespace),
            lambda: core.list_namespaced_pod(namespace),
            lambda: objects.delete_namespaced_custom_object(*ARGO, namespace, "workflowtemplates", "refresh-model"),
            lambda: objects.list_cluster_custom_object(*ARGO, "workflows"),
            lambda: objects.list_namespaced_custom_object(*ARGO, "default", "workflows"),
            lambda: objects.patch_namespaced_custom_object(*ARGO, namespace, "workflows", "refresh-model-1", {}),
            lambda: objects.get_namespaced_custom_object(*ARGO, "default", "workflowtemplates", "refresh-model"),
        ]
        for ask in forbidden:
            with pytest.raises(ApiException) as refusal:
                ask()
            assert refusal.value.status == 403


def test_the_role_of_replays_is_enough_to_count_and_to_terminate_and_for_nothing_else(
    kubernetes: AnyKubernetes,
    account: Path,
    namespace: str,
) -> None:
    metadata = {"name": "refresh-model-1", "namespace": namespace, "labels": {"replay": "gap"}}
    workflow: dict[str, Any] = {"apiVersion": "/".join(ARGO), "kind": "Workflow", "metadata": metadata, "spec": {}}
    token = kubernetes.service_account_token(namespace, "replayer")
    group = "rbac.authorization.k8s.io"
    binding: Any = {
        "metadata": {"name": "flowbridge-replay"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "flowbridge-replay"},
        "subjects": [{"kind": "ServiceAccount", "name": "replayer", "namespace": namespace}],
    }
    with kubernetes.api() as admin:
        CustomObjectsApi(admin).create_namespaced_custom_object(*ARGO, namespace, "workflows", workflow)
        RbacAuthorizationV1Api(admin).create_namespaced_role_binding(namespace, binding)
    with closing(KubernetesWorkflowApi(str(account))) as bridge:
        refused = bridge.terminate(namespace, "refresh-model-1")
        assert isinstance(refused, Answer)
        assert refused.status == HTTPStatus.FORBIDDEN
    with closing(KubernetesWorkflowApi(str(kubernetes.kubeconfig_for(token, namespace=namespace)))) as api:
        eventually(lambda: api.phases(namespace, {"replay": "gap"}) == {"refresh-model-1": ""})
        terminated = api.terminate(namespace, "refresh-model-1")
        assert isinstance(terminated, Answer)
        assert terminated.status == HTTPStatus.OK
        created = api.create({**workflow, "metadata": {**metadata, "name": "other"}}, timeout=10)
        assert isinstance(created, Answer)
        assert created.status == HTTPStatus.FORBIDDEN
        found = api.find(namespace, "refresh-model-1")
        assert isinstance(found, Workflow)
        assert found.manifest["spec"]["shutdown"] == "Terminate"
        assert isinstance(api.template(namespace, "refresh-model"), Unavailable)


def test_a_namespace_that_the_account_may_not_look_at_ends_a_check_with_4(account: Path) -> None:
    result = checked(account, "default")
    assert result.exit_code == ExitCode.KUBERNETES
    assert "403 Forbidden" in result.stderr
    assert "deploy/base/role.yaml" in result.stderr


def test_the_gateway_stands_beside_the_bridge_and_may_do_nothing(
    kubernetes: AnyKubernetes, account: Path, namespace: str
) -> None:
    with kubernetes.api() as admin:
        apply(admin, DEPLOY / "gateway", namespace)
        core: Any = CoreV1Api(admin)
        assert core.read_namespaced_service("flowbridge-gateway", namespace).spec.ports[0].port == 12_000
        maps = {item.metadata.name for item in core.list_namespaced_config_map(namespace).items}
        apps: Any = AppsV1Api(admin)
        pod = apps.read_namespaced_deployment("flowbridge-gateway", namespace).spec.template.spec
    named = {source.config_map_ref.name for source in pod.containers[0].env_from if source.config_map_ref}
    assert named <= maps
    token = kubernetes.service_account_token(namespace, pod.service_account_name)
    eventually(lambda: checked(account, namespace).exit_code == ExitCode.OK)  # rights have spread by then
    with client_of(kubernetes.kubeconfig_for(token, namespace=namespace)) as api:
        core, objects = CoreV1Api(api), CustomObjectsApi(api)
        forbidden: list[Callable[[], object]] = [
            lambda: core.list_namespaced_secret(namespace),
            lambda: core.list_namespaced_config_map(namespace),
            lambda: core.list_namespaced_pod(namespace),
            lambda: objects.list_namespaced_custom_object(*ARGO, namespace, "workflows"),
            lambda: objects.get_namespaced_custom_object(*ARGO, namespace, "workflowtemplates", "refresh-model"),
        ]
        for ask in forbidden:
            with pytest.raises(ApiException) as refusal:
                ask()
            assert refusal.value.status == 403
