"""The events of a run.

An event is a value. It has the change to the fields of its run, the decision that it means, and the reason for which a
parked run waits because of it. Which events can happen in which state is in :mod:`bridge.stages.submitter.run_life`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import override

from bridge.argo.doubt import Doubt
from bridge.core.decision import RunReason
from bridge.core.event import SECOND, Micros, time_text
from bridge.core.runs.limits import FOR_EVER, Wait
from bridge.core.runs.run import Run
from bridge.stages.submitter.open_run import OpenRun

FOR_ROOM, FOR_TEMPLATE = "waits for room", "waits for its WorkflowTemplate"
"""Reasons in the ledger of a parked run that was not refused. A run "waits for room" until a worker is free for it."""


class RunEvent:
    """Something that happens to a run."""

    __slots__ = ()

    def change(self, run: OpenRun) -> None:
        """Change the fields of a run, except the state."""

    def decision(self) -> tuple[RunReason, Mapping[str, str]] | None:
        """Return the reason and the evidence of the decision that the event means; None if it means none."""
        return None

    def waits_for(self) -> str | None:
        """Return the reason that a parked entry gives because of this event alone; None: that of the run."""
        return None


@dataclass(frozen=True, slots=True)
class LeftWaiting(RunEvent):
    """The batch ends, and the run had no turn in it: its trigger's limits keep it back, or no worker is free for it."""

    wait: Wait | None

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]] | None:
        if self.wait is None:
            return None
        until = {} if self.wait.until == FOR_EVER else {"until": time_text(self.wait.until)}
        because = {"because": self.wait.because} if self.wait.because else {}
        return RunReason.WAITING, {"waits_for": self.wait.why, **until, **because}

    @override
    def waits_for(self) -> str:
        return FOR_ROOM if self.wait is None else self.wait.why


@dataclass(frozen=True, slots=True)
class TurnGiven(RunEvent):
    """It is the run's turn, and ``resolved`` has its parameters."""

    now: Micros
    resolved: Run

    @override
    def change(self, run: OpenRun) -> None:
        if self.resolved is not run.run:
            run.run, run.body = self.resolved, None
        run.attempts += 1
        run.intent = self.now if run.intent is None else run.intent


@dataclass(frozen=True, slots=True)
class TurnGivenAtOnce(TurnGiven):
    """The same, and its create may be sent before the batch is committed: a new owner will take it for tried."""


@dataclass(frozen=True, slots=True)
class Unanswered(RunEvent):
    """It was sent ahead, and by the end of the batch it is not created: its intent has to be known."""


@dataclass(frozen=True, slots=True)
class TakenForTried(RunEvent):
    """A former owner may have sent its create ahead of a batch that was not committed.

    Attributes:
        absent_until: Up to this time it had surely no Workflow.
        now: The time; no create was sent after it.

    """

    absent_until: Micros
    now: Micros

    @override
    def change(self, run: OpenRun) -> None:
        run.attempts += 1
        run.intent, run.due = self.absent_until, self.now
        run.doubt = Doubt(self.absent_until, self.now)


@dataclass(frozen=True, slots=True)
class TemplateAsked(RunEvent):
    """It is the run's turn, and its WorkflowTemplate has to be read first."""

    @override
    def waits_for(self) -> str:
        return FOR_TEMPLATE


@dataclass(frozen=True, slots=True)
class TemplateRead(RunEvent):
    """A worker has read its WorkflowTemplate."""


@dataclass(frozen=True, slots=True)
class TemplateAwaited(RunEvent):
    """Its WorkflowTemplate cannot be read now, or cannot be read still."""

    due: Micros

    @override
    def change(self, run: OpenRun) -> None:
        run.due = self.due

    @override
    def waits_for(self) -> str:
        return FOR_TEMPLATE


@dataclass(frozen=True, slots=True)
class TemplateRefused(RunEvent):
    """Its WorkflowTemplate is missing or forbidden, and this is the first time that the run hears of it."""

    now: Micros
    due: Micros
    because: str

    @override
    def change(self, run: OpenRun) -> None:
        run.refused, run.reason, run.due = self.now, self.because, self.due

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return RunReason.WAITING, {"waits_for": "its WorkflowTemplate", "because": self.because}


@dataclass(frozen=True, slots=True)
class IntentCommitted(RunEvent):
    """The batch with its intent is committed."""


