"""What the live bridge has recorded about events of a trigger: decisions, windows, runs and dead letters.

================  =========================================  =====================================================
topic             read                                       means
================  =========================================  =====================================================
``decisions``     the trigger's partition, in the range      a decision with its evidence, of the bounded sample
``ledger``        the trigger's partition, whole             a run, with its events
``runs``          what no submitter has taken up             a run that waits
``windows``       the partitions of the keys, whole          an event waits, or has left its window for a reason
``arrivals``      what no matcher has applied, also behind   an event passed its slot, and its window is not told
                  transactions that are open
``dead-letters``  the partitions of the trigger and topics   an event or a run was given up
``retries``       the same partitions                        the event of a dead letter was sent back
================  =========================================  =====================================================

Only what concerns chosen events, keys and runs is kept.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.decision import Decision, Reason, RunReason
from bridge.core.definition import Definition
from bridge.core.event import MINUTE, EventIdentity, Micros
from bridge.core.runs.run import RunFacts
from bridge.core.windows.window import Arrival, Spent
from bridge.explain.tracing import Place as RecordPlace
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Admin, Log, Partition, Reader, Record
from bridge.kafka.records import DEAD_LETTER, DECISION, LEDGER_ENTRY, SENT_BACK, TICK, NewerFormatError, RecordError
from bridge.replay.past import OpenWindow, open_windows
from bridge.stages.matcher.window_records import read_clock_key, read_key_beside, read_place
from bridge.stages.matcher.window_restore import Kept, read_changelog
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.process import group_of
from bridge.stages.shared.arrival_records import ArrivalRecord, arrival_key, decode_arrival
from bridge.stages.shared.dead_letters import SENDING, UNKNOWN_SCHEMA
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.run_records import decode_facts, decode_run, encode_facts
from bridge.triggers.topic_mapping import topics_of

_UNRUNNABLE = "unrunnable"
_REASONS = frozenset(reason.value for reason in Reason)
_RUN_REASONS = frozenset(reason.value for reason in RunReason)


class MadeDecision(NamedTuple):
    """A decision about an event that a stage made, and when; None if that is not recorded."""

    decision: Decision
    at: Micros | None


class RunStep(NamedTuple):
    """A decision about a run that a submitter made."""

    reason: str
    at: Micros
    evidence: Mapping[str, str]


class LedgerRun(NamedTuple):
    """A run as the ledger has it.

    Attributes:
        run_key: Its identity.
        state: ``parked``, ``intent``, ``done`` or ``dead``; ``asked`` if no submitter has taken it up.
        reason: The reason, for people.
        workflow: ``namespace/name`` of its Workflow.
        attempts: Creates that were sent.
        since: When a submitter first took it up; 0 if none has.
        at: When the entry was written.
        facts: Its events and times; None in entries of 0.1.0.

    """

    run_key: str
    state: str
    reason: str
    workflow: str
    attempts: int
    since: Micros
    at: Micros
    facts: RunFacts | None

    @property
    def newest(self) -> Micros:
        """Return when the last of its events reached Kafka, as far as that is known."""
        return self.facts.reached if self.facts is not None else self.at


class Letter(NamedTuple):
    """A dead letter about an event or a run.

    Attributes:
        stage: The stage that has kept it.
        reason: Why.
        text: What is wrong.
        run_key: The run; empty for an event.
        at: When it was kept.
        sent_back: When its event was sent back; None if it was not.
        is_of_all: It is about all triggers that read the record, and names none.

    """

    stage: str
    reason: str
    text: str
    run_key: str
    at: Micros
    sent_back: Micros | None = None
    is_of_all: bool = False


@dataclass(frozen=True)
class Chosen:
    """What is asked about.

    Attributes:
        events: Events.
        places: Their records.
        keys: Correlation keys; None for all windows, and for the newest run alone.
        runs: Run keys, or names of Workflows.
        begin: From when on decisions and dead letters are read.

    """

    events: Collection[EventIdentity] = ()
    places: Collection[RecordPlace] = ()
    keys: Collection[str] | None = ()
    runs: Collection[str] = ()
    begin: Micros = 0


@dataclass
class LiveRecords:
    """What is recorded.

    Attributes:
        decisions: The decisions about each event at each slot (its variable), in order.
        steps: The decisions about each run, by its key, in order.
        runs: The runs, by key.
        held: The waiting arrival, or the remembered identity, of each event at each slot; after an edit of the
            condition, of each window that had it.
        unapplied: Events at slots that wait for a matcher.
        letters: Dead letters about records, by their place.
        event_letters: Dead letters about events at slots.
        windows: The windows that are open.

    """

    decisions: defaultdict[tuple[str, EventIdentity], list[MadeDecision]] = field(
        default_factory=lambda: defaultdict(list)
    )
    steps: defaultdict[str, list[RunStep]] = field(default_factory=lambda: defaultdict(list))
    runs: dict[str, LedgerRun] = field(default_factory=dict)
    held: defaultdict[tuple[str, EventIdentity], list[Arrival | Spent]] = field(
        default_factory=lambda: defaultdict(list)
    )
    unapplied: set[tuple[str, EventIdentity]] = field(default_factory=set)
    letters: defaultdict[RecordPlace, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    event_letters: defaultdict[tuple[str, EventIdentity], list[Letter]] = field(
        default_factory=lambda: defaultdict(list)
    )
    windows: list[OpenWindow] = field(default_factory=list)

    def runs_of(self, event: EventIdentity) -> list[LedgerRun]:
        """Return the runs that an event is part of."""
        return [
            run
            for run in self.runs.values()
            if run.facts is not None and any(used == event for _, used in run.facts.events)
        ]


def read_live(
    log: Log, topics: InternalTopics, definitions: Definitions, definition: Definition, chosen: Chosen
) -> LiveRecords:
    """Return what is recorded about chosen events, keys and runs of a trigger.

    Raises:
        LogError: Kafka did not answer.
        RecordError: A newer version has written something that this one cannot read.

    """
    with closing(log.admin()) as admin, closing(log.reader()) as reader, closing(log.reader(hidden=True)) as hidden:
        return _Reading(admin, reader, hidden, topics, definitions, definition, chosen).read()


class _Reading:
    def __init__(
        self,
        admin: Admin,
        reader: Reader,
        hidden: Reader,
        topics: InternalTopics,
        definitions: Definitions,
        definition: Definition,
        chosen: Chosen,
    ) -> None:
        self._admin = admin
        self._reader = reader
        self._hidden = hidden
        self._topics = topics
        self._definitions = definitions
        self._definition = definition
        self._trigger = definition.identity
        self._variables = [slot.variable for slot in definition.trigger.slots]
        self._chosen = chosen
        self._events = frozenset(chosen.events)
        self._found = LiveRecords()

    def read(self) -> LiveRecords:
        home = partition_of(self._trigger, self._topics.partitions)
        self._read_runs(home)
        self._read_decisions(home)
        self._read_windows()
        self._read_arrivals()
        self._read_letters(home)
        return self._found

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _read_runs(self, home: int) -> None:
        runs = Partition(self._topics.runs, home)
        passed = self._admin.committed(group_of(self._topics, "submitter"), [runs], stable=False)
        for record in self._records(runs, passed[runs].offset if runs in passed else 0):
            try:
                run = decode_run(record.value or b"")
            except RecordError:
                continue  # a submitter keeps it as a dead letter
            if run.trigger == self._trigger:
                facts = decode_facts(encode_facts(run, None))
                workflow = f"{run.namespace}/{run.name}"
                self._keep_run(LedgerRun(run.run_key, "asked", "", workflow, 0, 0, record.timestamp * 1000, facts))
        for record in self._records(Partition(self._topics.ledger, home)):
            if record.key is None:
                continue
            run_key = record.key.decode(errors="replace")
            if record.value is None:
                self._found.runs.pop(run_key, None)
                continue
            try:
                entry = LEDGER_ENTRY.decode(record.value)
            except RecordError:
                continue  # the submitter takes it for a run that ran; nothing is known about its events
            if entry["trigger"] == self._trigger:
                is_open = entry["state"] in ("parked", "intent")
                ledger_run = LedgerRun(
                    run_key,
                    entry["state"],
                    entry["reason"],
                    entry["workflow"],
                    entry["attempts"],
                    entry["since"],
                    entry["at"] or record.timestamp * 1000,
                    decode_facts(encode_facts(decode_run(entry["run"]), None) if is_open else entry["run"]),
                )
                self._keep_run(ledger_run)

    def _keep_run(self, run: LedgerRun) -> None:
        facts, chosen = run.facts, self._chosen
        if chosen.keys is None:
            known = self._found.runs.values()  # at most one, however many the ledger has
            if not any(other.run_key != run.run_key and other.newest > run.newest for other in known):
                self._found.runs = {run.run_key: run}
            return
        names = (run.run_key, run.workflow, run.workflow.partition("/")[2])
        is_chosen = any(name in chosen.runs for name in names)
        if facts is not None and not is_chosen:
            is_chosen = facts.key in chosen.keys
            is_chosen = is_chosen or any(event in self._events for _, event in facts.events)
        if is_chosen:
            self._found.runs[run.run_key] = run

    def _read_decisions(self, home: int) -> None:
        place = Partition(self._topics.decisions, home)
        for record in self._records(place, since=self._chosen.begin):
            fields = DECISION.decode(record.value or b"")
            if fields["trigger"] != self._trigger:
                continue
            if fields["run_key"]:
                if fields["run_key"] in self._found.runs:
                    step = RunStep(fields["reason"], fields["at"], fields["evidence"])
                    self._found.steps[fields["run_key"]].append(step)
                continue
            event = EventIdentity(fields["name"], fields["source"], fields["id"])
            if event in self._events and fields["reason"] in _REASONS:
                decision = Decision(
                    Reason(fields["reason"]), self._trigger, fields["slot"], event, fields["key"], fields["evidence"]
                )
                self._found.decisions[fields["slot"], event].append(MadeDecision(decision, fields["at"]))

    # -- windows -------------------------------------------------------------------------------------------------------

    def _partitions(self) -> list[int]:
        """Return the partitions of arrivals and windows in which the chosen keys are."""
        if not self._definition.trigger.is_windowed:
            return []
        if self._chosen.keys is None or not self._chosen.keys:
            return list(range(self._topics.partitions))
        keys = [arrival_key(self._trigger, key) for key in self._chosen.keys]
        return sorted({partition_of(key, self._topics.partitions) for key in keys})

    def _read_windows(self) -> None:
        prefix = self._trigger.encode() + b"\0"
        for number in self._partitions():
            changelog = Partition(self._topics.windows, number)
            kept = [
                record
                for record in read_changelog(self._reader, self._admin, changelog)
                if record[0].startswith(prefix)
            ]
            store = WindowStore(None)
            store.restore([self._chosen_records(kept)], self._definitions.conditions, lambda _key, _error: None)
            for place, held in store.contents().remembered.items():
                if place.event in self._events:
                    slots = self._definitions.conditions[place.window.condition_hash].trigger.slots
                    self._found.held[slots[place.slot].variable, place.event].append(held)
            self._found.windows += open_windows(store, self._definition)

    def _chosen_records(self, kept: list[Kept]) -> list[Kept]:
        """Return the records of windows of chosen keys, and note what they say about chosen events."""
        keys = self._chosen.keys
        records: list[Kept] = []
        for key, value in kept:
            try:
                window = read_place(key).window
            except RecordError:
                try:
                    window = read_key_beside(key)[0]
                except (RecordError, ValueError):
                    read_clock_key(key)
                    records.append((key, value))
                    continue
            is_known = window.condition_hash in self._definitions.conditions
            if is_known and (not keys or window.key in keys):
                records.append((key, value))
        return records

    def _read_arrivals(self) -> None:
        places = [Partition(self._topics.arrivals, number) for number in self._partitions()]
        passed = self._admin.committed(group_of(self._topics, "matcher"), places, stable=False)
        ends = self._admin.all_ends(places)
        stable = self._admin.stable_ends(places)
        for place in places:
            start = passed[place].offset if place in passed else 0
            # What is committed behind an open transaction reaches no matcher before that ends. An aborted arrival there
            # nearly always has a second one behind it, since its event was routed again.
            batches = itertools.chain(
                self._reader.read(place, start, stable[place]),
                self._hidden.read(place, max(start, stable[place]), ends[place]),
            )
            for record in itertools.chain.from_iterable(batches):
                value = record.value or b""
                if value.startswith(TICK.prefix):
                    continue
                try:
                    arrival = decode_arrival(value)
                except NewerFormatError:
                    raise
                except RecordError:
                    continue  # a matcher keeps it as a dead letter
                known = self._definitions.known.get(arrival.definition)
                if arrival.trigger == self._trigger and known is not None:
                    self._found.unapplied.add(_slot_event(arrival, known))

    # -- dead letters --------------------------------------------------------------------------------------------------

    def _read_letters(self, home: int) -> None:
        count = self._topics.partitions
        homes = {home, *[partition_of(topic, count) for topic in topics_of(self._definition.trigger)]}
        places = frozenset(self._chosen.places)
        for number in sorted(homes):
            marks: dict[int, Micros] = {}
            for record in self._records(Partition(self._topics.retries, number), since=self._chosen.begin):
                with suppress(RecordError):  # of a newer version
                    mark = SENT_BACK.decode(record.value or b"")
                    if mark["cause"] in SENDING:
                        marks[mark["offset"]] = mark["at"]
            for record in self._records(Partition(self._topics.dead_letters, number), since=self._chosen.begin):
                fields = DEAD_LETTER.decode(record.value or b"")
                sent_back = marks.get(record.offset)
                concerned = fields["triggers"] or [fields["trigger"]]
                is_of_all = concerned in ([""], [])
                if self._trigger not in concerned and not is_of_all:
                    continue
                letter = Letter(
                    fields["stage"],
                    fields["reason"],
                    fields["text"],
                    fields["run_key"],
                    fields["at"],
                    sent_back,
                    is_of_all,
                )
                place = RecordPlace(fields["topic"], fields["partition"], fields["offset"])
                if place in places:
                    self._found.letters[place].append(letter)
                elif fields["topic"] == self._topics.arrivals and fields["value"] is not None:
                    self._take_arrival_letter(fields["value"], letter)

    def _take_arrival_letter(self, value: bytes, letter: Letter) -> None:
        try:
            arrival = decode_arrival(value)
        except RecordError:
            return
        known = self._definitions.known.get(arrival.definition)
        if known is not None and arrival.trigger == self._trigger:
            slot_event = _slot_event(arrival, known)
            if slot_event[1] in self._events:
                self._found.event_letters[slot_event].append(letter)

    def _records(self, place: Partition, start: int = 0, *, since: Micros | None = None) -> Iterator[Record]:
        """Yield the committed records of a partition, from an offset or a time on."""
        end = self._admin.stable_ends([place])[place]
        if since is not None:
            start = self._admin.offsets_at([place], max(0, since - MINUTE) // 1000)[place]
        for records in self._reader.read(place, start, end) if start < end else ():
            yield from records


def letter_reason(letter: Letter) -> Reason | None:
    """Return the decision about an event that a dead letter means; None if it means none."""
    if letter.reason == _UNRUNNABLE:
        return Reason.MATCHED
    if letter.reason == UNKNOWN_SCHEMA:
        return Reason.UNDECODABLE
    return Reason(letter.reason) if letter.reason in _REASONS else None


def run_reason(run: LedgerRun) -> RunReason:
    """Return the reason of the closed set that the state of a run means."""
    if run.state in ("parked", "intent", "asked"):
        return RunReason.WAITING if not run.attempts else RunReason.RETRYING
    word = run.reason.partition(":")[0].strip()
    return RunReason(word) if word in _RUN_REASONS else RunReason.CREATED


def _slot_event(arrival: ArrivalRecord, definition: Definition) -> tuple[str, EventIdentity]:
    slot = definition.trigger.slots[arrival.slot]
    return slot.variable, EventIdentity(arrival.name or slot.event, arrival.source, arrival.id)
