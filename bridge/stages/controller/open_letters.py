"""How many dead letters nothing was done with: counted by the leading controller, from the topics themselves.

The leader reads ``dead-letters`` and ``retries`` once when it takes the lead, and then what was added. It keeps the
reason of each letter that has no mark, so a mark, or the retention of the topic, takes the letter out of the count.

===============  ======================================================================================
cost             bound
===============  ======================================================================================
first reading    the newest 50,000 letters and the marks, half a second of every ten
later            one request for offsets in 30 s, and the letters and marks that are new
memory           about 100 bytes for each open letter, 5 MB at most
===============  ======================================================================================

Where there are more open letters than the bound, the count says the bound. It is told once all of it was read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from sys import intern

from bridge.core.event import SECOND, Micros
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Admin, LogError, Partition, RangeReader, Record
from bridge.kafka.observer import Observer
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.kafka.records import DEAD_LETTER, SENT_BACK, RecordError

logger = logging.getLogger(__name__)

MOST = 50_000
"""Letters that are counted at most, those of all partitions together."""

_LOOK_PACE = 30 * SECOND
_READ_FOR = SECOND // 2  # of each turn, while there is more to read
_POLLS = 50  # of each turn, and
_POLL = 0.02  # seconds that each waits
_reason = DEAD_LETTER.only("reason")
_place = SENT_BACK.only("partition", "offset")


class OpenLetters:
    """Counts the dead letters that have no mark.

    Args:
        topics: The internal topics.
        admin: For the beginnings and ends of partitions.
        ranges: Opens a reader of partitions.
        pace: A steady clock.
        observer: Hears the counts.

    """

    def __init__(
        self,
        topics: InternalTopics,
        admin: Admin,
        ranges: Callable[[Mapping[Partition, int]], RangeReader],
        pace: Callable[[], Micros],
        observer: Observer,
    ) -> None:
        self._topics = topics
        self._admin = admin
        self._ranges = ranges
        self._pace = pace
        self._observer = observer
        numbers = range(topics.partitions)
        self._letters = [Partition(topics.dead_letters, number) for number in numbers]
        self._marks = [Partition(topics.retries, number) for number in numbers]
        self._bound = max(1, MOST // topics.partitions)
        self._reader: RangeReader | None = None
        self._ends: Mapping[Partition, int] = {}  # up to which the reader reads
        self.forget()

    def forget(self) -> None:
        """Forget all, as a process that leads no longer does."""
        self._stop()
        self._positions: dict[Partition, int] = {}
        self._reasons: list[dict[int, str]] = [{} for _ in self._letters]  # by offset, those of each partition in order
        self._read: list[int] = [-1] * len(self._letters)  # offset of the last letter of each partition
        self._early: list[set[int]] = [set() for _ in self._letters]  # letters whose marks were read before them
        self._next_look: Micros = self._pace()
        self._observer.open_letters({})

    def measure(self) -> None:
        """Read what is new if the last look is long enough ago, for half a second at most; tell once all is read."""
        try:
            if self._reader is None:
                if self._pace() < self._next_look:
                    return
                self._next_look = self._pace() + _LOOK_PACE
                self._look()
            if self._reader is None or self._has_read(self._reader):
                self._stop()
                self._observer.open_letters(Counter(reason for reasons in self._reasons for reason in reasons.values()))
        except LogError as error:
            self._stop()
            logger.warning("open dead letters are counted later: %s", error, extra=ABOUT_KAFKA)

    def _look(self) -> None:
        """Forget the letters that have expired, and open a reader where there is something new."""
        places = self._letters + self._marks
        starts, ends = self._admin.start_offsets(places), self._admin.stable_ends(places)
        for place, reasons, early in zip(self._letters, self._reasons, self._early, strict=True):
            start = starts.get(place, 0)
            while reasons and (first := next(iter(reasons))) < start:
                del reasons[first]
            early.difference_update([offset for offset in early if offset < start])
        begins = {place: self._positions.get(place, 0) for place in places}
        for place in self._letters:
            if place not in self._positions:
                begins[place] = ends.get(place, 0) - self._bound
        begins = {place: max(begin, starts.get(place, 0)) for place, begin in begins.items()}
        unread = {place: begin for place, begin in begins.items() if begin < ends.get(place, 0)}
        self._positions.update(begins)
        if unread:
            self._reader, self._ends = self._ranges(unread), {place: ends[place] for place in unread}

    def _has_read(self, reader: RangeReader) -> bool:
        """Read for a while; return whether all was read."""
        until = self._pace() + _READ_FOR
        for _ in range(_POLLS):
            for record in reader.poll(_POLL):
                place = Partition(record.topic, record.partition)
                if self._positions[place] <= record.offset < self._ends[place]:
                    self._positions[place] = record.offset + 1
                    with suppress(RecordError):  # damaged, or of a newer version
                        self._apply(record)
            positions = reader.positions()
            if all(positions[place] >= end for place, end in self._ends.items()):
                self._positions.update(self._ends)
                return True
            if self._pace() >= until:
                break
        return False

    def _apply(self, record: Record) -> None:
        if record.topic == self._topics.retries:
            number, offset = _place(record.value or b"")
            if not 0 <= number < len(self._letters):
                return
            if self._reasons[number].pop(offset, None) is None and offset > self._read[number]:
                self._early[number].add(offset)
            return
        reasons, early = self._reasons[record.partition], self._early[record.partition]
        (reason,) = _reason(record.value or b"")
        self._read[record.partition] = record.offset
        if record.offset in early:
            early.discard(record.offset)
            return
        reasons[record.offset] = intern(reason)
        if len(reasons) > self._bound:
            del reasons[next(iter(reasons))]

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
