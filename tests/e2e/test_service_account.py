"""``flowbridge run`` under the account that deploy/ gives it: it can do its job, and is refused a Secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.utils import create_from_dict

from e2e.installation import Installation, parameters
from servers.cluster import client_of

if TYPE_CHECKING:
    from servers.choice import AnyKafka, AnyKubernetes

BASE = Path(__file__).parents[2] / "deploy" / "base"
TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: refresh-model}
spec:
  events: [{name: %s}]
  run: {workflowTemplate: refresh-model}
"""


def test_the_bridge_does_its_job_under_its_own_account_and_is_refused_a_secret(
    kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path
) -> None:
    installation = Installation(kafka, kubernetes, tmp_path)
    namespace = installation.namespace
    with kubernetes.api() as api:
        for name in ("serviceaccount.yaml", "role.yaml", "rolebinding.yaml"):
            for manifest in yaml.safe_load_all((BASE / name).read_text(encoding="utf-8")):
                create_from_dict(api, manifest, namespace=namespace)
    token = kubernetes.service_account_token(namespace, "flowbridge")
    kubeconfig = kubernetes.kubeconfig_for(token, namespace=namespace)
    installation.create_template("refresh-model", rows=None)
    event = f"account.{installation.namespace}.updated"
    installation.write_triggers(TRIGGER % event)
    with installation.process(KUBECONFIG=str(kubeconfig)) as bridge:
        bridge.wait_ready()
        installation.wait_triggers("refresh-model")
        with installation.publisher() as publisher:
            publisher.publish(event, {"rows": 7})
        (workflow,) = installation.wait_workflows("refresh-model", 1)
        assert parameters(workflow) == {"rows": "7"}
    with client_of(kubeconfig) as api, pytest.raises(ApiException) as refused:
        CoreV1Api(api).list_namespaced_secret(namespace)
    assert refused.value.status == 403
