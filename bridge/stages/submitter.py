"""The submitter: creates the Workflow of each run, once, and keeps the ledger.

A run goes through the ledger in this order: an *intent* is committed, with the parameters resolved, together with the
offset of the run's record; only then is the create sent; its outcome is committed with a later batch. So whatever
dies in between, the next owner finds the intent and tries again under the same name. A definite refusal voids the
intent: the run is *parked*, with all that it needs, until it is tried again; nothing stands in line behind it. Runs
that find no room yet, or that their trigger's limits keep back, are parked the same way (:mod:`bridge.stages.lanes`).
While the cluster itself is in trouble all wait at a gate (:mod:`bridge.stages.gate`).

While much waits, transactions are few and large: intents are written well ahead of their creates, and written anew when
half of them are done.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from bridge.argo.backoff import PROMPT, SLOW
from bridge.core.decision import RunReason
from bridge.core.event import DAY, SECOND, Micros, time_text
from bridge.core.parameters import ParameterError
from bridge.kafka.log import Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.stage import Stage
from bridge.kafka.topics import InternalTopics
from bridge.stages.attempts import Attempts, Dead, Done, Lost, Parked, Resolved, Result, Retry, TooLate
from bridge.stages.gate import Gate
from bridge.stages.governing import Governing
from bridge.stages.lanes import Lanes
from bridge.stages.ledger import LedgerPartition, OpenRun
from bridge.stages.ledger_writing import LedgerWriter, decide, lateness
from bridge.stages.run_records import decode_run

logger = logging.getLogger(__name__)

_DRAIN = 20.0  # seconds that creates in flight have when partitions are let go
_WHILE_BUSY = 0.02  # seconds between looks for outcomes while creates are in flight; new runs are not waited for
_SMALL = 4_096  # bytes of a run that stays whole in memory while it only waits for room
_AHEAD = 32  # intents for each create in flight: a second or two of work, so that a transaction is shared by many


@dataclass(frozen=True)
class Limits:
    """How the submitter behaves under load and trouble.

    Attributes:
        concurrency: Creates in flight.
        retry_for: How long a run that is refused is tried again before it is a dead letter.
        outcome_pace: How long an outcome waits for others, or for new runs, to share a transaction with, while more
            creates are in flight; a twentieth of that when none is.
        backlog: Runs that may be taken up while they only wait for room; beyond it the log is held back.
        parked: Runs that may wait for whatever reason, a few hundred bytes each; beyond it the log is held back.

    """

    concurrency: int = 8
    retry_for: Micros = DAY
    outcome_pace: Micros = SECOND
    backlog: int = 1_000
    parked: int = 100_000


class Submitter(Stage):
    """Create and verify, on the stage loop.

    Args:
        topics: The internal topics.
        governing: What triggers say of their runs now.
        attempts: The workers.
        read_ledgers: Reads partitions of the ledger; returns them by number.
        clock: The process's clock.
        random: Where jitter comes from.
        limits: Bounds.
        observer: Hears what creates came to.

    """

    name = "submitter"
    purges = True

    def __init__(
        self,
        topics: InternalTopics,
        governing: Governing,
        attempts: Attempts,
        read_ledgers: Callable[[Collection[Partition]], dict[int, LedgerPartition]],
        clock: Callable[[], Micros],
        random: Random,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self._topics = topics
        self._governing = governing
        self._attempts = attempts
        self._read_ledgers = read_ledgers
        self._clock = clock
        self._random = random
        self._limits = limits
        self._observer = observer
        self.ledger: dict[int, LedgerPartition] = {}
        self._writer = LedgerWriter(topics, self.ledger)
        self._lanes = Lanes(governing.rule_of)
        self._urgent: deque[OpenRun] = deque()  # under a standing intent: no limit concerns them any more
        self._timers: list[tuple[Micros, int, OpenRun]] = []
        self._set = 0
        self._fresh: list[OpenRun] = []
        self._intents: list[OpenRun] = []
        self._gate = Gate(limits.concurrency, random)
        self._is_full = False
        self._held: set[str] = set()

    # -- the stage -----------------------------------------------------------------------------------------------------

    def topics(self) -> frozenset[str]:
        """Return the one topic of runs."""
        if self._governing.refresh_when_due():
            self._lanes.reconsider(self._clock())
        return frozenset([self._topics.runs])

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Bring back the ledger of partitions; what has not ended is tried again."""
        self._governing.refresh()
        self._lanes.reconsider(self._clock())
        restored = self._read_ledgers([Partition(self._topics.ledger, partition.number) for partition in offsets])
        self.ledger.update(restored)
        for number, ledger in restored.items():
            self._restore(number, ledger)

    def _restore(self, number: int, ledger: LedgerPartition) -> None:
        restored = sorted(ledger.open.values(), key=lambda one: one.since)
        made_by = {one.run.trigger: one.run.definition_hash for one in restored}
        for trigger in dict.fromkeys((*made_by, *ledger.asked, *ledger.started)):
            counted = ledger.asked[trigger], ledger.started[trigger]
            self._lanes.restore(number, trigger, made_by.get(trigger, ""), *counted)
        for one in restored:
            self._lanes.lane(one).ask(one)
            if one.intent is not None:
                self._urgent.append(one)
            else:
                self._lanes.add(one)
                self._set_timer(one)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions; outcomes of their creates that are still under way find nobody."""
        for partition in partitions:
            ledger = self.ledger.pop(partition.number, None)
            for one in ledger.open.values() if ledger else ():
                one.is_dropped = True
        self._lanes.drop({partition.number for partition in partitions})
        self._urgent = deque(one for one in self._urgent if self._owns(one))
        self._timers = [entry for entry in self._timers if self._owns(entry[2])]
        heapq.heapify(self._timers)
        self._fresh, self._intents = [], []

    def appetite(self) -> int:
        """Return how many more runs there is room for; once full, nothing until half of what waits for room is gone."""
        parked = sum(len(one.open) for one in self.ledger.values())
        backlog = self._lanes.backlog() + len(self._urgent)
        bound = self._limits.backlog // 2 if self._is_full else self._limits.backlog
        room = max(0, min(bound - backlog, self._limits.parked - parked))
        self._is_full = room == 0
        return room

    def patience(self) -> float:
        """Return a short time while outcomes are to be expected."""
        return _WHILE_BUSY if self._attempts.under_way else 0.5

    def is_due(self, now: Micros) -> bool:
        """Tell whether a worker came back, somebody's time to wait is over, or creates in flight become few."""
        in_flight = self._attempts.in_flight
        pace = self._limits.outcome_pace // (1 if in_flight else 20)
        if self._attempts.has_answers() or self._attempts.results_age(now) >= pace:
            return True
        if self._timers and self._timers[0][0] <= now:
            return True
        is_low = in_flight <= _AHEAD * self._limits.concurrency // 2
        return is_low and self._gate.is_open(now) and (bool(self._urgent) or self._lanes.is_due(now))

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Commit outcomes, take up runs, and write the intents of those that can be tried now."""
        now = self._clock()
        for ledger in self.ledger.values():
            ledger.final.forget(now)
        for result in self._attempts.results():
            self._conclude(result, now, out)
        while records:
            self._take_up(records.popleft(), now, out)
        self._wake(now, out)
        self._intend(now, out)
        self._park_rest(now, out)

    def committed(self) -> None:
        """Send the creates whose intents are committed."""
        intents, self._intents = self._intents, []
        for one in intents:
            self._attempts.start_creating(one)
        held = dict(self._lanes.held())
        for trigger in (*held, *(self._held - held.keys())):
            self._observer.held(trigger, held.get(trigger, 0))
        self._held = set(held)

    def release(self, partitions: Collection[Partition], out: Outbox) -> None:
        """Wait for creates in flight and commit their outcomes; what is still open is the next owner's."""
        del partitions
        end = self._clock() + round(_DRAIN * SECOND)
        while self._attempts.under_way and self._clock() < end:
            for result in self._attempts.results(seconds=0.2):
                self._conclude(result, self._clock(), out)

    # -- taking up -----------------------------------------------------------------------------------------------------

    def _take_up(self, record: Record, now: Micros, out: Outbox) -> None:
        body = record.value or b""
        run = decode_run(body)
        if self._governing.has_to_read_for(run.definition_hash):
            self._lanes.reconsider(self._clock())
        ledger = self.ledger[record.partition]
        one = OpenRun(run, record.partition, since=now, body=body)
        if ledger.knows(run.run_key):
            out.decisions.append(decide(RunReason.ALREADY_RAN, one, {"by": "ledger"}))
            return
        ledger.open[run.run_key] = one
        self._lanes.lane(one).ask(one)
        self._lanes.add(one)
        self._fresh.append(one)

    def _wake(self, now: Micros, out: Outbox) -> None:
        """Let runs have their turn whose time to wait is over, and skip those for which it is too late."""
        while self._timers and self._timers[0][0] <= now:
            one = heapq.heappop(self._timers)[2]
            if one.under_way or not self._owns(one):
                continue
            if one.is_too_late(now):
                self._skip(one, now, out)
            elif one.due is not None and one.due <= now:
                one.due = None
                if one.intent is None:
                    self._lanes.add(one, first=True)
                else:
                    self._urgent.append(one)

    def _intend(self, now: Micros, out: Outbox) -> None:
        while self._has_room(now):
            one = self._urgent.popleft() if self._urgent else self._lanes.next(now)
            if one is None:
                break
            self._begin(one, now, out)
        unwanted, self._lanes.unwanted = self._lanes.unwanted, []
        for one in unwanted:
            self._writer.skip(one, {"storm": "its trigger went while a storm held it"}, now, out)

    def _begin(self, one: OpenRun, now: Micros, out: Outbox) -> None:
        """Write the intent of a run, if its parameters are known; else ask for its template."""
        if one.is_too_late(now):
            self._skip(one, now, out)
            return
        ledger = self.ledger[one.partition]
        ledger.take_up(one)
        try:
            resolved = self._attempts.resolve_now(one.run)
        except ParameterError as error:
            self._writer.bury(one, RunReason.REFUSED, str(error), now, out)
            return
        if resolved is None:
            self._lanes.stop_for(one)
            self._writer.park(one, "waits for its WorkflowTemplate", now, out)
            self._attempts.start_resolving(one)
            return
        if resolved is not one.run:
            one.run, one.body = resolved, None
        one.attempts += 1
        self._lanes.start(one, now)
        if one.intent is None:
            one.intent = now
            self._writer.write("intent", one, now, out)
        self._intents.append(one)

    def _park_rest(self, now: Micros, out: Outbox) -> None:
        """Keep in the ledger what does not start yet: the log behind it is passed."""
        fresh, self._fresh = self._fresh, []
        for one in fresh:
            if one.intent is not None or one.under_way or one.has_ended:
                continue
            wait = self._lanes.waits(one, now)
            if wait is not None:
                evidence = {"waits_for": wait.why, "until": time_text(wait.until)}
                out.decisions.append(decide(RunReason.RETRYING, one, evidence))
            self._writer.park(one, wait.why if wait else "waits for room", now, out)
            if wait is not None or len(one.body or b"") > _SMALL:
                self._put_down(one)

    def _put_down(self, one: OpenRun) -> None:
        """Let a run wait: its body goes to the shelf, and it is looked at when its time comes."""
        self.ledger[one.partition].lay_down(one)
        self._set_timer(one)

    def _set_timer(self, one: OpenRun) -> None:
        moments = [one.due, one.run.start_by if one.intent is None else None]
        for moment in moments:
            if moment is not None:
                self._set += 1
                heapq.heappush(self._timers, (moment, self._set, one))

    def _has_room(self, now: Micros) -> bool:
        return (
            self._gate.is_open(now)
            and self._attempts.under_way + len(self._intents) < _AHEAD * self._limits.concurrency
        )

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def _conclude(self, result: Result, now: Micros, out: Outbox) -> None:
        one, outcome = result
        one.under_way = False
        if one.intent is not None:
            self._observer.created(outcome.kind if isinstance(outcome, Done) else type(outcome).__name__.lower())
        if not self._owns(one):
            return
        if one.intent is None:
            self._lanes.go_on(one)
        if isinstance(outcome, Done):
            self._gate.succeeded()
            # One that is there after an attempt in doubt is that attempt's.
            reason = RunReason.CREATED if outcome.kind == "created" or one.in_doubt else RunReason.ALREADY_RAN
            self._writer.done(one, reason, now, out)
        elif isinstance(outcome, Resolved):
            one.run, one.body = outcome.run, None
            self._lanes.add(one, first=True)
        elif isinstance(outcome, TooLate):
            self._skip(one, now, out)
        elif isinstance(outcome, Dead):
            self._writer.bury(one, RunReason.REFUSED, outcome.reason, now, out)
        elif isinstance(outcome, Lost):
            self._writer.bury(one, RunReason.OUTCOME_UNKNOWN, outcome.reason, now, out)
        else:
            self._put_off(one, outcome, now, out)

    def _put_off(self, one: OpenRun, outcome: Retry | Parked, now: Micros, out: Outbox) -> None:
        one.reason = outcome.reason
        if isinstance(outcome, Retry) and outcome.applied is None and one.intent is not None:
            one.in_doubt = True
        if not one.in_doubt:
            self._void(one)  # surely nothing was made under it; one that is in doubt stands until somebody has looked
        is_refused = isinstance(outcome, Parked) and one.intent is None
        if is_refused and now - one.since > self._limits.retry_for:
            self._writer.bury(one, RunReason.REFUSED, f"given up: {outcome.reason}", now, out)
            return
        if one.intent is None:
            self._writer.write("parked", one, now, out)
        if isinstance(outcome, Retry):
            self._gate.failed(one.run.run_key, now)
        delay = (SLOW if isinstance(outcome, Parked) else PROMPT).delay(
            max(1, one.attempts), self._random, outcome.after
        )
        one.due = now + round(delay * SECOND)
        self._put_down(one)
        out.decisions.append(decide(RunReason.RETRYING, one, {"because": outcome.reason, "seconds": f"{delay:.1f}"}))
        log = logger.error if isinstance(outcome, Parked) and outcome.needs_operator else logger.info
        log("run %s/%s is put off for %.1f s: %s", one.run.namespace, one.run.name, delay, outcome.reason)

    def _skip(self, one: OpenRun, now: Micros, out: Outbox) -> None:
        """End a run for which it is too late to start."""
        self._void(one)
        self._writer.skip(one, lateness(one), now, out)

    def _void(self, one: OpenRun) -> None:
        """Take an intent back under which surely nothing was made."""
        self._lanes.give_back(one)
        one.intent = None

    def _owns(self, one: OpenRun) -> bool:
        ledger = self.ledger.get(one.partition)
        return ledger is not None and ledger.open.get(one.run.run_key) is one

    def held(self) -> Iterator[tuple[str, int]]:
        """Yield the triggers that a storm holds, each with how many of its runs wait."""
        return self._lanes.held()

    def open_runs(self) -> Iterator[OpenRun]:
        """Yield the runs that have not ended."""
        for ledger in self.ledger.values():
            yield from ledger.open.values()
