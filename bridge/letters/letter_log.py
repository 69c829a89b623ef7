"""Dead letters on Kafka: read with their marks, and changed by one owner at a time.

A person's process deals with letters under one transactional id of the installation. A second process fences the first
one, which can send nothing more. What is done with a letter and the mark that says so are one transaction. So a process
that is killed leaves each letter either dealt with and marked, or as it was, and the same command goes on where it
ended.

The bridge has its own letters, those that wait for a schema. It alone sends them back
(:mod:`bridge.stages.router.waiting_letters`), so no letter has two senders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from bridge.core.event import MINUTE, Micros
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Headers, Log, LogError, Partition, Record, transact
from bridge.kafka.records import SENT_BACK, NewerFormatError, RecordError, headers_of
from bridge.letters.letter import Choice, Letter, Mark, Place, letter_of
from bridge.stages.shared.dead_letters import Cause, letter_headers, mark_record

_POLL = 0.1  # seconds
_SILENT = 300  # polls without a record after which Kafka counts as silent: a transaction lasts ten seconds


class Sending(NamedTuple):
    """A record that deals with a letter.

    Attributes:
        topic: Where it goes.
        partition: The partition; it exists.
        key: Its key.
        value: Its value.
        headers: Its headers.
        successor: The id of its event, or the key of its run, where that differs from the letter's own.

    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    successor: str = ""


class LetterLog:
    """Reads the dead letters of an installation.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.

    Attributes:
        unreadable: How many records the last reading has left out, because they are no letters.

    """

    def __init__(self, log: Log, topics: InternalTopics) -> None:
        self._log = log
        self._topics = topics
        self.unreadable = 0

    def read(self, choice: Choice, *, is_current: bool = False) -> Iterator[Letter]:
        """Yield the letters that are asked for, those of a partition in order.

        Args:
            choice: Which.
            is_current: Wait for transactions that are open, so that each mark that a former owner wrote is seen.

        Raises:
            LogError: Kafka did not answer.
            NewerFormatError: A newer version has written a letter or a mark.

        """
        numbers = list(range(self._topics.partitions))
        if choice.places is not None:
            numbers = sorted({number for number, _ in choice.places if number < self._topics.partitions})
        self.unreadable = 0
        marks: defaultdict[Place, list[Mark]] = defaultdict(list)
        letters = [Partition(self._topics.dead_letters, number) for number in numbers]
        with closing(self._log.admin()) as admin:
            ends = admin.all_ends(letters) if is_current else admin.stable_ends(letters)
            starts = dict(admin.start_offsets(letters))
            if choice.since is not None:
                later = admin.offsets_at(letters, max(0, choice.since - MINUTE) // 1000)  # clocks differ
                starts = {place: max(start, later.get(place, start)) for place, start in starts.items()}
            retries = [Partition(self._topics.retries, number) for number in numbers]
            mark_ends = admin.all_ends(retries) if is_current else admin.stable_ends(retries)
            mark_starts = admin.start_offsets(retries)
        if choice.places is not None:  # of each partition, what lies between the first and the last that is named
            for place in letters:
                offsets = [offset for number, offset in choice.places if number == place.number]
                starts[place] = max(starts.get(place, 0), min(offsets))
                ends = {**ends, place: min(ends.get(place, 0), max(offsets) + 1)}
        for record in self._records(mark_starts, mark_ends):
            try:
                fields = SENT_BACK.decode(record.value or b"")
                mark = Mark(Cause(fields["cause"]), fields["by"], fields["at"], fields["why"], fields["successor"])
            except NewerFormatError:
                raise
            except (RecordError, ValueError):
                self.unreadable += 1
                continue
            marks[fields["partition"], fields["offset"]].append(mark)
        for record in self._records(starts, ends):
            try:
                letter = letter_of(record, tuple(marks.get((record.partition, record.offset), ())))
            except NewerFormatError:
                raise
            except RecordError:
                self.unreadable += 1
                continue
            if choice.fits(letter):
                yield letter

    def _records(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Record]:
        """Yield the committed records of partitions between offsets, all partitions at once."""
        wanted = {place: start for place, start in starts.items() if start < ends.get(place, 0)}
        if not wanted:
            return
        silent = 0
        with closing(self._log.ranges(wanted)) as reader:
            while True:
                records = reader.poll(_POLL)
                yield from (
                    record for record in records if record.offset < ends[Partition(record.topic, record.partition)]
                )
                positions = reader.positions()
                if all(positions[place] >= ends[place] for place in wanted):
                    return
                silent = 0 if records else silent + 1
                if silent > _SILENT:
                    raise LogError(f"no record came from {', '.join(sorted({place.topic for place in wanted}))}")


class LetterOwner:
    """The one process that deals with letters. Each call is one transaction.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        by: The person, as USER@MACHINE.

    """

    def __init__(self, log: Log, topics: InternalTopics, by: str) -> None:
        self._topics = topics
        self._by = by
        self._producer = log.producer(f"{topics.prefix}dead-letters")
        self._producer.init()  # fences the former owner, and ends its open transaction

    def deal(self, letters: Sequence[tuple[Letter, Sending | None]], cause: Cause, why: str, at: Micros) -> None:
        """Send what letters are replaced by, and mark them.

        Args:
            letters: The letters, each with the record to send; None for none.
            cause: What is done.
            why: The reason that the person gives.
            at: Now.

        Raises:
            FencedError: Another process deals with letters now.
            LogError: Kafka did not answer.

        """
        records: list[tuple[str, int, bytes | None, bytes | None, Headers | None]] = []
        for letter, sending in letters:
            if sending is not None:
                records.append(sending[:5])
            successor = sending.successor if sending is not None else ""
            number, key, value = mark_record(letter.place, cause, at, by=self._by, why=why, successor=successor)
            records.append((self._topics.retries, number, key, value, headers_of(value)))
        transact(self._producer, records)

    def add(self, letters: Sequence[Letter]) -> None:
        """Add letters of another log; it raises as :meth:`deal`."""
        records: list[tuple[str, int, bytes | None, bytes | None, Headers | None]] = []
        for letter in letters:
            trigger = letter.triggers[0] if len(letter.triggers) == 1 else ""
            home = letter.record.topic or trigger
            record = letter.record if letter.record.topic else None
            headers = letter_headers(self._topics, letter.stage, letter.reason, letter.text, trigger, record)
            value = letter.encode()
            number = partition_of(home, self._topics.partitions)
            records.append(
                (self._topics.dead_letters, number, home.encode(), value, [*(headers_of(value) or ()), *headers])
            )
        transact(self._producer, records)

    def close(self) -> None:
        """Close the client."""
        self._producer.close()
