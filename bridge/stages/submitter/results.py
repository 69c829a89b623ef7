"""What the result of a worker means: for the health of its namespace, for WorkflowTemplates, and for its run.

The results of requests feed the circuit breakers (:mod:`bridge.stages.submitter.bulkheads`) and the log of outages.
:mod:`bridge.stages.submitter.answers` has the event that a result means for its run.

Each run that waits for the API server is tried again and again, and decided each time. The log has an outage once: one
warning when it begins and one line when it is over. It is one outage for all namespaces together, since most trouble is
the whole cluster's. There is at most one warning a minute, since trouble of one namespace ends with each success of
another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.core.event import MINUTE, SECOND, Micros
from bridge.kafka.observer import Observer
from bridge.stages.submitter.answers import Answers
from bridge.stages.submitter.attempts import Dead, Done, Read, RefusedForNow, Result, Retry
from bridge.stages.submitter.bulkheads import Bulkheads
from bridge.stages.submitter.run_book import RunBook
from bridge.stages.submitter.run_events import RunEvent, TemplateRead, TriedAgain
from bridge.stages.submitter.templates import Templates, TemplateUnread

logger = logging.getLogger(__name__)

_WARNING_PACE: Micros = MINUTE
_FORGOTTEN: Micros = 30 * MINUTE  # after this a failure is of runs that are gone: those that wait are tried more often


class ApiOutage:
    """Logs outages of the API server.

    Args:
        pace: A steady clock.

    """

    def __init__(self, pace: Callable[[], Micros]) -> None:
        self._pace = pace
        self._failing: dict[str, Micros] = {}  # when the newest request for a namespace failed
        self._began: Micros = 0
        self._warned: Micros | None = None
        self._is_logged = False

    def failed(self, namespace: str, reason: str) -> None:
        """Hear that a request for a run failed in a way that is not the run's."""
        now = self._pace()
        self._failing = {name: at for name, at in self._failing.items() if now - at <= _FORGOTTEN}
        if not self._failing:
            self._began, self._is_logged = now, False
        self._failing[namespace] = now
        if self._is_logged or (self._warned is not None and now - self._warned < _WARNING_PACE):
            return
        self._warned, self._is_logged = now, True
        logger.warning(
            "the API server does not serve runs of namespace %s: %s. They wait and are tried again", namespace, reason
        )

    def answered(self, namespace: str) -> None:
        """Hear that a request for a run was answered."""
        if self._failing.pop(namespace, None) is None or self._failing or not self._is_logged:
            return
        self._is_logged = False
        seconds = (self._pace() - self._began) / SECOND
        logger.info("the API server serves runs of namespace %s again, after %.0f s", namespace, seconds)


class Results:
    """Concludes results.

    Args:
        book: The runs.
        answers: Tells the event that an answer means.
        bulkheads: The workers, by namespace.
        templates: The WorkflowTemplates.
        outage: Logs outages of the API server.
        observer: Hears the outcomes of creates.

    """

    def __init__(
        self,
        book: RunBook,
        answers: Answers,
        bulkheads: Bulkheads,
        templates: Templates,
        outage: ApiOutage,
        observer: Observer,
    ) -> None:
        self._book = book
        self._answers = answers
        self._bulkheads = bulkheads
        self._templates = templates
        self._outage = outage
        self._observer = observer

    def conclude(self, result: Result, now: Micros) -> RunEvent | None:
        """Return the event that happens to a run because of a result; None if the run has another owner by now."""
        run, outcome, doubt = result
        if run.intent is None:
            if not self._book.owns(run):
                return None
            if isinstance(outcome, Read):
                self._templates.succeeded(run.run)
                return TemplateRead()
            missing = outcome if isinstance(outcome, TemplateUnread) else TemplateUnread(str(outcome), passes=True)
            if missing.passes:
                self._bulkheads.failed(run, now, was_reached=False)
                self._outage.failed(run.run.namespace, missing.reason)
            due = self._templates.failed(run.run, missing, now)
            return self._answers.after_reading(run, missing, due, now)
        label = "parked" if isinstance(outcome, RefusedForNow) else type(outcome).__name__.lower()
        self._observer.created(outcome.kind if isinstance(outcome, Done) else label)
        if not self._book.owns(run):
            return None
        match outcome:
            case Done() | RefusedForNow() | Dead():  # a create was answered; a look says nothing of creates
                self._bulkheads.succeeded(run)
                self._outage.answered(run.run.namespace)
            case Retry():
                self._bulkheads.failed(run, now, was_reached=outcome.applied is None)
                self._outage.failed(run.run.namespace, outcome.reason)
        if isinstance(outcome, Done):
            self._book.lanes.lane(run).last_created = now
            if outcome.kind == "created" and not (run.run.replay or run.run.repeats):
                self._observer.started(max(0, now - run.run.reached) / SECOND)
        event = self._answers.after_attempt(run, outcome, doubt, now)
        if isinstance(outcome, RefusedForNow) and isinstance(event, TriedAgain):
            # Anything else that is tried again is the trouble of the cluster, not of this run.
            log, seconds = logger.error if outcome.needs_operator else logger.info, (event.due - now) / SECOND
            log("run %s/%s is put off for %.1f s: %s", run.run.namespace, run.run.name, seconds, outcome.reason)
        return event
