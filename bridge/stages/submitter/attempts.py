"""Attempts: the work of the submitter's workers on a run, outside the stage loop, and its result.

A worker either reads the WorkflowTemplate of a run, or tries once to create its Workflow. It looks right before the
create whether the process still polls, and still owns the run: one that was paused for longer than its session does
nothing, since another may have taken its place.

What an attempt means for its run is decided here alone, by the table of :mod:`bridge.argo.doubt`. A run in doubt is
looked for before anything is concluded about it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import NamedTuple

from bridge.argo.api import WorkflowApi
from bridge.argo.create_attempt import (
    Confirmation,
    Dead,
    Done,
    NameOwner,
    Outcome,
    Parked,
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
from bridge.core.runs.parameters import ParameterError, check_size, default_parameters
from bridge.core.runs.run import Run
from bridge.stages.submitter.bulkheads import Bulkheads
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.templates import Missing, Templates

APPLIED_WITHIN: Micros = 90 * SECOND
"""How long after it was sent a create may be applied: the API server's own limit for a request (60 s unless its
``--request-timeout`` says otherwise), and half of that again for clocks and pauses."""


@dataclass(frozen=True, slots=True)
class Read:
    """The run's WorkflowTemplate was read."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A Workflow of the run may have come and gone: nobody can tell whether it ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """Its time to start has passed, and nothing was made of it."""


@dataclass(frozen=True, slots=True)
class NotFoundYet:
    """A look found nothing of the run: an earlier create may still be applied; or, without a doubt left, never will."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """The run gives its template less than that requires, so its Workflow would fail at once: none was created."""

    reason: str


Worked = Done | Retry | Parked | Dead | Read | Missing | Lost | TooLate | NotFoundYet | Lacking
"""What a worker comes to."""


class Result(NamedTuple):
    """What a worker came back with.

    Attributes:
        one: The run.
        outcome: What it came to.
        doubt: What may have been made under its intent from now on; None: surely nothing, or it is done.

    """

    one: OpenRun
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
        self._api = api
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

    def resolve_now(self, run: Run) -> Run | None:
        """Return the run with its parameters, if they need no question to the cluster; else None.

        Raises:
            ParameterError: The payload has no parameters that may be passed on, or lacks one that is required.

        """
        if run.parameters is not None:
            return run
        template = self.templates.known(run)
        return None if template is None else _with_defaults(run, template)

    def start_reading(self, run: OpenRun) -> None:
        """Ask for the run's WorkflowTemplate."""
        self._start(run, self._read, self._answers)

    def start_creating(self, run: OpenRun) -> None:
        """Try to create the run's Workflow; its intent is committed."""
        self._start(run, self._create, self._results)

    def start_looking(self, run: OpenRun) -> None:
        """Look for the Workflow of a run in doubt for which :meth:`has_to_look` holds."""
        self._start(run, self._create, self._results, is_look=True)

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

    def _start(
        self,
        run: OpenRun,
        work: Callable[[OpenRun], tuple[Worked, Doubt | None]],
        results: SimpleQueue[Result],
        *,
        is_look: bool = False,
    ) -> None:
        self.under_way += 1
        self._bulkheads.submit(run, lambda: results.put(self._guarded(run, work)), is_look=is_look)

    def _guarded(self, run: OpenRun, work: Callable[[OpenRun], tuple[Worked, Doubt | None]]) -> Result:
        began = self._clock()
        try:
            return Result(run, *work(run))
        except Exception as error:  # noqa: BLE001  (a worker that dies silently would hold its run for ever)
            outcome = Retry(bounded(f"{type(error).__name__}: {error}"), applied=None)
            return Result(run, outcome, None if run.intent is None else self._in_doubt(run.doubt, began))

    def _read(self, run: OpenRun) -> tuple[Worked, Doubt | None]:
        found = self.templates.read(run.run)
        return (found if isinstance(found, Missing) else Read()), None

    # -- creating ------------------------------------------------------------------------------------------------------

    def _create(self, open_run: OpenRun) -> tuple[Worked, Doubt | None]:
        """Try once to create the run's Workflow; look for it first where a create could make a second one."""
        run, doubt = open_run.run, open_run.doubt
        if open_run.is_dropped or not self._fresh():
            reason = "this process was paused for longer than its session, or its partition was revoked"
            return Retry(reason, applied=False), doubt
        if doubt is None:
            if self._is_late(run):
                return TooLate(), None
            lacking = self._lacking(run)
            return (Lacking(lacking), None) if lacking else self._try(open_run, None)
        missing = None
        if doubt.lifetime is None:
            found = self.templates.read(run)
            if isinstance(found, Missing) and not found.is_absent:
                missing = found
            else:
                doubt = replace(doubt, lifetime=self._lifetime_of(found))
        if missing is not None and missing.passes:
            return Retry(missing.reason, applied=None), doubt
        if doubt.may_create(self._clock(), self._applied_within) and not self._is_late(run):
            return self._try(open_run, doubt)
        return self._settle(open_run, doubt, None, missing)

    def _lacking(self, run: Run) -> str:
        """Return why the Workflow of a run would fail at once: parameters that its template requires; else nothing."""
        template = self.templates.lately(run)
        if template is None:
            return ""
        lacking = _lacking(template, {name for name, _ in run.parameters or ()})
        advice = "and the trigger's mapping does not fill it. Map it in the trigger, or give it a value in the template"
        return f"{lacking}, {advice}" if lacking else ""

    def _try(self, run: OpenRun, doubt: Doubt | None) -> tuple[Worked, Doubt | None]:
        """Send a create."""
        began = self._clock()
        outcome = attempt(self._api, workflow_manifest(run.run), run.run.run_key)
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
        self, open_run: OpenRun, doubt: Doubt, outcome: Outcome | None, missing: Missing | None
    ) -> tuple[Worked, Doubt | None]:
        """Return what follows for a run in doubt.

        Args:
            open_run: The run.
            doubt: What earlier creates may have made.
            outcome: What the create of this attempt came to; None when none was sent.
            missing: Why the lifetime of its Workflow is not known.

        """
        run, sent = open_run.run, Sent.NOTHING if outcome is None else _sent(outcome)
        look, age = None, Age.OPEN
        if sent in (Sent.NOTHING, Sent.REFUSED_FOR_NOW, Sent.REFUSED):
            began = self._clock()
            look = confirm(self._api, run.namespace, run.name, run.run_key)
            age = doubt.age(began, self._clock(), self._applied_within)
            if look.standing in (NameOwner.ABSENT, NameOwner.FOREIGN) and age is not Age.OUTLIVED:
                doubt = doubt.seen_absent(began)
        verdict = conclude(sent, age, look.standing if look else None, is_late=self._is_late(run))
        reason = open_run.reason if outcome is None or isinstance(outcome, Done) else outcome.reason
        if verdict is Verdict.DONE:
            return Done("already"), doubt
        if verdict is Verdict.LOST:
            return Lost(_lost(run, reason)), doubt
        if verdict is Verdict.IN_DOUBT:
            return _undecided(look, outcome, missing, reason), doubt
        if verdict is Verdict.SKIP:
            return TooLate(), None
        if outcome is None or verdict is Verdict.CREATE:
            return NotFoundYet("surely nothing was made by the creates before, so it is created as if never sent"), None
        return _worked(outcome), doubt if verdict is Verdict.TRY_AGAIN else None

    def _is_late(self, run: Run) -> bool:
        return run.start_by is not None and self._clock() >= run.start_by

    def _lifetime_of(self, template: WorkflowTemplate | Missing) -> Micros:
        """Return how long a finished Workflow lives at least; without its template none can do its work twice."""
        ttl = None if isinstance(template, Missing) else template.ttl
        return self._lifetime if ttl is None else round(ttl * SECOND)


