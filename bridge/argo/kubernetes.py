"""The Workflow API on a real cluster.

It takes the ``kubernetes`` client's configuration, credentials (renewed by it) and connection pool, and speaks HTTP on
that pool itself: a create then costs no object mapping, answers are read whole and their connections go back to the
pool, nothing is ever retried, and a failure tells whether the request was sent (:mod:`bridge.argo.sending`).
"""

from __future__ import annotations

import json
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from bridge.argo.api import Answer, Response, Unavailable, Unknown, Unreachable, WorkflowApi, bounded
from bridge.argo.cluster_config import cluster_client
from bridge.argo.sending import NotSentError, witness_connections
from bridge.argo.workflow import API_GROUP, API_VERSION, Plain, Workflow, WorkflowTemplate
from bridge.plain_text import plain_text

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

READ_TIMEOUT = 10.0
"""Seconds for a look-up."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_PATIENCE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_BODY_LIMIT = 8 * 1024 * 1024  # bytes of an answer that are read; what etcd stores is smaller
_BODY_SHOWN = 200  # characters of a body that is no JSON, for the error's text


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
        self._client = cluster_client(kubeconfig, context=context, connections=concurrency)
        self._pool = self._client.rest_client.pool_manager
        witness_connections(self._pool)
        self._base = f"{self._client.configuration.host.rstrip('/')}/apis/{API_GROUP}/{API_VERSION}/namespaces"
        self._read_timeout = read_timeout

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        """Ask once that a Workflow be created (:meth:`WorkflowApi.create`)."""
        namespace = manifest["metadata"]["namespace"]
        body = _ENCODER.encode(manifest).encode()
        return self._request("POST", f"{self._base}/{quote(namespace, safe='')}/workflows", body, timeout)

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        """Return the Workflow of that name (:meth:`WorkflowApi.find`)."""
        found = self._look("workflows", namespace, name)
        return found if found is None or isinstance(found, Unavailable) else Workflow.from_manifest(found)

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        """Return the WorkflowTemplate of that name (:meth:`WorkflowApi.template`)."""
        found = self._look("workflowtemplates", namespace, name)
        return found if found is None or isinstance(found, Unavailable) else WorkflowTemplate.from_manifest(found)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _look(self, plural: str, namespace: str, name: str) -> Plain | Unavailable | None:
        url = f"{self._base}/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
        response = self._request("GET", url, None, self._read_timeout)
        if not isinstance(response, Answer):
            return Unavailable(response.reason, passes=True)
        if response.status == HTTPStatus.OK and _is_named(response.object, namespace, name):
            return response.object
        # A server without Argo's CRDs answers 404 too, but in plain text: that says nothing of a Workflow.
        if response.status == HTTPStatus.NOT_FOUND and response.is_genuine:
            return None
        is_ill = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Unavailable(response.text(), passes=is_ill or response.status in _PATIENCE)

    def _request(self, method: str, url: str, body: bytes | None, timeout: float) -> Response:
        try:
            headers = self._headers(body)
        except Exception as error:  # noqa: BLE001  (credential plugins raise what they like, and nothing was sent yet)
            return Unreachable(bounded(f"the cluster's credentials could not be renewed: {error}"))
        limits = Timeout(total=timeout)
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=limits,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            data = _read(response)
        except NotSentError as error:
            return Unreachable(bounded(str(error)))
        except (HTTPError, OSError) as error:
            return Unknown(bounded(plain_text(error)))
        return _answer(response, data)

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers: dict[str, str] = {"Accept": "application/json", "User-Agent": "flowbridge"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        return headers


def _is_named(body: Plain | None, namespace: str, name: str) -> bool:
    metadata = (body or {}).get("metadata")
    return isinstance(metadata, dict) and (metadata.get("namespace"), metadata.get("name")) == (namespace, name)


def _read(response: BaseHTTPResponse) -> bytes:
    """Return the body, and give its connection back; of a body that never ends its beginning, without a connection."""
    try:
        data = response.read(_BODY_LIMIT)
    except BaseException:
        response.close()
        raise
    if len(data) == _BODY_LIMIT:
        response.close()
    response.release_conn()
    return data


def _answer(response: BaseHTTPResponse, data: bytes) -> Answer:
    body = _json_object(data)
    retry_after = _seconds(response.headers.get("Retry-After"))
    if response.status < HTTPStatus.BAD_REQUEST:
        return Answer(response.status, retry_after=retry_after, object=body)
    if body is None:
        shown = " ".join(data[: 4 * _BODY_SHOWN].decode(errors="replace")[:_BODY_SHOWN].split())
        return Answer(response.status, response.reason or "", shown, retry_after)
    reason, message = body.get("reason") or "", body.get("message") or ""
    return Answer(response.status, str(reason), str(message), retry_after, body)


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds a number or a date; None where it holds neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - time.time())
