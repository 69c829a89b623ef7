"""Attempts: what the submitter's workers do with a run, away from the stage loop, and what it came to.

A worker either resolves a run's parameters from its WorkflowTemplate, or tries once to create its Workflow. It looks
right before the create whether the process still polls, and still owns the run: one that was paused for longer than its
session does nothing, since another may have taken its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import NamedTuple

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.creation import Dead, Done, Outcome, Parked, ParkedFor, Retry, Standing, attempt, confirm
from bridge.argo.manifest import workflow_manifest
from bridge.argo.workflow import WorkflowTemplate
from bridge.core.event import SECOND, Micros
from bridge.core.parameters import ParameterError, check_size, default_parameters
from bridge.core.run import Run
from bridge.stages.bulkheads import Bulkheads
from bridge.stages.open_run import OpenRun

TEMPLATE_LASTS: Micros = 10 * SECOND
"""How long a WorkflowTemplate that was read is taken for true."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A run whose parameters are known now."""

    run: Run


@dataclass(frozen=True, slots=True)
class Lost:
    """An intent older than any finished Workflow lives, and no Workflow is there: nobody can tell whether it ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """Its time to start has passed, and nothing was made of it."""


Worked = Outcome | Resolved | Lost | TooLate
"""What a worker comes to."""


class Result(NamedTuple):
    """What a worker came back with."""

    one: OpenRun
    outcome: Worked


class Attempts:
    """The workers.

    Args:
        api: The cluster.
        bulkheads: The workers, by namespace.
        clock: The process's clock.
        fresh: Tells whether the stage loop polled lately enough to still own its partitions.
        lifetime: How long a finished Workflow lives at least, when its template says nothing.

    """

    def __init__(
        self,
        api: WorkflowApi,
        bulkheads: Bulkheads,
        clock: Callable[[], Micros],
        fresh: Callable[[], bool],
        lifetime: Micros,
    ) -> None:
        self._api = api
        self._bulkheads = bulkheads
        self._clock = clock
        self._fresh = fresh
        self._lifetime = lifetime
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._answers: SimpleQueue[Result] = SimpleQueue()  # about templates: runs wait for these
        self._templates: dict[tuple[str, str], tuple[Micros, WorkflowTemplate]] = {}
        self._since: Micros | None = None
        self.under_way = 0

    def resolve_now(self, run: Run) -> Run | None:
        """Return the run with its parameters, if they need no question to the cluster; else None.

        Raises:
            ParameterError: The payload has no parameters that may be passed on.

        """
        if run.parameters is not None:
            return run
        read = self._templates.get((run.namespace, run.template))
        if read is None or self._clock() - read[0] > TEMPLATE_LASTS:
            return None
        return _with_defaults(run, read[1])

    def start_resolving(self, one: OpenRun) -> None:
        """Ask for the run's WorkflowTemplate."""
        self._start(one, self._resolve, self._answers)

    def start_creating(self, one: OpenRun) -> None:
        """Try to create the run's Workflow; its intent is committed."""
        self._start(one, self._create, self._results)

    @property
    def in_flight(self) -> int:
        """Return how many workers have not come back."""
        return self.under_way - self._results.qsize() - self._answers.qsize()

    def has_answers(self) -> bool:
        """Tell whether a worker came back with a WorkflowTemplate, or without."""
        return not self._answers.empty()

    def has_results(self) -> bool:
        """Return whether a worker came back from a create."""
        return not self._results.empty()

    def withdraw(self, partitions: Collection[int]) -> list[OpenRun]:
        """Take back what no worker has begun of runs of partitions; return the runs."""
        withdrawn = self._bulkheads.withdraw(partitions)
        self.under_way -= len(withdrawn)
        return withdrawn

    def results_age(self, now: Micros) -> Micros:
        """Return how long results of creates have been there, since this was first asked; below 0 if there are none."""
        if self._results.empty():
            return -1
        if self._since is None:
            self._since = now
        return now - self._since

    def results(self, seconds: float = 0) -> list[Result]:
        """Return what workers came back with, waiting at most ``seconds`` for the first create."""
        self._since = None
        found = _emptied(self._answers)
        with suppress(Empty):
            if seconds and not found:
                found.append(self._results.get(timeout=seconds))
        found += _emptied(self._results)
        self.under_way -= len(found)
        return found

    def _start(self, one: OpenRun, work: Callable[[OpenRun], Worked], results: SimpleQueue[Result]) -> None:
        self.under_way += 1
        self._bulkheads.submit(one, lambda: results.put(Result(one, self._guarded(one, work))))

    def _guarded(self, one: OpenRun, work: Callable[[OpenRun], Worked]) -> Worked:
        try:
            return work(one)
        except Exception as error:  # noqa: BLE001  (a worker that dies silently would hold its run for ever)
            return Retry(f"{type(error).__name__}: {error}", applied=None)

    def _resolve(self, one: OpenRun) -> Outcome | Resolved:
        run = one.run
        found = self._api.template(run.namespace, run.template)
        if isinstance(found, Unavailable):
            return Retry(f"its WorkflowTemplate could not be read: {found.reason}", applied=False)
        if found is None:
            reason = f"there is no WorkflowTemplate {run.namespace}/{run.template}"
            return Parked(ParkedFor.MISSING, reason)
        self._templates[run.namespace, run.template] = (self._clock(), found)
        try:
            return Resolved(_with_defaults(run, found))
        except ParameterError as error:
            return Dead(str(error))

    def _create(self, one: OpenRun) -> Worked:
        run, now = one.run, self._clock()
        if one.is_dropped or not self._fresh():
            return Retry("this process was paused for longer than its session, or let the run go", applied=False)
        is_old = one.intent is not None and now - one.intent > self._lifetime_of(run)
        is_late = run.start_by is not None and now >= run.start_by
        if is_late and not one.in_doubt:
            return TooLate()
        if is_old or is_late:
            look = confirm(self._api, run.namespace, run.name, run.run_key)
            if look.standing is Standing.UNAVAILABLE:
                return Retry(look.reason, applied=None)
            if look.standing is Standing.ABSENT and is_old:
                return Lost(f"created or not, since {run.name} may have finished and been deleted: {one.reason}")
            if look.standing is not Standing.OURS and is_late:
                return TooLate()
        return attempt(self._api, workflow_manifest(run), run.run_key)

    def _lifetime_of(self, run: Run) -> Micros:
        read = self._templates.get((run.namespace, run.template))
        ttl = read[1].ttl if read else None
        return self._lifetime if ttl is None else round(ttl * SECOND)


def _emptied(queue: SimpleQueue[Result]) -> list[Result]:
    found: list[Result] = []
    with suppress(Empty):
        while True:
            found.append(queue.get_nowait())
    return found


def _with_defaults(run: Run, template: WorkflowTemplate) -> Run:
    names = [parameter.name for parameter in template.parameters]
    parameters = default_parameters(names, run.payload or "{}", allow_template_tags=run.allow_template_tags)
    check_size(parameters)
    return run._replace(parameters=parameters, payload=None)


__all__ = ["Attempts", "Dead", "Done", "Lost", "Outcome", "Parked", "Resolved", "Result", "Retry", "TooLate"]
