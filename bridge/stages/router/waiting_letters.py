"""Dead letters that wait for a schema, and how their events are sent back when it appears.

An event whose fingerprint no schema has is a dead letter with the reason ``unknown-schema``. The topic of dead letters
holds it, and nothing else does. A router reads the letters of its event partitions again when it takes the partitions
on, and when the set of schemas that it knows has changed. It routes the events whose schema is known by then.

==================================================== ===================================================================
question                                             answer
==================================================== ===================================================================
who sends such a letter back?                        the router that owns the partition of its event
was a letter dealt with already?                     a mark in ``retries`` says so. It is written in the transaction
                                                     that routes the event, in the partition of the letter's number
are all marks there?                                 yes: the owner has fenced the former owner, and reads marks up to
                                                     the end of the log, past each open transaction, before letters
==================================================== ===================================================================

So a process that is killed while it sends back leaves marks, and its successor goes on where they end. Reading never
waits: each batch takes what has arrived. During a reading the marks are one bit for each letter.

An event may kill the process when its schema is known. So the successor of a process that did not release a partition
tries the events in a child process before it sends them back (:mod:`bridge.kafka.child_trial`), many at a time. An
event that kills is ``poison``, as if it had been read from its topic.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.kafka.child_trial import survives
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Admin, LogError, Partition, RangeReader, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.kafka.outbox import Discard, Outbox
from bridge.kafka.records import DEAD_LETTER, SENT_BACK, RecordError
from bridge.stages.shared.dead_letters import UNKNOWN_SCHEMA, Cause, mark_record
from bridge.stages.shared.decoding import EventDecoder
from flowbridge_sdk.codec import fingerprint_in

logger = logging.getLogger(__name__)

_IN_BATCH = 500  # letters that a batch sends back
_READ_IN_BATCH = 5_000  # letters and marks that a batch reads
_BYTES_IN_BATCH = 4 * 1024 * 1024  # of the values of letters that it sends back
_POLL = 0.01  # seconds
_TRY_PACE = 5 * SECOND  # after an error of Kafka
_TOLD_LIMIT = 1_000  # fingerprints that are told in the log; letters that are given up
_QUIET = SECOND  # without a further event, the log tells how many were sent back


class WaitingEvent(NamedTuple):
    """An event that can be sent back: its letter, and the record that the letter keeps."""

    letter: Record
    record: Record


class WaitingLetters:
    """The dead letters of a router's event partitions that wait for a schema.

    Args:
        topics: The internal topics.
        decoder: Knows the schemas.
        admin: For the beginnings and ends of partitions.
        ranges: Opens a reader of partitions.
        clock: The process's clock.
        pace: A steady clock.
        observer: Counts the events that are sent back.
        survives: Does work in a child process; returns False if it certainly kills.

    """

    def __init__(
        self,
        topics: InternalTopics,
        decoder: EventDecoder,
        admin: Admin,
        ranges: Callable[[Mapping[Partition, int]], RangeReader],
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        observer: Observer,
        survives: Callable[[Callable[[], object]], bool] = survives,
    ) -> None:
        self._survives = survives
        self._are_suspected = False  # an owner of their partition did not release it
        self._topics = topics
        self._decoder = decoder
        self._admin = admin
        self._ranges = ranges
        self._clock = clock
        self._pace = pace
        self._observer = observer
        self._digest = decoder.digest
        self._owned: set[Partition] = set()
        self._unread: set[int] = set()  # partitions of dead letters to be read again
        self._reading: _Reading | None = None
        self._given_up: set[tuple[str, int, int]] = set()
        self._waiting: set[str] = set()
        self._sent: Counter[str] = Counter()  # in the open transaction
        self._told: Counter[str] = Counter()  # in committed ones, since the log told it last
        self._last_sent = self._next_try = pace()

    # -- partitions ----------------------------------------------------------------------------------------------------

    def take(self, partitions: Collection[Partition], *, are_suspected: bool) -> None:
        """Take event partitions on: their letters are read again.

        Args:
            partitions: The partitions.
            are_suspected: A former owner did not release one of them, and may have been killed by an event.

        """
        self._are_suspected = self._are_suspected or are_suspected
        self._owned.update(partitions)
        self._unread.update(self._numbers(partitions))

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget event partitions, and what an open transaction has sent back."""
        self._owned.difference_update(partitions)
        self._sent.clear()
        self._stop()
        self._unread &= set(self._numbers(self._owned))

    def close(self) -> None:
        """Close the reader."""
        self._stop()

    def _numbers(self, partitions: Iterable[Partition]) -> Iterator[int]:
        """Yield the partitions of dead letters in which the letters of event partitions are."""
        for topic in {partition.topic for partition in partitions}:
            yield partition_of(topic, self._topics.partitions)

    def _stop(self) -> None:
        """End a reading; it begins again later."""
        if self._reading is not None:
            self._unread.add(self._reading.number)
            self._reading.close()
            self._reading = None

    # -- sending back --------------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Return whether letters have to be read now."""
        self._decoder.look_for_schemas()
        if self._decoder.digest != self._digest:
            self._digest = self._decoder.digest
            self._stop()
            self._unread.update(self._numbers(self._owned))
        return self.are_left() and self._pace() >= self._next_try

    def are_left(self) -> bool:
        """Return whether any letters still have to be read."""
        return bool(self._unread or self._reading)

    def events(self, out: Outbox) -> Iterator[WaitingEvent]:
        """Yield events that can be sent back now, as many as a batch takes."""
        if isinstance(out, Discard) or not self.is_due():
            return
        try:
            yield from self._events()
        except LogError as error:  # other events go on
            self._stop()
            self._next_try = self._pace() + _TRY_PACE
            logger.warning("dead letters that wait for a schema are read later: %s", error, extra=ABOUT_KAFKA)

    def _events(self) -> Iterator[WaitingEvent]:
        found = size = read = 0
        while found < _IN_BATCH and size < _BYTES_IN_BATCH and read < _READ_IN_BATCH:
            reading = self._reading
            if reading is None:
                self._open()
                if self._reading is None:
                    return
                continue
            letter = reading.next()
            if letter is None:
                if not reading.is_over:
                    return
                reading.close()
                self._reading = None
                continue
            read += 1
            event = self._event_of(letter)
            if event is not None:
                found += 1
                size += len(event.record.value or b"")
                yield event

    def _open(self) -> None:
        """Begin to read the next partition of dead letters that has any."""
        dead_letters = [Partition(self._topics.dead_letters, number) for number in sorted(self._unread)]
        starts, ends = self._admin.start_offsets(dead_letters), self._admin.all_ends(dead_letters)
        for letters in dead_letters:
            start, end = starts.get(letters, 0), ends.get(letters, 0)
            if start < end:
                marks = Partition(self._topics.retries, letters.number)
                first, last = self._admin.start_offsets([marks]), self._admin.all_ends([marks])
                self._reading = _Reading(
                    self._ranges, (letters, start, end), (marks, first.get(marks, 0), last.get(marks, 0))
                )
            self._unread.discard(letters.number)
            if self._reading is not None:
                return

    def _event_of(self, letter: Record) -> WaitingEvent | None:
        """Return the event of a letter, if it can be sent back by this process now."""
        try:
            topic, partition, reason = _head_of(letter.value or b"")
            if reason != UNKNOWN_SCHEMA or Partition(topic, partition) not in self._owned:
                return None
            fields = DEAD_LETTER.decode(letter.value or b"")
        except RecordError:  # damaged, or of a newer version, whose routers send it back
            return None
        fingerprint = fingerprint_in(fields["value"])
        if fingerprint is None or (topic, partition, fields["offset"]) in self._given_up:
            return None
        if not self._decoder.knows(fingerprint):
            self.wait(topic, fingerprint.hex())
            return None
        headers = [(header["name"], header["value"]) for header in fields["headers"]]
        place = (topic, partition, fields["offset"], fields["timestamp"])
        return WaitingEvent(letter, Record(*place, fields["key"], fields["value"], headers))

    def killers(self, events: Sequence[WaitingEvent], try_out: Callable[[Record], None]) -> list[WaitingEvent]:
        """Return which of some events kill their process, as far as they are suspected.

        Args:
            events: The events.
            try_out: Processes a record without keeping anything.

        """
        if not events or not self._are_suspected:
            return []

        def try_all() -> None:
            for event in events:
                try_out(event.record)

        if self._survives(try_all):
            return []
        if len(events) == 1:
            return list(events)
        half = len(events) // 2
        return self.killers(events[:half], try_out) + self.killers(events[half:], try_out)

    def mark(self, event: WaitingEvent, out: Outbox) -> None:
        """Mark a letter as sent back, in the transaction that routes its event."""
        letter, record = event
        out.send(self._topics.retries, *mark_record((letter.partition, letter.offset), Cause.SCHEMA, self._clock()))
        fingerprint = (fingerprint_in(record.value) or b"").hex()
        if fingerprint in self._sent or len(self._sent) < _TOLD_LIMIT:
            self._sent[fingerprint] += 1

    def give_up(self, culprit: object) -> None:
        """Leave an event whose processing raised an exception a dead letter."""
        if isinstance(culprit, Record) and len(self._given_up) < _TOLD_LIMIT:
            self._given_up.add((culprit.topic, culprit.partition, culprit.offset))

    # -- what is told --------------------------------------------------------------------------------------------------

    def wait(self, topic: str, fingerprint: str) -> None:
        """Log that events wait for a schema, once for each."""
        if fingerprint not in self._waiting and len(self._waiting) < _TOLD_LIMIT:
            self._waiting.add(fingerprint)
            logger.warning(
                "events of %s wait as dead letters for the schema with the fingerprint %s; add it to the folder of "
                "schemas, and they are sent back",
                topic,
                fingerprint,
            )

    def committed(self) -> None:
        """Count what the transaction has sent back."""
        if not self._unread and self._reading is None:
            self._are_suspected = False
        if self._sent:
            self._observer.sent_back(self._sent.total())
            self._told.update(self._sent)
            self._sent.clear()
            self._last_sent = self._pace()

    def tell(self) -> None:
        """Log how many events were sent back, once no more come."""
        if self._told and self._reading is None and self._pace() - self._last_sent >= _QUIET:
            for fingerprint, count in self._told.items():
                self._waiting.discard(fingerprint)
                logger.info(
                    "%d events that waited for the schema with the fingerprint %s were sent back", count, fingerprint
                )
            self._told.clear()


