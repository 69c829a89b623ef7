"""A Workflow of the bridge beside the one that Argo Events makes of the same Sensor and the same events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.installation import parameters
from flows.bed.meaning import same_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.installation import Manifest

_OURS = ("flowbridge.dev/", "app.kubernetes.io/managed-by")
_TIME_OF_CREATION = "events.argoproj.io/action-timestamp"


def differences(ours: Manifest, theirs: Manifest) -> list[str]:
    """Return how a Workflow of the bridge differs from the one that Argo Events makes; nothing is right.

    Labels and annotations ``flowbridge.dev/…`` and the label ``app.kubernetes.io/managed-by`` are ours, and the time in
    a label is Argo Events' own.
    """
    found, wanted = ours["metadata"], theirs["metadata"]
    told = [
        f"{part}: {_without_own(found.get(part))} instead of {_without_own(wanted.get(part))}"
        for part in ("labels", "annotations")
        if _without_own(found.get(part)) != _without_own(wanted.get(part))
    ]
    if not found["name"].startswith(wanted["generateName"]) or found["namespace"] != wanted["namespace"]:
        told.append(f"{found['namespace']}/{found['name']} instead of {wanted['namespace']}/{wanted['generateName']}…")
    told += [
        f"spec.{name}: {ours['spec'].get(name)} instead of {theirs['spec'].get(name)}"
        for name in sorted({*ours["spec"], *theirs["spec"]} - {"arguments"})
        if ours["spec"].get(name) != theirs["spec"].get(name)
    ]
    return told + _differing_parameters(parameters(ours), parameters(theirs))


def _differing_parameters(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    told = [] if list(ours) == list(theirs) else [f"parameters {list(ours)} instead of {list(theirs)}"]
    return told + [
        f"parameter {name}: {text} instead of {theirs[name]}"
        for name, text in ours.items()
        if name in theirs and not same_text(text, theirs[name])
    ]


def _without_own(pairs: Mapping[str, str] | None) -> dict[str, str]:
    return {
        name: value for name, value in (pairs or {}).items() if not name.startswith(_OURS) and name != _TIME_OF_CREATION
    }
