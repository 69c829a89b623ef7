"""Attempts: the work of the submitter's workers on a run, outside the stage loop, and its result.

A worker either reads the WorkflowTemplate of a run, or tries once to create its Workflow. Right before the create it
checks that the process still polls and still owns the run. A process that was paused for longer than its session
creates nothing, since another may have taken its place.

Only this module concludes what an attempt may have made, by the table of :mod:`bridge.argo.doubt`. A run in doubt is
looked for before anything is concluded about it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

from bridge.argo.api import WorkflowApi
from bridge.argo.create_attempt import (
    Confirmation,
    Dead,
    Done,
    NameOwner,
    Outcome,
    RefusedForNow,
    Retry,
    Vanished,
    WaitReason,
    attempt,
    confirm,
)
from bridge.argo.doubt import Age, Doubt, Sent, Verdict, conclude
from bridge.argo.manifest import workflow_manifest
from bridge.argo.workflow import WorkflowTemplate
from bridge.cluster.responses import bounded
from bridge.core.event import SECOND, Micros
from bridge.core.runs.run import Run
from bridge.stages.submitter.bulkheads import Bulkheads
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.templates import Templates, TemplateUnread

APPLIED_WITHIN: Micros = 90 * SECOND
"""How long after it was sent a create may be applied: the API server's own limit for a request (60 s unless its
``--request-timeout`` says otherwise), and half of that again for clocks and pauses."""

_DOUBT = "an earlier create may still be applied, so it is looked for again"


@dataclass(frozen=True, slots=True)
class Read:
    """The run's WorkflowTemplate was read."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A Workflow of the run may have been there and be deleted: nothing shows whether it ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """Its time to start has passed, and nothing was made of it."""


@dataclass(frozen=True, slots=True)
class NotFoundYet:
    """A look found nothing of the run. An earlier create may still be applied, or, without a doubt left, never will."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """The run gives its template less than that requires, so its Workflow would fail at once: none was created."""

    reason: str


Worked = Done | Retry | RefusedForNow | Dead | Read | TemplateUnread | Lost | TooLate | NotFoundYet | Lacking
"""The outcome of a worker's attempt."""


class Result(NamedTuple):
    """The result of a worker.

    Attributes:
        run: The run.
        outcome: The outcome.
        doubt: What may have been made under its intent from now on; None: surely nothing, or it is done.

    """

    run: OpenRun
    outcome: Worked
    doubt: Doubt | None


