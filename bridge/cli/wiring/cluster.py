"""Connect to Kubernetes as the settings say."""

from __future__ import annotations

from bridge.argo.api import WorkflowApi
from bridge.errors import KubernetesUnreachableError
from bridge.settings.settings import Settings
from bridge.stages.submitter.bulkheads import workers_for


def connect_cluster(settings: Settings, kubeconfig: str | None = None) -> WorkflowApi:
    """Return the connection to Kubernetes: KUBECONFIG, or the account of the pod.

    Raises:
        KubernetesUnreachableError: There is no usable configuration.

    """
    from bridge.argo.kubernetes import KubernetesWorkflowApi  # noqa: PLC0415
    from bridge.cluster.config import ClusterConfigError  # noqa: PLC0415  (0.4 s that others need not wait)

    try:
        return KubernetesWorkflowApi(kubeconfig, concurrency=workers_for(settings.concurrency))
    except ClusterConfigError as error:
        raise KubernetesUnreachableError(str(error)) from error
