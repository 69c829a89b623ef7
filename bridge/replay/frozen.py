"""Freeze the past: the offsets that a replay reads, and what is recorded about them.

A plan rests on offsets that do not move any more. It ends where the live routers had committed when it was made, so
every event of it was decided by the live bridge. Behind that, everything is read that the live bridge made of these
events:

====================================== ============================================= ==================================
what                                   read                                          means for the events in it
====================================== ============================================= ==================================
``arrivals`` that no matcher applied   from its committed offset to the end          held: a live window may use them
``windows``                            to the end, after ``arrivals``                held, where they wait
``runs`` that no submitter took up     from its committed offset to the end          a run that is *waiting*
``ledger``                             to the end, last                              the outcome of a run
====================================== ============================================= ==================================

Before that, the matchers and submitters of a live bridge get some seconds to pass what those routers sent. A bridge
that is down passes nothing, and what stands before it is read from the topics.
"""

from __future__ import annotations

import time as process_time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import SECOND, EventIdentity, Micros, time_text
from bridge.core.runs.run import Run
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Admin, Log, LogError, Partition, Reader, Record
from bridge.kafka.records import LEDGER_ENTRY, TICK, WAITING, NewerFormatError, RecordError
from bridge.replay.recorded import Outcome, Recorded
from bridge.replay.request import Bound, ReplayError, Request
from bridge.stages.matcher.window_records import read_place
from bridge.stages.process import group_of
from bridge.stages.shared.arrival_records import decode_arrival
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.run_records import decode_run, encode_facts
from bridge.triggers.topic_mapping import topics_of

SETTLE: Micros = 10 * SECOND
"""How long matchers and submitters that make progress have to pass what the routers sent."""

_IDLE: Micros = 3 * SECOND  # a stage that has not moved for so long is down or stands still
_OPEN: Micros = 90 * SECOND  # longer than the brokers let an abandoned transaction stay open
_LOOK = 0.1  # seconds between two looks


class ReadRange(NamedTuple):
    """What is read of a partition.

    Attributes:
        first: The first offset that is read, to fill windows that reach into the range.
        begin: The first offset of the range.
        end: The offset behind the last one.

    """

    first: int
    begin: int
    end: int


@dataclass(frozen=True)
class Frozen:
    """The past that a plan rests on.

    Attributes:
        reads: The offsets, by partition.
        first: When the records begin that are read, to fill windows that reach into the range.
        begin: When the range begins, by record time.
        end: Up to when windows can have ended: all events that reached us before that are in the range.
        ledger_end: Offset of the trigger's partition of the ledger up to which it was read.
        routed: The offsets that the live routers have committed; the end of a topic that none reads.
        notes: What a person should know before anything is done.

    """

    reads: Mapping[Partition, ReadRange]
    first: Micros
    begin: Micros
    end: Micros
    ledger_end: int
    routed: Mapping[Partition, int]
    notes: tuple[str, ...]


