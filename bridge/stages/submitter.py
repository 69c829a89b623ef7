"""The submitter: creates the Workflow of each run, once, and keeps the ledger.

A run goes through the ledger in this order: an *intent* is committed, with the parameters resolved, together with the
offset of the run's record; only then is the create sent; its outcome is committed with the next batch. So whatever
dies in between, the next owner finds the intent and tries again under the same name. A definite refusal voids the
intent: the run is *parked*, with all that it needs, until it is tried again; nothing stands in line behind it.

When the creates of many runs fail in a row the cluster itself is taken to be in trouble: everything waits at a gate
that opens ever more slowly, until one succeeds. One bad run never closes it, however often it fails.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from bridge.argo.backoff import PROMPT, SLOW, Backoff
from bridge.core.decision import RunDecision, RunReason
from bridge.core.event import DAY, SECOND, Micros
from bridge.core.parameters import ParameterError
from bridge.kafka.log import Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.stage import Stage
from bridge.kafka.topics import InternalTopics, partition_of
from bridge.stages.attempts import Attempts, Dead, Done, Lost, Parked, Resolved, Result, Retry
from bridge.stages.ledger import LedgerPartition, OpenRun, State, encode_entry
from bridge.stages.run_records import dead_letter, decode_run

logger = logging.getLogger(__name__)

_GATE = Backoff(first=0.5, longest=5.0)
_OPEN_BOUND = 10_000  # runs that wait in memory; beyond it the log is held back
_DRAIN = 20.0  # seconds that creates in flight have when partitions are let go
_WHILE_BUSY = 0.02  # seconds between looks for outcomes while creates are in flight; new runs are not waited for
_WHILE_FULL = 0.002  # the same while runs wait for room
_AHEAD = 8  # intents for each create in flight: what may be asked for next is known in the log before its turn


@dataclass(frozen=True)
class Limits:
    """How the submitter behaves under load and trouble.

    Attributes:
        concurrency: Creates in flight.
        retry_for: How long a run that is refused is tried again before it is a dead letter.
        outcome_pace: How long an outcome waits for others, or for new runs, to share a transaction with.

    """

    concurrency: int = 8
    retry_for: Micros = DAY
    outcome_pace: Micros = SECOND // 20


class Submitter(Stage):
    """Create and verify, on the stage loop.

    Args:
        topics: The internal topics.
        attempts: The workers.
        read_ledger: Reads one partition of the ledger.
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
        attempts: Attempts,
        read_ledger: Callable[[Partition], LedgerPartition],
        clock: Callable[[], Micros],
        random: Random,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self._topics = topics
        self._attempts = attempts
        self._read_ledger = read_ledger
        self._clock = clock
        self._random = random
        self._limits = limits
        self._observer = observer
        self.ledger: dict[int, LedgerPartition] = {}
        self._ready: deque[OpenRun] = deque()
        self._waiting: list[OpenRun] = []
        self._intents: list[OpenRun] = []
        self._failing: set[str] = set()
        self._failures = 0
        self._gate: Micros = 0

    # -- the stage -----------------------------------------------------------------------------------------------------

    def topics(self) -> frozenset[str]:
        """Return the one topic of runs."""
        return frozenset([self._topics.runs])

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Bring back the ledger of partitions; what has not ended is tried again."""
        for partition in offsets:
            ledger = self._read_ledger(Partition(self._topics.ledger, partition.number))
            self.ledger[partition.number] = ledger
            self._waiting.extend(ledger.open.values())

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions; outcomes of their creates that are still under way find nobody."""
        for partition in partitions:
            ledger = self.ledger.pop(partition.number, None)
            for one in ledger.open.values() if ledger else ():
                one.is_dropped = True
        self._ready = deque(one for one in self._ready if self._owns(one))
        self._waiting = [one for one in self._waiting if self._owns(one)]
        self._intents = []

    def appetite(self) -> int:
        """Return how many more runs there is room for."""
        busy = 2 * _AHEAD * self._limits.concurrency - self._attempts.under_way - len(self._ready)
        return max(0, min(busy, _OPEN_BOUND - sum(len(one.open) for one in self.ledger.values())))

    def patience(self) -> float:
        """Return a short time while outcomes are to be expected."""
        if self._ready:
            return _WHILE_FULL
        return _WHILE_BUSY if self._attempts.under_way else 0.5

    def is_due(self, now: Micros) -> bool:
        """Tell whether a worker came back, or somebody's time to wait is over."""
        if self._ready and (self._has_room(now) or self._attempts.has_results()):
            return True
        if self._attempts.results_age(now) >= self._limits.outcome_pace:
            return True
        return self._is_open(now) and any(one.due <= now for one in self._waiting)

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
        self._keep_rest(now, out)

    def committed(self) -> None:
        """Send the creates whose intents are committed."""
        intents, self._intents = self._intents, []
        for one in intents:
            self._attempts.start_creating(one)

    def release(self, partitions: Collection[Partition], out: Outbox) -> None:
        """Wait for creates in flight and commit their outcomes; what is still open is the next owner's."""
        del partitions
        end = self._clock() + round(_DRAIN * SECOND)
        while self._attempts.under_way and self._clock() < end:
            for result in self._attempts.results(seconds=0.2):
                self._conclude(result, self._clock(), out)

    # -- taking up -----------------------------------------------------------------------------------------------------

    def _take_up(self, record: Record, now: Micros, out: Outbox) -> None:
        run = decode_run(record.value or b"")
        ledger = self.ledger[record.partition]
        if ledger.knows(run.run_key):
            out.decisions.append(_decide(RunReason.ALREADY_RAN, OpenRun(run, record.partition, now), {"by": "ledger"}))
            return
        one = OpenRun(run, record.partition, since=now)
        ledger.open[run.run_key] = one
        if not self._resolve(one, now, out):
            one.reason = "waits for its WorkflowTemplate"
            self._write("parked", one, now, out)
            self._attempts.start_resolving(one)

    def _resolve(self, one: OpenRun, now: Micros, out: Outbox) -> bool:
        """Make a run ready, if its parameters are known; False if its template has to be asked for."""
        try:
            resolved = self._attempts.resolve_now(one.run)
        except ParameterError as error:
            self._bury(one, RunReason.REFUSED, str(error), now, out)
            return True
        if resolved is None:
            return False
        one.run = resolved
        self._ready.append(one)
        return True

    def _wake(self, now: Micros, out: Outbox) -> None:
        """Move runs whose time to wait is over to those that are ready."""
        if not self._is_open(now):
            return
        still = []
        for one in self._waiting:
            if one.due > now:
                still.append(one)
            elif not self._resolve(one, now, out):
                self._attempts.start_resolving(one)
        self._waiting = still

    def _intend(self, now: Micros, out: Outbox) -> None:
        while self._ready and self._has_room(now):
            one = self._ready.popleft()
            one.attempts += 1
            if one.intent is None:
                one.intent = now
                self._write("intent", one, now, out)
            self._intents.append(one)

    def _keep_rest(self, now: Micros, out: Outbox) -> None:
        """Keep in the ledger what there is no room for yet: the log behind it is passed."""
        for one in self._ready:
            if not one.is_kept:
                self._write("parked", one, now, out)

    def _has_room(self, now: Micros) -> bool:
        return self._is_open(now) and self._attempts.under_way + len(self._intents) < _AHEAD * self._limits.concurrency

    def _is_open(self, now: Micros) -> bool:
        return now >= self._gate

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def _conclude(self, result: Result, now: Micros, out: Outbox) -> None:
        one, outcome = result
        one.under_way = False
        if not isinstance(outcome, Resolved):
            self._observer.created(outcome.kind if isinstance(outcome, Done) else type(outcome).__name__.lower())
        if not self._owns(one):
            return
        if isinstance(outcome, Done):
            self._failing.clear()
            self._failures, self._gate = 0, 0
            # One that is there after an attempt in doubt is that attempt's.
            reason = RunReason.CREATED if outcome.kind == "created" or one.in_doubt else RunReason.ALREADY_RAN
            self._end("done", one, reason, now, out)
        elif isinstance(outcome, Resolved):
            one.run = outcome.run
            self._ready.append(one)
        elif isinstance(outcome, Dead):
            self._bury(one, RunReason.REFUSED, outcome.reason, now, out)
        elif isinstance(outcome, Lost):
            self._bury(one, RunReason.OUTCOME_UNKNOWN, outcome.reason, now, out)
        else:
            self._put_off(one, outcome, now, out)

    def _put_off(self, one: OpenRun, outcome: Retry | Parked, now: Micros, out: Outbox) -> None:
        one.reason = outcome.reason
        if isinstance(outcome, Retry) and outcome.applied is None and one.intent is not None:
            one.in_doubt = True
        if not one.in_doubt:
            one.intent = None  # surely nothing was made under it; one that is in doubt stands until somebody has looked
        is_refused = isinstance(outcome, Parked) and one.intent is None
        if is_refused and now - one.since > self._limits.retry_for:
            self._bury(one, RunReason.REFUSED, f"given up: {outcome.reason}", now, out)
            return
        if one.intent is None:
            self._write("parked", one, now, out)
        if isinstance(outcome, Retry):
            self._count_failure(one, now)
        delay = (SLOW if isinstance(outcome, Parked) else PROMPT).delay(
            max(1, one.attempts), self._random, outcome.after
        )
        one.due = now + round(delay * SECOND)
        self._waiting.append(one)
        out.decisions.append(_decide(RunReason.RETRYING, one, {"because": outcome.reason, "seconds": f"{delay:.1f}"}))
        log = logger.error if isinstance(outcome, Parked) and outcome.needs_operator else logger.info
        log("run %s/%s is put off for %.1f s: %s", one.run.namespace, one.run.name, delay, outcome.reason)

    def _count_failure(self, one: OpenRun, now: Micros) -> None:
        self._failing.add(one.run.run_key)
        self._failures += 1
        if len(self._failing) >= self._limits.concurrency:
            rounds = self._failures // self._limits.concurrency
            self._gate = now + round(_GATE.delay(rounds, self._random) * SECOND)

    def _bury(self, one: OpenRun, reason: RunReason, text: str, now: Micros, out: Outbox) -> None:
        one.reason = text
        run = one.run
        letter = dead_letter(
            None, stage=self.name, reason=reason, text=text, at=now, trigger=run.trigger, run_key=run.run_key
        )
        place = run.trigger.encode()
        out.send(self._topics.dead_letters, partition_of(place, self._topics.partitions), place, letter)
        self._end("dead", one, reason, now, out)
        logger.error("run %s/%s is a dead letter (%s): %s", run.namespace, run.name, reason, text)

    def _end(self, state: State, one: OpenRun, reason: RunReason, now: Micros, out: Outbox) -> None:
        one.reason = f"{reason}: {one.reason}" if one.reason else reason
        ledger = self.ledger[one.partition]
        ledger.open.pop(one.run.run_key, None)
        ledger.final.add(one.run.run_key, now)
        self._write(state, one, now, out)
        evidence = {"attempts": str(one.attempts)} | ({"because": one.reason} if state == "dead" else {})
        out.decisions.append(_decide(reason, one, evidence))

    def _write(self, state: State, one: OpenRun, now: Micros, out: Outbox) -> None:
        out.send(self._topics.ledger, one.partition, one.run.run_key.encode(), encode_entry(state, one, now))
        one.is_kept = True

    def _owns(self, one: OpenRun) -> bool:
        ledger = self.ledger.get(one.partition)
        return ledger is not None and ledger.open.get(one.run.run_key) is one

    def open_runs(self) -> Iterator[OpenRun]:
        """Yield the runs that have not ended."""
        for ledger in self.ledger.values():
            yield from ledger.open.values()


def _decide(reason: RunReason, one: OpenRun, evidence: dict[str, str]) -> RunDecision:
    run = one.run
    return RunDecision(reason, run.trigger, run.run_key, f"{run.namespace}/{run.name}", evidence)