def _sent(outcome: Outcome) -> Sent:
    """Return what a create came to, as the table of :mod:`bridge.argo.doubt` has it."""
    if isinstance(outcome, Retry):
        return Sent.UNKNOWN if outcome.applied is None else Sent.NOT_APPLIED
    kinds = {Done: Sent.MADE, Vanished: Sent.VANISHED, Parked: Sent.REFUSED_FOR_NOW, Dead: Sent.REFUSED}
    return kinds[type(outcome)]


def _worked(outcome: Outcome) -> Worked:
    """Return the outcome of a create that leaves no doubt."""
    return Retry(outcome.reason, applied=None) if isinstance(outcome, Vanished) else outcome


def _undecided(
    look: Confirmation | None, outcome: Outcome | None, missing: Missing | None, reason: str
) -> Retry | Parked | NotFoundYet:
    """Return the outcome of an attempt after which a run is still in doubt, though none of its creates is unknown."""
    if isinstance(outcome, Parked):
        return outcome
    if look is not None and look.standing is NameOwner.UNAVAILABLE:
        return Retry(look.reason, applied=None)
    if missing is not None:
        text = f"{missing.reason}, so nobody knows how long a Workflow of it lives, and whether one was there"
        return Parked(WaitReason.PERMISSION, text)
    return NotFoundYet(_unsettled(reason))


def _lost(run: Run, reason: str) -> str:
    return bounded(
        f"an earlier create of {run.name} had no usable answer ({reason or 'its process ended'}), and its Workflow may "
        "have run and been deleted since: look for traces of it, and publish the event again under another id if it "
        "did not run"
    )


_DOUBT = "an earlier create may still be applied, so it is looked for again"


def _unsettled(reason: str) -> str:
    return reason if _DOUBT in reason else bounded(f"{_DOUBT}: {reason}" if reason else _DOUBT)


def _emptied(queue: SimpleQueue[Result]) -> list[Result]:
    found: list[Result] = []
    with suppress(Empty):
        while True:
            found.append(queue.get_nowait())
    return found


def _with_defaults(run: Run, template: WorkflowTemplate) -> Run:
    names = [parameter.name for parameter in template.parameters]
    parameters = default_parameters(names, run.payload or "{}", allow_template_tags=run.allow_template_tags)
    lacking = _lacking(template, {name for name, _ in parameters})
    if lacking:
        raise ParameterError(
            f"{lacking}, and the event's payload has no such field. Publish the event with it, give it a value in the "
            "template, or map it in the trigger"
        )
    check_size(parameters)
    return run._replace(parameters=parameters, payload=None)


def _lacking(template: WorkflowTemplate, given: Collection[str]) -> str:
    """Return what a template requires and a run does not give, as the beginning of a sentence; else nothing."""
    lacking = [
        parameter.name for parameter in template.parameters if not parameter.has_default and parameter.name not in given
    ]
    texts = ", ".join([f"the parameter {name!r}" for name in lacking])
    return f"the WorkflowTemplate {template.namespace}/{template.name} requires {texts}" if lacking else ""


__all__ = [
    "Attempts",
    "Dead",
    "Done",
    "Lacking",
    "Lost",
    "Missing",
    "NotFoundYet",
    "Parked",
    "Read",
    "Result",
    "Retry",
    "TooLate",
    "Worked",
]
