"""The submitter: creates the Workflow of each run, once, and keeps the ledger.

A run goes through the ledger in this order. An *intent* is committed, with the parameters resolved, together with the
offset of the run's record. Only then the create is sent. Its outcome is committed with a later batch. So whenever a
process dies in between, the next owner finds the intent and tries again under the same name. A definite refusal voids
the intent. Then the run is *parked*, with all that it needs, until it is tried again. Runs that find no room yet, or
that their trigger's limits keep back, are parked the same way.

Nothing waits behind another trigger's or another namespace's runs. All runs are taken up from the log as they come.
Those that wait lie on disk (:mod:`bridge.stages.submitter.run_book`), and each namespace has its share of the workers
(:mod:`bridge.stages.submitter.bulkheads`). The log is held back only while the API server is unreachable for all.

It records what it reads and hears, and decides nothing about a run by itself: a record or a worker's answer
(:mod:`bridge.stages.submitter.answers`) becomes an event, the event happens to the run by the table of
:mod:`bridge.stages.submitter.run_life`, and the effects of that are carried out in their order.

While much waits, transactions are few and large. Intents are written well ahead of their creates, and more of them when
half are done.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from bridge.core.decision import Reason, RunReason
from bridge.core.event import DAY, MINUTE, SECOND, Micros
from bridge.core.runs.parameters import ParameterError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import LogError, Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import NewerFormatError, RecordError, UnreadableRecordError
from bridge.kafka.stage import Stage
from bridge.stages.shared.run_records import decode_run
from bridge.stages.shared.unreadable_records import set_aside
from bridge.stages.submitter.answers import Answers
from bridge.stages.submitter.api_outage import ApiTrouble
from bridge.stages.submitter.attempts import Attempts, Dead, Done, Parked, Read, Result, Retry, Worked
from bridge.stages.submitter.bulkheads import Bulkheads
from bridge.stages.submitter.lanes import Lane
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.ledger.ledger_writer import LedgerWriter, decide, lateness
from bridge.stages.submitter.limits_in_force import LimitsInForce
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.run_book import RunBook
from bridge.stages.submitter.run_events import (
    Buried,
    IntentCommitted,
    PassedOver,
    RunEvent,
    Skipped,
    TemplateAsked,
    TemplateRead,
    TriedAgain,
    TurnGiven,
    Withdrawn,
)
from bridge.stages.submitter.run_life import Effect
from bridge.stages.submitter.templates import Missing

logger = logging.getLogger(__name__)

_DRAIN = 10  # looks for creates that are about to end when partitions are revoked, and
_DRAIN_LOOK = 0.2  # seconds for each
_WHILE_BUSY = 0.02  # seconds between looks for outcomes while creates are in flight; new runs are not waited for
_AT_ONCE = 2_000  # runs that one batch takes up
_SKIPPED_AT_ONCE = 1_000  # runs that one batch skips because their trigger went
_REWRITTEN_AT_ONCE = 500  # entries of each partition that one batch writes again before retention takes them
_PROGRESS: Micros = 10 * SECOND  # a trigger that created a Workflow so lately gets on, however much of it waits
_STEP: Micros = 5 * SECOND  # the wall clock moves less than that by being adjusted, and more by being set
_HOLD = 1.0  # seconds that a partition of the log is held back at the bound of a trigger that gets on
_LOGGED_EVERY: Micros = MINUTE


@dataclass(frozen=True)
class Limits:
    """How the submitter behaves under load and trouble.

    Attributes:
        concurrency: Creates that the API server is asked to do at a time.
        retry_for: How long after its first refusal a run that is refused is tried again before it is a dead letter.
        outcome_pace: How long an outcome waits for others, or for new runs, to share a transaction with, while more
            creates are in flight; a twentieth of that when none is.
        backlog: Runs that may wait while the API server is unreachable; beyond it the log is held back.
        parked: Runs of one trigger that may wait, on disk; a run beyond that is a dead letter.
        parked_bytes: Their bytes; the same.

    """

    concurrency: int = 8
    retry_for: Micros = DAY
    outcome_pace: Micros = SECOND
    backlog: int = 1_000
    parked: int = 1_000_000
    parked_bytes: int = 2 * 1024**3


class ClockSteppedError(LogError):
    """The wall clock was set: what was counted and put off by it is read again from the ledger.

    Runs would otherwise wait for as long as the clock was ahead. What a former clock noted there is held against the
    time at which Kafka took the note (:mod:`bridge.stages.submitter.ledger.ledger_restore`).
    """

    def __init__(self, step: Micros) -> None:
        super().__init__(f"the wall clock was put {'forward' if step > 0 else 'back'} by {abs(step) / SECOND:.0f} s")


class Submitter(Stage):
    """Create and verify, on the stage loop.

    Args:
        topics: The internal topics.
        governing: What triggers say of their runs now.
        attempts: What workers do with a run.
        bulkheads: The workers, by namespace.
        read_ledgers: Reads partitions of the ledger; returns them by number.
        clock: The process's clock.
        pace: A steady clock, by which it sees that the other one was set.
        random: Where jitter comes from.
        limits: Bounds.
        observer: Hears the outcomes of creates.

    """

    name = "submitter"
    purges = True

    def __init__(
        self,
        topics: InternalTopics,
        governing: LimitsInForce,
        attempts: Attempts,
        bulkheads: Bulkheads,
        read_ledgers: Callable[[Collection[Partition]], dict[int, LedgerPartition]],
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        random: Random,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self._topics = topics
        self._limits_in_force = governing
        self._attempts = attempts
        self._bulkheads = bulkheads
        self._templates = attempts.templates
        self._trouble = ApiTrouble(pace)
        self._read_ledgers = read_ledgers
        self._clock = clock
        self._pace = pace
        self._lead = clock() - pace()
        self._limits = limits
        self._observer = observer
        self.book = RunBook(governing.limits_of)
        self._writer = LedgerWriter(topics, self.book.ledger)
        self._answers = Answers(limits.retry_for, random, governing.redacted_key)
        self._held: set[str] = set()
        self._unread: set[str] = set()
        self._given_up: dict[str, str] = {}  # why, by the key of a run whose processing raised an exception

    # -- the stage -----------------------------------------------------------------------------------------------------

    def topics(self) -> frozenset[str]:
        """Return the one topic of runs.

        Raises:
            ClockSteppedError: The wall clock was put forward or back.

        """
        step = self._clock() - self._pace() - self._lead
        if abs(step) > _STEP:
            raise ClockSteppedError(step)
        if self._limits_in_force.refresh_when_due():
            self.book.lanes.reconsider(self._clock())
        self._bulkheads.look()
        return frozenset([self._topics.runs])

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Restore the ledger of partitions; runs that have not ended are tried again."""
        self._limits_in_force.refresh()
        self.book.lanes.reconsider(self._clock())
        restored = self._read_ledgers([Partition(self._topics.ledger, partition.number) for partition in offsets])
        for number, ledger in restored.items():
            self.book.restore(number, ledger)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions; results of their creates that are still under way are ignored."""
        numbers = {partition.number for partition in partitions}
        self._attempts.withdraw(numbers)
        self.book.drop(numbers)

    def appetite(self) -> int:
        """Return how many more runs to take up: only an API server that is unreachable holds back the log.

        Otherwise a run that could start at once may stand behind others in the log.
        """
        if self._bulkheads.is_unreachable():
            return max(0, self._limits.backlog - self.book.lanes.waiting())
        return _AT_ONCE

    def patience(self) -> float:
        """Return a short time while outcomes are to be expected."""
        return _WHILE_BUSY if self._attempts.under_way else 0.5

    def is_due(self, now: Micros) -> bool:
        """Return whether a worker came back, a run waited long enough, or creates in flight become few."""
        pace = self._limits.outcome_pace // (1 if self._attempts.in_flight else 20)
        if self._attempts.has_answers() or self._attempts.results_age(now) >= pace:
            return True
        if self.book.is_due(now):
            return True
        return any(
            self._bulkheads.wants(namespace, now) or self._may_look(namespace, now)
            for namespace in self.book.namespaces(now)
        )

    def _may_look(self, namespace: str, now: Micros) -> bool:
        """Return whether a run in doubt of a namespace has to be looked for, and can be."""
        if not self._bulkheads.free_look_slots(namespace):
            return False
        return self.book.has_doubtful(namespace, lambda run: self._attempts.has_to_look(run, now))

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Commit outcomes, take up runs, and write the intents of those that can be tried now."""
        now = self._clock()
        for ledger in self.book.ledger.values():
            ledger.final.forget(now)
        for result in self._attempts.results():
            out.at = result.one
            self._conclude(result, now, out)
        while records:
            record = records.popleft()
            if Partition(record.topic, record.partition) not in out.held:
                out.at = record
                self._take_up(record, now, out)
        out.at = None
        for run in self.book.wake(now):
            out.at = run
            self._happens(run, Skipped(lateness(run)), now, out)
        out.at = None
        self._intend(now, out)
        self._park_rest(now, out)
        self._write_again(now, out)

    def set_aside(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        """Keep a run that cannot be taken up as a dead letter; the ledger knows it from then on, if it can be read."""
        now = self._clock()
        try:
            body = record.value or b""
            run = OpenRun(decode_run(body), record.partition, since=now, body=body)
        except Exception:  # noqa: BLE001  (what made the trouble may also prevent this)
            self._writer.keep(record, reason, text, now, out)
            return
        if self.book.ledger[record.partition].knows(run.run.run_key):
            self._writer.keep(record, reason, text, now, out)
        else:
            self._happens(run, Buried(RunReason.FAILED, text), now, out)

    def record_failure(self, culprit: object, text: str) -> bool:
        """Give up a run of the ledger when its turn comes again: a dead letter, and nothing of it is tried."""
        if not isinstance(culprit, OpenRun) or culprit.run.run_key in self._given_up:
            return False
        self._given_up[culprit.run.run_key] = text
        return True

    def committed(self) -> None:
        """Send the creates whose intents are committed."""
        for run in self.book.take_begun():
            for effect in self.book.advance(run, IntentCommitted()):
                self._give_work(effect, run)
        held = dict(self.book.lanes.held())
        for trigger in (*held, *(self._held - held.keys())):
            self._observer.held(trigger, held.get(trigger, 0))
        self._held = set(held)
        unread = set(self._templates.unread(self._clock()))
        for template in unread ^ self._unread:
            self._observer.unread(template, is_unread=template in unread)
        self._unread = unread

    def release(self, partitions: Collection[Partition], out: Outbox) -> None:
        """Commit the outcomes of creates that are about to end; what is still open is the next owner's.

        A create that was not sent yet is taken back, and its intent with it. One that has become slow is not waited
        for, since the whole group waits meanwhile: its intent stands.
        """
        numbers = {partition.number for partition in partitions}
        for run in self._attempts.withdraw(numbers):
            if self.book.owns(run) and run.intent is not None and not run.in_doubt:
                self._happens(run, Withdrawn(), self._clock(), out)
        for _ in range(_DRAIN):
            for result in self._attempts.results(_DRAIN_LOOK if self._bulkheads.is_quick(numbers) else 0):
                self._conclude(result, self._clock(), out)
            if not self._bulkheads.is_quick(numbers) and not self._attempts.has_results():
                break

    # -- events and effects --------------------------------------------------------------------------------------------

    def _happens(self, run: OpenRun, event: RunEvent, now: Micros, out: Outbox) -> None:
        """Have an event happen to a run, and carry out the effects that the table of a run's life gives."""
        for effect in self.book.advance(run, event):
            if (place := self.book.places.get(effect)) is not None:
                place(run, now)
            elif (write := self._writer.entries.get(effect)) is not None:
                write(run, event, now, out)
            else:
                self._give_work(effect, run)

    def _give_work(self, effect: Effect, run: OpenRun) -> None:
        """Give a run to the workers."""
        if effect is Effect.READ_TEMPLATE:
            self._attempts.start_reading(run)
        elif self._attempts.has_to_look(run, self._clock()):
            self._attempts.start_looking(run)
        else:
            self._attempts.start_creating(run)

    # -- taking up -----------------------------------------------------------------------------------------------------

    def _take_up(self, record: Record, now: Micros, out: Outbox) -> None:
        body = record.value or b""
        try:
            run = decode_run(body)
        except NewerFormatError as error:
            raise UnreadableRecordError(record[:3], record.headers or (), error) from error
        except RecordError as error:
            place = f"{record.partition}@{record.offset}"
            set_aside(self._observer, record.topic, place, error, "It is a dead letter")
            self._writer.keep(record, "unreadable", str(error), now, out)
            return
        if self._limits_in_force.has_to_read_for(run.definition_hash):
            self.book.lanes.reconsider(self._clock())
        open_run = OpenRun(run, record.partition, since=now, body=body)
        if self.book.ledger[record.partition].knows(run.run_key):
            out.decisions.append(decide(RunReason.ALREADY_RAN, open_run, {"by": "ledger"}))
            return
        if run.run_key in self._given_up:
            self._happens(open_run, Buried(RunReason.FAILED, self._given_up[run.run_key]), now, out)
            return
        lane = self.book.lanes.lane(open_run)
        if len(lane) >= self._limits.parked or lane.size >= self._limits.parked_bytes:
            if self._gets_on(lane, now):
                out.hold(Partition(record.topic, record.partition), record.offset, _HOLD)
            else:
                lane.ask(open_run)
                self._overflow(open_run, lane, now, out)
            return
        lane.ask(open_run)
        if not self.book.take_up(open_run):
            self._happens(open_run, PassedOver(self.book.lanes.waits(open_run, now)), now, out)
            self.book.spill(open_run)

    def _gets_on(self, lane: Lane, now: Micros) -> bool:
        """Return whether a trigger with too many waiting runs will soon have fewer, or the whole cluster is down.

        Then its partition of the log is held back for a moment. A dead letter would give up what only takes time.
        """
        if self._bulkheads.is_cluster_down():
            return True
        return lane.place != "later" and now - lane.last_created < _PROGRESS

    def _overflow(self, run: OpenRun, lane: Lane, now: Micros, out: Outbox) -> None:
        """Refuse a run because too many of its trigger wait."""
        text = (
            f"{len(lane)} runs of trigger {run.run.trigger} wait, and no more may (settings waiting_runs and "
            "waiting_bytes). Give the trigger a higher rate, mend what its runs wait for, or set a higher bound"
        )
        is_said = now - lane.overflowed < _LOGGED_EVERY
        lane.overflowed = now if not is_said else lane.overflowed
        self._happens(run, Buried(RunReason.REFUSED, text, is_said), now, out)

    def _intend(self, now: Micros, out: Outbox) -> None:
        for namespace in self.book.namespaces(now):
            for _ in range(self._bulkheads.free_look_slots(namespace)):
                sought = self.book.take_doubtful(namespace, lambda run: self._attempts.has_to_look(run, now))
                if sought is None:
                    break
                out.at = sought
                self._begin(sought, now, out)
            begun = len(self.book.begun)
            room = self._bulkheads.room(namespace, now)
            while len(self.book.begun) - begun < room:
                run = self.book.next(namespace, now)
                if run is None:
                    break
                out.at = run
                self._begin(run, now, out)
        out.at = None
        for run in self.book.lanes.take_unwanted(_SKIPPED_AT_ONCE):
            out.at = run
            self._happens(run, Skipped({"storm": "its trigger went while a storm held it"}), now, out)
        out.at = None

    def _begin(self, run: OpenRun, now: Micros, out: Outbox) -> None:
        """Write the intent of a run, if its parameters are known; else ask for its template."""
        if run.run.run_key in self._given_up:
            reason = RunReason.OUTCOME_UNKNOWN if run.intent is not None else RunReason.FAILED
            self._happens(run, Buried(reason, self._given_up[run.run.run_key]), now, out)
            return
        if run.is_too_late(now):
            self._happens(run, Skipped(lateness(run)), now, out)
            return
        try:
            resolved = self._attempts.resolve_now(run.run)
        except ParameterError as error:
            self._happens(run, Buried(RunReason.REFUSED, str(error)), now, out)
            return
        if resolved is not None:
            self._happens(run, TurnGiven(now, resolved), now, out)
            return
        failing = self._templates.failing(run.run, now)
        event = TemplateAsked() if failing is None else self._answers.after_reading(run, *failing, now)
        self._happens(run, event, now, out)

    def _park_rest(self, now: Micros, out: Outbox) -> None:
        """Keep in the ledger what does not start yet: the log behind it is passed."""
        passed_over = self.book.take_new()
        for run in passed_over:
            out.at = run
            self._happens(run, PassedOver(self.book.lanes.waits(run, now)), now, out)
        out.at = None
        self.book.spare_memory(passed_over, now)

    def _write_again(self, now: Micros, out: Outbox) -> None:
        """Write entries of open runs again, well before Kafka's retention takes them."""
        for run in self.book.stale(now, _REWRITTEN_AT_ONCE):
            self._writer.write("parked" if run.intent is None else "intent", run, now, out)

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def _conclude(self, result: Result, now: Micros, out: Outbox) -> None:
        run, outcome, doubt = result
        if run.intent is None:
            self._conclude_reading(run, outcome, now, out)
            return
        self._observer.created(outcome.kind if isinstance(outcome, Done) else type(outcome).__name__.lower())
        if not self.book.owns(run):
            return
        match outcome:
            case Done() | Parked() | Dead():  # a create was answered; a look says nothing of creates
                self._bulkheads.succeeded(run)
                self._trouble.answered(run.run.namespace)
            case Retry():
                self._bulkheads.failed(run, now, was_reached=outcome.applied is None)
                self._trouble.failed(run.run.namespace, outcome.reason)
        if isinstance(outcome, Done):
            self.book.lanes.lane(run).last_created = now
        event = self._answers.after_attempt(run, outcome, doubt, now)
        self._happens(run, event, now, out)
        if isinstance(outcome, Parked) and isinstance(event, TriedAgain):
            # Anything else that is tried again is the trouble of the cluster, not of this run.
            log, seconds = logger.error if outcome.needs_operator else logger.info, (event.due - now) / SECOND
            log("run %s/%s is put off for %.1f s: %s", run.run.namespace, run.run.name, seconds, outcome.reason)

    def _conclude_reading(self, run: OpenRun, outcome: Worked, now: Micros, out: Outbox) -> None:
        """Apply what a worker learned of a run's WorkflowTemplate."""
        if not self.book.owns(run):
            return
        if isinstance(outcome, Read):
            self._templates.succeeded(run.run)
            self._happens(run, TemplateRead(), now, out)
            return
        missing = outcome if isinstance(outcome, Missing) else Missing(str(outcome), passes=True)
        if missing.passes:
            self._bulkheads.failed(run, now, was_reached=False)
            self._trouble.failed(run.run.namespace, missing.reason)
        due = self._templates.failed(run.run, missing, now)
        self._happens(run, self._answers.after_reading(run, missing, due, now), now, out)

    def held(self) -> Iterator[tuple[str, int]]:
        """Yield the triggers that a storm holds, each with how many of its runs wait."""
        return self.book.lanes.held()

    def open_runs(self) -> Iterator[OpenRun]:
        """Yield the runs that have not ended."""
        return self.book.open_runs()