class _Reading:
    """A partition of dead letters that is read: its marks first, then the letters without one.

    Attributes:
        number: Its number.
        is_over: Whether all of it was read.

    """

    def __init__(
        self,
        ranges: Callable[[Mapping[Partition, int]], RangeReader],
        letters: tuple[Partition, int, int],
        marks: tuple[Partition, int, int],
    ) -> None:
        self._ranges = ranges
        self._letters = letters
        self._place, start, self._end = marks
        self._are_marks_read = start >= self._end
        if self._are_marks_read:
            self._place, start, self._end = letters
        self._reader = ranges({self._place: start})
        self._records: deque[Record] = deque()
        self._bits = bytearray()
        self.number = letters[0].number
        self.is_over = False

    def next(self) -> Record | None:
        """Return the next letter that has no mark; None if none has arrived yet, or there is none."""
        while not self.is_over:
            if not self._records:
                self._records.extend(record for record in self._reader.poll(_POLL) if record.offset < self._end)
            while self._records:
                record = self._records.popleft()
                if self._are_marks_read:
                    index = record.offset - self._letters[1]
                    if index >= 8 * len(self._bits) or not self._bits[index >> 3] >> (index & 7) & 1:
                        return record
                    continue
                try:
                    index = SENT_BACK.decode(record.value or b"")["offset"] - self._letters[1]
                except RecordError:  # of a newer version, which may say something else about a letter
                    continue
                if 0 <= index < self._letters[2] - self._letters[1]:  # others have expired
                    if index >= 8 * len(self._bits):
                        self._bits.extend(bytes((index >> 3) + 1 - len(self._bits)))
                    self._bits[index >> 3] |= 1 << (index & 7)
            if self._reader.positions()[self._place] < self._end:
                return None
            if self._are_marks_read:
                self.is_over = True
            else:
                self._are_marks_read = True
                self._reader.close()
                self._place, start, self._end = self._letters
                self._reader = self._ranges({self._place: start})
        return None

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


_head_of = DEAD_LETTER.only("topic", "partition", "reason")
