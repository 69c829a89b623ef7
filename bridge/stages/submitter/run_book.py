"""The run book: it owns all runs that have not ended, the places where they wait and the counts of their limits.

:meth:`RunBook.advance` has an event happen to a run, by the table of :mod:`bridge.stages.submitter.run_life`, and
carries out those effects that concern places and counts. A run is in exactly one of these places, which follow from its
state:

- *new* and *queued*: in the lane of its trigger, in memory (:mod:`bridge.stages.submitter.lanes`), or on the shelf of
  its partition (:mod:`bridge.stages.submitter.waiting_runs`);
- *put off*: on the shelf, until it is due;
- *doubtful*: on the shelf until it is due, then in the queue of its namespace. It has an intent, and no limit keeps it
  back any more;
- *begun*: in ``begun``, until the batch is committed;
- *asking*, *ahead* and *sent*: with a worker.

In a namespace, doubtful runs and lanes take turns. So runs that fail again and again do not hold up new ones, and new
ones do not keep a doubt from being settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping

from bridge.core.event import MINUTE, SECOND, Micros
from bridge.stages.submitter.lanes import SMALL, Lanes
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.limits_in_force import RuleOf
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.run_events import BecameDue, Postponed, Revoked, RunEvent
from bridge.stages.submitter.run_life import Effect, IllegalEventError, advance

WOKEN = 256
"""Runs that one batch takes from each shelf because they are due or too late to start."""

_AT_HAND = 64  # runs of a lane that became due, and doubtful ones of a namespace, in memory; more wait on the shelf
_POSTPONED: Micros = 10 * SECOND
_NEVER: Micros = 2**62


class RunBook:
    """All runs of a process that have not ended.

    Args:
        limits_of: Returns the limits of a trigger.

    Attributes:
        ledger: The partitions of the ledger that are owned, by number.
        lanes: Where runs wait for their turn.
        begun: Runs whose intents are in the batch being made.
        places: Carries out the effects that concern places and counts.

    """

    def __init__(self, limits_of: RuleOf) -> None:
        self.ledger: dict[int, LedgerPartition] = {}
        self.lanes = Lanes(limits_of, self.ledger, self._keep)
        self.begun: list[OpenRun] = []
        self._new: list[OpenRun] = []  # those in memory
        self._doubtful: dict[str, deque[OpenRun]] = {}
        self._doubtful_is_next: dict[str, bool] = {}
        self._deadline: Micros = _NEVER  # no queued run in memory is too late before
        self._stale_from: Micros = 0  # no entry of an open run has to be written again before
        self.places: Mapping[Effect, Callable[[OpenRun, Micros], None]] = {
            Effect.COUNT_START: self.lanes.start,
            Effect.GIVE_BACK: lambda run, _: self.lanes.give_back(run),
            Effect.STOP_LANE: lambda run, _: self.lanes.stop(run),
            Effect.FREE_LANE: lambda run, _: self.lanes.free(run),
            Effect.HOLD: lambda run, _: self.begun.append(run),
            Effect.QUEUE_FIRST: self._queue_first,
            Effect.QUEUE_DUE: self._queue_due,
            Effect.SHELVE: lambda run, _: self.shelve(run),
            Effect.FORGET: lambda run, _: self.ledger[run.partition].forget(run),
        }

    # -- partitions ----------------------------------------------------------------------------------------------------

    def restore(self, number: int, ledger: LedgerPartition) -> None:
        """Take over a partition of the ledger as it was read from Kafka."""
        self.ledger[number] = ledger
        waiting = {of_lane.lane: of_lane for of_lane in ledger.waiting_runs.waiting()}
        for lane in dict.fromkeys((*waiting, *ledger.asked, *ledger.started)):
            made_by = waiting[lane].definition if lane in waiting else ""
            self.lanes.restore(number, lane, made_by, ledger.asked[lane], ledger.started[lane])
        for of_lane in waiting.values():
            self.lanes.restore_waiting(number, of_lane)
        self._stale_from = 0

    def drop(self, numbers: Collection[int]) -> None:
        """Forget partitions, and a batch that was being made; results of their runs that are under way are ignored."""
        for number in numbers:
            ledger = self.ledger.pop(number, None)
            for run in ledger.open.values() if ledger else ():
                advance(run, Revoked())
        self._new, self.begun = [], []
        self.lanes.drop(numbers)
        for namespace, runs in list(self._doubtful.items()):
            self._doubtful[namespace] = deque(run for run in runs if not run.is_dropped)

    # -- events and turns ----------------------------------------------------------------------------------------------

    def advance(self, run: OpenRun, event: RunEvent) -> tuple[Effect, ...]:
        """Have an event happen to a run; return the effects, in their order. Those in ``places`` are the book's own.

        Raises:
            IllegalEventError: The event cannot happen to the run, or the run is not in memory here any more.

        """
        if run.state is not RunState.NEW and not self.owns(run):
            raise IllegalEventError(run, event, " and not in the run book's memory")
        effects = advance(run, event)
        if run.state is RunState.ENDED:
            self.lanes.taken_for_tried.discard(run.run.run_key)
        return effects

    def take_up(self, run: OpenRun) -> bool:
        """Take up a new run; return whether it stays in memory. If not, the caller has to shelve it at once."""
        is_in_memory = self.lanes.add(run)
        if is_in_memory:
            self._keep([run])
            self._new.append(run)
        return is_in_memory

    def take_new(self) -> list[OpenRun]:
        """Take the new runs in memory that had no turn in this batch."""
        waiting = [run for run in self._new if run.state is RunState.NEW]
        self._new = []
        return waiting

    def take_begun(self) -> list[OpenRun]:
        """Take the runs whose intents are committed now."""
        begun, self.begun = self.begun, []
        return begun

    def shelve(self, run: OpenRun, *, first: bool = False) -> None:
        """Move a run to the shelf; the ledger in Kafka has all of it."""
        self.ledger[run.partition].forget(run)
        self.lanes.shelve(run, first=first)

    def spare_memory(self, runs: list[OpenRun], now: Micros) -> None:
        """Move the lanes of these runs to the shelf that are kept back by limits or hold large runs."""
        for run in runs:
            if self.owns(run) and (self.lanes.waits(run, now) is not None or len(run.body or b"") > SMALL):
                for shelved in self.lanes.shelve_all(self.lanes.lane(run)):
                    self.ledger[shelved.partition].forget(shelved)

    def namespaces(self, now: Micros) -> list[str]:
        """Return the namespaces of which a run could begin now."""
        doubtful = [namespace for namespace, runs in self._doubtful.items() if runs]
        return list(dict.fromkeys([*doubtful, *self.lanes.namespaces(now)]))

    def next(self, namespace: str, now: Micros) -> OpenRun | None:
        """Take the run of a namespace that begins next; None when none may begin now."""
        doubtful = self._doubtful.get(namespace)
        if not doubtful:
            return self.lanes.next(namespace, now)
        if self._doubtful_is_next.pop(namespace, True):
            self._doubtful_is_next[namespace] = False
            return doubtful.popleft()
        return self.lanes.next(namespace, now) or doubtful.popleft()

    def has_doubtful(self, namespace: str, is_wanted: Callable[[OpenRun], bool]) -> bool:
        """Return whether a run in doubt of a namespace that is wanted waits for its turn."""
        return any(map(is_wanted, self._doubtful.get(namespace, ())))

    def take_doubtful(self, namespace: str, is_wanted: Callable[[OpenRun], bool]) -> OpenRun | None:
        """Take the first run in doubt of a namespace that is wanted; None when there is none."""
        doubtful = self._doubtful.get(namespace, ())
        for run in doubtful:
            if is_wanted(run):
                self._doubtful[namespace].remove(run)
                return run
        return None

    def wake(self, now: Micros) -> list[OpenRun]:
        """Give runs their turn that are due; return those that are too late to start."""
        late: list[OpenRun] = []
        if now >= self._deadline:
            in_memory = [run for ledger in self.ledger.values() for run in ledger.open.values()]
            queued = [run for run in in_memory if run.state in (RunState.NEW, RunState.QUEUED)]
            late = [run for run in queued if run.is_too_late(now)]
            self.lanes.take_out(late)
            starts = [run.run.start_by for run in queued if run.run.start_by is not None and not run.is_too_late(now)]
            self._deadline = min(starts, default=_NEVER)
        for ledger in self.ledger.values():
            if ledger.waiting_runs.next_wake() > now:
                continue
            for run in ledger.waiting_runs.take_due(now, WOKEN):
                self.lanes.left_shelf(run)
                if run.is_too_late(now):
                    ledger.open[run.run.run_key] = run
                    late.append(run)
                    continue
                self._keep([run])
                for effect in self.advance(run, BecameDue()):
                    self.places[effect](run, now)
        return late

    def _queue_first(self, run: OpenRun, _: Micros) -> None:
        """Give a run whose parameters are known now the next turn of its trigger."""
        self.lanes.add(run, first=True)
        self._keep([run])

    def _queue_due(self, run: OpenRun, now: Micros) -> None:
        """Queue a run that became due. While enough runs are in memory, it goes back to the shelf."""
        if run.state is RunState.DOUBTFUL:
            runs = self._doubtful.setdefault(run.run.namespace, deque())
            if len(runs) < _AT_HAND:
                runs.append(run)
            else:
                for effect in self.advance(run, Postponed(now + _POSTPONED)):
                    self.places[effect](run, now)
        elif len(self.lanes.lane(run).queue) < _AT_HAND:
            self.lanes.add(run, first=True)
        else:
            self.shelve(run, first=True)

    def _keep(self, runs: list[OpenRun]) -> None:
        """Hold runs in memory."""
        for run in runs:
            self.ledger[run.partition].open[run.run.run_key] = run
            if run.run.start_by is not None and run.intent is None:
                self._deadline = min(self._deadline, run.run.start_by)

    # -- questions -----------------------------------------------------------------------------------------------------

    def owns(self, run: OpenRun) -> bool:
        """Return whether a run is in memory here and has not ended."""
        ledger = self.ledger.get(run.partition)
        return ledger is not None and ledger.open.get(run.run.run_key) is run

    def is_due(self, now: Micros) -> bool:
        """Return whether a run is due or has to be skipped, or its entry may have to be written again."""
        if self._deadline <= now or self.lanes.has_unwanted() or (self.ledger and now >= self._stale_from):
            return True
        return any(ledger.waiting_runs.next_wake() <= now for ledger in self.ledger.values())

    def stale(self, now: Micros, limit: int) -> list[OpenRun]:
        """Return runs whose entries have to be written again before Kafka's retention deletes them.

        Those on a shelf count as written from now on. For the others the ledger's writer notes it.
        """
        if now < self._stale_from:
            return []
        stale: list[OpenRun] = []
        for ledger in self.ledger.values():
            before = now - ledger.rewrite_after
            stale += [run for run in ledger.open.values() if run.written is not None and run.written < before][:limit]
            shelved = ledger.waiting_runs.stale(before, limit)
            ledger.waiting_runs.rewritten([run.run.run_key for run in shelved], now)
            stale += shelved
        shortest = min((ledger.rewrite_after for ledger in self.ledger.values()), default=MINUTE)
        self._stale_from = now + (SECOND // 10 if stale else min(MINUTE, shortest // 4))
        return stale

    def open_runs(self) -> Iterator[OpenRun]:
        """Yield the runs that have not ended."""
        for ledger in self.ledger.values():
            yield from ledger.open.values()
            yield from ledger.waiting_runs.runs()
