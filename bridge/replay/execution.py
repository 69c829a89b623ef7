"""Carry out the plan of a replay: send its runs to the submitters, at its own rate and concurrency.

The runs of a batch, the position behind them and the counts are one transaction. A process that dies leaves a replay
that another process continues at this position. A run whose key has an entry in the ledger by then is not sent: the
live bridge, or another replay, has made it meanwhile. Nor is a run of which an event is used by another run by then.

A run counts as *submitted* when its Workflow exists, by the ledger. Until then it is *on its way*, and no more than
``concurrency`` runs are.
"""

from __future__ import annotations

import time as process_time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.core.runs.run import Run
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import FencedError, Log, LogError, Partition, Record
from bridge.replay.frozen import record_entry, record_run
from bridge.replay.plan import repeated
from bridge.replay.recorded import Outcome, Recorded
from bridge.replay.replays import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    FAILED,
    PAUSED,
    RUNNING,
    Replay,
    ReplayLog,
    ReplayOwner,
)
from bridge.stages.process import group_of

SUBMITTED, DEAD, SKIPPED, MEANWHILE = "submitted", "dead", "skipped", "ran meanwhile"
"""What happens to a run of a plan; the last one: it ran before this replay came to it."""

_TAKEN = frozenset({PAUSED, CANCELLING, CANCELLED})  # states that another process has written

_POLL = 0.1  # seconds that a look at the ledger waits
_WRITTEN_WITHIN: Micros = 5 * SECOND  # a process that pauses or cancels a replay writes that soon after it took it over
_TOLD_EVERY: Micros = SECOND
_LOOK_EVERY: Micros = SECOND  # at the state of the replay, which another process may have changed


class State(NamedTuple):
    """How far a replay has come.

    Attributes:
        replay: The replay.
        on_their_way: Runs that were sent and have no outcome yet.
        waits_for: Name of the replay whose end it waits for; empty for none.

    """

    replay: Replay
    on_their_way: int
    waits_for: str = ""


