"""The Workflow API in memory, for tests, the simulator, and ``flowbridge dev`` without a cluster.

It answers as a Kubernetes API server does, and in its words, in all cases that the bridge relies on: names that are
taken, missing namespaces, quota, objects that hold their names while they are being deleted, and finished Workflows
that disappear after the TTL of their template. Faults of a network are scripted: a :class:`Fault` for the next create,
or a cut that lasts. Nothing runs the Workflows. :meth:`MemoryWorkflowApi.finish` ends one.
"""

from __future__ import annotations

import copy
import itertools
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.workflow import (
    API_GROUP,
    MANAGED,
    RUN_KEY,
    SeenWorkflow,
    TemplateParameter,
    Workflow,
    WorkflowTemplate,
    phases_of,
)
from bridge.cluster.responses import Answer, Plain, Response, Unknown, Unreachable
from bridge.cluster.watch import Away, Change, Listing

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT = 253  # the API server's own; that Argo wants 63 is not its business
_RESOURCE = f"workflows.{API_GROUP}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a create.

    Attributes:
        response: The response that the caller gets.
        applied: The create takes effect nevertheless.

    """

    response: Response
    applied: bool = False


LOST_ANSWER = Fault(Unknown("timed out: the answer was lost"), applied=True)
LOST_REQUEST = Fault(Unknown("timed out: the request was lost"))
REFUSED_CONNECTION = Fault(Unreachable("connection refused"))


def answered(status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> Fault:
    """Return the fault that the API answers with a failure and applies nothing."""
    return Fault(_failure(status, reason, message, retry_after))


_Place = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class _Stored:
    manifest: dict[str, Any]
    ttl: float | None


class MemoryPhaseWatch:
    """A watch on a cluster in memory.

    Args:
        namespace: The namespace.
        seen: Returns the Workflows of the bridge in a namespace.
        is_cut: Returns whether the cluster cannot be reached.

    """

    def __init__(
        self, namespace: str, seen: Callable[[str], Sequence[SeenWorkflow]], is_cut: Callable[[], bool]
    ) -> None:
        self.namespace = namespace
        self.changes: list[Change[SeenWorkflow]] = []
        self.lists_begun = 0
        self._seen = seen
        self._is_cut = is_cut
        self._has_to_list = True

    def take(self) -> Sequence[Listing[SeenWorkflow] | Change[SeenWorkflow]] | Away:
        """Return the changes since the last call (:meth:`PhaseWatch.take`)."""
        if (self._has_to_list or self.changes) and self._is_cut():
            return Away("connection refused")
        changes, self.changes = self.changes, []
        if not self._has_to_list:
            return changes
        self._has_to_list = False
        self.lists_begun += 1
        return [Listing(self._seen(self.namespace), self.lists_begun)]

    def list_again(self) -> None:
        """List all Workflows at the next call."""
        self._has_to_list = True

    def stop(self) -> None:
        """Do nothing: a watch that nothing refers to ends."""


class MemoryWorkflowApi(WorkflowApi):
    """One cluster in memory. Safe for several threads.

    Args:
        clock: Seconds since the epoch, for TTLs and creation times.
        namespaces: Namespaces that exist.
        on_created: Called with each new Workflow, outside all locks, in the thread that created it.

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
        self._watches: weakref.WeakSet[MemoryPhaseWatch] = weakref.WeakSet()
        self._lock = threading.RLock()

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        """Create a Workflow, or answer with the next fault. ``timeout`` has a meaning only on a network."""
        del timeout
        with self._lock:
            if self._is_cut:
                return Unreachable("connection refused")
            fault = self._faults.popleft() if self._faults else None
            if fault is not None and not fault.applied:
                return fault.response
            self._forget_expired()
            namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
            answer = self._refusal(namespace, name)
            if answer is None:
                stored = copy.deepcopy(dict(manifest))
                stored["metadata"] |= {"uid": f"memory-{next(self._uids)}", "creationTimestamp": self._now()}
                reference = manifest.get("spec", {}).get("workflowTemplateRef", {}).get("name")
                template = self._templates.get((namespace, reference))
                self._workflows[namespace, name] = _Stored(stored, template.ttl if template is not None else None)
                self._tell("put", (namespace, name))
                answer = Answer(HTTPStatus.CREATED, object=copy.deepcopy(stored))
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

    def phases(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable:
        """Return the phase of each Workflow that has all these labels (:meth:`WorkflowApi.phases`)."""
        with self._lock:
            if self._is_cut:
                return Unavailable("connection refused", passes=True)
            self._forget_expired()
            homed = (stored.manifest for (home, _), stored in self._workflows.items() if home == namespace)
            return phases_of(homed, selector)

    def watch_phases(self, namespace: str) -> MemoryPhaseWatch:
        """Start a watch (:meth:`WorkflowApi.watch_phases`)."""
        watch = MemoryPhaseWatch(namespace, self._seen, lambda: self._is_cut)
        with self._lock:
            self._watches.add(watch)
        return watch

    def terminate(self, namespace: str, name: str) -> Response:
        """Note in a Workflow that it is to stop (:meth:`WorkflowApi.terminate`)."""
        with self._lock:
            if self._is_cut:
                return Unreachable("connection refused")
            self._forget_expired()
            stored = self._workflows.get((namespace, name))
            if stored is None:
                return _failure(HTTPStatus.NOT_FOUND, "NotFound", f'{_RESOURCE} "{name}" not found')
            stored.manifest.setdefault("spec", {})["shutdown"] = "Terminate"
            return Answer(HTTPStatus.OK, object=copy.deepcopy(stored.manifest))

    def close(self) -> None:
        """Do nothing. All Workflows stay, as they do on a cluster."""

    def workflows(self, namespace: str | None = None) -> list[Workflow]:
        """Return the Workflows that exist, of one namespace or of all, in order of creation."""
        with self._lock:
            self._forget_expired()
            return [
                Workflow.from_manifest(copy.deepcopy(stored.manifest))
                for (home, _), stored in self._workflows.items()
                if namespace in (None, home)
            ]

    def add_namespace(self, namespace: str) -> None:
        """Add a namespace."""
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
        """Add or replace a WorkflowTemplate.

        Args:
            namespace: Its namespace.
            name: Its name.
            parameters: Parameters without a default.
            defaults: Parameters with a default.
            ttl: Seconds after which a finished Workflow of it disappears.

        """
        listed = [TemplateParameter(each, has_default=False) for each in parameters]
        listed += [TemplateParameter(each, has_default=True) for each in defaults]
        with self._lock:
            self._templates[namespace, name] = WorkflowTemplate(namespace, name, tuple(listed), ttl)

    def remove_template(self, namespace: str, name: str) -> None:
        """Remove a WorkflowTemplate."""
        with self._lock:
            self._templates.pop((namespace, name), None)

    def set_quota(self, namespace: str, limit: int | None) -> None:
        """Set how many Workflows a namespace may hold at most; None for any number."""
        with self._lock:
            if limit is None:
                self._quotas.pop(namespace, None)
            else:
                self._quotas[namespace] = limit

    def finish(self, namespace: str, name: str, phase: str = "Succeeded") -> None:
        """Finish a Workflow now, in this phase. Its TTL starts here."""
        with self._lock:
            stored = self._workflows[namespace, name]
            stored.manifest.setdefault("status", {})["phase"] = phase
            self._tell("put", (namespace, name))
            if stored.ttl is not None:
                self._gone_at.setdefault((namespace, name), self._clock() + stored.ttl)

    def delete(self, namespace: str, name: str, *, held: bool = False) -> None:
        """Delete a Workflow. If it is ``held`` by a finalizer, it stays terminating until it is deleted again."""
        with self._lock:
            if held:
                metadata = self._workflows[namespace, name].manifest["metadata"]
                metadata["deletionTimestamp"] = self._now()
            else:
                self._remove((namespace, name))

    def fail_next(self, *faults: Fault) -> None:
        """Add faults for the next creates, in order."""
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

    def _refusal(self, namespace: str, name: str) -> Answer | None:
        """Return the refusal of an API server, which checks in this order."""
        if namespace not in self._namespaces:
            return _failure(HTTPStatus.NOT_FOUND, "NotFound", f'namespaces "{namespace}" not found')
        quota = self._quotas.get(namespace)
        if quota is not None and sum(1 for home, _ in self._workflows if home == namespace) >= quota:
            text = f"exceeded quota: memory, requested: count/{_RESOURCE}=1, limited: {quota}"
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

    def _forget_expired(self) -> None:
        now = self._clock()
        for place in [place for place, moment in self._gone_at.items() if now >= moment]:
            self._remove(place)

    def _seen(self, namespace: str) -> Sequence[SeenWorkflow]:
        """Return the Workflows of the bridge in a namespace."""
        with self._lock:
            self._forget_expired()
            stored = [stored for (home, _), stored in self._workflows.items() if home == namespace]
            return [_seen_of(each) for each in stored if _is_ours(each)]

    def _tell(self, kind: Literal["put", "deleted"], place: _Place) -> None:
        """Tell watches of a change."""
        stored = self._workflows[place]
        if self._watches and _is_ours(stored):
            for watch in self._watches:
                if watch.namespace == place[0]:
                    watch.changes.append(Change(kind, _seen_of(stored)))

    def _remove(self, place: _Place) -> None:
        self._tell("deleted", place)
        del self._workflows[place]
        self._gone_at.pop(place, None)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_ours(stored: _Stored) -> bool:
    return MANAGED.items() <= (stored.manifest["metadata"].get("labels") or {}).items()


def _seen_of(stored: _Stored) -> SeenWorkflow:
    metadata = stored.manifest["metadata"]
    phase = stored.manifest.get("status", {}).get("phase", "")
    return SeenWorkflow(metadata["name"], (metadata.get("annotations") or {}).get(RUN_KEY, ""), phase)


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
