"""The router: reads the topics of triggers. Each event that passes a slot becomes an arrival or, at once, a run.

Each event is decoded once. It is measured against every slot that reads its topic, and at each of them one decision
is made. A record that cannot be decoded is a dead letter. While the schema registry is away, the partition is held.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import DAY, MINUTE, SECOND, Event, Micros
from bridge.core.route import Accepted
from bridge.core.slot_filters import SlotFilters
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import (
    Admin,
    Committed,
    LogError,
    Partition,
    Record,
    TopicInfo,
    UnansweredError,
    UnreadableTopicError,
)
from bridge.kafka.observer import Observer
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import read_note
from bridge.kafka.stage import BATCH_BYTES, BATCH_TIME, Stage
from bridge.kafka.suspects import POISON_TEXT
from bridge.settings.groups import RouterSettings
from bridge.stages.router.reached_time import EndOffsetLog, ReachedTimes
from bridge.stages.router.route_writer import RoutedEvent, RouteWriter
from bridge.stages.router.waiting_letters import WaitingLetters
from bridge.stages.shared.dead_letters import UNKNOWN_SCHEMA
from bridge.stages.shared.decoding import EventDecoder, hold_for_schema
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.event_reader import DecodedEvent, EventReader, excess_of, place_identity
from bridge.stages.shared.run_sender import TOGETHER
from flowbridge_sdk.errors import DecodeError, NullValueError, UnknownFingerprintError

logger = logging.getLogger(__name__)

_READ_TOGETHER = 200  # events, each step for all before the next: code and data of a step stay in the caches
_SLOTS_A_STEP = 5  # slots that look at each event cost as much as reading one more
_ROUND_BYTES = 8 * 1024 * 1024  # of values that are sent together
_LOOK_PACE = 10 * SECOND  # between two looks whether a topic that could not be read can be now
_READ_AGAIN = DAY  # of a truncated partition; the ledger remembers runs for a week
_DESCRIBE_PACE = MINUTE  # between two looks whether the settings of topics have changed
_ASKED_AHEAD = 64  # records of a held partition that are looked at for further schemas


_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class _ReadEvent(NamedTuple):
    """An event that was read, before any slot has decided.

    Attributes:
        filters: Those of the slots that read it.
        event: The event as they see it.
        decoded: The event as runs are made of it.
        windowed: The event as arrivals are made of it.

    """

    filters: SlotFilters
    event: Event
    decoded: DecodedEvent
    windowed: DecodedEvent


class StartChangedError(LogError):
    """The start of a topic changed, so the router restarts from it."""


class Router(Stage):
    """Core's routing rules on the stage loop.

    Args:
        definitions: The triggers.
        topics: The internal topics.
        decoder: Reads events.
        admin: For the starts of topics whose offsets were lost.
        clock: The process's clock.
        pace: A steady clock, for waiting.
        settings: What to do about an offset that the log no longer holds.
        observer: Hears of timestamps that cannot be true.
        looks: What the process knows of the ends of topics.
        letters: The dead letters that wait for a schema.

    """

    name = "router"
    is_careful = True

    def __init__(
        self,
        definitions: Definitions,
        topics: InternalTopics,
        decoder: EventDecoder,
        admin: Admin,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        settings: RouterSettings,
        observer: Observer,
        looks: EndOffsetLog,
        letters: WaitingLetters,
    ) -> None:
        self._definitions = definitions
        self._topics = topics
        self._decoder = decoder
        self._events = EventReader(decoder, definitions)
        self._admin = admin
        self._clock = clock
        self._pace = pace
        self._lost_offsets = settings.lost_offsets
        self._begun: dict[str, int] = {}
        self._seen: frozenset[str] = frozenset()
        self._unreadable: dict[str, str] = {}  # why, by topic
        self._next_look: Micros = pace()
        self._looks = looks
        self._reached = ReachedTimes(looks, clock, pace, observer.untrusted_timestamps)
        self._described: dict[str, TopicInfo] = {}
        self._next_describe: Micros = pace()
        self._letters = letters
        self._are_suspected = False  # the records of the partitions that are taken on
        self._writer = RouteWriter(topics, self.name)

    def topics(self) -> frozenset[str]:
        """Return the topics of triggers in force whose starts are written, and that can be read.

        New topics are looked at, and after a while again those that could not be read.
        """
        self._looks.awake(self._pace())
        self._definitions.refresh_when_due()
        self._check_starts()
        self._letters.tell()
        begun = self._definitions.topics() & self._definitions.starts.keys()
        is_time = self._pace() >= self._next_look
        asked = (begun - self._seen) | (begun & self._unreadable.keys() if is_time else set())
        if asked:
            self._next_look = self._pace() + _LOOK_PACE
            unreadable = self._admin.unreadable(asked)
            described = self._admin.describe(asked - unreadable.keys())
            self._note(described)
            for info in described.values():
                if info.id and self.topic_id(info.name) not in ("", info.id):
                    unreadable[info.name] = "it was created again, and where it is begun is not written yet"
            for topic in sorted(asked):
                if topic not in unreadable and self._unreadable.pop(topic, None) is not None:
                    logger.info("topic %s can be read again", topic)
                elif topic in unreadable and self._unreadable.get(topic) != unreadable[topic]:
                    self._leave_out(topic, unreadable[topic])
            self._seen = begun
            self._unreadable = {topic: why for topic, why in self._unreadable.items() if topic in begun}
        readable = begun - self._unreadable.keys()
        self._look_at_ends(readable)
        return readable

    def _note(self, described: Mapping[str, TopicInfo]) -> None:
        self._described.update(described)
        self._reached.note(described.values())

    def _look_at_ends(self, topics: frozenset[str]) -> None:
        """Look where the topics end whose timestamps are the publishers' (:mod:`.reached_time`)."""
        due = self._looks.due(topics, self._pace())
        if not due:
            return
        if self._pace() >= self._next_describe:
            self._next_describe = self._pace() + _DESCRIBE_PACE
            with suppress(LogError):  # the earlier answer still stands
                self._note(self._admin.describe(topics))
        infos = [
            self._described[name] for name in due if name in self._described and not self._reached.is_stamped(name)
        ]
        places = [Partition(info.name, number) for info in infos for number in range(info.partitions)]
        ends: Mapping[Partition, int] = {}
        silent: Collection[Partition] = ()
        try:
            ends = self._admin.end_offsets(places) if places else {}
        except UnansweredError as error:
            ends, silent = error.answered, error.unanswered
        except LogError:
            silent = places
        self._looks.add(ends, silent, self._pace())

    def _leave_out(self, topic: str, why: str) -> None:
        self._unreadable[topic] = why
        logger.error("topic %s is left out: %s. Its events wait; other topics are read", topic, why)

    def unreadable(self, error: UnreadableTopicError) -> None:
        """Leave out a topic that became missing or forbidden while it was read."""
        if error.topic not in self._unreadable:
            self._leave_out(error.topic, error.why)
        self._next_look = self._pace() + _LOOK_PACE

    def _check_starts(self) -> None:
        starts = self._definitions.starts
        for topic, written in list(self._begun.items()):
            if topic not in starts:
                del self._begun[topic]
            elif starts[topic].written != written:
                if starts[topic].recreated:
                    self._looks.recreated(topic)
                raise StartChangedError(f"topic {topic} has a new start, and is read from there")

    def applied(self) -> int:
        """Return the offset of ``triggers`` that routing follows now."""
        return self._definitions.offset

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic as its start names it."""
        start = self._definitions.starts.get(topic)
        return start.topic_id if start else ""

    def begin(
        self, partitions: Collection[Partition], committed: Mapping[Partition, Committed]
    ) -> dict[Partition, int]:
        """Return the committed offset where it was committed under the topic's present start, else that start.

        The former owner may have known more of ``triggers`` than this process, so it is read to its end first.
        """
        self._definitions.refresh()
        self._check_starts()
        self._are_suspected = any(read_note(former).owner for former in committed.values())
        offsets: dict[Partition, int] = {}
        for partition in partitions:
            former, start = committed.get(partition), self._definitions.starts.get(partition.topic)
            if start is None:
                offsets[partition] = former.offset if former else 0
                continue
            note = read_note(former)
            if former is not None and note.triggers >= start.written and note.topic_id == start.topic_id:
                offsets[partition] = former.offset
            else:
                offsets[partition] = start.offsets[partition.number] if partition.number < len(start.offsets) else 0
        return offsets

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Remember under which start each topic was begun."""
        self._letters.take(offsets, are_suspected=self._are_suspected)
        for topic in {partition.topic for partition in offsets}:
            start = self._definitions.starts.get(topic)
            self._begun[topic] = start.written if start else 0
        known = self._described
        if any(place.topic in known and place.number >= known[place.topic].partitions for place in offsets):
            self._next_describe = self._pace()  # a topic has grown

    def drop(self, partitions: Collection[Partition]) -> None:
        """Keep nothing: a router has no state of its own, except what it knows of dead letters."""
        self._letters.drop(partitions)

    def lost_offset(self, partition: Partition, offset: int) -> int | None:
        """Follow the setting ``lost_offsets``.

        Where records have expired, ``continue`` means the first record that is left. Where the log was truncated below
        the offset, its new records cannot be told from old ones. Then all that reached it within the last day is read
        again. The ledger remembers runs for longer, so no run is made twice.
        """
        if self._lost_offsets == "hold":
            return None
        start = self._admin.start_offsets([partition]).get(partition, 0)
        if offset <= start:
            return start
        since = self._clock() - _READ_AGAIN
        again = self._admin.offsets_at([partition], since // 1000).get(partition, start)
        logger.error(
            "%s/%d was truncated below offset %d, up to which it was read: what reached it within the last day is "
            "read again from offset %d",
            *partition,
            offset,
            again,
        )
        return again

    def is_due(self, now: Micros) -> bool:
        """Return whether dead letters have to be read again."""
        del now
        return self._letters.is_due()

    def committed(self) -> None:
        """Count the events that were sent back."""
        self._letters.committed()

    def patience(self) -> float:
        """Return a short time while records wait for a schema that was asked for."""
        return 0.05 if self._decoder.is_awaiting() else super().patience()

    def waits(self) -> bool:
        """Return whether records wait for a schema, or dead letters still have to be read."""
        return self._decoder.is_awaiting() or self._letters.are_left()

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Route records for a while; those of a partition that is held for a schema are read again later.

        The schemas of the first records behind those that wait are asked for ahead, so that they come together.
        """
        end, held = self._pace() + BATCH_TIME, out.held
        self._writer.begin()
        self._send_back(out)
        ahead: Counter[tuple[str, int]] = Counter()
        while records and out.size < BATCH_BYTES and self._pace() < end:
            self._reached.begin()
            read: list[_ReadEvent] = []
            size = weight = 0
            while records and weight < _READ_TOGETHER and size < _ROUND_BYTES and self._pace() < end:
                record = records.popleft()
                place = record[:2]  # equal to a Partition
                if not held or place not in held:
                    out.at = record
                    event = self._read(record, out)
                    if event is not None:
                        read.append(event)
                        filters, _, decoded, _ = event
                        size += len(decoded.value) * (1 + filters.most)  # if it passes all these
                        weight += 1 + len(filters.always) // _SLOTS_A_STEP
                elif ahead[place] < _ASKED_AHEAD:
                    ahead[place] += 1
                    if self._definitions.reading(record) and excess_of(record) is None:
                        self._decoder.ask_ahead(record.topic, record.value, record.headers)
            self._pass(read, out)

    def _read(self, record: Record, out: Outbox, *, is_sent_back: bool = False) -> _ReadEvent | None:
        """Return the event of a record, which a dead letter may have kept; None if no slot reads it, or none can."""
        reading = self._definitions.reading(record)
        if not reading:
            return None
        excess = excess_of(record)
        if excess is not None:
            self._refuse(record, Reason.OVERSIZE, excess, out)
            return None
        timestamp, reached = self._reached.of(record)
        try:
            decoded = self._events.read(record, timestamp, reached)
        except NullValueError as error:
            self._decide_all(record, Reason.UNDECODABLE, str(error), out)
            return None
        except DecodeError as error:
            if isinstance(error, UnknownFingerprintError):
                self._refuse(record, Reason.UNDECODABLE, str(error), out, UNKNOWN_SCHEMA)
                self._letters.wait(record.topic, error.fingerprint)
            elif is_sent_back or not hold_for_schema(record, error, out):
                self._refuse(record, Reason.UNDECODABLE, str(error), out)
            return None
        event = decoded.event
        if event.traceparent:
            about = {"event": event.id, "source": event.source}
            (context,) = out.trace(f"route {event.name}", (event.traceparent,), event.reached, **about)
            event = event._replace(traceparent=context)
            decoded = decoded._replace(event=event)
        if decoded.value is not record.value:  # perhaps a whole CloudEvent, which says its name in its value
            reading = self._definitions.reading_named(record.topic, event.name, reading)
        if is_sent_back:  # it reaches us now. An arrival does when it is appended: the matcher bounds its time by that
            decoded = decoded._replace(event=event._replace(reached=self._clock()))
            later = decoded._replace(event=event._replace(reached=self._clock() + DAY))
            return _ReadEvent(reading.filters, decoded.event, decoded, later)
        if event.reached > timestamp * 1000:  # by our clock, which may be ahead: it does not excuse a future event
            name, source, event_id, time, _, *rest = event
            event = _new_tuple(Event, (name, source, event_id, time, timestamp * 1000, *rest))
        return _new_tuple(_ReadEvent, (reading.filters, event, decoded, decoded))

    def _pass(self, read: Iterable[_ReadEvent], out: Outbox) -> None:
        """Decide at the slots that read each of some events, and send what passes."""
        passed: list[RoutedEvent] = []
        size, reject = 0, out.decisions.reject
        for filters, event, decoded, windowed in read:
            out.at = decoded.record
            routed = filters.routed(event)
            if len(routed) < len(filters.places):
                others = [number for number, _ in routed] if routed else ()
                reject(filters, event, others)
            for number, decided in routed:
                if isinstance(decided, Accepted):
                    definition, slot = filters.places[number]
                    is_windowed = definition.trigger.is_windowed
                    fields = (definition, slot, windowed if is_windowed else decoded, decided.key)
                    passed.append(_new_tuple(RoutedEvent, fields))
                    size += len(decoded.value)
                else:
                    out.decisions.append(decided)
                    if decided.reason is Reason.UNKEYED:
                        self._writer.keep(decoded.record, decided, decided.evidence["error"])
            if len(passed) >= TOGETHER or size >= _ROUND_BYTES:
                self._writer.send(passed, out)
                passed, size = [], 0
        self._writer.send(passed, out)
        out.at = None
        self._writer.send_letters(self._clock(), out)

    def _send_back(self, out: Outbox) -> None:
        """Route the events of dead letters that waited for their schemas, as if they had reached us now."""
        self._reached.begin()
        read: list[_ReadEvent] = []
        waiting = [event for event in self._letters.events(out) if self._definitions.reading(event.record)]
        killers = self._letters.killers(waiting, self.try_out)
        try:
            for letter in waiting:
                out.at = letter.record
                self._letters.mark(letter, out)
                if letter in killers:
                    place = f"{letter.record.topic}/{letter.record.partition}@{letter.record.offset}"
                    logger.error("%s, which waited for its schema, is poison: %s", place, POISON_TEXT)
                    self._refuse(letter.record, Reason.POISON, POISON_TEXT, out)
                    continue
                event = self._read(letter.record, out, is_sent_back=True)
                if event is not None:
                    read.append(event)
            self._pass(read, out)
        except LogError:
            raise
        except Exception:
            self._letters.give_up(out.at)
            raise

    def _refuse(self, record: Record, reason: Reason, text: str, out: Outbox, letter_reason: str = "") -> None:
        """Decide at every slot about a record that is no event, and keep it as a dead letter."""
        self._decide_all(record, reason, text, out)
        self._writer.keep(record, Decision(reason, "", "", place_identity(record)), text, letter_reason)

    def set_aside(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        """Decide at every slot about a record that cannot be processed, and keep it as a dead letter."""
        self._writer.begin()
        self._refuse(record, reason, text, out)
        self._writer.send_letters(self._clock(), out)

    def _decide_all(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        for definition, slots in self._definitions.reading(record):
            for slot in slots:
                identity, evidence = place_identity(record), {"error": text}
                out.decisions.append(Decision(reason, definition.identity, slot.slot.variable, identity, "", evidence))
