"""Creating Workflows: by the real submitter from its topic, and by the same client without anything around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.clients.progress import Progress
from bench.clients.stages import collecting, dependencies
from bench.filling import bench_run
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.manifest import workflow_manifest
from bridge.cluster.responses import Answer
from bridge.core.decision import RunReason
from bridge.kafka.internal_topics import InternalTopics
from bridge.settings.groups import SubmitterSettings
from bridge.stages.process import open_loop

if TYPE_CHECKING:
    from bridge.core.decision import Decision, RunDecision

_CONCURRENCY = SubmitterSettings.concurrency
_SECONDS = 300.0
_CREATED = 201


def submit_runs(*, bootstrap: str, prefix: str, partitions: int, kubeconfig: str, count: int) -> dict[str, float]:
    """Run a submitter until it has created ``count`` Workflows; return their rate."""
    progress = Progress()

    def take(_: str, decisions: Sequence[Decision | RunDecision]) -> None:
        wrong = [decision for decision in decisions if decision.reason is not RunReason.CREATED]
        if wrong:
            raise ValueError(f"a run was not created: {wrong[0]}")
        progress.add(len(decisions))

    api = KubernetesWorkflowApi(kubeconfig, concurrency=_CONCURRENCY)
    loop = open_loop("submitter", dependencies(bootstrap, InternalTopics(prefix, partitions), sink=take, api=api))
    collector = collecting()
    loop.open()
    deadline = time.monotonic() + _SECONDS
    while progress.done < count:
        loop.step()
        collector.between_batches()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{progress.done} Workflows of {count}")
    loop.close()
    return {"rate": progress.rate(), "per_core": progress.per_core()}


def create_bare(*, kubeconfig: str, namespace: str, count: int) -> dict[str, float]:
    """Create ``count`` Workflows as fast as the client can; return their rate."""
    api = KubernetesWorkflowApi(kubeconfig, concurrency=_CONCURRENCY)
    manifests = [workflow_manifest(bench_run(namespace, number)) for number in range(count)]

    def create(manifest: dict[str, object]) -> None:
        answer = api.create(manifest, timeout=10)
        if not isinstance(answer, Answer) or answer.status != _CREATED:
            raise ValueError(f"not created: {answer}")

    progress = Progress()
    with ThreadPoolExecutor(_CONCURRENCY) as workers:
        for _ in workers.map(create, manifests):
            progress.add(1)
    return {"rate": progress.rate(), "per_core": progress.per_core()}
