"""Read the past of a trigger for a question: which records, by which definitions, and which events are followed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import DAY, SECOND, EventIdentity, Micros
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.explain.tracing import (
    Choose,
    Place,
    RememberingReader,
    Tracer,
    keys_of,
)
from bridge.kafka.log import Partition, Record
from bridge.replay.frozen import Frozen
from bridge.replay.history import History
from bridge.replay.merge import merged
from bridge.replay.past import EVERYTHING, Past, PastDecision
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import Recorded
from bridge.replay.request import Bound, Request
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.event_reader import EventReader
from bridge.triggers.topic_mapping import slot_topic
from flowbridge_sdk.errors import DecodeError

LOOK_BACK: Micros = DAY
"""How far back a question reaches that names no time."""

_TOLD_RECORDS = 2_000


@dataclass(frozen=True)
class Question:
    """A question about a trigger.

    Attributes:
        trigger: ``namespace/name``.
        event: Id of events; None if they are not asked about.
        key: Correlation key; None if none is asked about.
        run: A run's key, or the name of its Workflow; None if none is asked about.
        start: Where the range begins; without a time and offsets, a day ago.
        end: Where it ends.
        limit: Events that are told one by one.

    """

    trigger: str
    event: str | None = None
    key: str | None = None
    run: str | None = None
    start: Bound = field(default_factory=Bound)
    end: Bound = field(default_factory=Bound)
    limit: int = 50

    @property
    def is_ranged(self) -> bool:
        """Return whether it names where its range begins."""
        return self.start != Bound()


class Located(NamedTuple):
    """A record of an event that is asked about."""

    identity: EventIdentity
    place: Place
    reached: Micros


@dataclass
class Reading:
    """What was read of the past.

    Attributes:
        tracer: The events that were followed.
        past: The windows as they are at the end.
        frozen: The ranges.
        records: Records that were read.

    """

    tracer: Tracer
    past: Past
    frozen: Frozen
    records: int


class QuestionReader:
    """Reads what a question is about.

    Args:
        around: What it works with.
        definitions: The triggers, read to the end.
        progress: Hears how far reading has come.

    """

    def __init__(
        self, around: ReplayDependencies, definitions: Definitions, progress: Callable[[Progress], None]
    ) -> None:
        self._around = around
        self._definitions = definitions
        self._progress = progress

    def _request(self, question: Question) -> Request:
        start = question.start if question.is_ranged else Bound(time=self._around.clock() - LOOK_BACK, text="24h")
        return Request(question.trigger, start, question.end)

    def located(self, question: Question, id_: str, definition: Definition) -> tuple[list[Located], Frozen]:
        """Return the records of events with an id. Their headers tell it, or the value of a whole CloudEvent."""
        frozen = self._around.freezer(self._definitions, is_patient=False).ranges(self._request(question), definition)
        found: list[Located] = []
        reader = EventReader(self._decoder())
        for record in self._records(frozen, from_begin=True):
            place = Place(record.topic, record.partition, record.offset)
            try:
                head = reader.head(record)
            except DecodeError:
                head = None
            if place.text() == id_ or (head is not None and head.id == id_):
                identity = EventIdentity(
                    *(head.name, head.source, head.id) if head else (record.topic, record.topic, id_)
                )
                found.append(Located(identity, place, record.timestamp * 1000))
        return found, frozen

    def keys_of_events(self, question: Question, definition: Definition, asked: set[EventIdentity]) -> Iterator[str]:
        """Yield the correlation keys of events, so that the others of their windows are known when they come."""
        frozen = self._around.freezer(self._definitions, is_patient=False).ranges(self._request(question), definition)
        reader = RememberingReader(self._decoder(), self._definitions)
        for record in self._records(frozen):
            try:
                head = reader.head(record)
                if EventIdentity(head.name, head.source, head.id) not in asked:
                    continue
                event = reader.read(record, record.timestamp, record.timestamp * 1000).event
            except DecodeError:
                continue
            yield from keys_of(event, [slot for slot in definition.slots if slot_topic(slot.slot) == record.topic])

    def _records(self, frozen: Frozen, *, from_begin: bool = False) -> Iterator[Record]:
        """Yield the records of ranges, in any order of partitions."""
        with closing(self._around.log.reader()) as reader:
            for place, part in frozen.reads.items():
                first = part.begin if from_begin else part.first
                for records in reader.read(place, first, part.end) if first < part.end else ():
                    yield from records

    def _decoder(self) -> EventDecoder:
        return EventDecoder(self._around.decoder, self._around.pace)

    def read(
        self,
        question: Question,
        definition: Definition,
        history: History,
        choose: Choose,
        *,
        hears: Callable[[PastDecision], None] | None = None,
    ) -> Reading:
        """Read the past of a trigger by the definitions that were in force then."""
        around, request = self._around, self._request(question)
        recorded = Recorded(question.trigger)
        frozen = self._around.freezer(self._definitions, is_patient=False).read(
            request, definition, recorded, to_end=True
        )
        decoder = self._decoder()
        reader = RememberingReader(decoder, self._definitions)
        changes = deque(history.changes)
        first: Definition | None = None if changes else definition
        while changes and changes[0].at <= frozen.first:
            first = changes.popleft().definition
        may_be_alone = question.event is None and question.run is None
        tracer = Tracer(
            definition,
            reader,
            choose,
            question.limit,
            lambda match: may_be_alone and not any(match.used),  # no event leads to a match without events
        )
        held = around.windows

        def hear(decision: PastDecision) -> None:
            tracer.hear(decision)
            if hears is not None:
                hears(decision)

        past = Past(
            first or definition,
            around.topics.prefix,
            recorded,
            reader,
            decoder,
            Bounds(
                held.window_bound,
                held.remembered_bound * around.topics.partitions,
                held.window_bytes,
                held.window_disk_bytes,
            ),
            key=question.key,
            needs=EVERYTHING,
            decided=hear,
        )
        past.begin(frozen.first, frozen.begin, frozen.end)
        if first is None:
            tracer.follow(past, None, frozen.first)
        count = 0
        latest = (around.clock() + TRUSTED_AHEAD) // 1000
        total = sum(part.end - part.first for part in frozen.reads.values())
        with closing(around.log.ranges({place: part.first for place, part in frozen.reads.items()})) as ranges:
            ends = {place: part.end for place, part in frozen.reads.items()}
            for timed in merged(ranges, ends, around.pace, latest):
                record, time = timed.record, timed.time * 1000
                place = Partition(record.topic, record.partition)
                while changes and changes[0].at <= time:
                    tracer.follow(past, changes[0].definition, changes[0].at)
                    changes.popleft()
                is_inside = record.offset >= frozen.reads[place].begin
                count += 1
                if count % _TOLD_RECORDS == 0:
                    self._progress(Progress(count, total, time))
                if record.offset >= frozen.routed[place]:
                    around.patiently(tracer.see_unread, record, time)
                else:
                    around.patiently(tracer.feed, past, record, time, is_inside=is_inside)
        while changes and changes[0].at <= frozen.end:
            tracer.follow(past, changes[0].definition, changes[0].at)
            changes.popleft()
        tracer.advance(past, frozen.end)
        self._progress(Progress(count, total, frozen.end))
        recorded.close()
        return Reading(tracer, past, frozen, count)


def reach(definition: Definition) -> Micros:
    """Return how long before its end a window of a trigger can have begun."""
    trigger = definition.trigger
    if trigger.window is None:
        return SECOND
    back = kind_of_window(trigger).reaches_back(trigger)
    return LOOK_BACK if back is None else back + trigger.grace + SECOND
