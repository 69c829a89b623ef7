"""What the bridge reads of a Workflow and of a WorkflowTemplate, and the marks by which it knows its own.

A Workflow is ours for a run if it carries that run's key in the annotation :data:`RUN_KEY`; its name alone proves
nothing, since anybody may have taken it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.cluster.responses import Plain

API_GROUP = "argoproj.io"
API_VERSION = "v1alpha1"
PREFIX = "flowbridge.dev/"
"""Labels and annotations below this prefix are the bridge's; a trigger cannot set them."""
RUN_KEY = PREFIX + "run-key"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow as it is on the cluster.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        run_key: The run that it was created for; None for one that is not the bridge's.
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
        """Return what the bridge reads of an object that the API answered."""
        metadata = manifest["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            run_key=(metadata.get("annotations") or {}).get(RUN_KEY),
            terminating=metadata.get("deletionTimestamp") is not None,
            manifest=manifest,
        )


@dataclass(frozen=True, slots=True)
class TemplateParameter:
    """A parameter that a WorkflowTemplate takes. ``has_default``: a Workflow need not give it."""

    name: str
    has_default: bool


@dataclass(frozen=True, slots=True)
class WorkflowTemplate:
    """A WorkflowTemplate as it is on the cluster.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        parameters: What it takes, in its own order.
        ttl: Seconds after which a finished Workflow of it may be gone: the shortest of its ``ttlStrategy``. None
            when the template sets none (the controller's own default may still apply).

    """

    namespace: str
    name: str
    parameters: tuple[TemplateParameter, ...]
    ttl: float | None

    @classmethod
    def from_manifest(cls, manifest: Plain) -> WorkflowTemplate:
        """Return what the bridge reads of an object that the API answered; odd parts read as absent."""
        metadata = manifest["metadata"]
        spec = _mapping(manifest.get("spec"))
        return cls(metadata["namespace"], metadata["name"], _parameters(spec), _ttl(spec))


def _parameters(spec: Plain) -> tuple[TemplateParameter, ...]:
    listed = _mapping(spec.get("arguments")).get("parameters")
    if not isinstance(listed, list):
        return ()
    return tuple(
        TemplateParameter(item["name"], has_default=not item.keys().isdisjoint(("value", "default", "valueFrom")))
        for item in listed
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    )


def _ttl(spec: Plain) -> float | None:
    strategy = _mapping(spec.get("ttlStrategy"))
    fields = ("secondsAfterCompletion", "secondsAfterSuccess", "secondsAfterFailure")
    set_ones = [float(strategy[name]) for name in fields if isinstance(strategy.get(name), (int, float))]
    return min(set_ones, default=None)


def _mapping(value: object) -> Plain:
    return value if isinstance(value, dict) else {}
