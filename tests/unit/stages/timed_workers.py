"""A world whose workers take (simulated) time, as a create does on a cluster that is slow or hangs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cluster.responses import Plain, Response
from bridge.core.event import SECOND, Micros
from bridge.core.runs.run import Run
from bridge.core.trigger import RunPlan, Slot, Trigger
from bridge.stages.process import ProcessDependencies
from unit.stages.world import Process, World

Seconds = Callable[[Run], float]
"""How long a worker is busy with a run."""


class TimedExecutor(Executor):
    """A number of workers, each busy for a while with what it gets; the work takes effect at the end."""

    def __init__(self, world: TimedWorld, workers: int) -> None:
        self._world = world
        self._workers = workers
        self._queue: deque[Any] = deque()
        self._busy: list[tuple[Micros, Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del args, kwargs
        self._queue.append(fn)
        return Future()

    def go_on(self) -> None:
        """Finish what is done by now, and begin what workers are free for."""
        while True:
            while self._queue and len(self._busy) < self._workers:
                job = self._queue.popleft()
                self._busy.append((self._world.now + round(self._world.seconds(job.run.run) * SECOND), job))
            done = [entry for entry in self._busy if entry[0] <= self._world.now]
            if not done:
                return
            self._busy = [entry for entry in self._busy if entry not in done]
            for _, job in done:
                job()


class TimedWorld(World):
    """A world whose workers take time."""

    def __init__(self, *triggers: Trigger, seconds: Seconds = lambda _: 0.05, partitions: int = 2) -> None:
        self.seconds = seconds
        self.executors: list[TimedExecutor] = []
        super().__init__(*triggers, partitions=partitions)
        self.submitter = replace(self.submitter, answer_wait=0)  # no answer comes while a stage waits for it
        for trigger in triggers:
            self.api.add_namespace(trigger.run.namespace)

    def dependencies(self, process: Process) -> ProcessDependencies:
        def executor(workers: int) -> Executor:
            self.executors.append(TimedExecutor(self, workers))
            return self.executors[-1]

        return replace(super().dependencies(process), executor=executor)

    def round(self) -> None:
        for executor in self.executors:
            executor.go_on()
        super().round()

    def created_in(self, namespace: str) -> int:
        """Return how many Workflows were created in a namespace."""
        return sum(workflow.namespace == namespace for workflow in self.created)

    def answer_in(self, namespace: str, response: Response) -> None:
        """Have each create in a namespace answered so, without effect."""
        self.api.create = _Answering(self.api, namespace, response)  # type: ignore[method-assign]  # the same signature


class _Answering:
    def __init__(self, api: MemoryWorkflowApi, namespace: str, response: Response) -> None:
        self._create = api.create
        self._namespace = namespace
        self._response = response

    def __call__(self, manifest: Plain, *, timeout: float) -> Response:
        if manifest["metadata"]["namespace"] == self._namespace:
            return self._response
        return self._create(manifest, timeout=timeout)


def on_order(namespace: str = "team-a", name: str = "a", **run: Any) -> Trigger:
    """Return a trigger of one slot on ``order.created`` that runs in a namespace."""
    parameters = (("order", "order_created.payload.order"),)
    plan = RunPlan("ship", namespace, parameters, **run)
    return Trigger(namespace, name, (Slot("order.created", "order_created"),), plan, require=1)


def on_payment(namespace: str = "team-b", name: str = "b", **run: Any) -> Trigger:
    """Return a trigger of one slot on ``payment.done`` that runs in a namespace."""
    parameters = (("order", "payment_done.payload.order"),)
    plan = RunPlan("ship", namespace, parameters, **run)
    return Trigger(namespace, name, (Slot("payment.done", "payment_done"),), plan, require=1)
