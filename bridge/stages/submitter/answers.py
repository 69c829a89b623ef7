"""The event that a worker's answer means for its run.

The attempt has concluded before what it may have made, by the table of :mod:`bridge.argo.doubt`. This module decides
for how long a run is put off, when it is given up, and which of its looks are written for the next owner.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bridge.argo.backoff import PROMPT, SLOW
from bridge.argo.doubt import Doubt
from bridge.core.decision import RunReason
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.runs.run import Run
from bridge.stages.submitter.attempts import (
    Dead,
    Done,
    Lacking,
    Lost,
    NotFoundYet,
    RefusedForNow,
    Retry,
    TooLate,
    Worked,
)
from bridge.stages.submitter.ledger.ledger_writer import lateness, what_for
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.run_events import (
    Buried,
    Created,
    LeftInDoubt,
    NothingMade,
    RefusedTooLong,
    RunEvent,
    SeenAbsent,
    Skipped,
    TemplateAwaited,
    TemplateRefused,
)
from bridge.stages.submitter.templates import TemplateUnread

KEPT_EVERY: Micros = MINUTE
"""A look is written when it shows for so much longer than the last written one that a run in doubt has no Workflow."""


class Answers:
    """Tells the event that an answer means.

    Args:
        retry_for: How long after its first refusal a run that is refused is tried again before it is a dead letter.
        random: Where jitter comes from.
        redacted_key: Returns the correlation key of a run as it may be shown.

    """

    def __init__(self, retry_for: Micros, random: Random, redacted_key: Callable[[Run], str]) -> None:
        self._retry_for = retry_for
        self._random = random
        self._redacted_key = redacted_key

    def after_reading(self, run: OpenRun, missing: TemplateUnread, due: Micros, now: Micros) -> RunEvent:
        """Return the event of a run whose WorkflowTemplate cannot be read; it is asked for again when it is due."""
        if missing.passes:
            return TemplateAwaited(due)
        if run.refused is None:
            return TemplateRefused(now, due, missing.reason)
        if now - run.refused >= self._retry_for:
            return Buried(RunReason.REFUSED, f"given up: {missing.reason}")
        return TemplateAwaited(due)

    def after_attempt(self, run: OpenRun, outcome: Worked, doubt: Doubt | None, now: Micros) -> RunEvent:
        """Return the event of a run after an attempt.

        Args:
            run: The run, as it was before.
            outcome: The result of the attempt.
            doubt: The Workflow that may have been made under its intent; None: surely none, or it is done.
            now: The time.

        """
        match outcome:
            case Done(kind):
                # A Workflow that exists after an attempt in doubt is that attempt's.
                is_ours = kind == "created" or run.in_doubt
                reason = RunReason.CREATED if is_ours else RunReason.ALREADY_RAN
                return Created(reason, what_for(run.run, self._redacted_key(run.run)))
            case TooLate():
                return Skipped(lateness(run))
            case Dead() | Lacking():
                return Buried(RunReason.REFUSED, outcome.reason)
            case Lost():
                return Buried(RunReason.OUTCOME_UNKNOWN, outcome.reason)
            case Retry() | RefusedForNow() | NotFoundYet():
                return self._tried_again(run, outcome, doubt, now)
            case _:
                raise TypeError(f"run {run.run.run_key} was sent, and its worker came back with {outcome}")

    def _tried_again(
        self, run: OpenRun, outcome: Retry | RefusedForNow | NotFoundYet, doubt: Doubt | None, now: Micros
    ) -> RunEvent:
        is_refused = isinstance(outcome, RefusedForNow)
        refused = now if run.refused is None else run.refused  # an earlier wait was no refusal
        if is_refused and now - refused >= self._retry_for:
            text = f"given up: {outcome.reason}"
            if doubt is None:
                return RefusedTooLong(RunReason.REFUSED, text)
            return Buried(RunReason.OUTCOME_UNKNOWN, text)
        due = now + self._delay(run, outcome, doubt, now)
        if doubt is None:
            return NothingMade(now, due, outcome.reason, is_refused)
        if run.intent is not None and doubt.absent_until >= run.intent + KEPT_EVERY:
            return SeenAbsent(now, due, outcome.reason, is_refused, doubt)
        return LeftInDoubt(now, due, outcome.reason, is_refused, doubt)

    def _delay(
        self, run: OpenRun, outcome: Retry | RefusedForNow | NotFoundYet, doubt: Doubt | None, now: Micros
    ) -> Micros:
        """Return how long a run is put off. In doubt it is looked for before its Workflow may be gone again."""
        if isinstance(outcome, NotFoundYet) and doubt is None:
            return 0
        after = None if isinstance(outcome, NotFoundYet) else outcome.after
        if doubt is not None and doubt.lifetime is None and isinstance(outcome, Retry):
            tries = 1  # its template is read with the next try: with a short TTL every second counts
        else:
            tries = max(1, run.attempts)
        delay = round(
            (SLOW if isinstance(outcome, RefusedForNow) else PROMPT).delay(tries, self._random, after) * SECOND
        )
        if doubt is None or doubt.lifetime is None:
            return delay
        left = doubt.absent_until + doubt.lifetime - now
        return delay if left <= 0 else min(delay, left // 2)
