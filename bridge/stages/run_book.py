"""The run book: the one owner of all runs that have not ended, of where they wait and of what is counted about them.

A run is in exactly one of these places, which follow from where it stands (:mod:`bridge.stages.open_run`):

- *queued*: in the lane of its trigger, in memory (:mod:`bridge.stages.lanes`);
- *shelved*: on the shelf of its partition (:mod:`bridge.stages.shelf`), until its turn or until it is due;
- *doubtful*: in the queue of its namespace, since it stands under an intent and no limit concerns it any more;
- *asking*, *begun*, *sent*: with a worker, or about to be.

In a namespace, doubtful runs and lanes take turns. So runs that fail again and again do not hold up new ones, and new
ones do not keep a doubt from being settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from bridge.core.event import SECOND, Micros
from bridge.stages.lanes import Lanes, RuleOf
from bridge.stages.ledger import LedgerPartition
from bridge.stages.open_run import OpenRun, Stands

WOKEN = 256
"""Runs that one batch takes from each shelf because they are due or too late."""

_AT_HAND = 64  # woken runs of a lane, and doubtful ones of a namespace, in memory; more wait on the shelf
_POSTPONED: Micros = 10 * SECOND
_NEVER: Micros = 2**62


class RunBook:
    """All runs of a process that have not ended.

    Args:
        rule_of: Tells what governs a trigger.

    Attributes:
        ledger: The partitions of the ledger that are owned, by number.
        lanes: Where runs wait for their turn.

    """

    def __init__(self, rule_of: RuleOf) -> None:
        self.ledger: dict[int, LedgerPartition] = {}
        self.lanes = Lanes(rule_of, self.ledger, self._keep)
        self._doubtful: dict[str, deque[OpenRun]] = {}
        self._doubtful_is_next: dict[str, bool] = {}
        self._deadline: Micros = _NEVER  # no queued run in memory is too late before

    # -- partitions ----------------------------------------------------------------------------------------------------

    def restore(self, number: int, ledger: LedgerPartition) -> None:
        """Take over a partition of the ledger as it was read from Kafka."""
        self.ledger[number] = ledger
        waiting = {found.trigger: found for found in ledger.shelf.waiting()}
        for trigger in dict.fromkeys((*waiting, *ledger.asked, *ledger.started)):
            made_by = waiting[trigger].definition if trigger in waiting else ""
            self.lanes.restore(number, trigger, made_by, ledger.asked[trigger], ledger.started[trigger])
        for found in waiting.values():
            self.lanes.restore_waiting(number, found)

    def drop(self, numbers: Collection[int]) -> None:
        """Forget partitions; results of their runs that are still under way are ignored."""
        for number in numbers:
            ledger = self.ledger.pop(number, None)
            for one in ledger.open.values() if ledger else ():
                one.move(Stands.DROPPED)
        self.lanes.drop(numbers)
        for namespace, runs in list(self._doubtful.items()):
            self._doubtful[namespace] = deque(one for one in runs if not one.is_dropped)

    # -- a run's way ---------------------------------------------------------------------------------------------------

    def take_up(self, one: OpenRun) -> bool:
        """Take up a run; return whether it stays in memory. Otherwise :meth:`lay_down` it once its entry is written."""
        is_in_memory = self.lanes.add(one)
        if is_in_memory:
            self._keep([one])
        return is_in_memory

    def lay_down(self, one: OpenRun) -> None:
        """Leave a run to the shelf; the ledger in Kafka has it whole."""
        self.ledger[one.partition].open.pop(one.run.run_key, None)
        self.lanes.lay_down(one)

    def lay_down_lane(self, one: OpenRun) -> None:
        """Leave all runs of a run's lane to the shelf; the ledger in Kafka has them whole."""
        opened = self.ledger[one.partition].open
        for laid in self.lanes.lay_down_all(self.lanes.lane(one)):
            del opened[laid.run.run_key]

    def queue_again(self, one: OpenRun) -> None:
        """Give a run whose parameters are known now the next turn of its trigger."""
        one.move(Stands.QUEUED)
        self.lanes.add(one, first=True)
        self._keep([one])

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
        for one in doubtful:
            if is_wanted(one):
                self._doubtful[namespace].remove(one)
                return one
        return None

    def wake(self, now: Micros) -> list[OpenRun]:
        """Give runs their turn that are due; return those that are too late to start."""
        late = self._late_in_memory(now)
        for ledger in self.ledger.values():
            if ledger.shelf.next_wake() <= now:
                late += [one for one in ledger.shelf.take_due(now, WOKEN) if not self._wake(one, now)]
        return late

    def _wake(self, one: OpenRun, now: Micros) -> bool:
        """Give a run its turn; return False if it is too late to start."""
        self.lanes.taken(one)
        if one.is_too_late(now):
            self.ledger[one.partition].open[one.run.run_key] = one
            return False
        one.due = None
        if one.intent is not None:
            runs = self._doubtful.setdefault(one.run.namespace, deque())
            if len(runs) < _AT_HAND:
                self._keep([one])
                runs.append(one)
            else:
                one.due = now + _POSTPONED
                self.lanes.lay_down(one)
        elif len(self.lanes.lane(one).queue) < _AT_HAND:
            self._keep([one])
            self.lanes.add(one, first=True)
        else:
            self.lanes.lay_down(one, first=True)
        return True

    def _late_in_memory(self, now: Micros) -> list[OpenRun]:
        if now < self._deadline:
            return []
        queued = [one for one in self._in_memory() if one.stands is Stands.QUEUED and one.run.start_by is not None]
        late = [one for one in queued if one.is_too_late(now)]
        self._deadline = min((one.run.start_by or 0 for one in queued if not one.is_too_late(now)), default=_NEVER)
        return late

    def _keep(self, runs: list[OpenRun]) -> None:
        """Hold runs in memory."""
        for one in runs:
            self.ledger[one.partition].open[one.run.run_key] = one
            if one.run.start_by is not None and one.intent is None:
                self._deadline = min(self._deadline, one.run.start_by)

    # -- looking -------------------------------------------------------------------------------------------------------

    def owns(self, one: OpenRun) -> bool:
        """Return whether a run is in memory here and has not ended."""
        ledger = self.ledger.get(one.partition)
        return ledger is not None and ledger.open.get(one.run.run_key) is one

    def is_due(self, now: Micros) -> bool:
        """Return whether :meth:`wake` has something to do."""
        return self._deadline <= now or any(ledger.shelf.next_wake() <= now for ledger in self.ledger.values())

    def stale(self, now: Micros, limit: int) -> Iterator[OpenRun]:
        """Yield runs whose entries have to be written again before Kafka's retention takes them.

        Those on a shelf count as written once they were yielded. The others have to be noted by the caller.
        """
        for ledger in self.ledger.values():
            before = now - ledger.rewrite_after
            yield from [one for one in ledger.open.values() if one.written is not None and one.written < before][:limit]
            shelved = ledger.shelf.stale(before, limit)
            yield from shelved
            ledger.shelf.rewritten([one.run.run_key for one in shelved], now)

    def open_runs(self) -> Iterator[OpenRun]:
        """Yield the runs that have not ended."""
        for ledger in self.ledger.values():
            yield from ledger.open.values()
            yield from ledger.shelf.runs()

    def _in_memory(self) -> Iterator[OpenRun]:
        for ledger in self.ledger.values():
            yield from ledger.open.values()
