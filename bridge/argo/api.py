"""The port to the Workflow API: what the bridge asks of a cluster, and nothing more.

Two things implement it: :mod:`bridge.argo.kubernetes` on a real API server, and :mod:`bridge.argo.memory` for tests
and for ``flowbridge dev``. One contract suite (``tests/contract/test_workflow_api.py``) holds both.

Nothing here raises for what a cluster or a network does: each outcome is a value. What decides about repeating a
create safely is kept apart from the beginning: the API *answered*, the request was *surely not sent*
(:class:`Unreachable`), or it was sent and nobody knows (:class:`Unknown`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from bridge.argo.workflow import Plain, Workflow, WorkflowTemplate

MESSAGE_LIMIT = 2_000
"""Characters of a text of the cluster that are passed on. A webhook may answer megabytes, and each text goes into the
ledger, into decisions, dead letters and logs."""


def bounded(text: str) -> str:
    """Return a text of the cluster as it is passed on: at most :data:`MESSAGE_LIMIT` characters, all valid Unicode.

    A longer text ends with a note of its whole length. Half a surrogate pair, which JSON may hold and UTF-8 may not,
    becomes a question mark.
    """
    shown = text[:MESSAGE_LIMIT].encode(errors="replace").decode()
    return shown if len(text) <= MESSAGE_LIMIT else f"{shown}… (the first {MESSAGE_LIMIT} of {len(text)} characters)"


@dataclass(frozen=True, slots=True)
class Answer:
    """The API's answer.

    Attributes:
        status: HTTP status.
        reason: The API's own word for a failure (``AlreadyExists``, ``Forbidden``); empty when there is none.
        message: The API's text for people, whole; of a body that is no JSON, its beginning.
        retry_after: Seconds that the answer asks to wait before the next try.
        object: The body, where it is a JSON object: what was created, or a ``Status``.

    """

    status: int
    reason: str = ""
    message: str = ""
    retry_after: float | None = None
    object: Plain | None = None

    @property
    def is_genuine(self) -> bool:
        """Tell whether a Kubernetes API gave this failure, rather than a proxy or another server in its place."""
        return self.object is not None and self.object.get("kind") == "Status"

    def text(self) -> str:
        """Return the answer for people, :func:`bounded`: ``403 Forbidden: exceeded quota …``."""
        return bounded(f"{self.status} {self.reason}".rstrip() + (f": {self.message}" if self.message else ""))


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The request was surely not sent: no name, no connection, no TLS, no token."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent, at least in part, and no answer came: it may have been applied, or still be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A question that got no usable answer; it says nothing about whether the object exists.

    Attributes:
        reason: Why, for people.
        passes: It passes by itself: nothing answered, or what answered asks for patience. False for a refusal, which
            somebody has to lift.

    """

    reason: str
    passes: bool = False


Response = Answer | Unreachable | Unknown


class WorkflowApi(ABC):
    """A cluster's Workflows and WorkflowTemplates. Safe for several threads."""

    @abstractmethod
    def create(self, manifest: Plain, *, timeout: float) -> Response:
        """Ask once, without any retry, that a Workflow be created.

        Args:
            manifest: A whole Workflow, with ``metadata.namespace`` and ``metadata.name``.
            timeout: Seconds to wait at most, connecting included.

        """

    @abstractmethod
    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        """Return the Workflow of that name, None if the API says that there is none."""

    @abstractmethod
    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        """Return the WorkflowTemplate of that name, None if the API says that there is none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""
