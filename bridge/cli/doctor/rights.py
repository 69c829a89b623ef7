"""What the account of the bridge may do in a cluster, as the API server answers (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from bridge.argo.workflow import API_GROUP
from bridge.cli.doctor.finding import Finding
from bridge.cluster.api_server import ApiServer
from bridge.cluster.responses import Answer
from bridge.errors import KubernetesRefusedError, KubernetesUnreachableError

_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_EVENTS_GROUP = "events.k8s.io"


class Right(NamedTuple):
    """One verb on one kind of objects in a namespace."""

    namespace: str
    group: str
    resource: str
    verb: str


def needed_rights(namespaces: Iterable[str], sensor_namespaces: Iterable[str], *, follows: bool) -> list[Right]:
    """Return the rights that the bridge needs.

    Args:
        namespaces: Where the triggers' Workflows run.
        sensor_namespaces: Where Sensors are read.
        follows: Whether Workflows are followed to their end.

    """
    verbs = ["create", "get", *(["list", "watch"] if follows else [])]
    rights = []
    for namespace in sorted(set(namespaces)):
        rights += [Right(namespace, API_GROUP, "workflows", verb) for verb in verbs]
        rights.append(Right(namespace, API_GROUP, "workflowtemplates", "get"))
    for namespace in sorted(set(sensor_namespaces)):
        rights += [Right(namespace, API_GROUP, "sensors", verb) for verb in ("list", "watch")]
        rights += [Right(namespace, _EVENTS_GROUP, "events", verb) for verb in ("create", "patch")]
    return rights


def access_findings(server: ApiServer, rights: Iterable[Right]) -> Iterator[Finding]:
    """Yield the rights that the account lacks, one finding for each kind in a namespace.

    Raises:
        KubernetesUnreachableError: The API server gave no usable answer.
        KubernetesRefusedError: It does not let this account ask.

    """
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        asked = {"namespace": right.namespace, "group": right.group, "resource": right.resource, "verb": right.verb}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        response = server.post(_PATH, review)
        if not isinstance(response, Answer):
            raise KubernetesUnreachableError(f"the API server does not say what the account may do: {response.reason}")
        if response.status != HTTPStatus.CREATED or response.object is None:
            raise KubernetesRefusedError(f"the API server does not say what the account may do: {response.text()}")
        if not (response.object.get("status") or {}).get("allowed"):
            lacking.setdefault(right[:3], []).append(right.verb)
    for (namespace, group, resource), verbs in lacking.items():
        found = f"the account may not {', '.join(verbs)} {resource}.{group} in the namespace {namespace}"
        remedy = "bind the Role of deploy/base/role.yaml there"
        yield Finding("rights in the cluster", "error", f"namespace {namespace}", found, remedy)
