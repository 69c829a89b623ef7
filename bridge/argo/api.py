"""The port to the Workflow API, with all requests of the bridge to a cluster's Workflows and WorkflowTemplates.

Two modules implement it: :mod:`bridge.argo.kubernetes` on a real API server, and :mod:`bridge.argo.memory` for tests
and for ``flowbridge dev``. One contract suite (``tests/contract/test_workflow_api.py``) tests both.

Nothing here raises for an error of a cluster or a network. Each outcome is a value (:mod:`bridge.cluster.responses`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.argo.workflow import SeenWorkflow, Workflow, WorkflowTemplate
from bridge.cluster.responses import Plain, Response
from bridge.cluster.watch import Away, Change, Listing


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A look-up without a usable answer. It says nothing about whether the object exists.

    Attributes:
        reason: Why, for people.
        passes: True if it passes by itself, because nothing answered, or the answer asks to wait. False for a refusal,
            which a person must lift.

    """

    reason: str
    passes: bool = False


class PhaseWatch(Protocol):
    """A watch on the bridge's Workflows in a namespace. Nothing in it waits for the API."""

    @property
    def lists_begun(self) -> int:
        """Return how many lists were begun. A Workflow that exists now is in each list that begins after this."""

    def take(self) -> Sequence[Listing[SeenWorkflow] | Change[SeenWorkflow]] | Away:
        """Return the changes since the last call, in order, or why there can be none; a listing comes first."""

    def list_again(self) -> None:
        """Have all Workflows listed again."""

    def stop(self) -> None:
        """End the watch."""


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
    def phases(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable:
        """Return the phase of each Workflow of a namespace that has all these labels, by its name.

        The phase is ``status.phase``, and empty while Argo has not seen the Workflow. All phases are of one moment. A
        namespace that does not exist has no Workflows.

        Args:
            namespace: The namespace.
            selector: Labels with their values.

        """

    @abstractmethod
    def watch_phases(self, namespace: str) -> PhaseWatch:
        """Start a watch on the Workflows of a namespace that the bridge has created, with their phases."""

    @abstractmethod
    def terminate(self, namespace: str, name: str) -> Response:
        """Ask Argo once, without any retry, to stop a Workflow at once, as ``argo terminate`` does.

        An answer of 200 says that Argo will stop it. Its pods may still run for a moment. A Workflow that has finished
        stays as it is.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""