@dataclass(frozen=True, slots=True)
class TriedAgain(RunEvent):
    """An attempt is over, and the run is tried again when it is due.

    Attributes:
        now: The time.
        due: When it is tried again.
        because: The result of the attempt.
        is_refused: The API server refused it.

    """

    now: Micros
    due: Micros
    because: str
    is_refused: bool

    @override
    def change(self, run: OpenRun) -> None:
        run.due, run.reason = self.due, self.because
        if self.is_refused and run.refused is None:  # an earlier wait was no refusal
            run.refused = self.now

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return RunReason.RETRYING, {"because": self.because, "seconds": f"{(self.due - self.now) / SECOND:.1f}"}


@dataclass(frozen=True, slots=True)
class NothingMade(TriedAgain):
    """An attempt is over, and surely nothing was made: the intent is void."""

    @override
    def change(self, run: OpenRun) -> None:
        TriedAgain.change(self, run)
        _void(run)


@dataclass(frozen=True, slots=True)
class LeftInDoubt(TriedAgain):
    """An attempt is over, and it may have made a Workflow (``doubt``): the intent stands."""

    doubt: Doubt

    @override
    def change(self, run: OpenRun) -> None:
        TriedAgain.change(self, run)
        run.doubt = self.doubt


@dataclass(frozen=True, slots=True)
class SeenAbsent(LeftInDoubt):
    """The same, and looks have shown for so much longer that it has no Workflow that the next owner has to know."""

    @override
    def change(self, run: OpenRun) -> None:
        LeftInDoubt.change(self, run)
        run.intent = self.doubt.absent_until


@dataclass(frozen=True, slots=True)
class BecameDue(RunEvent):
    """It is time to try it again."""

    @override
    def change(self, run: OpenRun) -> None:
        run.due = None


@dataclass(frozen=True, slots=True)
class Postponed(RunEvent):
    """It became due, but enough runs are in memory: it becomes due again at ``due``."""

    due: Micros

    @override
    def change(self, run: OpenRun) -> None:
        run.due = self.due


@dataclass(frozen=True, slots=True)
class Created(RunEvent):
    """Its Workflow exists: by this run's attempts (``created``) or by another process (``already-ran``)."""

    reason: RunReason
    evidence: Mapping[str, str]

    @override
    def change(self, run: OpenRun) -> None:
        run.doubt = None
        _end(run, self.reason, run.reason)

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return self.reason, self.evidence


@dataclass(frozen=True, slots=True)
class Skipped(RunEvent):
    """No Workflow was made, and none will be: it is too late, or its trigger went while a storm held it."""

    evidence: Mapping[str, str]

    @override
    def change(self, run: OpenRun) -> None:
        _void(run)
        _end(run, RunReason.SKIPPED, ", ".join(f"{name} {text}" for name, text in self.evidence.items()))

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return RunReason.SKIPPED, self.evidence


@dataclass(frozen=True, slots=True)
class Cancelled(RunEvent):
    """Its replay is cancelled, and no Workflow was made: the ledger forgets it, so that a later replay may make it."""

    @override
    def change(self, run: OpenRun) -> None:
        _void(run)
        _end(run, RunReason.SKIPPED, "its replay was cancelled")

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return RunReason.SKIPPED, {"because": "its replay was cancelled"}


@dataclass(frozen=True, slots=True)
class Buried(RunEvent):
    """It is given up: a person has to look at it. ``is_logged``: the log of the process has it already."""

    reason: RunReason
    text: str
    is_logged: bool = False

    @override
    def change(self, run: OpenRun) -> None:
        _end(run, self.reason, self.text)

    @override
    def decision(self) -> tuple[RunReason, Mapping[str, str]]:
        return self.reason, {"because": f"{self.reason}: {self.text}"}


@dataclass(frozen=True, slots=True)
class RefusedTooLong(Buried):
    """The API server has refused it for too long, and surely nothing was made: its start counts for nothing."""

    @override
    def change(self, run: OpenRun) -> None:
        _void(run)
        Buried.change(self, run)


@dataclass(frozen=True, slots=True)
class Withdrawn(RunEvent):
    """Its partition is revoked, no worker has begun it, and nothing was made before: the intent is void."""

    @override
    def change(self, run: OpenRun) -> None:
        run.attempts -= 1
        _void(run)


@dataclass(frozen=True, slots=True)
class Revoked(RunEvent):
    """Its partition has another owner."""


def _void(run: OpenRun) -> None:
    """Take an intent back under which surely nothing was made."""
    if run.doubt is not None:
        # The rate was not asked for its retries, and may have dropped another run's start for one of them. To give this
        # start back could let too many runs start.
        run.started = None
    run.doubt = run.intent = None


def _end(run: OpenRun, reason: RunReason, text: str) -> None:
    run.reason = f"{reason}: {text}" if text else reason
