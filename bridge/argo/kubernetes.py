"""The Workflow API on a real cluster."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.workflow import API_GROUP, API_VERSION, Workflow, WorkflowTemplate
from bridge.cluster.api_server import READ_TIMEOUT, ApiServer
from bridge.cluster.config import cluster_client
from bridge.cluster.responses import Answer, Plain, Response

_NAMESPACES = f"/apis/{API_GROUP}/{API_VERSION}/namespaces"
_PATIENCE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class KubernetesWorkflowApi(WorkflowApi):
    """The Workflow API of the cluster that a kubeconfig or the in-cluster account names.

    Args:
        kubeconfig: Path of a kubeconfig; None for KUBECONFIG, ``~/.kube/config``, the in-cluster account.
        context: Context of the kubeconfig; None for its current one.
        concurrency: How many requests are made at the same time; as many connections are kept.
        read_timeout: Seconds for a look-up.

    Raises:
        ClusterConfigError: No usable configuration.

    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        *,
        context: str | None = None,
        concurrency: int = 8,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        self._server = ApiServer(cluster_client(kubeconfig, context=context, connections=concurrency))
        self._read_timeout = read_timeout

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        """Ask once that a Workflow be created (:meth:`WorkflowApi.create`)."""
        namespace = quote(manifest["metadata"]["namespace"], safe="")
        return self._server.post(f"{_NAMESPACES}/{namespace}/workflows", manifest, timeout=timeout)

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        """Return the Workflow of that name (:meth:`WorkflowApi.find`)."""
        workflow = self._look("workflows", namespace, name)
        return workflow if workflow is None or isinstance(workflow, Unavailable) else Workflow.from_manifest(workflow)

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        """Return the WorkflowTemplate of that name (:meth:`WorkflowApi.template`)."""
        template = self._look("workflowtemplates", namespace, name)
        if template is None or isinstance(template, Unavailable):
            return template
        return WorkflowTemplate.from_manifest(template)

    def close(self) -> None:
        """Close all connections."""
        self._server.close()

    def _look(self, plural: str, namespace: str, name: str) -> Plain | Unavailable | None:
        """Return the object of that name, None if the API says that there is none."""
        path = f"{_NAMESPACES}/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
        response = self._server.get(path, timeout=self._read_timeout)
        if not isinstance(response, Answer):
            return Unavailable(response.reason, passes=True)
        metadata = (response.object or {}).get("metadata")
        is_named = isinstance(metadata, dict) and (metadata.get("namespace"), metadata.get("name")) == (namespace, name)
        if response.status == HTTPStatus.OK and is_named:
            return response.object
        # A server without Argo's CRDs also answers 404, but in plain text. This says nothing about a Workflow.
        if response.status == HTTPStatus.NOT_FOUND and response.is_genuine:
            return None
        is_ill = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Unavailable(response.text(), passes=is_ill or response.status in _PATIENCE)
