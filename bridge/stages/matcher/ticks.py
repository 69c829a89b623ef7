"""Ticks: when a tick is due, which time it carries, and what it ends.

A tick ends waiting arrivals in the order (deadline, trigger, key), in slices. Only the transaction of the last slice
passes the tick, and only then do the conditions' clocks show its time. A condition that is no longer in force is
*retired* once no router can route by it any more: the contents of its windows end
(:func:`bridge.core.windows.expiry.retire`), and its remembered events are forgotten. Whether it is over is decided
once, at the first slice, and kept with the windows. So a trigger that comes back between two slices begins with empty
windows.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from bridge.core.definition import Definition
from bridge.core.event import Micros
from bridge.core.windows.boundaries import LONG_AGO
from bridge.core.windows.expiry import end, expire, forget, retire
from bridge.core.windows.window import Spent
from bridge.core.windows.window_step import Step
from bridge.kafka.log import Admin, LogError
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.stages.matcher.safe_time import EVER, Safe, SafeTime
from bridge.stages.matcher.window_indexes import Condition, Timer
from bridge.stages.matcher.window_records import Place, WindowKey
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared.definitions import Definitions
from bridge.triggers.topic_mapping import topics_of

logger = logging.getLogger(__name__)

_First = tuple[tuple[Micros, str, str], Condition, Timer]
"""The first timer of a condition that is due, after the order (deadline, trigger, key)."""

SLICE = 1_000
"""Endings in one transaction, counted by arrivals; more if one window ends with more."""


class TickPlanner:
    """Says which partitions want a tick, and with which times.

    Args:
        definitions: The triggers.
        safe_time: Tells which times are safe.
        admin: For the partition counts of topics.
        skew: Bound on the difference between this clock and the brokers'.

    """

    def __init__(self, definitions: Definitions, safe_time: SafeTime, admin: Admin, skew: Micros) -> None:
        self._definitions = definitions
        self._safe_time = safe_time
        self._admin = admin
        self._skew = skew
        self._asked: set[str] = set()
        self._safe: dict[str, Safe] = {}
        self._trouble = ""

    def hear(self, timestamp: int) -> None:
        """Learn the brokers' time from a record that was read now, and appended at ``timestamp`` (ms)."""
        self._safe_time.hear(timestamp)

    def knows_time(self) -> bool:
        """Return True if anything is known of the brokers' time."""
        return self._safe_time.knows_time()

    def is_due(self, windows: Mapping[int, WindowStore], now: Micros) -> bool:
        """Return True if anything could end by a tick now."""
        return any(
            self._is_due(window, condition, now) for window in windows.values() for condition in window.conditions()
        )

    def plan(self, windows: Mapping[int, WindowStore], now: Micros) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield, by partition, the fields of the tick to append.

        A tick with nothing in it asks for the brokers' time: it is read back with the time at which it was appended.
        If Kafka does not answer, only the ticks of this time are left out.
        """
        due = {
            partition: [condition for condition in window.conditions() if self._is_due(window, condition, now)]
            for partition, window in windows.items()
        }
        conditions = {condition for some in due.values() for condition in some}
        topics = {topic for condition in conditions for topic in self._topics_of(condition)}
        starts = self._definitions.starts
        begun = {topic: len(starts[topic].offsets) for topic in topics if topic in starts}
        try:
            counts = self._admin.topics()  # each time: a partition that is new would be overtaken
            self._safe_time.look({topic: max(counts.get(topic, 0), begun.get(topic, 0)) for topic in topics})
            self._asked.clear()
            safe = {condition: self._safe_for(condition) for condition in conditions}
        except LogError as error:
            if str(error) != self._trouble:
                logger.warning("no window ends for now: %s", error, extra=ABOUT_KAFKA)
            self._trouble = str(error)
            return
        self._trouble = ""
        asking = (
            next((partition for partition, some in due.items() if some), None) if self._safe_time.is_ahead() else None
        )
        for partition, some in due.items():
            times, retired = [], []
            for trigger, condition_hash in some:
                time = safe[trigger, condition_hash]
                if time is None:
                    continue
                if not self._definitions.is_in_force(trigger, condition_hash):
                    retired.append({"trigger": trigger, "condition": condition_hash})
                elif (windows[partition].next_due((trigger, condition_hash)) or 0) <= time:
                    times.append({"trigger": trigger, "condition": condition_hash, "time": time})
            if times or retired or partition == asking:
                yield partition, {"safe": times, "retired": retired}

    def overdue(self, windows: Mapping[int, WindowStore], now: Micros) -> Micros:
        """Return for how long the first window that is due has not ended; 0 if none is due.

        A window that is due ends within seconds, unless its time is not safe.
        """
        firsts = [
            first
            for store in windows.values()
            for condition in store.conditions()
            if self._definitions.is_in_force(*condition)
            and (first := store.next_due(condition)) is not None
            and first > LONG_AGO  # a dead man's switch that is not armed
        ]
        return max(0, now - self._skew - min(firsts, default=now))

    def _topics_of(self, condition: Condition) -> tuple[str, ...]:
        return topics_of(self._definitions.conditions[condition[1]].trigger)

    def _is_due(self, store: WindowStore, condition: Condition, now: Micros) -> bool:
        if not self._definitions.is_in_force(*condition):
            return True
        first = store.next_due(condition)
        return first is not None and first <= now - self._skew

    def _safe_for(self, condition: Condition) -> Micros | None:
        """Return the safe time of a condition; for one that is not in force, any time once it may be retired."""
        definitions, topics = self._definitions, self._topics_of(condition)
        applied = definitions.changed.get(condition[0], 0)
        if not definitions.is_in_force(*condition):
            is_over = self._safe_time.all_applied(topics, applied, definitions.offset, definitions.topics())
            return 0 if is_over else None
        times: list[Micros] = []
        for topic in topics:
            if topic not in self._asked:  # once for all triggers that read it
                self._asked.add(topic)
                now = self._safe_time.of_topic(topic)
                if now is not None:
                    self._safe[topic] = now
            safe = self._safe.get(topic)
            if safe is not None and safe.applied >= applied:
                times.append(safe.time)
        return min(times) if len(times) == len(topics) else None


class Ended(NamedTuple):
    """What one timer ended.

    Attributes:
        key: The window.
        definition: A definition of its condition.
        step: The changes of the window.
        forgotten: Events at slots that are remembered no longer; all that left the window if it is retired.

    """

    key: WindowKey
    definition: Definition
    step: Step
    forgotten: tuple[Place, ...] = ()

    @property
    def size(self) -> int:
        """Return the number of arrivals that ended, at least 1."""
        return max(1, len(self.step.spent) + len(self.forgotten))

    def by_tick(self, time: Micros) -> Ended:
        """Return this ending as a tick at ``time`` applies it: without arrivals that it would remember only to forget.

        Where nothing else is left in the window, nothing happens between the two. After an outage most windows are so.
        """
        step = self.step
        if not step.spent or not step.window.is_empty or max([spent.until for _, spent in step.spent]) > time:
            return self
        forgotten = [Place(self.key, arrival.slot, arrival.event) for arrival, _ in step.spent]
        unspent = step._replace(spent=())
        return Ended(self.key, self.definition, unspent, (*self.forgotten, *forgotten))


def ended_by(store: WindowStore, timer: Timer, definition: Definition, *, is_retired: bool = False) -> Ended:
    """Return what a timer that is due ends; the caller applies it.

    Args:
        store: The windows.
        timer: The timer, as :meth:`WindowStore.due` returns it.
        definition: A definition of its condition.
        is_retired: The condition is no longer in force.

    """
    key, place, trigger = timer.window, timer.place, definition.trigger
    window = store.window(key, len(trigger.slots))
    held = None if timer.is_whole else store.remembered(place)
    if isinstance(held, Spent):
        return Ended(key, definition, Step(forget(trigger, window, place.slot, held), ()), (place,))
    if is_retired:
        step = retire(trigger, window, key.key) or Step(window, ())
        left = tuple([Place(key, arrival.slot, arrival.event) for arrival, _ in step.spent])
        return Ended(key, definition, step._replace(spent=()), left)
    if held is None:
        return Ended(key, definition, end(trigger, window, key.key, store.clock(key[:2])))
    return Ended(key, definition, expire(trigger, window, key.key, held))


class KnownConditions(Protocol):
    """The definitions as far as a round of endings asks for them."""

    @property
    def conditions(self) -> Mapping[str, Definition]:
        """Return a definition of every condition, by its hash."""

    def is_in_force(self, trigger: str, condition_hash: str, /) -> bool:
        """Return True if the definition of a trigger that is in force has this condition."""


class TickRound:
    """One slice of what a tick ends.

    Args:
        store: The windows of the tick's partition; the caller applies each ending before it asks for the next.
        definitions: The triggers; read to the end of ``triggers`` if the tick retires any.
        tick: The tick's fields.

    """

    def __init__(self, store: WindowStore, definitions: KnownConditions, tick: dict[str, Any]) -> None:
        self._store = store
        self._definitions = definitions
        self.times: dict[Condition, Micros] = {
            (entry["trigger"], entry["condition"]): entry["time"] for entry in tick["safe"]
        }
        retired = store.retiring
        if retired is None:
            # A condition that is in force again is not over. A router that routes by it has read that in `triggers`.
            named = [(entry["trigger"], entry["condition"]) for entry in tick["retired"]]
            retired = tuple([condition for condition in named if not definitions.is_in_force(*condition)])
        self.retired = retired
        self.is_over = False

    def slice(self) -> Iterator[Ended]:
        """Yield endings in order, until they are of :data:`SLICE` arrivals or more."""
        size = 0
        for times, is_retired in ((self.times, False), (dict.fromkeys(self.retired, EVER), True)):
            for timer in self._due(times):
                definition = self._definitions.conditions[timer.window.condition_hash]
                ended = ended_by(self._store, timer, definition, is_retired=is_retired)
                if not is_retired:
                    ended = ended.by_tick(times[timer.window[:2]])
                size += ended.size
                yield ended
                if size >= SLICE:
                    return
        self.is_over = True

    def _due(self, times: Mapping[Condition, Micros]) -> Iterator[Timer]:
        """Yield the first timer that is due, again and again; the caller ends it before it asks for the next."""
        firsts = [first for condition, time in times.items() if (first := self._first(condition, time))]
        heapq.heapify(firsts)
        while firsts:
            _, condition, timer = firsts[0]
            yield timer
            following = self._first(condition, times[condition])  # an ending sets no timer but of its own condition
            if following is None:
                heapq.heappop(firsts)
            else:
                heapq.heapreplace(firsts, following)

    def _first(self, condition: Condition, time: Micros) -> _First | None:
        if self._store.next_due(condition) is None:
            return None
        timer = self._store.due(condition, time, self._definitions.conditions[condition[1]].trigger)
        return None if timer is None else ((timer.due, condition[0], timer.window.key), condition, timer)
