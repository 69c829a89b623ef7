"""Workflows and WorkflowTemplates as the bridge reads them, and the mark of the bridge's own Workflows.

A Workflow is ours for a run if it carries the key of this run in the annotation :data:`RUN_KEY`. Its name alone proves
nothing, because anyone may have taken it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.cluster.responses import Plain

API_GROUP = "argoproj.io"
API_VERSION = "v1alpha1"
PREFIX = "flowbridge.dev/"
"""Labels and annotations below this prefix belong to the bridge. A trigger cannot set them."""
RUN_KEY = PREFIX + "run-key"
MANAGED = {"app.kubernetes.io/managed-by": "flowbridge"}
"""The label of the bridge's Workflows."""

_PHASE_LABEL = "workflows.argoproj.io/phase"  # Argo's controller keeps it equal to status.phase


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow as it is on the cluster.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        run_key: The run that it was created for; None for a Workflow that the bridge did not create.
        terminating: It is being deleted, and holds its name until its finalizers are done.
        manifest: The whole object.

    """

    namespace: str
    name: str
    run_key: str | None
    terminating: bool
    manifest: Plain

    @classmethod
    def from_manifest(cls, manifest: Plain) -> Workflow:
        """Return the Workflow in an object that the API answered."""
        metadata = manifest["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            run_key=(metadata.get("annotations") or {}).get(RUN_KEY),
            terminating=metadata.get("deletionTimestamp") is not None,
            manifest=manifest,
        )


@dataclass(frozen=True, slots=True)
class SeenWorkflow:
    """A Workflow as a watch sees it.

    Attributes:
        name: Its name.
        run_key: The run that it was created for; empty for none.
        phase: Its phase in Argo's words; empty while Argo has given it none.

    """

    name: str
    run_key: str
    phase: str

    @classmethod
    def from_metadata(cls, manifest: Plain) -> SeenWorkflow:
        """Return the Workflow of which the API answered the metadata.

        Raises:
            KeyError, TypeError: It has no name.

        """
        metadata = manifest["metadata"]
        run_key = str(_mapping(metadata.get("annotations")).get(RUN_KEY) or "")
        return cls(str(metadata["name"]), run_key, str(_mapping(metadata.get("labels")).get(_PHASE_LABEL) or ""))


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """A parameter of a WorkflowTemplate. With ``has_default``, a Workflow need not give it."""

    name: str
    has_default: bool


@dataclass(frozen=True, slots=True)
class WorkflowTemplate:
    """A WorkflowTemplate as it is on the cluster.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        parameters: Its parameters, in its own order.
        ttl: Seconds after which a finished Workflow of it may be gone: the shortest of its ``ttlStrategy``. None
            when the template sets none (the controller's own default may still apply).

    """

    namespace: str
    name: str
    parameters: tuple[TemplateParameter, ...]
    ttl: float | None

    @classmethod
    def from_manifest(cls, manifest: Plain) -> WorkflowTemplate:
        """Return the WorkflowTemplate in an object that the API answered. A malformed part counts as absent."""
        metadata = manifest["metadata"]
        spec = _mapping(manifest.get("spec"))
        listed = _mapping(spec.get("arguments")).get("parameters")
        parameters = tuple(
            TemplateParameter(item["name"], has_default=not item.keys().isdisjoint(("value", "default", "valueFrom")))
            for item in (listed if isinstance(listed, list) else ())
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        )
        strategy = _mapping(spec.get("ttlStrategy"))
        names = ("secondsAfterCompletion", "secondsAfterSuccess", "secondsAfterFailure")
        ttls = [float(strategy[name]) for name in names if isinstance(strategy.get(name), (int, float))]
        return cls(metadata["namespace"], metadata["name"], parameters, min(ttls, default=None))


def phases_of(manifests: Iterable[Plain], selector: Mapping[str, str]) -> dict[str, str]:
    """Return the phase of each Workflow that has all these labels, by its name; empty while Argo has given it none.

    The API has selected by these labels already. A value with a comma is several conditions to it, and may select more.
    """
    return {
        manifest["metadata"]["name"]: str(_mapping(manifest.get("status")).get("phase") or "")
        for manifest in manifests
        if selector.items() <= _mapping(manifest["metadata"].get("labels")).items()
    }


def _mapping(value: object) -> Plain:
    return value if isinstance(value, dict) else {}
