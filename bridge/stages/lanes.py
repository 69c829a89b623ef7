"""Lanes: where runs wait for their turn, one lane a trigger, so that none stands in line behind another trigger's.

Lanes whose next run may start take turns, a run each. A lane that its trigger's limits keep back leaves the turns until
the moment that they name, one that waits for its WorkflowTemplate until that is read; all others go on meanwhile. In a
lane runs keep the order in which they were taken up.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

from bridge.core.event import Micros, time_text
from bridge.core.limits import Brake, Wait
from bridge.core.trigger import RunLimits
from bridge.stages.ledger import OpenRun

logger = logging.getLogger(__name__)

_Key = tuple[int, str]
"""Partition of the ledger, and trigger."""


class Rule(NamedTuple):
    """What governs the runs of a trigger now.

    Attributes:
        definition: Hash of the definition whose limits these are.
        limits: How many may start.
        is_over: The trigger is gone, or suspended: what a storm holds is wanted no more.

    """

    definition: str
    limits: RunLimits
    is_over: bool = False


RuleOf = Callable[[str, str], Rule]
"""Tells the rule for a trigger and the hash of a definition that made a run of it."""


class Lane:
    """The runs of one trigger that wait for their turn.

    Attributes:
        key: Partition and trigger.
        queue: The runs, in order.
        rule: What governs them.
        brake: What the limits have counted.
        place: Among those that take turns, among those kept back, asking for its template, or empty.
        is_held: A storm holds it, and somebody was told.

    """

    def __init__(self, key: _Key, rule: Rule, brake: Brake) -> None:
        self.key = key
        self.queue: deque[OpenRun] = deque()
        self.rule = rule
        self.brake = brake
        self.place: Literal["empty", "turn", "later", "asking"] = "empty"
        self.is_held = False

    def ask(self, one: OpenRun) -> None:
        """Count a run that was asked for, if by the definition whose limits hold."""
        if one.run.definition_hash == self.rule.definition:
            self.brake.ask(one.since)

    def wait(self, now: Micros) -> Wait | None:
        """Return why the first run cannot start now."""
        wait = self.brake.wait(now)
        if wait is None or wait.why == "rate":
            return wait
        # An edit has lifted the hold from all that other definitions asked for.
        is_held = self.queue[0].run.definition_hash == self.rule.definition
        return wait if is_held else self.brake.wait_for_rate(now)


class Lanes:
    """All lanes of a process.

    Args:
        rule_of: Tells what governs a trigger.

    """

    def __init__(self, rule_of: RuleOf) -> None:
        self._rule_of = rule_of
        self._lanes: dict[_Key, Lane] = {}
        self._turns: deque[Lane] = deque()
        self._later: list[tuple[Micros, int, Lane]] = []
        self._counter = 0
        self.unwanted: list[OpenRun] = []
        """Runs that a storm held when their trigger went: to be skipped."""

    def lane(self, one: OpenRun) -> Lane:
        """Return the lane of a run."""
        key = (one.partition, one.run.trigger)
        lane = self._lanes.get(key)
        if lane is None:
            rule = self._rule_of(one.run.trigger, one.run.definition_hash)
            lane = self._lanes[key] = Lane(key, rule, Brake(rule.limits))
        return lane

    def restore(
        self, partition: int, trigger: str, made_by: str, asked: Collection[Micros], started: Collection[Micros]
    ) -> None:
        """Make the lane of a trigger, still empty, with what its limits had counted."""
        rule = self._rule_of(trigger, made_by)
        self._lanes[partition, trigger] = Lane((partition, trigger), rule, Brake(rule.limits, asked, started))

    def add(self, one: OpenRun, *, first: bool = False) -> None:
        """Let a run wait for its turn; ``first``: before all others of its trigger."""
        lane = self.lane(one)
        (lane.queue.appendleft if first else lane.queue.append)(one)
        if lane.place == "empty":
            self._give_turn(lane)

    def next(self, now: Micros) -> OpenRun | None:
        """Take the run whose turn it is; None when none may start now."""
        self._bring_back(now)
        while self._turns:
            lane = self._turns.popleft()
            lane.place = "empty"
            while lane.queue and lane.queue[0].has_ended:  # too late while it waited
                lane.queue.popleft()
            if not lane.queue:
                self._tell(lane, None)
                continue
            wait = lane.wait(now)
            self._tell(lane, wait)
            if wait is None:
                one = lane.queue.popleft()
                if lane.queue:
                    self._give_turn(lane)
                return one
            if wait.why == "storm" and lane.rule.is_over:
                self.unwanted.extend(lane.queue)
                lane.queue.clear()
                self._tell(lane, None)
            else:
                self._keep_back(lane, wait.until)
        return None

    def is_due(self, now: Micros) -> bool:
        """Tell whether a run may have its turn now."""
        return bool(self._turns) or bool(self._later and self._later[0][0] <= now)

    def backlog(self) -> int:
        """Return how many runs only wait for room."""
        return sum(len(lane.queue) for lane in self._turns)

    def stop_for(self, one: OpenRun) -> None:
        """Keep the lane of a run back until its WorkflowTemplate is read."""
        lane = self.lane(one)
        if lane.place == "turn":
            self._turns.remove(lane)
        lane.place = "asking"

    def go_on(self, one: OpenRun) -> None:
        """Let the lane of a run go on: the question for its template was answered."""
        lane = self.lane(one)
        if lane.place == "asking":
            self._give_turn(lane)

    def reconsider(self, now: Micros) -> None:
        """Learn that definitions have changed; one that is gone is forgotten once its rate counts nothing any more."""
        for lane in list(self._lanes.values()):
            self._reconsider(lane)
            if lane.rule.is_over and lane.place == "empty" and not lane.brake.counts_starts(now):
                del self._lanes[lane.key]

    def _reconsider(self, lane: Lane) -> None:
        made_by = lane.queue[0].run.definition_hash if lane.queue else lane.rule.definition
        rule = self._rule_of(lane.key[1], made_by)
        if rule == lane.rule:
            return
        if not rule.is_over and rule.definition != lane.rule.definition:
            lane.brake = lane.brake.changed(rule.limits)
        lane.rule = rule if not rule.is_over else lane.rule._replace(is_over=True)
        if lane.place == "later":
            self._give_turn(lane)

    def start(self, one: OpenRun, now: Micros) -> None:
        """Count that a run is tried now; of several tries the last, by whichever of its owners' clocks that is."""
        moment = now if one.started is None else max(now, one.started)
        if one.started is not None:
            self.give_back(one)
        self.lane(one).brake.start(moment)
        one.started = moment

    def give_back(self, one: OpenRun) -> None:
        """Do not count a try any more that came to nothing."""
        lane = self.lane(one)
        if one.started is not None:
            lane.brake.give_back(one.started)
        one.started = None
        if lane.place == "later":
            self._give_turn(lane)

    def waits(self, one: OpenRun, now: Micros) -> Wait | None:
        """Return why a run's trigger is kept back by its limits, if it is."""
        lane = self.lane(one)
        return lane.wait(now) if lane.queue and lane.place == "later" else None

    def held(self) -> Iterator[tuple[str, int]]:
        """Yield the triggers that a storm holds, each with how many of its runs wait."""
        for lane in self._lanes.values():
            if lane.is_held:
                yield lane.key[1], len(lane.queue)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the lanes of partitions."""
        gone = [key for key in self._lanes if key[0] in partitions]
        for key in gone:
            del self._lanes[key]
        self._turns = deque(lane for lane in self._turns if lane.key in self._lanes)
        self._later = [one for one in self._later if one[2].key in self._lanes]
        heapq.heapify(self._later)
        self.unwanted = [one for one in self.unwanted if one.partition not in partitions]

    def _give_turn(self, lane: Lane) -> None:
        lane.place = "turn"
        self._turns.append(lane)

    def _keep_back(self, lane: Lane, until: Micros) -> None:
        lane.place = "later"
        self._counter += 1
        heapq.heappush(self._later, (until, self._counter, lane))

    def _bring_back(self, now: Micros) -> None:
        while self._later and self._later[0][0] <= now:
            lane = heapq.heappop(self._later)[2]
            if lane.place == "later":
                self._give_turn(lane)

    def _tell(self, lane: Lane, wait: Wait | None) -> None:
        """Say it when a storm begins to hold a trigger, and when that is over."""
        is_held = wait is not None and wait.why == "storm"
        if is_held and wait is not None and not lane.is_held:
            limits = lane.rule.limits
            logger.error(
                "trigger %s is held: more than %s runs were asked for in %.0f s, %d wait. It goes on by itself when "
                "that is over (not before %s), at once when it is edited; suspended or deleted, they are skipped",
                *(lane.key[1], limits.storm, limits.storm_within / 1e6, len(lane.queue), time_text(wait.until)),
            )
        elif lane.is_held and not is_held:
            logger.warning("trigger %s is no longer held", lane.key[1])
        lane.is_held = is_held