class Execution:
    """One process that carries out a replay. It works in steps, so that a caller can do other things between them.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        owner: Owns the replay.
        replay: The replay, with its plan.
        clock: The process's clock.
        pace: A steady clock.
        told: Hears how far it has come, once a second.
        why_stopped: Why it pauses if it is stopped.

    Attributes:
        replay: The replay as it stands.

    """

    def __init__(
        self,
        log: Log,
        topics: InternalTopics,
        owner: ReplayOwner,
        replay: Replay,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        told: Callable[[State], None],
        why_stopped: str = "",
    ) -> None:
        self._owner = owner
        self.replay = replay
        self._clock = clock
        self._pace = pace
        self._told = told
        self._replays = ReplayLog(log, topics)
        self._since = Recorded(replay.trigger)  # what the ledger says since the plan was made
        number = partition_of(replay.trigger, topics.partitions)
        ledger, runs = Partition(topics.ledger, number), Partition(topics.runs, number)
        with closing(log.admin()) as admin:
            passed = admin.committed(group_of(topics, "submitter"), [runs], stable=True).get(runs)
            kept = admin.start_offsets([runs])[runs]
            self._ends = admin.stable_ends([ledger, runs])
        # Behind what submitters have taken up: the runs that the live bridge and other replays have sent.
        begin = min(max(kept, passed.offset if passed is not None else 0), self._ends[runs])
        self._runs_topic = topics.runs
        self._entries = log.ranges({ledger: replay.ledger_from, runs: begin})
        self._plan: Iterator[tuple[int, Run]] | None = None  # once the ledger is read to its end
        self._following: tuple[int, Run] | None = None
        self._sent: set[str] = set()  # runs on their way
        self._counts: Counter[str] = Counter()
        self._tokens = 1.0
        self._filled_at = self._told_at = self._looked_at = pace()
        self._has_news = False
        self._waits_for: str | None = None  # None before the first look
        self._asked_at: Micros = -(2**62)
        self._begun_at: Micros = 0
        self._is_stopped = False
        self._why_stopped = why_stopped

    def begin(self) -> None:
        """Write that the replay runs.

        Raises:
            FencedError: Another process has taken the replay over.

        """
        self._begun_at = self._clock()
        self._write(replace(self.replay, state=RUNNING, text="", advanced_at=self._begun_at))

    def stop(self) -> None:
        """Have :meth:`run` end after the present step, from a handler of signals."""
        self._is_stopped = True

    def run(self) -> Replay:
        """Carry the plan out; return the replay as it stands when this process has nothing more to do.

        Raises:
            LogError: Kafka did not answer for too long. The replay can be resumed.

        """
        try:
            self.begin()
            while not self._is_stopped and self.step(_POLL):
                """The next one."""
            if self._is_stopped and self.replay.state == RUNNING:
                self._write(replace(self._advanced(), state=PAUSED, text=self._why_stopped))
        except FencedError:  # the process that took it over fences first, and then writes
            until = self._pace() + _WRITTEN_WITHIN
            while True:
                found = self._replays.find(self.replay.name, is_current=False) or self.replay
                if found.state != RUNNING or self._pace() >= until:
                    return found
                process_time.sleep(_POLL)
        return self.replay

    def step(self, patience: float = 0.0) -> bool:
        """Hear what became of runs, and send those that may be sent now; return whether there is more to do.

        Args:
            patience: Seconds to wait for news if no run may be sent.

        Raises:
            FencedError: Another process has taken the replay over.
            LogError: Kafka did not answer.

        """
        may_send = self._following is not None and self._may_send(0)
        self._hear(self._entries.poll(0.0 if may_send else patience))
        if self._plan is None:
            positions = self._entries.positions()
            if any(positions[place] < end for place, end in self._ends.items()):
                return True
            for _, run in self._replays.plan(self.replay, self.replay.plan_start, self.replay.position):
                outcome, replay = self._since.state(run.run_key)  # what became of the runs that were sent before
                if outcome is Outcome.MISSING and self._is_used(run):  # it was passed over
                    self._counts[MEANWHILE] += 1
                elif outcome in (Outcome.MISSING, Outcome.WAITING):
                    self._sent.add(run.run_key)
                else:
                    self._counts[_COUNTED[outcome] if replay == self.replay.name else MEANWHILE] += 1
            self._plan = self._replays.plan(self.replay, self.replay.position)
            self._following = next(self._plan, None)
        if self._waits_for != "" and self._pace() - self._asked_at >= _LOOK_EVERY:
            # another replay of the trigger may be ahead of this one, before the first run is sent
            self._asked_at = self._pace()
            with suppress(LogError):  # an open transaction of another replay hides what stands behind it
                self._waits_for = self._replays.ahead_of(self.replay.name, self._clock())
        batch: list[Run] = []
        position = self.replay.position
        while self._following is not None and self._may_send(len(batch)):
            offset, run = self._following
            if self._since.state(run.run_key)[0] is Outcome.MISSING and not self._is_used(run):
                batch.append(run)
            else:  # it was made since the plan was
                self._counts[MEANWHILE] += 1
            position, self._following = offset + 1, next(self._plan, None)
        if self._following is None:
            position = self.replay.plan_end
        if batch or position != self.replay.position:
            self._write(replace(self._advanced(), position=position), batch)
            self._sent.update(run.run_key for run in batch)
            self._tokens -= len(batch)
            self._has_news = False
        now = self._pace()
        if self._following is None and not self._sent:
            dead = self._counts[DEAD]
            text = f"{dead} runs were given up: flowbridge replay retry-failed {self.replay.name}" if dead else ""
            self._write(replace(self._advanced(), state=FAILED if dead else COMPLETED, text=text))
            self._told(State(self.replay, 0))
            return False
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            if self._has_news:
                self._has_news = False
                self._write(self._advanced())
            self._told(State(self.replay, len(self._sent), self._waits_for or ""))
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            stands = self._replays.find(self.replay.name, is_current=False)  # an old state is heard of at the next send
            is_later = stands is not None and stands.advanced_at >= self._begun_at
            if stands is not None and is_later and stands.state in _TAKEN:
                self.replay = stands
                return False
        return True

    def close(self) -> None:
        """Close the clients."""
        self._entries.close()
        self._since.close()

    def _hear(self, records: list[Record]) -> None:
        """Take in entries of the ledger, and runs that no submitter has taken up."""
        for record in records:
            if record.topic == self._runs_topic:
                record_run(self._since, record)
                continue
            run_key = record_entry(self._since, record)
            if record.value is None and record.key is not None:  # it was cancelled, and is forgotten
                run_key = record.key.decode(errors="replace")
            if run_key not in self._sent:
                continue
            outcome, replay = self._since.state(run_key)
            if outcome is not Outcome.WAITING:
                self._sent.discard(run_key)
                is_own = outcome is Outcome.MISSING or replay == self.replay.name
                self._counts[_COUNTED[outcome] if is_own else MEANWHILE] += 1
                self._has_news = True

    def _is_used(self, run: Run) -> bool:
        """Return whether a run of the live bridge or of another replay has used an event of a run since it was planned.

        Two replays may be planned at the same time. If the live bridge, or the other one, made runs in between, the
        same events can make other matches in each plan. In one plan an event has two uses only if it came again after
        the dedupe horizon.
        """
        if run.replay_id or run.repeats:
            return False
        uses = [self._since.use_of(event) for _, event in run.events]
        return any(
            use is not None and use.run_key != run.run_key and self._since.state(use.run_key)[1] != self.replay.name
            for use in uses
        )

    def _may_send(self, more: int) -> bool:
        """Return whether another run may be sent now, after ``more`` that are about to be."""
        if self._waits_for != "" or len(self._sent) + more >= self.replay.concurrency:
            return False
        if not self.replay.rate:
            return True
        now = self._pace()
        rate = self.replay.rate / 1000
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._filled_at) / SECOND * rate)
        self._filled_at = now
        return self._tokens - more >= 1

    def _advanced(self) -> Replay:
        return replace(self.replay, counts=dict(self._counts), advanced_at=self._clock())

    def _write(self, replay: Replay, runs: list[Run] | None = None) -> None:
        """Write a state of the replay, with runs. Only then is it the state."""
        self._owner.write(replay, runs)
        self.replay = replay


_COUNTED = {Outcome.RAN: SUBMITTED, Outcome.DEAD: DEAD, Outcome.SKIPPED: SKIPPED, Outcome.MISSING: SKIPPED}


def retried(log: Log, topics: InternalTopics, replay: Replay, recorded: Recorded) -> Iterator[Run]:
    """Yield a new run in place of each run of a replay's plan that was given up, was skipped, or has failed.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        replay: The replay.
        recorded: What is recorded of its trigger.

    """
    for _, run in ReplayLog(log, topics).plan(replay, replay.plan_start):
        base = run.repeats or run.run_key
        stands = recorded.find(base)
        if stands is not None and stands.outcome in (Outcome.DEAD, Outcome.SKIPPED, Outcome.FAILED):
            yield repeated(run, base, stands.attempt + 1, topics.prefix)
