"""Lanes: the queues in which runs wait for their turn, one for each trigger and replay, so that none delays another.

The lanes of a namespace whose next run may start take turns, one run at a time. A lane that its trigger's limits keep
back leaves the turns until the moment that the limits give. A lane that a person holds leaves them until it is
released, and one that waits for its WorkflowTemplate until that is read. All other lanes go on meanwhile. In a lane
runs keep the order in which they were taken up.

The first runs of a lane are in memory while it has turns. The others are on the shelf of its partition. While the lane
is kept back, all of them are there.
"""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from bridge.core.event import Micros, time_text
from bridge.core.runs.holds import CLOCKS_APART
from bridge.core.runs.limits import FOR_EVER, Brake, Wait
from bridge.core.runs.run import REPLAY_LANE
from bridge.log_fields import about
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.limits_in_force import LaneLimits, RuleOf
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.waiting_runs import Waiting

logger = logging.getLogger(__name__)

IN_MEMORY = 2_000
"""Runs that all lanes together hold in memory, not counting the first of each."""

SMALL = 4_096
"""Bytes of a run that may wait in memory behind the first of its lane."""

_READ_AHEAD = 32  # runs, and
_READ_AHEAD_BYTES = 32 * SMALL  # bytes that a lane takes from the shelf at a time

_Key = tuple[int, str]
"""Partition of the ledger, and the lane's name: a trigger, or a trigger and a replay."""


class Lane:
    """The runs of one trigger, or of one replay of a trigger, that wait for their turn.

    Attributes:
        key: Partition and name.
        queue: The runs in memory, in order.
        shelved: How many more wait for their turn, on the shelf.
        put_off: How many are put off, on the shelf.
        size: Bytes of the runs on the shelf.
        rule: The limits that govern them.
        brake: The counts of these limits.
        let_go: Keys of runs that had their turn since a person last held them or released a number of them.
        gone_before: How many more had it before this process took them over.
        place: Among the lanes that take turns, among those kept back, asking for its template, or empty.
        namespace: The namespace of its next run.
        alarm: When a lane that is kept back is looked at again.
        held_by: What holds it: a storm, which was logged, a person, or nothing.
        is_unwanted: Its runs are skipped: its trigger went while a storm held them, or its replay is cancelled.
        last_created: When the last Workflow of it was created by this process.
        overflowed: When a run was last refused because too many wait.

    """

    def __init__(self, key: _Key, rule: LaneLimits, brake: Brake) -> None:
        self.key = key
        self.queue: deque[OpenRun] = deque()
        self.shelved = 0
        self.put_off = 0
        self.size = 0
        self.rule = rule
        self.brake = brake
        self.let_go: set[str] = set()
        self.gone_before = 0
        self.place: Literal["empty", "turn", "later", "asking"] = "empty"
        self.namespace = ""
        self.alarm: Micros | None = None
        self.held_by: Literal["", "storm", "hold"] = ""
        self.is_unwanted = False
        self.last_created: Micros = -(2**62)
        self.overflowed: Micros = -(2**62)

    def __len__(self) -> int:
        """Return how many runs wait."""
        return len(self.queue) + self.shelved + self.put_off

    @property
    def is_replay(self) -> bool:
        """Return whether its runs are those of a replay."""
        return REPLAY_LANE in self.key[1]

    def ask(self, run: OpenRun) -> None:
        """Count a run that was asked for, if the definition whose limits hold made it."""
        if run.run.definition_hash == self.rule.definition:
            self.brake.ask(run.since)

    def wait(self, now: Micros) -> Wait | None:
        """Return why the first run cannot start now."""
        hold = self.rule.hold
        if hold is not None:
            # No storm holds what a person releases by number.
            is_free = bool(self.queue) and self.queue[0].run.run_key in self.let_go
            is_free |= not self.is_replay and len(self.let_go) + self.gone_before < (hold.order.allowed or 0)
            held = Wait("hold", FOR_EVER, f"{hold.order.who}: {hold.order.why}")
            return self.brake.wait_for_rate(now) if is_free else held
        wait = self.brake.wait(now)
        if wait is None or wait.why == "rate" or not self.queue:
            return wait
        # An edit has lifted the hold from all that other definitions asked for.
        is_held = self.queue[0].run.definition_hash == self.rule.definition
        return wait if is_held else self.brake.wait_for_rate(now)