class Attempts:
    """The workers.

    Args:
        api: The cluster.
        bulkheads: The workers, by namespace.
        clock: The process's clock.
        fresh: Tells whether the stage loop polled lately enough to still own its partitions.
        lifetime: How long a finished Workflow lives at least, when its template says nothing.
        templates: Reads WorkflowTemplates.
        applied_within: How long after it was sent a create may be applied.

    Attributes:
        api: The cluster.
        templates: The WorkflowTemplates.
        under_way: How many runs workers have.

    """

    def __init__(
        self,
        api: WorkflowApi,
        bulkheads: Bulkheads,
        clock: Callable[[], Micros],
        fresh: Callable[[], bool],
        lifetime: Micros,
        templates: Templates,
        applied_within: Micros = APPLIED_WITHIN,
    ) -> None:
        self.api = api
        self._bulkheads = bulkheads
        self._clock = clock
        self._fresh = fresh
        self._lifetime = lifetime
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._answers: SimpleQueue[Result] = SimpleQueue()  # about templates: runs wait for these
        self.templates = templates
        self._applied_within = applied_within
        self._since: Micros | None = None
        self.under_way = 0

    def start_reading(self, run: OpenRun) -> None:
        """Ask for the run's WorkflowTemplate."""
        self._start(run, self._read, self._answers)

    def start_creating(self, run: OpenRun, *, only_looks: bool = False) -> None:
        """Try to create the run's Workflow, or look for it if :meth:`has_to_look` holds.

        Args:
            run: The run. Its intent is committed, or it is sent ahead.
            only_looks: If it is in doubt, it is only looked for.

        """
        is_look = self.has_to_look(run, self._clock())
        self._start(run, partial(self._create, only_looks=only_looks), self._results, is_look=is_look)

    def has_to_look(self, run: OpenRun, now: Micros) -> bool:
        """Return whether a run's next attempt is surely a look: it is in doubt, and too late to be created again."""
        if run.doubt is None or run.doubt.lifetime is None:
            return False
        return self._is_late(run.run) or not run.doubt.may_create(now, self._applied_within)

    @property
    def in_flight(self) -> int:
        """Return how many workers have not come back."""
        return self.under_way - self._results.qsize() - self._answers.qsize()

    def has_answers(self) -> bool:
        """Return whether a worker's answer about a WorkflowTemplate is there."""
        return not self._answers.empty()

    def has_results(self) -> bool:
        """Return whether the result of a create is there."""
        return not self._results.empty()

    def withdraw(self, partitions: Collection[int]) -> list[OpenRun]:
        """Take back the work about runs of partitions that no worker has begun; return the runs."""
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
        """Take the results of workers, waiting at most ``seconds`` for the first create."""
        self._since = None
        results = _emptied(self._answers)
        with suppress(Empty):
            if seconds and not results:
                results.append(self._results.get(timeout=seconds))
        results += _emptied(self._results)
        self.under_way -= len(results)
        return results

    def _start(
        self,
        run: OpenRun,
        work: Callable[[OpenRun], tuple[Worked, Doubt | None]],
        results: SimpleQueue[Result],
        *,
        is_look: bool = False,
    ) -> None:
        """Have a worker do work about a run and put its result into a queue."""

        def job() -> None:
            began = self._clock()
            try:
                result = Result(run, *work(run))
            except Exception as error:  # noqa: BLE001  (a worker that dies silently would hold its run for ever)
                outcome = Retry(bounded(f"{type(error).__name__}: {error}"), applied=None)
                result = Result(run, outcome, None if run.intent is None else self._in_doubt(run.doubt, began))
            results.put(result)

        self.under_way += 1
        self._bulkheads.submit(run, job, is_look=is_look)

    def _read(self, run: OpenRun) -> tuple[Worked, Doubt | None]:
        template = self.templates.read(run.run)
        return (template if isinstance(template, TemplateUnread) else Read()), None

    # -- creating ------------------------------------------------------------------------------------------------------

    def _create(self, open_run: OpenRun, *, only_looks: bool) -> tuple[Worked, Doubt | None]:
        """Try once to create the run's Workflow; look for it first where a create could make a second one."""
        run, doubt = open_run.run, open_run.doubt
        if open_run.is_dropped or not self._fresh():
            reason = "this process was paused for longer than its session, or its partition was revoked"
            return Retry(reason, applied=False), doubt
        if doubt is None:
            if self._is_late(run):
                return TooLate(), None
            lacking = self.templates.lacking(run)
            return (Lacking(lacking), None) if lacking else self._try(open_run, None)
        missing = None
        if doubt.lifetime is None:
            template = self.templates.read(run)
            if isinstance(template, TemplateUnread) and not template.is_absent:
                missing = template
            else:
                doubt = replace(doubt, lifetime=self._lifetime_of(template))
        if missing is not None and missing.passes:
            return Retry(missing.reason, applied=None), doubt
        may_create = doubt.may_create(self._clock(), self._applied_within) and not only_looks
        if may_create and not self._is_late(run):
            return self._try(open_run, doubt)
        return self._settle(open_run, doubt, None, missing)

    def _try(self, run: OpenRun, doubt: Doubt | None) -> tuple[Worked, Doubt | None]:
        """Send a create."""
        began = self._clock()
        outcome = attempt(self.api, workflow_manifest(run.run), run.run.run_key)
        sent = _sent(outcome)
        if sent is Sent.UNKNOWN or (sent is Sent.VANISHED and doubt is None):
            return _worked(outcome), self._in_doubt(doubt, began)
        if sent is Sent.MADE or doubt is None:
            return _worked(outcome), doubt
        return self._settle(run, doubt, outcome, None)

    def _in_doubt(self, doubt: Doubt | None, began: Micros) -> Doubt:
        """Return the doubt after a create, begun at a time, that may have been applied."""
        now = self._clock()
        return Doubt(began, now) if doubt is None else doubt.sent_again(now)

    def _settle(
        self, open_run: OpenRun, doubt: Doubt, outcome: Outcome | None, missing: TemplateUnread | None
    ) -> tuple[Worked, Doubt | None]:
        """Return the outcome for a run in doubt, and the doubt that is left.

        Args:
            open_run: The run.
            doubt: What earlier creates may have made.
            outcome: The outcome of the create of this attempt; None if none was sent.
            missing: Why the lifetime of its Workflow is not known.

        """
        run, sent = open_run.run, Sent.NOTHING if outcome is None else _sent(outcome)
        look, age = None, Age.OPEN
        if sent in (Sent.NOTHING, Sent.REFUSED_FOR_NOW, Sent.REFUSED):
            began = self._clock()
            look = confirm(self.api, run.namespace, run.name, run.run_key)
            age = doubt.age(began, self._clock(), self._applied_within)
            if look.standing in (NameOwner.ABSENT, NameOwner.FOREIGN) and age is not Age.OUTLIVED:
                doubt = doubt.seen_absent(began)
        verdict = conclude(sent, age, look.standing if look else None, is_late=self._is_late(run))
        reason = open_run.reason if outcome is None or isinstance(outcome, Done) else outcome.reason
        if verdict is Verdict.DONE:
            return Done("already"), doubt
        if verdict is Verdict.LOST:
            text = (
                f"an earlier create of {run.name} had no usable answer ({reason or 'its process ended'}), and its "
                "Workflow may have run and been deleted since: look for traces of it, and publish the event again "
                "under another id if it did not run"
            )
            return Lost(bounded(text)), doubt
        if verdict is Verdict.IN_DOUBT:
            return _undecided(look, outcome, missing, reason), doubt
        if verdict is Verdict.SKIP:
            return TooLate(), None
        if outcome is None or verdict is Verdict.CREATE:
            return NotFoundYet("surely nothing was made by the creates before, so it is created as if never sent"), None
        return _worked(outcome), doubt if verdict is Verdict.TRY_AGAIN else None

    def _is_late(self, run: Run) -> bool:
        return run.start_by is not None and self._clock() >= run.start_by

    def _lifetime_of(self, template: WorkflowTemplate | TemplateUnread) -> Micros:
        """Return how long a finished Workflow lives at least; without its template none can do its work twice."""
        ttl = None if isinstance(template, TemplateUnread) else template.ttl
        return self._lifetime if ttl is None else round(ttl * SECOND)


