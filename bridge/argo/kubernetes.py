"""The Workflow API on a real cluster."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.workflow import API_GROUP, API_VERSION, MANAGED, SeenWorkflow, Workflow, WorkflowTemplate, phases_of
from bridge.cluster.api_server import READ_TIMEOUT, ApiServer
from bridge.cluster.config import cluster_client
from bridge.cluster.responses import Answer, Plain, Response
from bridge.cluster.watch import Watch

_NAMESPACES = f"/apis/{API_GROUP}/{API_VERSION}/namespaces"
_PATIENCE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GONE)  # 410: a list expired
_PAGE = 500  # Workflows in a page of a list, as kubectl asks for them
_TERMINATE = {"spec": {"shutdown": "Terminate"}}


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
        return self._server.post(_path("workflows", manifest["metadata"]["namespace"]), manifest, timeout=timeout)

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

    def phases(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable:
        """Return the phase of each Workflow that has all these labels (:meth:`WorkflowApi.phases`)."""
        listed = self._listed(namespace, selector)
        if isinstance(listed, Answer) and listed.status == HTTPStatus.GONE:
            listed = self._listed(namespace, selector)  # all pages are of one moment, which the server has forgotten
        return _failure(listed) if isinstance(listed, Answer) else listed

    def watch_phases(self, namespace: str) -> Watch[SeenWorkflow]:
        """Watch the metadata of the bridge's Workflows (:meth:`WorkflowApi.watch_phases`)."""
        path = _path("workflows", namespace)
        return Watch(self._server, path, MANAGED, SeenWorkflow.from_metadata, only_metadata=True)

    def terminate(self, namespace: str, name: str) -> Response:
        """Ask Argo to stop a Workflow at once (:meth:`WorkflowApi.terminate`)."""
        return self._server.patch(_path("workflows", namespace, name), _TERMINATE, timeout=self._read_timeout)

    def close(self) -> None:
        """Close all connections."""
        self._server.close()

    def _listed(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable | Answer:
        """Return the phases in all pages of a list, or what the API answered instead of a page."""
        query = {"labelSelector": ",".join(f"{label}={value}" for label, value in selector.items())}
        query["limit"] = str(_PAGE)
        phases: dict[str, str] = {}
        while True:
            response = self._server.list(_path("workflows", namespace), query)
            if not isinstance(response, Answer):
                return Unavailable(response.reason, passes=True)
            if response.status != HTTPStatus.OK:
                return response
            body: Any = response.object
            try:
                phases |= phases_of(body["items"], selector)
                rest = body["metadata"].get("continue")
            except (KeyError, TypeError, AttributeError):
                return Unavailable("expected a list of Workflows, got another body, or one that is too large")
            if not rest:
                return phases
            query["continue"] = rest

    def _look(self, plural: str, namespace: str, name: str) -> Plain | Unavailable | None:
        """Return the object of that name, None if the API says that there is none."""
        response = self._server.get(_path(plural, namespace, name), timeout=self._read_timeout)
        if not isinstance(response, Answer):
            return Unavailable(response.reason, passes=True)
        metadata = (response.object or {}).get("metadata")
        is_named = isinstance(metadata, dict) and (metadata.get("namespace"), metadata.get("name")) == (namespace, name)
        if response.status == HTTPStatus.OK and is_named:
            return response.object
        # A server without Argo's CRDs also answers 404, but in plain text. This says nothing about a Workflow.
        if response.status == HTTPStatus.NOT_FOUND and response.is_genuine:
            return None
        return _failure(response)


def _path(plural: str, *names: str) -> str:
    """Return the path of the objects of a namespace, or of the object of that name in it."""
    namespace, *name = (quote(each, safe="") for each in names)
    return "/".join((_NAMESPACES, namespace, plural, *name))


def _failure(answer: Answer) -> Unavailable:
    is_ill = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Unavailable(answer.text(), passes=is_ill or answer.status in _PATIENCE)