class Lanes:
    """All lanes of a process.

    Args:
        limits_of: Returns the limits of a trigger.
        ledger: The partitions of the ledger that are owned, by number.
        on_read: Receives the runs that were taken from a shelf for their turn.

    Attributes:
        taken_for_tried: Keys of runs in doubt that a former owner may have given their turn, or not.

    """

    def __init__(
        self, limits_of: RuleOf, ledger: Mapping[int, LedgerPartition], on_read: Callable[[list[OpenRun]], None]
    ) -> None:
        self._rule_of = limits_of
        self._ledger = ledger
        self._on_read = on_read
        self._lanes: dict[_Key, Lane] = {}
        self._turns: dict[tuple[str, bool], deque[Lane]] = {}  # by namespace, and whether they are of replays
        self._later: list[tuple[Micros, int, Lane]] = []
        self._counter = 0
        self._in_memory = 0
        self._unwanted: list[Lane] = []
        self.taken_for_tried: set[str] = set()

    # -- runs ----------------------------------------------------------------------------------------------------------

    def lane(self, run: OpenRun) -> Lane:
        """Return the lane of a run."""
        key = (run.partition, run.run.lane)
        lane = self._lanes.get(key)
        if lane is None:
            rule = self._rule_of(run.run.lane, run.run.definition_hash)
            lane = self._lanes[key] = Lane(key, rule, Brake(rule.limits))
        return lane

    def restore(
        self, partition: int, name: str, made_by: str, asked: Collection[Micros], started: Collection[Micros]
    ) -> None:
        """Make the lane of this name, still empty, with the counts of its limits."""
        rule = self._rule_of(name, made_by)
        counted = [moment for moment in asked if moment > rule.storm_lifted]
        lane = self._lanes[partition, name] = Lane((partition, name), rule, Brake(rule.limits, counted, started))
        if rule.hold is not None:
            since = rule.hold.order.at - CLOCKS_APART  # rather too few runs start than too many
            lane.gone_before = sum(moment > since for moment in started)

    def restore_waiting(self, partition: int, waiting: Waiting) -> None:
        """Give a lane that was restored its runs on the shelf."""
        lane, waiting_runs = self._lanes[partition, waiting.lane], self._ledger[partition].waiting_runs
        lane.shelved, lane.put_off, lane.size = waiting.queued, waiting.put_off, waiting.size
        if lane.rule.limits.storm is not None:
            for moment in reversed(waiting_runs.latest(waiting.lane, lane.rule.definition, lane.rule.limits.storm + 1)):
                if moment > lane.rule.storm_lifted:
                    lane.brake.ask(moment)
        if lane.shelved:
            self._give_turn(lane)

    def add(self, run: OpenRun, *, first: bool = False) -> bool:
        """Have a run wait for its turn; ``first``: before all others of its trigger.

        Returns:
            Whether it stays in memory. Otherwise the caller has to shelve it.

        """
        self.taken_for_tried.discard(run.run.run_key)
        lane = self.lane(run)
        is_behind = bool(lane.queue or lane.shelved) and not first
        is_large = self._in_memory >= IN_MEMORY or run.body is None or len(run.body) > SMALL
        if is_behind and (lane.shelved or is_large):
            return False
        (lane.queue.appendleft if first else lane.queue.append)(run)
        self._in_memory += 1
        if lane.place == "empty" or (lane.place == "later" and run.run.run_key in lane.let_go):
            self._give_turn(lane)
        return True

    def shelve(self, run: OpenRun, *, first: bool = False) -> None:
        """Put a run that is in no queue on the shelf, until its turn or until it is due."""
        lane = self.lane(run)
        lane.size += self._ledger[run.partition].waiting_runs.put(run, first=first)
        if run.due is None:
            lane.shelved += 1
            if lane.place == "empty":
                self._give_turn(lane)
        else:
            lane.put_off += 1

    def shelve_all(self, lane: Lane) -> list[OpenRun]:
        """Move the runs of a lane from memory to the shelf; return these runs."""
        runs = list(lane.queue)
        self._in_memory -= len(runs)
        lane.queue.clear()
        for run in runs:
            lane.size += self._ledger[run.partition].waiting_runs.put(run)
        lane.shelved += len(runs)
        return runs

    def take_out(self, runs: Collection[OpenRun]) -> None:
        """Take runs in memory out of their lanes. They do not wait for a turn any more."""
        out = set(runs)
        for lane in {self.lane(run) for run in runs}:
            left = [run for run in lane.queue if run not in out]
            self._in_memory -= len(lane.queue) - len(left)
            lane.queue = deque(left)

    def left_shelf(self, run: OpenRun) -> None:
        """Note that a run was taken from the shelf because it became due or too late to start."""
        lane = self.lane(run)
        lane.size -= len(run.body or b"")
        if run.due is None:
            lane.shelved -= 1
        else:
            lane.put_off -= 1

    def next(self, namespace: str, now: Micros) -> OpenRun | None:
        """Take the run of a namespace whose turn it is; None when none may start now."""
        self._bring_back(now)
        return self._next(namespace, now, of_replays=False) or self._next(namespace, now, of_replays=True)

    def _next(self, namespace: str, now: Micros, *, of_replays: bool) -> OpenRun | None:
        turns = self._turns.get((namespace, of_replays))
        while turns:
            lane = turns.popleft()
            lane.place = "empty"
            if not self._has_first(lane):
                self._tell(lane, None)
                continue
            if lane.namespace != namespace:  # an edit of its trigger had its runs go elsewhere
                self._give_turn(lane)
                continue
            wait = lane.wait(now)
            self._tell(lane, wait)
            if wait is None:
                run = lane.queue.popleft()
                self._in_memory -= 1
                if lane.queue or lane.shelved:
                    self._give_turn(lane)
                return run
            if wait.why == "storm" and lane.rule.is_over:
                lane.is_unwanted = True
                self._unwanted.append(lane)
                self._tell(lane, None)
            else:
                lane.place = "later"
                # An earlier alarm looks at the lane again by itself. What a person holds is looked at after an order.
                if wait.until != FOR_EVER and (lane.alarm is None or wait.until < lane.alarm):
                    lane.alarm = wait.until
                    self._counter += 1
                    heapq.heappush(self._later, (wait.until, self._counter, lane))
        self._turns.pop((namespace, of_replays), None)
        return None

    def namespaces(self, now: Micros) -> list[str]:
        """Return the namespaces of which a run may have its turn now."""
        self._bring_back(now)
        return list(dict.fromkeys([namespace for (namespace, _), turns in self._turns.items() if turns]))

    def take_unwanted(self, limit: int) -> list[OpenRun]:
        """Take some of the runs that are not wanted any more; the caller skips them."""
        unwanted: list[OpenRun] = []
        while self._unwanted and len(unwanted) < limit:
            lane = self._unwanted[-1]
            while len(unwanted) < limit and self._has_first(lane):
                unwanted.append(lane.queue.popleft())
                self._in_memory -= 1
            if not self._has_first(lane):
                self._unwanted.pop()
                lane.is_unwanted = False
        return unwanted

    def has_unwanted(self) -> bool:
        """Return whether more runs have to be skipped because they are not wanted any more."""
        return bool(self._unwanted)

    def _has_first(self, lane: Lane) -> bool:
        """Read the first run of a lane into memory, if needed; return False if the lane is empty."""
        if not lane.queue and lane.shelved:
            read = self._ledger[lane.key[0]].waiting_runs.take_next(lane.key[1], _READ_AHEAD, _READ_AHEAD_BYTES)
            lane.shelved -= len(read)
            lane.size -= sum(len(run.body or b"") for run in read)
            lane.queue.extend(read)
            self._in_memory += len(read)
            self._on_read(read)
        if lane.queue:
            lane.namespace = lane.queue[0].run.namespace
        return bool(lane.queue)

    # -- limits --------------------------------------------------------------------------------------------------------

    def stop(self, run: OpenRun) -> None:
        """Keep the lane of a run back until its WorkflowTemplate is read."""
        lane = self.lane(run)
        self._leave_turns(lane)
        lane.place = "asking"

    def free(self, run: OpenRun) -> None:
        """Give the lane of a run its turns again, since the question for its template was answered."""
        lane = self.lane(run)
        if lane.place == "asking":
            self._give_turn(lane)

    def reconsider(self, now: Micros) -> None:
        """Apply changed definitions; forget a lane whose trigger is gone once its rate counts nothing any more.

        The lane of a replay that has no runs is forgotten at once. The runs of one that is cancelled are unwanted.
        """
        for lane in list(self._lanes.values()):
            made_by = lane.queue[0].run.definition_hash if lane.queue else lane.rule.definition
            rule = self._rule_of(lane.key[1], made_by)
            if rule != lane.rule:
                if not rule.is_over and rule.definition != lane.rule.definition:
                    lane.brake = lane.brake.changed(rule.limits)
                if rule.storm_lifted > lane.rule.storm_lifted:
                    lane.brake = lane.brake.lifted(rule.storm_lifted)
                if rule.hold != lane.rule.hold:
                    lane.let_go, lane.gone_before = set(), 0
                kept = lane.rule._replace(is_over=True, hold=rule.hold, storm_lifted=rule.storm_lifted)
                lane.rule = kept if rule.is_over else rule
                if lane.rule.is_cancelled:
                    self._ledger[lane.key[0]].waiting_runs.hasten(lane.key[1])
                if lane.place == "later":
                    self._give_turn(lane)
            if lane.rule.is_cancelled and not lane.is_unwanted and (lane.queue or lane.shelved):
                self._leave_turns(lane)
                lane.place, lane.is_unwanted = "empty", True
                self._unwanted.append(lane)
            is_over = lane.rule.is_over or lane.is_replay
            if is_over and not len(lane) and lane.place == "empty" and not lane.brake.counts_starts(now):
                del self._lanes[lane.key]

    def start(self, run: OpenRun, now: Micros) -> None:
        """Count the start of a run that is tried now. Of several tries only the latest counts, by any owner's clock."""
        moment = now if run.started is None else max(now, run.started)
        if run.started is not None:
            self.give_back(run)
        lane = self.lane(run)
        lane.brake.start(moment)
        if lane.rule.hold is not None and run.run.run_key not in self.taken_for_tried:
            lane.let_go.add(run.run.run_key)
        run.started = moment

    def is_held(self, run: OpenRun) -> bool:
        """Return whether a person holds a run in doubt, of which nobody knows whether it ever had its turn."""
        return run.run.run_key in self.taken_for_tried and self.lane(run).rule.hold is not None

    def give_back(self, run: OpenRun) -> None:
        """Stop counting a try of which no Workflow was made."""
        lane = self.lane(run)
        if run.started is not None:
            lane.brake.give_back(run.started)
        run.started = None
        if lane.place == "later":
            self._give_turn(lane)

    def waits(self, run: OpenRun, now: Micros) -> Wait | None:
        """Return why a run's trigger is kept back by its limits, if it is."""
        lane = self.lane(run)
        if lane.place != "later":
            return None
        return lane.wait(now)

    def held(self) -> Mapping[tuple[str, str], int]:
        """Return how many runs wait by trigger and by what holds them: ``storm``, or ``hold`` for a person."""
        held: defaultdict[tuple[str, str], int] = defaultdict(int)
        for lane in self._lanes.values():
            if lane.held_by:
                held[lane.key[1].partition(REPLAY_LANE)[0], lane.held_by] += len(lane)
        return held

    def waiting(self) -> int:
        """Return how many runs wait, for any reason."""
        return sum(map(len, self._lanes.values()))

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the lanes of partitions."""
        gone = [key for key in self._lanes if key[0] in partitions]
        for key in gone:
            self._in_memory -= len(self._lanes.pop(key).queue)
        for whose, turns in list(self._turns.items()):
            self._turns[whose] = deque(lane for lane in turns if lane.key in self._lanes)
        self._later = [entry for entry in self._later if entry[2].key in self._lanes]
        heapq.heapify(self._later)
        self._unwanted = [lane for lane in self._unwanted if lane.key in self._lanes]

    def next_later(self) -> Micros | None:
        """Return when the first lane that is kept back may go on."""
        return self._later[0][0] if self._later else None

    def _give_turn(self, lane: Lane) -> None:
        if lane.is_unwanted or not self._has_first(lane):
            lane.place = "empty"
            return
        lane.place = "turn"
        self._turns.setdefault((lane.namespace, lane.is_replay), deque()).append(lane)

    def _leave_turns(self, lane: Lane) -> None:
        if lane.place == "turn":
            self._turns[lane.namespace, lane.is_replay].remove(lane)

    def _bring_back(self, now: Micros) -> None:
        while self._later and self._later[0][0] <= now:
            until, _, lane = heapq.heappop(self._later)
            if lane.alarm == until:
                lane.alarm = None
            if lane.place == "later":
                self._give_turn(lane)

    def _tell(self, lane: Lane, wait: Wait | None) -> None:
        """Note what holds a lane. Log when a storm begins to hold its trigger, and when that is over."""
        before, lane.held_by = lane.held_by, "" if wait is None or wait.why == "rate" else wait.why
        if lane.held_by == "storm" and before != "storm" and wait is not None:
            limits = lane.rule.limits
            logger.error(
                "trigger %s is held: more than %s runs were asked for in %.0f s, %d wait. It goes on by itself when "
                "that is over (not before %s), at once when it is edited, or by flowbridge runs release; suspended or "
                "deleted, they are skipped",
                *(lane.key[1], limits.storm, limits.storm_within / 1e6, len(lane), time_text(wait.until)),
                extra=about(trigger=lane.key[1]),
            )
        elif before == "storm" and not lane.held_by:
            logger.warning("trigger %s is no longer held", lane.key[1], extra=about(trigger=lane.key[1]))
