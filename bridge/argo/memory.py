"""The Workflow API in memory: for tests, the simulator, and as ``flowbridge dev``'s stand-in for a cluster.

It answers as a Kubernetes API server does, in its words, for all that the bridge relies on: names that are taken,
namespaces that are missing, quota, objects that hold their names while they are being deleted, and finished Workflows
that disappear by their template's TTL. What a network does is scripted: a :class:`Fault` for the next create, or a
cut that lasts. Nothing runs the Workflows: :meth:`MemoryWorkflowApi.finish` says that one has ended.
"""

from __future__ import annotations

import copy
import itertools
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.workflow import API_GROUP, TemplateParameter, Workflow, WorkflowTemplate
from bridge.cluster.responses import Answer, Plain, Response, Unknown, Unreachable

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT = 253  # the API server's own; that Argo wants 63 is not its business
_RESOURCE = f"workflows.{API_GROUP}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls a create instead of its plain answer.

    Attributes:
        response: What the caller gets.
        applied: The create takes effect all the same.

    """

    response: Response
    applied: bool = False


LOST_ANSWER = Fault(Unknown("timed out: the answer was lost"), applied=True)
LOST_REQUEST = Fault(Unknown("timed out: the request was lost"))
REFUSED_CONNECTION = Fault(Unreachable("connection refused"))


def answered(status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> Fault:
    """Return the fault that the API itself answers with a failure, and applies nothing."""
    return Fault(_failure(status, reason, message, retry_after))


_Place = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class _Stored:
    manifest: dict[str, Any]
    ttl: float | None


class MemoryWorkflowApi(WorkflowApi):
    """One cluster in memory. Safe for several threads.

    Args:
        clock: Seconds since the epoch; what TTLs and creation times go by.
        namespaces: Namespaces that exist.
        on_created: Called with each Workflow that was created, outside all locks, in the creating thread.

    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        namespaces: Iterable[str] = ("default",),
        on_created: Callable[[Workflow], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_created = on_created
        self._namespaces = set(namespaces)
        self._workflows: dict[_Place, _Stored] = {}
        self._gone_at: dict[_Place, float] = {}  # finished Workflows with a TTL only, so that creates stay quick
        self._templates: dict[_Place, WorkflowTemplate] = {}
        self._quotas: dict[str, int] = {}
        self._faults: deque[Fault] = deque()
        self._is_cut = False
        self._uids = itertools.count(1)
        self._lock = threading.RLock()

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        """Create a Workflow, or answer as the next fault says; ``timeout`` only has a meaning on a network."""
        del timeout
        with self._lock:
            if self._is_cut:
                return Unreachable("connection refused")
            fault = self._faults.popleft() if self._faults else None
            if fault is not None and not fault.applied:
                return fault.response
            answer = self._created(manifest)
        if answer.status == HTTPStatus.CREATED and answer.object is not None and self._on_created is not None:
            self._on_created(Workflow.from_manifest(answer.object))
        return answer if fault is None else fault.response

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        """Return the Workflow of that name (:meth:`WorkflowApi.find`)."""
        with self._lock:
            if self._is_cut:
                return Unavailable("connection refused", passes=True)
            self._forget_expired()
            stored = self._workflows.get((namespace, name))
            return None if stored is None else Workflow.from_manifest(copy.deepcopy(stored.manifest))

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        """Return the WorkflowTemplate of that name (:meth:`WorkflowApi.template`)."""
        with self._lock:
            if self._is_cut:
                return Unavailable("connection refused", passes=True)
            return self._templates.get((namespace, name))

    def close(self) -> None:
        """Do nothing: what is stored stays, as it does on a cluster."""

    def workflows(self, namespace: str | None = None) -> list[Workflow]:
        """Return the Workflows that exist, of one namespace or of all, in order of creation."""
        with self._lock:
            self._forget_expired()
            found = [stored.manifest for (where, _), stored in self._workflows.items() if namespace in (None, where)]
            return [Workflow.from_manifest(copy.deepcopy(manifest)) for manifest in found]

    def add_namespace(self, namespace: str) -> None:
        """Let a namespace exist."""
        with self._lock:
            self._namespaces.add(namespace)

    def add_template(
        self,
        namespace: str,
        name: str,
        parameters: Iterable[str] = (),
        *,
        defaults: Iterable[str] = (),
        ttl: float | None = None,
    ) -> None:
        """Let a WorkflowTemplate exist.

        Args:
            namespace: Its namespace.
            name: Its name.
            parameters: Parameters without a default.
            defaults: Parameters with one.
            ttl: Seconds after which a finished Workflow of it disappears.

        """
        listed = [TemplateParameter(each, has_default=False) for each in parameters]
        listed += [TemplateParameter(each, has_default=True) for each in defaults]
        with self._lock:
            self._templates[namespace, name] = WorkflowTemplate(namespace, name, tuple(listed), ttl)

    def remove_template(self, namespace: str, name: str) -> None:
        """Let a WorkflowTemplate no longer exist."""
        with self._lock:
            self._templates.pop((namespace, name), None)

    def set_quota(self, namespace: str, limit: int | None) -> None:
        """Let a namespace hold at most ``limit`` Workflows; None for any number."""
        with self._lock:
            if limit is None:
                self._quotas.pop(namespace, None)
            else:
                self._quotas[namespace] = limit

    def finish(self, namespace: str, name: str) -> None:
        """Let a Workflow be finished now; from here its TTL counts."""
        with self._lock:
            ttl = self._workflows[namespace, name].ttl
            if ttl is not None:
                self._gone_at.setdefault((namespace, name), self._clock() + ttl)

    def delete(self, namespace: str, name: str, *, held: bool = False) -> None:
        """Delete a Workflow; one that is ``held`` by a finalizer stays terminating until it is deleted again."""
        with self._lock:
            if held:
                metadata = self._workflows[namespace, name].manifest["metadata"]
                metadata["deletionTimestamp"] = self._now()
            else:
                self._remove((namespace, name))

    def fail_next(self, *faults: Fault) -> None:
        """Let the next creates meet these faults, in order."""
        with self._lock:
            self._faults.extend(faults)

    def cut(self) -> None:
        """Refuse every connection until :meth:`mend`."""
        with self._lock:
            self._is_cut = True

    def mend(self) -> None:
        """Accept connections again."""
        with self._lock:
            self._is_cut = False

    def _created(self, manifest: Plain) -> Answer:
        self._forget_expired()
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        refusal = self._refusal(namespace, name)
        if refusal is not None:
            return refusal
        stored = copy.deepcopy(dict(manifest))
        stored["metadata"] |= {"uid": f"memory-{next(self._uids)}", "creationTimestamp": self._now()}
        self._workflows[namespace, name] = _Stored(stored, self._ttl(namespace, manifest))
        return Answer(HTTPStatus.CREATED, object=copy.deepcopy(stored))

    def _refusal(self, namespace: str, name: str) -> Answer | None:
        """Return what the API server would refuse, in the order in which it looks."""
        if namespace not in self._namespaces:
            return _failure(HTTPStatus.NOT_FOUND, "NotFound", f'namespaces "{namespace}" not found')
        if self._is_full(namespace):
            text = f"exceeded quota: memory, requested: count/{_RESOURCE}=1, limited: {self._quotas[namespace]}"
            return _failure(HTTPStatus.FORBIDDEN, "Forbidden", f'{_RESOURCE} "{name}" is forbidden: {text}')
        if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
            text = f'Workflow.{API_GROUP} "{name}" is invalid: metadata.name: Invalid value: "{name}"'
            return _failure(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", text)
        existing = self._workflows.get((namespace, name))
        if existing is None:
            return None
        text = f'{_RESOURCE} "{name}" already exists'
        if "deletionTimestamp" in existing.manifest["metadata"]:
            text = f"object is being deleted: {text}"
        return _failure(HTTPStatus.CONFLICT, "AlreadyExists", text)

    def _is_full(self, namespace: str) -> bool:
        limit = self._quotas.get(namespace)
        return limit is not None and sum(1 for where, _ in self._workflows if where == namespace) >= limit

    def _ttl(self, namespace: str, manifest: Plain) -> float | None:
        reference = manifest.get("spec", {}).get("workflowTemplateRef", {}).get("name")
        template = self._templates.get((namespace, reference))
        return None if template is None else template.ttl

    def _forget_expired(self) -> None:
        now = self._clock()
        for place in [place for place, moment in self._gone_at.items() if now >= moment]:
            self._remove(place)

    def _remove(self, place: _Place) -> None:
        del self._workflows[place]
        self._gone_at.pop(place, None)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _failure(status: int, reason: str, message: str, retry_after: float | None = None) -> Answer:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": int(status),
    }
    return Answer(int(status), reason, message, retry_after, body)
