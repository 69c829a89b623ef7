"""Write entries of the ledger, dead letters of runs, and the decisions that go with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bridge.core.decision import RunDecision, RunReason
from bridge.core.event import Micros, time_text
from bridge.core.runs.run import Run, RunPhase
from bridge.core.windows.window import Frame
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.log_fields import about
from bridge.stages.shared.dead_letters import DeadLetters
from bridge.stages.shared.run_records import encode_run
from bridge.stages.submitter.ledger.announcements import Announcements
from bridge.stages.submitter.ledger.followed_runs import EndedRun, FollowedRuns
from bridge.stages.submitter.ledger.ledger import RUNNING, LedgerPartition, State, encode_end, encode_entry
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.run_events import Buried, Created, RunEvent
from bridge.stages.submitter.run_life import Effect

logger = logging.getLogger(__name__)

_EVENTS_SHOWN = 5


class LedgerWriter:
    """Writes within the transaction of a batch.

    Args:
        topics: The internal topics.
        ledger: The partitions of the ledger that are owned, by number.
        frame: Returns the calendar window of a run's match; None for other windows.
        followed: Follows the Workflows of created runs.
        announcements: Announces runs that were created, have ended or were given up; None announces none.

    Attributes:
        entries: Carries out the effects that are written, within the transaction of the batch.

    """

    def __init__(
        self,
        topics: InternalTopics,
        ledger: Mapping[int, LedgerPartition],
        frame: Callable[[Run], Frame | None],
        followed: FollowedRuns,
        announcements: Announcements | None = None,
    ) -> None:
        self._topics = topics
        self._letters = DeadLetters(topics, "submitter")
        self._ledger = ledger
        self._frame = frame
        self._followed = followed
        self._announcements = announcements
        self.entries: Mapping[Effect, Callable[[OpenRun, RunEvent, Micros, Outbox], object]] = {
            Effect.WRITE_PARKED: self._park,
            Effect.WRITE_INTENT: lambda run, _, now, out: self.write("intent", run, now, out),
            Effect.WRITE_FINAL: self._end,
            Effect.ERASE: self._erase,
            Effect.WRITE_LETTER: self._write_dead_letter,
            Effect.DECIDE: self._decide,
        }

    def _park(self, run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        reason = run.reason
        run.reason = event.waits_for() or reason
        self.write("parked", run, now, out)
        run.reason = reason

    def _end(self, run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        self._ledger[run.partition].end(run, now)
        if isinstance(event, Created):
            made = run.run
            if made.traces:
                about = {"trigger": made.trigger, "run_key": made.run_key, "workflow": f"{made.namespace}/{made.name}"}
                out.trace(f"create {made.namespace}/{made.template}", made.traces, run.since, **about)
            has_room = self._followed.has_room()
            entry = self.write("done", run, now, out, RunPhase.RUNNING if has_room else RunPhase.UNKNOWN)
            if has_room:
                self._followed.follow(run.run.run_key, run.partition, entry)
        else:
            entry = self.write("dead" if isinstance(event, Buried) else "done", run, now, out)
        if self._announcements is not None:
            self._announcements.send(run.run.run_key, run.partition, entry, out)

    def write_end(self, ended: EndedRun, now: Micros, out: Outbox) -> None:
        """Write the entry of a created run again, whose Workflow has ended.

        The ledger may have forgotten the run meanwhile, and may have taken up another one of the same key. That one's
        entry stays.
        """
        ledger = self._ledger[ended.partition]
        if ended.run_key in ledger.open or ended.run_key in ledger.waiting_runs:
            return
        entry = encode_end(ended.entry, ended.phase, now)
        out.send(self._topics.ledger, ended.partition, ended.run_key.encode(), entry)
        if self._announcements is not None:
            self._announcements.send(ended.run_key, ended.partition, entry, out)

    def _erase(self, run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        del event, now
        self._ledger[run.partition].forget(run)
        out.send(self._topics.ledger, run.partition, run.run.run_key.encode(), None)

    def _decide(self, run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        del now
        decision = event.decision()
        if decision is not None:
            reason, evidence = decision
            attempts = {"attempts": str(run.attempts)} if run.state is RunState.ENDED else {}
            out.decisions.append(decide(reason, run, {**attempts, **evidence}))

    def write(self, state: State, run: OpenRun, now: Micros, out: Outbox, phase: RunPhase | None = None) -> bytes:
        """Write an entry of a run; return it. ``phase``: that of its Workflow, if it has one."""
        frame = self._frame(run.run) if state in ("done", "dead") else None
        entry = encode_entry(state, run, now, frame, phase)
        headers = RUNNING if phase is RunPhase.RUNNING else None
        out.send(self._topics.ledger, run.partition, run.run.run_key.encode(), entry, headers)
        run.written = now
        return entry

    def _write_dead_letter(self, open_run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        if not isinstance(event, Buried):
            raise TypeError(f"expected a run that is given up, got {event}")
        run = open_run.run
        self._letters.send(
            out,
            None,
            place=run.trigger,
            reason=event.reason,
            text=event.text,
            at=now,
            triggers=[run.trigger],
            run_key=run.run_key,
            value=open_run.body or encode_run(run),
        )
        if not event.is_logged:
            workflow = f"{run.namespace}/{run.name}"
            fields = about(trigger=run.trigger, run_key=run.run_key, workflow=workflow)
            logger.error("run %s is a dead letter (%s): %s", workflow, event.reason, event.text, extra=fields)

    def keep(self, record: Record, reason: str, text: str, now: Micros, out: Outbox) -> None:
        """Keep a record that cannot be read as a run as a dead letter; the caller logs it."""
        self._letters.send(out, record, place=record.topic, reason=reason, text=text, at=now)


def decide(reason: RunReason, open_run: OpenRun, evidence: Mapping[str, str]) -> RunDecision:
    """Return a decision about a run."""
    run = open_run.run
    if run.replay:
        evidence = {**evidence, "replay": run.replay}
    return RunDecision(reason, run.trigger, run.run_key, f"{run.namespace}/{run.name}", evidence)


def what_for(run: Run, key: str) -> dict[str, str]:
    """Return the evidence for a run: its events, and ``key``, its correlation key as it may be shown."""
    shown = [f"{event.name} {event.id}" for _, event in run.events[:_EVENTS_SHOWN]]
    if len(run.events) > _EVENTS_SHOWN:
        shown.append(f"and {len(run.events) - _EVENTS_SHOWN} more")
    return {**({"key": key} if key else {}), "events": ", ".join(shown)}


def lateness(run: OpenRun) -> dict[str, str]:
    """Return the evidence that it is too late to start a run."""
    return {"deadline": time_text(run.run.start_by or 0), "reached": time_text(run.run.reached)}