class Freezer:
    """Reads the frozen state.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        definitions: The triggers.
        clock: The process's clock.
        horizon: How long the ledger remembers runs.
        skew: Bound on the difference between clocks.
        wait: Waits some seconds.
        is_patient: Wait for transactions that are open, and give the live stages some seconds to pass what the routers
            sent. Without patience, what is committed now counts.

    """

    def __init__(
        self,
        log: Log,
        topics: InternalTopics,
        definitions: Definitions,
        clock: Callable[[], Micros],
        horizon: Micros,
        skew: Micros,
        wait: Callable[[float], None] = process_time.sleep,
        *,
        is_patient: bool = True,
    ) -> None:
        self._log = log
        self._topics = topics
        self._definitions = definitions
        self._clock = clock
        self._horizon = horizon
        self._skew = skew
        self._wait = wait
        self._is_patient = is_patient

    def freeze(self, request: Request, definition: Definition, recorded: Recorded) -> Frozen:
        """Return the offsets that a replay reads, and fill in what is recorded.

        Args:
            request: What was asked for.
            definition: The definition that decides.
            recorded: Nothing yet.

        Raises:
            ReplayError: The range is empty, lies beyond the ledger's horizon, or names partitions that do not exist.
            LogError: Kafka did not answer.

        """
        frozen = self.read(request, definition, recorded)
        oldest = self._clock() - self._horizon
        if frozen.begin < oldest and not request.replay_id:
            raise ReplayError(
                f"the range begins at {time_text(frozen.begin)}, and the ledger remembers runs only from "
                f"{time_text(oldest)} on: runs before that would be made a second time",
                "begin later, or make a second set of runs with --replay-id",
            )
        return frozen

    def read(self, request: Request, definition: Definition, recorded: Recorded, *, to_end: bool = False) -> Frozen:
        """Return the same without a look at the ledger's horizon.

        Args:
            request: What was asked for.
            definition: The definition that decides.
            recorded: Nothing yet.
            to_end: Read to the ends of the topics, also what the live routers have still to read.

        """
        with closing(self._log.admin()) as admin, closing(self._log.reader()) as reader:
            ranges = self._ranges(admin, reader, request, definition, to_end=to_end, follows_routers=True)
            self._read_held(admin, reader, request.trigger, recorded)
            number = partition_of(request.trigger, self._topics.partitions)
            runs, ledger = Partition(self._topics.runs, number), Partition(self._topics.ledger, number)
            end = self._closed_ends(admin, [runs])[runs]
            passed = self._settled(admin, "submitter", {runs: end})[runs]
            for record in self._records(reader, runs, passed, end):
                record_run(recorded, record)
            ledger_end = self._closed_ends(admin, [ledger])[ledger]
            for record in self._records(reader, ledger, 0, ledger_end):
                record_entry(recorded, record)
            return replace(ranges, ledger_end=ledger_end)

    def ranges(self, request: Request, definition: Definition) -> Frozen:
        """Return the offsets alone, to the ends of the topics: nothing is asked of what the live bridge made of them.

        Raises:
            ReplayError: The range is empty, or names partitions that do not exist.
            LogError: Kafka did not answer.

        """
        with closing(self._log.admin()) as admin, closing(self._log.reader()) as reader:
            return self._ranges(admin, reader, request, definition, to_end=True, follows_routers=False)

    # -- the range -----------------------------------------------------------------------------------------------------

    def _ranges(
        self,
        admin: Admin,
        reader: Reader,
        request: Request,
        definition: Definition,
        *,
        to_end: bool,
        follows_routers: bool,
    ) -> Frozen:
        """Return the ranges.

        Args:
            admin: Asks for offsets.
            reader: Reads single records.
            request: What was asked for.
            definition: The definition that decides.
            to_end: Read to the ends of the topics, and not up to where the live routers have come.
            follows_routers: Windows end no later than live ones can: an event that no router has read may still come.

        """
        now = self._clock()
        names = topics_of(definition.trigger)
        counts = admin.topics()
        missing = [name for name in names if name not in counts]
        if missing:
            found = f"there is no topic {', '.join(missing)}, which trigger {request.trigger} reads"
            raise ReplayError(found, "check the names of its events, and --file")
        if request.key is not None and all(slot.key is None for slot in definition.trigger.slots):
            raise ReplayError(f"trigger {request.trigger} has no correlation key", "leave --key out, or use --where")
        places = [Partition(name, number) for name in names for number in range(counts[name])]
        for bound in (request.start, request.end):
            unknown = bound.offsets.keys() - set(places)
            if unknown:
                texts = ", ".join(f"{topic}/{number}" for topic, number in sorted(unknown))
                raise ReplayError(f"trigger {request.trigger} does not read {texts}", "name partitions of its topics")
        routed, is_live = self._ends(admin, places)
        ends = admin.stable_ends(places) if to_end else routed
        starts = admin.start_offsets(places)
        true_ends = admin.all_ends(places) if self._is_patient else admin.stable_ends(places)
        notes: list[str] = []
        behind = [place for place in places if ends[place] < true_ends[place]]
        if is_live and behind and not to_end:
            records = sum(true_ends[place] - ends[place] for place in behind)
            notes.append(
                f"{records} records of these topics are left to the live routers, which have still to read them"
            )
        begin_at, begin = self._begin(admin, reader, request.start, places, starts, true_ends)
        end_at, end = self._end(admin, reader, request.end, ends, true_ends, now)
        if follows_routers and to_end:
            end = self._end(admin, reader, request.end, routed, true_ends, now)[1]
        trigger = definition.trigger
        fill = 0
        if trigger.window is not None:
            back = kind_of_window(trigger).reaches_back(trigger)
            fill = (trigger.dedupe if back is None else back) + trigger.dedupe
            if back is None:
                notes.append(
                    f"the windows of this trigger have no longest length: events that reached us before "
                    f"{time_text(begin - fill)} are not seen, also where a window of the range began with them"
                )
            if not kind_of_window(trigger).can_be_forced(trigger):
                notes.append(
                    "which events a match of this window passes over follows from when live windows ended. If that was "
                    "late, as after an outage, events that were passed over can make runs here: compare first"
                )
        first_at = begin_at if not fill else admin.offsets_at(places, max(0, begin - fill) // 1000)
        reads: dict[Partition, ReadRange] = {}
        lost: list[str] = []
        kept_from = begin - fill
        for place in places:
            range_begin = max(begin_at[place], starts[place])
            first = min(max(first_at[place], starts[place]), range_begin)
            last = max(min(end_at[place], ends[place]), first)  # also where the range begins behind the live routers
            reads[place] = ReadRange(first, min(range_begin, last), last)
            if first != starts[place] or not first:
                continue
            kept = self._time_of(reader, place, first, true_ends[place])
            if kept is None or kept > begin - fill:
                kept_from = max(kept_from, now if kept is None else kept)
                left = "all of it" if kept is None else f"what was before {time_text(kept)}"
                lost.append(f"{place.topic}/{place.number}, {left}")
        if lost:
            notes.append(f"retention has removed a part of what is asked for: {'; '.join(lost)}")
        if begin < now - self._horizon:
            notes.append(
                f"the ledger knows nothing of runs before {time_text(now - self._horizon)}: all matches from before "
                "that count as missing"
            )
        is_empty = all(part.begin >= part.end for part in reads.values())
        if is_empty and request.start.time is None and not request.start.offsets:
            begin = min(begin, end - 1)  # there is no record that it could begin at
        if begin >= end and is_empty:
            raise ReplayError(
                f"nothing lies between {request.start.text or 'the beginning'} and {request.end.text or 'the end'} "
                f"(the live routers have read up to {time_text(end)})",
                "begin earlier, or end later",
            )
        # An absence can only be seen where the events would be.
        filled_from = kept_from if trigger.is_switch else begin - fill
        return Frozen(reads, filled_from, begin, end, 0, routed, tuple(notes))

    def _ends(self, admin: Admin, places: Collection[Partition]) -> tuple[dict[Partition, int], bool]:
        """Return where the live routers have come to; the end of the topic where none reads it."""
        committed = admin.committed(group_of(self._topics, "router"), places, stable=self._is_patient)
        stable = admin.stable_ends(places)
        ends: dict[Partition, int] = {}
        for place in places:
            start = self._definitions.starts.get(place.topic)
            if place in committed:
                ends[place] = min(committed[place].offset, stable[place])
            elif start is not None:
                ends[place] = start.offsets[place.number] if place.number < len(start.offsets) else 0
            else:
                ends[place] = stable[place]
        return ends, bool(committed)

    def _begin(
        self,
        admin: Admin,
        reader: Reader,
        bound: Bound,
        places: Collection[Partition],
        starts: Mapping[Partition, int],
        ends: Mapping[Partition, int],
    ) -> tuple[dict[Partition, int], Micros]:
        if bound.time is not None:
            return admin.offsets_at(places, bound.time // 1000), bound.time
        begin_at = {place: bound.offsets.get(place, starts[place]) for place in places}
        named = bound.offsets or begin_at
        times = [self._time_of(reader, place, begin_at[place], ends[place]) for place in named]
        begin = min([moment for moment in times if moment is not None], default=self._clock())
        if bound.offsets:
            others = [place for place in places if place not in bound.offsets]
            begin_at |= admin.offsets_at(others, begin // 1000) if others else {}
        return begin_at, begin

    def _end(
        self,
        admin: Admin,
        reader: Reader,
        bound: Bound,
        ends: Mapping[Partition, int],
        true_ends: Mapping[Partition, int],
        now: Micros,
    ) -> tuple[dict[Partition, int], Micros]:
        """Return the end of the range, and up to when all events that reached us lie before it."""
        safe = now - self._skew
        for place, end in ends.items():
            unread = self._time_of(reader, place, end, true_ends[place])
            if unread is not None:
                safe = min(safe, unread - 1)
        if bound.time is not None:
            return admin.offsets_at(ends, bound.time // 1000), min(safe, bound.time)
        if not bound.offsets:
            return dict(ends), safe
        times = [self._time_of(reader, place, offset, true_ends[place]) for place, offset in bound.offsets.items()]
        last = max([moment for moment in times if moment is not None], default=safe)
        others = [place for place in ends if place not in bound.offsets]
        end_at = {**bound.offsets, **(admin.offsets_at(others, last // 1000) if others else {})}
        return end_at, min(safe, last)

    @staticmethod
    def _time_of(reader: Reader, place: Partition, offset: int, end: int) -> Micros | None:
        """Return the time of the first record from an offset on; None if there is none."""
        for records in reader.read(place, offset, end) if offset < end else ():
            for record in records:
                return record.timestamp * 1000
        return None

    # -- what is recorded ----------------------------------------------------------------------------------------------

    def _read_held(self, admin: Admin, reader: Reader, trigger: str, recorded: Recorded) -> None:
        """Note the events that live windows hold, or will: those that wait, and those that no matcher has applied."""
        arrivals = [Partition(self._topics.arrivals, number) for number in range(self._topics.partitions)]
        ends = self._closed_ends(admin, arrivals)
        passed = self._settled(admin, "matcher", ends)
        for place, end in ends.items():
            for record in self._records(reader, place, passed[place], end):
                value = record.value or b""
                if value.startswith(TICK.prefix):
                    continue
                try:
                    arrival = decode_arrival(value)
                except NewerFormatError:
                    raise
                except RecordError:
                    continue  # a matcher keeps it as a dead letter
                if arrival.trigger == trigger:
                    known = self._definitions.known.get(arrival.definition)
                    of_slot = known.trigger.slots[arrival.slot].event if known is not None else ""
                    recorded.hold([EventIdentity(arrival.name or of_slot, arrival.source, arrival.id)])
        windows = [Partition(self._topics.windows, number) for number in range(self._topics.partitions)]
        for place, end in self._closed_ends(admin, windows).items():
            waiting: set[bytes] = set()
            for record in self._records(reader, place, 0, end):
                if record.key is not None and record.key.startswith(trigger.encode() + b"\0"):
                    waits = (record.value or b"").startswith(WAITING.prefix)
                    (waiting.add if waits else waiting.discard)(record.key)
            recorded.hold([read_place(key).event for key in waiting])

    def _closed_ends(self, admin: Admin, places: Collection[Partition]) -> dict[Partition, int]:
        """Return the ends of partitions, once all transactions before them are over; without patience the stable ends.

        Readers see nothing behind an open transaction: a matcher that stands still in the middle of one, with a tick,
        hides the arrivals that routers have committed since.
        """
        ends, begun = admin.all_ends(places), self._clock()
        while True:
            stable = admin.stable_ends(places)
            hidden = [place for place, end in ends.items() if stable[place] < end]
            if not self._is_patient:
                return stable
            if not hidden:
                return ends
            if self._clock() - begun > _OPEN:
                names = ", ".join(f"{topic}/{number}" for topic, number in hidden)
                raise LogError(f"a transaction has been open for {_OPEN // SECOND} s in {names}")
            self._wait(_LOOK)

    def _settled(self, admin: Admin, stage: str, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Give a stage that makes progress some seconds to pass these ends; return how far it has come."""
        begun = moved = self._clock()
        passed = self._committed(admin, stage, ends)
        while self._is_patient and any(passed[place] < end for place, end in ends.items()):
            now = self._clock()
            if now - moved >= _IDLE or now - begun >= SETTLE:
                break
            self._wait(_LOOK)
            further = self._committed(admin, stage, ends)
            if further != passed:
                passed, moved = further, self._clock()
        return passed

    def _committed(self, admin: Admin, stage: str, places: Collection[Partition]) -> dict[Partition, int]:
        committed = admin.committed(group_of(self._topics, stage), places, stable=self._is_patient)
        return {place: committed[place].offset if place in committed else 0 for place in places}

    @staticmethod
    def _records(reader: Reader, place: Partition, start: int, end: int) -> Iterator[Record]:
        for records in reader.read(place, start, end) if start < end else ():
            yield from records


def read_recorded(log: Log, topics: InternalTopics, recorded: Recorded) -> int:
    """Record what the ledger says about the runs of a trigger; return up to where it was read."""
    ledger = Partition(topics.ledger, partition_of(recorded.trigger, topics.partitions))
    with closing(log.admin()) as admin, closing(log.reader()) as reader:
        end = admin.stable_ends([ledger])[ledger]
        for records in reader.read(ledger, 0, end) if end else ():
            for record in records:
                record_entry(recorded, record)
    return end


def record_entry(recorded: Recorded, record: Record) -> str | None:
    """Record what an entry of the ledger says about a run of the trigger; return the run's key, None for other runs.

    An entry that cannot be read counts as a run that ran, as it does for the submitter.
    """
    if record.key is None:
        return None
    run_key, appended = record.key.decode(errors="replace"), record.timestamp * 1000
    if record.value is None:
        recorded.forget(run_key)
        return None
    try:
        entry = LEDGER_ENTRY.decode(record.value)
    except RecordError as error:
        recorded.put(run_key, Outcome.RAN, f"unreadable: {error}", "", appended, None)
        return run_key
    if entry["trigger"] != recorded.trigger:
        return None
    reason, workflow = entry["reason"], entry["workflow"]
    if entry["state"] in ("parked", "intent"):
        _put_open(recorded, decode_run(entry["run"]), reason, appended)
        return run_key
    outcome = Outcome.DEAD if entry["state"] == "dead" else Outcome.RAN
    if reason.startswith("skipped"):
        outcome = Outcome.SKIPPED
    recorded.put(run_key, outcome, reason, workflow, appended, entry["run"])
    return run_key


def record_run(recorded: Recorded, record: Record) -> None:
    """Record a run of the trigger that no submitter has taken up yet, unless more is known of it."""
    try:
        run = decode_run(record.value or b"")
    except NewerFormatError:
        raise
    except RecordError:  # a submitter keeps it as a dead letter
        return
    if run.trigger == recorded.trigger and recorded.state(run.run_key)[0] is Outcome.MISSING:
        _put_open(recorded, run, "waits for a submitter", record.timestamp * 1000)


def _put_open(recorded: Recorded, run: Run, reason: str, at: Micros) -> None:
    recorded.put(run.run_key, Outcome.WAITING, reason, f"{run.namespace}/{run.name}", at, encode_facts(run, None))
