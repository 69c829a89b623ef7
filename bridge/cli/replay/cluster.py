"""What the cluster says about the Workflows of a replay, where it can be asked."""

from __future__ import annotations

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.manifest import REPLAY as REPLAY_LABEL
from bridge.argo.manifest import TRIGGER as TRIGGER_LABEL
from bridge.argo.manifest import trigger_label
from bridge.cli.wiring.cluster import connect_cluster
from bridge.core.definition import Definition
from bridge.errors import KubernetesRefusedError, KubernetesUnreachableError
from bridge.replay.replays import Replay, definition_of
from bridge.settings.settings import Settings

_ENDED = frozenset({"Succeeded", "Failed", "Error"})
_BAD = frozenset({"Failed", "Error"})


class Cluster:
    """What the cluster says about Workflows, if it can be asked.

    Attributes:
        failing: Why it cannot be asked for failed Workflows; empty if it was.

    """

    def __init__(self, settings: Settings, *, is_needed: bool) -> None:
        self._api: WorkflowApi | None = None
        self._is_needed = is_needed
        self.failing = ""
        try:
            self._api = connect_cluster(settings)
        except KubernetesUnreachableError as error:
            if is_needed:
                raise
            self.failing = f"no cluster is asked ({error.found})"

    def failed(self, definition: Definition) -> set[str]:
        """Return the Workflows (``namespace/name``) of a trigger that have failed."""
        if self._api is None:
            return set()
        namespace = definition.trigger.run.namespace
        phases = self._api.phases(namespace, {TRIGGER_LABEL: trigger_label(definition.identity)})
        if isinstance(phases, Unavailable):
            if self._is_needed:
                raise KubernetesRefusedError(
                    f"the Workflows of {definition.identity} cannot be listed: {phases.reason}"
                )
            self.failing = phases.reason
            return set()
        return {f"{namespace}/{name}" for name, phase in phases.items() if phase in _BAD}

    def finished(self, replay: Replay) -> int | None:
        """Return how many Workflows of a replay have ended; None if the cluster cannot be asked."""
        phases = self.phases(replay)
        return None if phases is None else sum(phase in _ENDED for phase in phases.values())

    def phases(self, replay: Replay) -> dict[str, str] | None:
        """Return the phase of each Workflow of a replay; None if the cluster cannot be asked."""
        if self._api is None:
            return None
        phases = self._api.phases(definition_of(replay).trigger.run.namespace, {REPLAY_LABEL: replay.name})
        return None if isinstance(phases, Unavailable) else dict(phases)

    def terminate(self, replay: Replay) -> tuple[int, list[str]]:
        """Stop the Workflows of a replay that have not ended; return how many, and the errors."""
        if self._api is None:
            raise KubernetesUnreachableError(self.failing)
        namespace = definition_of(replay).trigger.run.namespace
        phases = self._api.phases(namespace, {REPLAY_LABEL: replay.name})
        if isinstance(phases, Unavailable):
            raise KubernetesRefusedError(f"the Workflows of replay {replay.name} cannot be listed: {phases.reason}")
        errors: list[str] = []
        stopped = 0
        for workflow, phase in phases.items():
            if phase in _ENDED:
                continue
            response = self._api.terminate(namespace, workflow)
            if getattr(response, "status", 0) == 200:  # noqa: PLR2004 - HTTP's OK
                stopped += 1
            else:
                errors.append(f"{namespace}/{workflow}: {response}")
        return stopped, errors