def _sent(outcome: Outcome) -> Sent:
    """Return the outcome of a create in the terms of the table of :mod:`bridge.argo.doubt`."""
    if isinstance(outcome, Retry):
        return Sent.UNKNOWN if outcome.applied is None else Sent.NOT_APPLIED
    kinds = {Done: Sent.MADE, Vanished: Sent.VANISHED, RefusedForNow: Sent.REFUSED_FOR_NOW, Dead: Sent.REFUSED}
    return kinds[type(outcome)]


def _worked(outcome: Outcome) -> Worked:
    """Return the outcome of a create that leaves no doubt."""
    return Retry(outcome.reason, applied=None) if isinstance(outcome, Vanished) else outcome


def _undecided(
    look: Confirmation | None, outcome: Outcome | None, missing: TemplateUnread | None, reason: str
) -> Retry | RefusedForNow | NotFoundYet:
    """Return the outcome of an attempt after which a run is still in doubt, though none of its creates is unknown."""
    if isinstance(outcome, RefusedForNow):
        return outcome
    if look is not None and look.standing is NameOwner.UNAVAILABLE:
        return Retry(look.reason, applied=None)
    if missing is not None:
        text = f"{missing.reason}, so nobody knows how long a Workflow of it lives, and whether one was there"
        return RefusedForNow(WaitReason.PERMISSION, text)
    if _DOUBT in reason:  # the attempt before gave it
        return NotFoundYet(reason)
    return NotFoundYet(bounded(f"{_DOUBT}: {reason}" if reason else _DOUBT))


def _emptied(queue: SimpleQueue[Result]) -> list[Result]:
    results: list[Result] = []
    with suppress(Empty):
        while True:
            results.append(queue.get_nowait())
    return results


__all__ = [
    "Attempts",
    "Dead",
    "Done",
    "Lacking",
    "Lost",
    "NotFoundYet",
    "Read",
    "RefusedForNow",
    "Result",
    "Retry",
    "TemplateUnread",
    "TooLate",
    "Worked",
]
