"""The matcher: brings arrivals together in windows, emits runs, and lets time end what waits.

It owns a partition of arrivals, the same of ``windows`` (its changelog), and all windows in them. An arrival is
decoded, the rules of :mod:`bridge.core.windows.apply` decide about it, the window store applies their step to memory
and changelog, and the run of a match is sent in the same transaction. Time comes in the same log: at most once a second
the owner appends a tick, with the time that is safe for each condition of which something is due, and acts on it when
the tick comes back in its turn.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import islice
from math import inf
from sys import intern

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import SECOND, EventIdentity, Micros
from bridge.core.windows.window import Arrival
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Partition, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Discard, Outbox
from bridge.kafka.records import TICK, NewerFormatError, RecordError, UnreadableRecordError
from bridge.kafka.stage import BATCH_BYTES, BATCH_TIME, Stage
from bridge.settings.groups import WindowSettings
from bridge.stages.matcher.run_writer import ReadMatch, RunWriter, redact_keys
from bridge.stages.matcher.ticks import TickPlanner, TickRound
from bridge.stages.matcher.window_indexes import Condition
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.matcher.window_restore import LastRecords
from bridge.stages.matcher.window_store import Bounds, Excess, WindowStore
from bridge.stages.shared.arrival_records import ArrivalRecord, arrival_key, decode_arrival
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.garbage import leave_alone
from bridge.stages.shared.run_sender import TOGETHER
from bridge.stages.shared.unreadable_records import set_aside

logger = logging.getLogger(__name__)

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs
_TICK_PACE = SECOND
_LOOK_PACE = SECOND // 10
_RECORDS_SHARE = 2  # windows take about twice the memory of their records
_LOOKS = 8  # arrivals between two looks at the clock


class Matcher(Stage):
    """Core's matching rules on the stage loop.

    Args:
        definitions: The triggers.
        topics: The internal topics.
        decoder: Reads the events of a match.
        planner: Says which ticks are due and safe.
        restore: Reads one partition's changelog, with a number of bytes of it in memory.
        clock: The process's clock.
        pace: A steady clock, for waiting.
        observer: Hears how many windows are open.
        settings: How much it holds. What would be more is decided ``over-bound``.

    """

    name = "matcher"
    by_partition = True
    is_careful = True
    purges = True

    def __init__(
        self,
        definitions: Definitions,
        topics: InternalTopics,
        decoder: EventDecoder,
        planner: TickPlanner,
        restore: Callable[[Partition, float], LastRecords],
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        observer: Observer,
        settings: WindowSettings,
    ) -> None:
        self._definitions = definitions
        self._topics = topics
        self._decoder = decoder
        self._runs = RunWriter(topics, decoder, clock, self._current)
        self._planner = planner
        self._restore = restore
        self._clock = clock
        self._pace = pace
        self._observer = observer
        self._bounds = Bounds(
            settings.window_bound,
            settings.remembered_bound,
            settings.window_bytes // topics.partitions,
            settings.window_disk_bytes // topics.partitions,
        )
        self._next_tick: Micros = 0
        self._armed = -1  # the offset of `triggers` up to which dead man's switches are armed
        self.windows: dict[int, WindowStore] = {}

    def topics(self) -> frozenset[str]:
        """Return the one topic of arrivals."""
        self._definitions.refresh_when_due()
        return frozenset([self._topics.arrivals])

    def applied(self) -> int:
        """Return the offset of ``triggers`` that is known."""
        return self._definitions.offset

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Restore the windows of partitions from the changelog.

        Definitions are read after the changelog. So ``triggers`` contains all definitions that the changelog refers to,
        even if this process stood still before.
        """
        for partition in offsets:
            changelog = Partition(self._topics.windows, partition.number)
            bounds = self._bounds
            records = self._restore(changelog, bounds.bytes / _RECORDS_SHARE if bounds.disk else inf)
            restored = len(records)
            self._definitions.refresh()
            store = WindowStore(changelog, bounds)
            store.restore(records.batches(), self._definitions.conditions, partial(self._left_out, partition.number))
            self.windows[partition.number] = store
            leave_alone(restored)
            if store.size > bounds.bytes + bounds.disk:
                logger.error(
                    "the windows of partition %d take %d bytes, more than the %d that its share of window_bytes and "
                    "window_disk_bytes is: further arrivals are over-bound until they take less",
                    partition.number,
                    store.size,
                    bounds.bytes + bounds.disk,
                )
        self._armed = -1

    def _left_out(self, number: int, key: bytes, error: RecordError) -> None:
        place = f"{number}, key {key[:200]!r}"
        set_aside(self._observer, self._topics.windows, place, error, "Its window goes on without it")

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the windows of partitions."""
        for partition in partitions:
            self.windows.pop(partition.number, None)
            self._observer.window_bytes(partition.number, None, None)

    def is_due(self, now: Micros) -> bool:
        """Return True if it is time to append a tick."""
        pace = self._pace()
        if pace < self._next_tick:
            return False
        if self._armed != self._definitions.offset:
            # Dead man's switches ask for the ticks that arm them, once for each state of `triggers` and its windows.
            for definition in self._definitions.in_force.values():
                if definition.trigger.is_switch:
                    home = partition_of(arrival_key(definition.identity, ""), self._topics.partitions)
                    if home in self.windows:
                        self.windows[home].arm((definition.identity, definition.condition_hash))
            self._armed = self._definitions.offset
        if not self._planner.is_due(self.windows, now):
            self._next_tick = pace + _LOOK_PACE  # with thousands of triggers a look takes milliseconds
            return False
        return True

    def patience(self) -> float:
        """Return a short time while a match waits for a schema that may come at any moment."""
        return 0.05 if self._decoder.is_awaiting() else super().patience()

    def waits(self) -> bool:
        """Return whether anything has a time at which it ends, or a match waits for a schema."""
        return self._decoder.is_awaiting() or any(
            store.next_due(condition) is not None for store in self.windows.values() for condition in store.conditions()
        )

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Apply arrivals and ticks in their order; a tick with many endings stays in place until the last of them."""
        if records:
            self._planner.hear(records[-1].timestamp)
        now = self._clock()
        if self.is_due(now):
            self._next_tick = self._pace() + (_TICK_PACE if self._planner.knows_time() else _LOOK_PACE)
            for partition, tick in self._planner.plan(self.windows, now):
                out.send(self._topics.arrivals, partition, b"tick", TICK.encode(tick))
        end, is_passed = self._pace() + BATCH_TIME, True  # after the plan, which may take long: some records must pass
        matched: list[ReadMatch] = []
        while records and is_passed and out.size < BATCH_BYTES and self._pace() < end:
            for number, (record, arrived) in enumerate(_read_together(records, out), 1):
                is_passed = self._apply(record, arrived, matched, out)
                if not is_passed:
                    break
                records.popleft()
                if number % _LOOKS == 0 and self._pace() >= end:
                    break
            if len(matched) >= TOGETHER:
                self._runs.send(matched, out)
                matched.clear()
        self._runs.send(matched, out)
        out.at = None

    def may_kill(self, record: Record) -> bool:
        """Return True for arrivals. Not for ticks: the next tick would end the same windows again."""
        return not (record.value or b"").startswith(TICK.prefix)

    def try_out(self, record: Record) -> None:
        """Apply an arrival without keeping anything, in a child process."""
        for store in self.windows.values():
            store.leave_disk_alone()
        matched: list[ReadMatch] = []
        out = Discard()
        self._apply(*_read_together([record], out)[0], matched, out)
        self._runs.send(matched, out)

    def set_aside(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        """Decide about an arrival that cannot be applied, and keep it as a dead letter; its window stays as it is.

        A tick has nothing to keep: the next tick carries a later time, and ends what this tick did not.
        """
        if (record.value or b"").startswith(TICK.prefix):
            logger.error("tick %s/%d@%d is skipped: %s", record.topic, record.partition, record.offset, text)
            self._keep_retiring(self.windows[record.partition], None, out)
            return
        arrived = decode_arrival(record.value or b"")
        definition = self._definition(arrived.definition)
        self._runs.bury(record, arrived.trigger, text, out, reason)
        if definition is not None:
            slot = definition.trigger.slots[arrived.slot]
            event = EventIdentity(arrived.name or slot.event, arrived.source, arrived.id)
            key = definition.redacted_key(arrived.key)
            out.decisions.append(Decision(reason, arrived.trigger, slot.variable, event, key, {"error": text}))

    def committed(self) -> None:
        """Report the number of open windows, and the memory that they take."""
        self._observer.open_windows(sum(store.open_windows for store in self.windows.values()))
        for partition, store in self.windows.items():
            self._observer.window_bytes(partition, store.size - store.size_on_disk, store.size_on_disk)

    def measure(self) -> None:
        """Report since when events wait in open windows, and whether windows end in time."""
        oldest: dict[str, Micros] = {}
        for store in self.windows.values():
            for (trigger, _), since in store.oldest_windows().items():
                oldest[trigger] = min(since, oldest.get(trigger, since))
        self._observer.oldest_windows(oldest)
        self._observer.overdue_windows(self._planner.overdue(self.windows, self._clock()) / SECOND)

    # -- arrivals ------------------------------------------------------------------------------------------------------

    def _apply(
        self, record: Record, arrived: ArrivalRecord | RecordError | None, matched: list[ReadMatch], out: Outbox
    ) -> bool:
        """Apply a record, unless it is held; return True if it can be passed."""
        if out.held and Partition(record.topic, record.partition) in out.held:
            return True
        out.at = record
        if arrived is None:
            return self._apply_tick(record, matched, out)
        if isinstance(arrived, RecordError):
            self._bury_unreadable(record, arrived, out)
            return True
        _, routed_by, slot, correlation, source, id_, time, reached, event_key, value, name, traceparent = arrived
        definition = self._definitions.known.get(routed_by) or self._definition(routed_by)
        if definition is None:
            text = f"definition {routed_by} of {arrived.trigger} is not in triggers"
            self._runs.bury(record, arrived.trigger, text, out)
            return True
        trigger, (_, partition, offset, timestamp, _, recorded, _) = definition.trigger, record
        name = name or trigger.slots[slot].event
        event = _new_tuple(EventIdentity, (intern(name), intern(source), id_))
        stamped = timestamp * 1000
        reached = reached if reached < stamped else stamped  # noqa: FURB136 - a call takes three times as long
        fields = (time, offset, slot, event, reached, intern(routed_by), event_key, value, traceparent)
        arrival = _new_tuple(Arrival, fields)
        key = _new_tuple(WindowKey, (definition.identity, definition.condition_hash, correlation))
        store = self.windows[partition]
        step = store.step(key, trigger, arrival, self._bounds)
        if isinstance(step, Excess):
            variable, shown = trigger.slots[arrival.slot].variable, definition.redacted_key(key.key)
            out.decisions.append(Decision(Reason.OVER_BOUND, key.trigger, variable, event, shown, step.evidence))
            return True
        if step.match is None:
            out.decisions.extend(redact_keys(self._current(key), step.decisions))
        elif (match := self._runs.read(definition, key, step, record, out)) is not None:
            matched.append(match)
        else:
            return True
        store.apply(key, trigger, step, out, arrived=recorded or b"")
        return True

    def _bury_unreadable(self, record: Record, error: RecordError, out: Outbox) -> None:
        """Keep a record that cannot be read as a dead letter; one of a newer version stops the process."""
        if isinstance(error, NewerFormatError):
            raise UnreadableRecordError(record[:3], record.headers or (), error) from error
        self._observer.unreadable(record.topic)
        self._runs.bury(record, "", str(error), out, "unreadable")

    def _current(self, key: WindowKey) -> Definition:
        """Return the newest definition of a window's condition. It decides what may be shown of the window."""
        return self._definitions.conditions[key.condition_hash]

    def _definition(self, known: str) -> Definition | None:
        definition = self._definitions.known.get(known)
        if definition is None:  # a router may have read further than we: what it used is in the log
            self._definitions.refresh()
            definition = self._definitions.known.get(known)
        return definition

    # -- time ----------------------------------------------------------------------------------------------------------

    def _apply_tick(self, record: Record, matched: list[ReadMatch], out: Outbox) -> bool:
        """End the windows that are due, one slice at a time; return True if the tick can be passed, or is held back."""
        store = self.windows[record.partition]
        try:
            tick = TICK.decode(record.value or b"")
        except RecordError as error:
            self._bury_unreadable(record, error, out)
            return True
        if tick["retired"] and store.retiring is None:
            self._definitions.refresh()
        round_ = TickRound(store, self._definitions, tick)
        for condition in round_.retired:
            store.drop_clock(condition, out)
        is_held = False
        for ended in round_.slice():
            key, step = ended.key, ended.step
            if step.match is None:
                out.decisions.extend(redact_keys(self._current(key), step.decisions))
            else:
                # The run is made by the definition that routed the match's last arrival. A match without arrivals takes
                # a definition of the same condition.
                arrivals = [arrival for slot in step.match for arrival in slot]
                last = max(arrivals, key=lambda arrival: arrival.offset, default=None)
                routed_by = "" if last is None else last.definition
                definition = self._definitions.known.get(routed_by, ended.definition)
                match = self._runs.read(definition, key, step, record, out)
                if match is None:
                    is_held = True  # it waits for a schema
                    break
                matched.append(match)
                if len(matched) >= TOGETHER:
                    self._runs.send(matched, out)
                    matched.clear()
            store.apply(key, ended.definition.trigger, step, out, forgotten=ended.forgotten)
        if round_.is_over:
            for condition, time in round_.times.items():
                store.advance(condition, self._definitions.conditions[condition[1]].trigger, time, out)
        if tick["retired"]:
            self._keep_retiring(store, None if round_.is_over else round_.retired, out)
        return round_.is_over or is_held

    def _keep_retiring(self, store: WindowStore, retiring: tuple[Condition, ...] | None, out: Outbox) -> None:
        if retiring != store.retiring:
            store.keep_retiring(retiring, out)
            self._armed = -1  # a switch that came back between two slices is armed again


def _read_together(records: Iterable[Record], out: Outbox) -> list[tuple[Record, ArrivalRecord | RecordError | None]]:
    """Return the first records, up to a tick, each with its arrival, or why that cannot be read; None for the tick.

    What comes behind a tick may have to be read again, since a tick stays in place until all of it is done.
    """
    read: list[tuple[Record, ArrivalRecord | RecordError | None]] = []
    for record in islice(records, TOGETHER):
        value = record.value or b""
        if value.startswith(TICK.prefix):
            return read or [(record, None)]
        out.at = record
        try:
            read.append((record, decode_arrival(value)))
        except RecordError as error:
            read.append((record, error))
    return read
