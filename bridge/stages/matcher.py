"""The matcher: brings arrivals together in windows, emits runs, and lets time end what waits.

It owns a partition of arrivals, the same of ``windows`` (its changelog), and all windows in them. An arrival changes
its window by the rules of :mod:`bridge.core.step`; what the window then holds is written to the changelog in the same
transaction as the run of a match. Time comes in the same log: at most once a second the owner appends a tick, with the
time that is safe for each condition of which something is due, and acts on it when the tick comes back in its turn.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import SECOND, Event, EventIdentity, Micros
from bridge.core.matched import UnrunnableError, make_run
from bridge.core.step import Step, step
from bridge.core.window import Arrival
from bridge.kafka.log import Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import ARRIVAL, TICK
from bridge.kafka.stage import Stage
from bridge.kafka.topics import InternalTopics, partition_of
from bridge.stages.decoding import EventDecoder
from bridge.stages.definitions import Definitions
from bridge.stages.restoring import restore_windows
from bridge.stages.run_records import dead_letter, run_record
from bridge.stages.ticks import TickPlanner, TickRound
from bridge.stages.windows import WindowKey, Windows, encode_spent, encode_waiting, record_key
from flowbridge_sdk.errors import DecodeError
from flowbridge_sdk.topics import topic_of

logger = logging.getLogger(__name__)

_TICK_PACE = SECOND
_REGISTRY_PAUSE = 2.0  # seconds until a partition is read again whose schema could not be asked for


@dataclass(frozen=True)
class Bounds:
    """How much a matcher holds; what would be more is decided ``over-bound``.

    Attributes:
        window: Arrivals that wait in one window.
        remembered: Events of one condition that one partition remembers.

    """

    window: int = 10_000
    remembered: int = 1_000_000


class Matcher(Stage):
    """Core's matching rules on the stage loop.

    Args:
        definitions: The triggers.
        topics: The internal topics.
        decoder: Reads the events of a match.
        planner: Says which ticks are due and safe.
        restore: Reads one partition's windows back from the changelog.
        clock: The process's clock.
        observer: Hears how many windows are open.
        bounds: How much it holds.

    """

    name = "matcher"
    purges = True

    def __init__(
        self,
        definitions: Definitions,
        topics: InternalTopics,
        decoder: EventDecoder,
        planner: TickPlanner,
        restore: Callable[[Partition], list[bytes]],
        clock: Callable[[], Micros],
        observer: Observer,
        bounds: Bounds,
    ) -> None:
        self._definitions = definitions
        self._topics = topics
        self._decoder = decoder
        self._planner = planner
        self._restore = restore
        self._clock = clock
        self._observer = observer
        self._bounds = bounds
        self._next_tick: Micros = 0
        self.windows: dict[int, Windows] = {}

    def topics(self) -> frozenset[str]:
        """Return the one topic of arrivals."""
        self._definitions.refresh_when_due()
        return frozenset([self._topics.arrivals])

    def applied(self) -> int:
        """Return the offset of ``triggers`` that is known."""
        return self._definitions.offset

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Bring back the windows of partitions from the changelog."""
        self._definitions.refresh()
        for partition in offsets:
            values = self._restore(Partition(self._topics.windows, partition.number))
            self.windows[partition.number] = restore_windows(values, self._definitions)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the windows of partitions."""
        for partition in partitions:
            self.windows.pop(partition.number, None)

    def is_due(self, now: Micros) -> bool:
        """Tell whether a tick may be appended."""
        return now >= self._next_tick and self._planner.is_due(self.windows, now)

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Apply arrivals and ticks in their order; a tick that ends much is left in place until it has ended all."""
        now = self._clock()
        if self.is_due(now):
            self._next_tick = now + _TICK_PACE
            self._append_ticks(now, out)
        while records:
            record = records[0]
            if Partition(record.topic, record.partition) not in out.held:
                if (record.value or b"").startswith(TICK.prefix):
                    if not self._apply_tick(record, out):
                        return
                else:
                    self._apply_arrival(record, out)
            records.popleft()

    def committed(self) -> None:
        """Say how many windows are open."""
        self._observer.open_windows(sum(len(one.open) for one in self.windows.values()))

    # -- arrivals ------------------------------------------------------------------------------------------------------

    def _apply_arrival(self, record: Record, out: Outbox) -> None:
        fields = ARRIVAL.decode(record.value or b"")
        definition = self._definition(fields["definition"])
        if definition is None:
            text = f"definition {fields['definition']} of {fields['trigger']} is not in triggers"
            self._bury(record, fields["trigger"], text, out)
            return
        slot = definition.trigger.slots[fields["slot"]]
        arrival = Arrival(
            fields["time"],
            record.offset,
            fields["slot"],
            EventIdentity(slot.event, fields["source"], fields["id"]),
            min(fields["reached"], record.timestamp * 1000),
            definition.hash,
            (fields["event_key"], fields["value"]),
        )
        self._step(
            definition, WindowKey(definition.identity, definition.condition, fields["key"]), arrival, record, out
        )

    def _step(self, definition: Definition, key: WindowKey, arrival: Arrival, record: Record, out: Outbox) -> None:
        windows, trigger = self.windows[record.partition], definition.trigger
        window = windows.window(key, len(trigger.slots))
        known = windows.known(key, arrival.event, trigger)
        if not known and len(windows.timers.get(key[:2], ())) >= self._bounds.remembered:
            evidence = {"bound": str(self._bounds.remembered)}
            variable = trigger.slots[arrival.slot].variable
            out.decisions.append(Decision(Reason.OVER_BOUND, key.trigger, variable, arrival.event, key.key, evidence))
            return
        came = step(trigger, window, key.key, arrival, known, bound=self._bounds.window)
        if came.match is not None and not self._send_run(definition, key, came, record, out):
            return
        self._keep(windows, key, came, definition, record.partition, out)

    def _keep(
        self, windows: Windows, key: WindowKey, came: Step, definition: Definition, partition: int, out: Outbox
    ) -> None:
        """Put a step's effects into memory and changelog."""
        changelog = self._topics.windows
        windows.put(key, came.window)
        if came.kept is not None:
            windows.keep(key, came.kept, definition.trigger)
            place = record_key(key, came.kept.slot, came.kept.event)
            out.send(changelog, partition, place, encode_waiting(key, came.kept))
        for arrival, spent in came.spent:
            windows.spend(key, arrival.slot, arrival.event, spent)
            place = record_key(key, arrival.slot, arrival.event)
            out.send(changelog, partition, place, encode_spent(key, arrival.slot, arrival.event, spent))
        out.decisions.extend(came.decisions)

    def _send_run(self, definition: Definition, key: WindowKey, came: Step, record: Record, out: Outbox) -> bool:
        """Send the run of a match, or its dead letter; False if the match has to wait for a schema."""
        try:
            events = [self._event(definition, arrival) for arrival in came.match or ()]
            run = make_run(definition, self._topics.prefix, key.key, events)
            value = run_record(run)
        except (DecodeError, UnrunnableError) as error:
            if isinstance(error, DecodeError) and not error.permanent:
                out.hold(Partition(record.topic, record.partition), record.offset, _REGISTRY_PAUSE)
                return False
            self._bury(record, key.trigger, f"the match has no run: {error}", out)
            return True
        place = partition_of(run.trigger.encode(), self._topics.partitions)
        out.send(self._topics.runs, place, run.run_key.encode(), value)
        return True

    def _event(self, definition: Definition, arrival: Arrival | None) -> Event | None:
        if arrival is None:
            return None
        key, value = arrival.body
        identity = arrival.event
        payload = self._decoder.decode(topic_of(identity.name), value) if definition.run_needs_payload else {}
        return Event(identity.name, identity.source, identity.id, arrival.time, arrival.reached, key, payload)

    def _definition(self, known: str) -> Definition | None:
        definition = self._definitions.known.get(known)
        if definition is None:  # a router may have read further than we: what it used is in the log
            self._definitions.refresh()
            definition = self._definitions.known.get(known)
        return definition

    def _bury(self, record: Record, trigger: str, text: str, out: Outbox) -> None:
        logger.error("%s/%d@%d: %s", record.topic, record.partition, record.offset, text)
        letter = dead_letter(record, stage=self.name, reason="unrunnable", text=text, at=self._clock(), trigger=trigger)
        place = trigger.encode()
        out.send(self._topics.dead_letters, partition_of(place, self._topics.partitions), place, letter)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _append_ticks(self, now: Micros, out: Outbox) -> None:
        for partition, tick in self._planner.plan(self.windows, now):
            out.send(self._topics.arrivals, partition, b"tick", TICK.encode(tick))

    def _apply_tick(self, record: Record, out: Outbox) -> bool:
        """End what is due, a slice of it at a time; tell whether all of it has ended."""
        windows = self.windows[record.partition]
        tick = TICK.decode(record.value or b"")
        if tick["retired"]:
            self._definitions.refresh()
        round_ = TickRound(windows, self._definitions, tick)
        for key, ended in round_.slice():
            if ended.came is not None:
                self._keep(windows, key, ended.came, ended.definition, record.partition, out)
            else:
                windows.forget(key, ended.timer.slot, ended.timer.event)
                windows.put(key, ended.window)
                out.decisions.extend(ended.decisions)
                place = record_key(key, ended.timer.slot, ended.timer.event)
                out.send(self._topics.windows, record.partition, place, None)
        return round_.is_over
