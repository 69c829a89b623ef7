"""The submitter: creates the Workflow of each run, once, and keeps the ledger.

A run goes through the ledger in this order. An *intent* is committed, with the parameters resolved, together with the
offset of the run's record. Only then the create is sent. Its outcome is committed with a later batch. If a process dies
in between, the next owner finds the intent and tries again under the same name. A definite refusal voids the intent.
Then the run is *parked*, with all that it needs, until it is tried again. Runs for which no worker is free yet, or that
their trigger's limits keep back, are parked the same way.

While few runs come, the wait for that commit would be a third of the time from event to Workflow. So in a small batch
the run of each partition's first record is sent *ahead*: before the batch is committed. In most cases the answer comes
at once, and the batch has the outcome in place of the intent. The log tells the next owner what may have been sent so.
Each time that a submitter takes a partition on, it makes a new *mark* for it. The router and the matcher of its process
write the mark into the header of runs. The submitter sends only runs ahead that have its own mark. If its last batch
was not committed, only the first record from the committed offset on can be concerned, and only if it has a mark. The
next owner *takes* such a run *for tried*: it writes an intent as old as the run's record, and goes on as with any other
intent. All other runs surely were not sent.

No run waits behind another trigger's or another namespace's runs. All runs are taken up from the log as they come.
Those that wait are on disk (:mod:`bridge.stages.submitter.run_book`), and each namespace has its share of the workers
(:mod:`bridge.stages.submitter.bulkheads`). The log is held back only while the API server is unreachable for all.

The submitter itself decides nothing about a run. A record or a worker's result (:mod:`bridge.stages.submitter.results`)
becomes an event, the event happens to the run by the table of :mod:`bridge.stages.submitter.run_life`, and the effects
are carried out in their order.

A created run has ended for the submitter. Its Workflow has not. It is followed until then, and its entry in the ledger
gets the last phase (:mod:`bridge.stages.submitter.ledger.followed_runs`).

While many runs wait, transactions are few and large. Intents are written well ahead of their creates, and more of them
when half are done.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from random import Random
from secrets import token_bytes

from bridge.core.decision import Reason, RunReason
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.runs.parameters import ParameterError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Committed, LogError, Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import read_note
from bridge.kafka.records import NewerFormatError, RecordError, UnreadableRecordError
from bridge.kafka.stage import Stage
from bridge.settings.groups import SubmitterSettings
from bridge.stages.shared.run_records import decode_run
from bridge.stages.shared.run_sender import AHEAD
from bridge.stages.shared.unreadable_records import set_aside
from bridge.stages.submitter.answers import Answers
from bridge.stages.submitter.attempts import Attempts, Result
from bridge.stages.submitter.bulkheads import Bulkheads
from bridge.stages.submitter.ledger.announcements import Announcements
from bridge.stages.submitter.ledger.followed_runs import EndedRun, FollowedRuns
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.ledger.ledger_writer import LedgerWriter, decide, lateness
from bridge.stages.submitter.limits_in_force import LimitsInForce
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.results import ApiOutage, Results
from bridge.stages.submitter.run_book import RunBook
from bridge.stages.submitter.run_events import (
    Buried,
    Cancelled,
    Created,
    IntentCommitted,
    LeftWaiting,
    RunEvent,
    Skipped,
    TakenForTried,
    TemplateAsked,
    TurnGiven,
    TurnGivenAtOnce,
    Unanswered,
    Withdrawn,
)
from bridge.stages.submitter.run_life import Effect

logger = logging.getLogger(__name__)

_DRAIN = 10  # how often results of creates that are about to end are waited for when partitions are revoked, and
_DRAIN_WAIT = 0.2  # seconds for each time
_WHILE_BUSY = 0.02  # seconds to wait for new runs while creates are in flight: their outcomes follow soon
_AT_ONCE = 2_000  # runs that one batch takes up
_SKIPPED_AT_ONCE = 1_000  # runs that one batch skips because their trigger went
_REWRITTEN_AT_ONCE = 500  # entries of each partition that one batch writes again before retention takes them
_ENDED_AT_ONCE = 1_000  # ends of Workflows that one batch records
_PROGRESS: Micros = 10 * SECOND  # a trigger that created a Workflow so lately makes progress, however many runs wait
_STEP: Micros = 5 * SECOND  # the wall clock moves less than that by being adjusted, and more by being set
_HOLD = 1.0  # seconds that a partition of the log is held back at the bound of a trigger that makes progress
_LOGGED_EVERY: Micros = MINUTE
_MARK_BYTES = 8  # no two marks are the same


class ClockSteppedError(LogError):
    """The wall clock was set: all that was counted and put off by it is read again from the ledger.

    Runs would otherwise wait for as long as the clock was ahead. Restoring compares the times in the ledger with those
    at which Kafka appended the entries (:mod:`bridge.stages.submitter.ledger.ledger_restore`).
    """

    def __init__(self, step: Micros) -> None:
        super().__init__(f"the wall clock was put {'forward' if step > 0 else 'back'} by {abs(step) / SECOND:.0f} s")


class Submitter(Stage):
    """Create and verify, on the stage loop.

    Args:
        topics: The internal topics.
        governing: The limits of the triggers' runs in force.
        attempts: The work on a run.
        bulkheads: The workers, by namespace.
        read_ledgers: Reads partitions of the ledger; returns them by number.
        clock: The process's clock.
        pace: A steady clock, which shows that the process's clock was set.
        random: Where jitter comes from.
        settings: How it behaves under load and trouble.
        observer: Hears the outcomes of creates.

    Attributes:
        book: The runs that have not ended.
        followed: The runs whose Workflows have not ended.
        marks: The marks of runs that may be sent ahead, by partition. Other stages read them, and only this one changes
            them.

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
        settings: SubmitterSettings,
        observer: Observer,
    ) -> None:
        self._topics = topics
        self._limits_in_force = governing
        self._attempts = attempts
        self._bulkheads = bulkheads
        self.followed = FollowedRuns(attempts.api, settings.followed_runs, pace)
        self._templates = attempts.templates
        self._read_ledgers = read_ledgers
        self._clock = clock
        self._pace = pace
        self._lead = clock() - pace()
        self._settings = settings
        self._observer = observer
        self.book = RunBook(governing.limits_of)
        announcements = Announcements(topics, governing.definition) if topics.announces_runs else None
        self._writer = LedgerWriter(topics, self.book.ledger, governing.frame, self.followed, announcements)
        self._answers = Answers(settings.retry_for, random, governing.redacted_key)
        self._results = Results(self.book, self._answers, bulkheads, self._templates, ApiOutage(pace), observer)
        self._held: Mapping[tuple[str, str], int] = {}
        self._unread: set[str] = set()
        self._ended: list[EndedRun] = []  # whose ends are not committed yet
        self._given_up: dict[str, str] = {}  # why, by the key of a run whose processing raised an exception
        self.marks: dict[int, bytes] = {}
        self._tried: set[int] = set()  # partitions whose next run may have been sent ahead of a batch that failed
        self._settled: set[int] = set()  # those for which the batch being made settles that
        self._sent: set[int] = set()  # those of which the batch being made has sent a run ahead
        self._ahead: list[OpenRun] = []  # the runs that it has sent ahead

    # -- the stage -----------------------------------------------------------------------------------------------------

    @property
    def remark(self) -> str:
        """Return how many runs are held; empty if none is."""
        runs, triggers = sum(self._held.values()), len({trigger for trigger, _ in self._held})
        return f"held runs: {runs}, held triggers: {triggers}" if self._held else ""

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
        self.followed.look()
        return frozenset([self._topics.runs])

    def begin(
        self, partitions: Collection[Partition], committed: Mapping[Partition, Committed]
    ) -> dict[Partition, int]:
        """Return the committed offsets, and learn of which partitions a run may have been sent ahead."""
        notes = {partition.number: read_note(committed.get(partition)) for partition in partitions}
        self._sent -= notes.keys()
        self._tried -= notes.keys()
        self._tried |= {number for number, note in notes.items() if note.owner or note.is_tried}
        return super().begin(partitions, committed)

    def is_tried(self, partition: Partition) -> bool:
        """Return whether the partition's next run may have been sent ahead."""
        return partition.number in self._tried - self._settled

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Restore the ledger of partitions; runs that have not ended are tried again.

        After a batch that failed these are the process's own partitions, and it may have sent runs ahead itself.
        """
        numbers = {partition.number for partition in offsets}
        self._tried |= self._sent
        self._sent = set()
        if self._settings.prompt_runs:
            self.marks.update({number: token_bytes(_MARK_BYTES) for number in numbers})
        self._limits_in_force.refresh()
        self.book.lanes.reconsider(self._clock())
        self._ended.clear()
        restored = self._read_ledgers([Partition(self._topics.ledger, partition.number) for partition in offsets])
        for number, ledger in restored.items():
            self.book.restore(number, ledger)
            self.followed.restore(number, ledger.running)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions; results of their creates that are still under way are ignored."""
        numbers = {partition.number for partition in partitions}
        self._attempts.withdraw(numbers)
        self._settled, self._ahead = set(), []
        for number in numbers:
            self.marks.pop(number, None)
        self.book.drop(numbers)
        self.followed.drop(numbers)

    def appetite(self) -> int:
        """Return how many more runs to take up. Only an API server that is unreachable holds back the log.

        In all other cases a run that could start at once may stand behind others in the log.
        """
        if self._bulkheads.is_unreachable():
            return max(0, self._settings.backlog - self.book.lanes.waiting())
        return _AT_ONCE

    def patience(self) -> float:
        """Return a short time while workers have runs, because their outcomes follow soon."""
        return _WHILE_BUSY if self._attempts.under_way else super().patience()

    def waits(self) -> bool:
        """Return whether runs have not ended, or workers have any."""
        return bool(self._attempts.under_way) or any(len(ledger) for ledger in self.book.ledger.values())

    def is_due(self, now: Micros) -> bool:
        """Return whether results wait for a commit, a run is due, or a namespace can begin more runs."""
        pace = self._settings.outcome_pace // (1 if self._attempts.in_flight else 20)
        if self._attempts.has_answers() or self._attempts.results_age(now) >= pace:
            return True
        if self.book.is_due(now) or self.followed.is_due(self._settings.outcome_pace):
            return True
        for namespace in self.book.namespaces(now):
            if self._bulkheads.wants(namespace, now):
                return True
            has_slot = self._bulkheads.free_look_slots(namespace) > 0
            if has_slot and self.book.has_doubtful(namespace, lambda run: self._attempts.has_to_look(run, now)):
                return True
        return False

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Commit outcomes, take up runs, and write the intents of those that can be tried now."""
        now = self._clock()
        for ledger in self.book.ledger.values():
            ledger.final.forget(now)
        for result in self._attempts.results():
            out.at = result.run
            self._conclude(result, now, out)
        out.at = None
        for ended in self.followed.take_ended(_ENDED_AT_ONCE):
            self._writer.write_end(ended, now, out)
            self._ended.append(ended)
        self._take_up_all(records, now, out)
        for late in self.book.wake(now):
            out.at = late
            self._happens(late, Skipped(lateness(late)), now, out)
        out.at = None
        self._intend(now, out)
        self._park_rest(now, out)
        self._write_again(now, out)
        self._await_answers(now, out)

    def set_aside(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        """Keep a run that cannot be taken up as a dead letter. If it can be read, the ledger knows it from then on."""
        now, may_be_sent = self._clock(), self._was_sent_ahead(record)
        self._settled.add(record.partition)
        try:
            body = record.value or b""
            run = OpenRun(decode_run(body), record.partition, since=now, body=body)
        except Exception:  # noqa: BLE001  (the cause of the failure may also prevent this)
            self._writer.keep(record, reason, text, now, out)
            return
        if self.book.ledger[record.partition].knows(run.run.run_key):
            self._writer.keep(record, reason, text, now, out)
        else:
            given = RunReason.OUTCOME_UNKNOWN if may_be_sent else RunReason.FAILED
            self._happens(run, Buried(given, text), now, out)

    def record_failure(self, culprit: object, text: str) -> bool:
        """Have a run of the ledger given up when its turn comes again: it is a dead letter and is not tried."""
        if not isinstance(culprit, OpenRun) or culprit.run.run_key in self._given_up:
            return False
        self._given_up[culprit.run.run_key] = text
        return True

    def committed(self) -> None:
        """Send the creates whose intents are committed."""
        self._tried -= self._settled
        self._settled, self._sent = set(), set()
        for run in self.book.take_begun():
            for effect in self.book.advance(run, IntentCommitted()):
                self._give_work(effect, run)
        held = self.book.lanes.held()
        for trigger, by in {**self._held, **held}:
            self._observer.held(trigger, by, held.get((trigger, by), 0))
        self._held = held
        for ended in self._ended:
            self._observer.ended(ended.trigger, ended.phase.value)
        self._ended.clear()
        self._observer.followed(len(self.followed))
        unread = set(self._templates.unread(self._clock()))
        for template in unread ^ self._unread:
            self._observer.unread(template, is_unread=template in unread)
        self._unread = unread

    def measure(self) -> None:
        """Report how far replays have come. Each submitter reports the same."""
        self._observer.replays(self._limits_in_force.progress())

    def release(self, partitions: Collection[Partition], out: Outbox) -> None:
        """Commit the outcomes of creates that are about to end; the others are left to the next owner.

        A create that was not sent yet is taken back, and its intent with it. A slow create is not waited for, since the
        whole group waits meanwhile. Its intent stands.
        """
        numbers = {partition.number for partition in partitions}
        for run in self._attempts.withdraw(numbers):
            if self.book.owns(run) and run.intent is not None and not run.in_doubt:
                self._happens(run, Withdrawn(), self._clock(), out)
        for _ in range(_DRAIN):
            for result in self._attempts.results(_DRAIN_WAIT if self._bulkheads.is_quick(numbers) else 0):
                self._conclude(result, self._clock(), out)
            if not self._bulkheads.is_quick(numbers) and not self._attempts.has_results():
                break

    def _conclude(self, result: Result, now: Micros, out: Outbox) -> None:
        """Have the event happen that a worker's result means for its run."""
        event = self._results.conclude(result, now)
        if isinstance(event, Skipped) and self._limits_in_force.is_cancelled(result.run.run):
            event = Cancelled()
        if event is None:
            return
        if result.run.state is RunState.AHEAD and not isinstance(event, Created):
            self._happens(result.run, Unanswered(), now, out)
        self._happens(result.run, event, now, out)

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
        else:
            self._attempts.start_creating(run, only_looks=self.book.lanes.is_held(run))

    # -- taking up -----------------------------------------------------------------------------------------------------

    def _take_up_all(self, records: deque[Record], now: Micros, out: Outbox) -> None:
        is_small = len(records) <= self._settings.prompt_runs and self._attempts.in_flight < self._settings.concurrency
        begun: set[int] = set()
        while records:
            record = records.popleft()
            place = Partition(record.topic, record.partition)
            if place in out.held:
                continue
            out.at = record
            self._take_up(record, now, out, is_next=is_small and place.number not in begun)
            begun.add(place.number)
            if place not in out.held:
                self._settled.add(place.number)
        out.at = None

    def _was_sent_ahead(self, record: Record) -> bool:
        """Return whether a former owner may have sent the run of a record ahead of a batch that was not committed."""
        place, mark = Partition(record.topic, record.partition), _mark_of(record)
        return mark is not None and mark != self.marks.get(place.number) and self.is_tried(place)

    def _take_up(self, record: Record, now: Micros, out: Outbox, *, is_next: bool) -> None:
        """Take up the run of a record, unless it is known or given up, or too many runs of its trigger wait."""
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
        is_next = is_next and _mark_of(record) == self.marks.get(record.partition, b"")
        open_run = OpenRun(run, record.partition, since=now, body=body, is_next=is_next)
        if self.book.ledger[record.partition].knows(run.run_key):
            out.decisions.append(decide(RunReason.ALREADY_RAN, open_run, {"by": "ledger"}))
            return
        if run.run_key in self._given_up:
            reason = RunReason.OUTCOME_UNKNOWN if self._was_sent_ahead(record) else RunReason.FAILED
            self._happens(open_run, Buried(reason, self._given_up[run.run_key]), now, out)
            return
        lane = self.book.lanes.lane(open_run)
        if self._was_sent_ahead(record):
            lane.ask(open_run)
            self.book.lanes.taken_for_tried.add(run.run_key)
            self._happens(open_run, TakenForTried(min(record.timestamp * 1_000, now), now), now, out)
            return
        if len(lane) < self._settings.waiting_runs and lane.size < self._settings.waiting_bytes:
            lane.ask(open_run)
            if not self.book.take_up(open_run):
                self._happens(open_run, LeftWaiting(self.book.lanes.waits(open_run, now)), now, out)
                self.book.shelve(open_run)
            return
        makes_progress = lane.place != "later" and now - lane.last_created < _PROGRESS
        if makes_progress or self._bulkheads.is_cluster_down():
            # Soon fewer runs wait, or the trouble is not the trigger's. A dead letter would give up a run that only has
            # to wait.
            out.hold(Partition(record.topic, record.partition), record.offset, _HOLD)
            return
        lane.ask(open_run)
        text = (
            f"{len(lane)} runs of trigger {run.trigger} wait, and no more may (settings waiting_runs and "
            "waiting_bytes). Give the trigger a higher rate, mend what its runs wait for, or set a higher bound"
        )
        is_logged = now - lane.overflowed < _LOGGED_EVERY
        lane.overflowed = now if not is_logged else lane.overflowed
        self._happens(open_run, Buried(RunReason.REFUSED, text, is_logged), now, out)

    def _intend(self, now: Micros, out: Outbox) -> None:
        """Begin as many runs of each namespace as its workers can take; skip those that no trigger wants any more."""
        for namespace in self.book.namespaces(now):
            for _ in range(self._bulkheads.free_look_slots(namespace)):
                doubtful = self.book.take_doubtful(namespace, lambda run: self._attempts.has_to_look(run, now))
                if doubtful is None:
                    break
                out.at = doubtful
                self._begin(doubtful, now, out)
            most = len(self.book.begun) + len(self._ahead) + self._bulkheads.free_slots(namespace, now)
            while len(self.book.begun) + len(self._ahead) < most:
                run = self.book.next(namespace, now)
                if run is None:
                    break
                out.at = run
                self._begin(run, now, out)
        out.at = None
        for run in self.book.lanes.take_unwanted(_SKIPPED_AT_ONCE):
            out.at = run
            went = Skipped({"storm": "its trigger went while a storm held it"})
            self._happens(run, Cancelled() if run.run.replay else went, now, out)
        out.at = None

    def _begin(self, run: OpenRun, now: Micros, out: Outbox) -> None:
        """Write the intent of a run, if its parameters are known; else ask for its template."""
        if run.run.run_key in self._given_up:
            reason = RunReason.OUTCOME_UNKNOWN if run.intent is not None else RunReason.FAILED
            self._happens(run, Buried(reason, self._given_up[run.run.run_key]), now, out)
            return
        if self._limits_in_force.is_cancelled(run.run):
            if run.intent is None:
                self._happens(run, Cancelled(), now, out)
                return
            run.run, run.body = run.run._replace(start_by=now), None  # from now on it is looked for, and not created
        if run.is_too_late(now):
            self._happens(run, Skipped(lateness(run)), now, out)
            return
        try:
            resolved = self._templates.resolve_now(run.run)
        except ParameterError as error:
            self._happens(run, Buried(RunReason.REFUSED, str(error)), now, out)
            return
        if resolved is not None:
            if run.is_next and run.state is RunState.NEW:
                self._ahead.append(run)
                self._sent.add(run.partition)
                self._happens(run, TurnGivenAtOnce(now, resolved), now, out)
            else:
                self._happens(run, TurnGiven(now, resolved), now, out)
            return
        failing = self._templates.failing(run.run, now)
        event = TemplateAsked() if failing is None else self._answers.after_reading(run, *failing, now)
        self._happens(run, event, now, out)

    def _await_answers(self, now: Micros, out: Outbox) -> None:
        """Wait a moment for the answers about runs that were sent ahead; write the intents of those without one.

        Nothing is waited for while other runs wait for the commit.
        """
        until = self._pace() + self._settings.answer_wait
        while not self.book.begun and any(run.state is RunState.AHEAD for run in self._ahead):
            results = self._attempts.results(max(0, until - self._pace()) / SECOND)
            for result in results:
                out.at = result.run
                self._conclude(result, self._clock(), out)
            if not results:
                break
        for run in self._ahead:
            out.at = run
            if run.state is RunState.AHEAD:
                self._happens(run, Unanswered(), now, out)
        self._ahead = []
        out.at = None

    def _park_rest(self, now: Micros, out: Outbox) -> None:
        """Keep new runs that do not start yet in the ledger, since the offsets behind them are committed."""
        waiting = self.book.take_new()
        for run in waiting:
            out.at = run
            self._happens(run, LeftWaiting(self.book.lanes.waits(run, now)), now, out)
        out.at = None
        self.book.spare_memory(waiting, now)

    def _write_again(self, now: Micros, out: Outbox) -> None:
        """Write entries of open runs again, well before Kafka's retention takes them."""
        for run in self.book.stale(now, _REWRITTEN_AT_ONCE):
            self._writer.write("parked" if run.intent is None else "intent", run, now, out)


def _mark_of(record: Record) -> bytes | None:
    """Return the mark of a run that a submitter may send ahead; None if it has none."""
    return next((value for name, value in record.headers or () if name == AHEAD), None)
