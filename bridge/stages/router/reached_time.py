"""Reached times of events on topics without broker timestamps.

On a topic with ``message.timestamp.type=LogAppendTime`` the timestamp of a record is the time of its append, and that
is when its event reached us. On any other topic the publisher sets the timestamp. A publisher that was cut off from
Kafka for three minutes delivers with timestamps that are three minutes old. A window that relied on them would end
before the partner arrives, which is delivered seconds later.

So a process looks every ten seconds where the partitions of such topics end. A record behind that end came later:

==================================================== ===================================================================
the record                                           its event reached us
==================================================== ===================================================================
was there before this process began to look          at its timestamp: nothing better is known
came after that                                      when the process first saw that it was there, at a look or when it
                                                     was routed; never before its timestamp
came about when Kafka fell silent about its          when that was noticed: an event that was acknowledged just before
partition, by its timestamp                          must not seem to have come after the silence
has a timestamp that cannot be true                  as if it had none, and the record is counted: from 1970-01-01 or
                                                     before, or more than a day ahead of this process's clock
==================================================== ===================================================================

Once a process notices that a topic was deleted and created again, all records of the new topic came after its looks at
the old one. A process that stood still for five minutes starts its looks over: records may have come at any time since.

So an event never counts as earlier than its append, and a tick whose time is safe stays safe. The matcher bounds the
times from above by the append of the arrival, so a clock that is ahead ends no window early. The reached time is
written into the arrival or the run, so each later stage finds it in the log.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from bridge.core.event import DAY, MINUTE, SECOND, Micros
from bridge.kafka.log import Partition, Record, TopicInfo

logger = logging.getLogger(__name__)

LOOK_PACE = 10 * SECOND
"""Time between two looks at the ends of partitions. The reached times of a backlog are as exact as this."""

TRUSTED_FROM = DAY
"""No record is from 1970-01-01: a smaller timestamp is a default or is counted in another unit."""

TRUSTED_AHEAD = DAY
"""How far ahead of this process's clock a publisher's timestamp may be."""

_STOOD_STILL = 5 * MINUTE  # longer than a router waits for any answer of Kafka
_LOOKS = 60  # of a partition that are kept: ten minutes of a backlog; of more, every second look is forgotten
_WARNING_PACE = MINUTE
_FIRST = TRUSTED_FROM // 1000  # in milliseconds, as timestamps are
_LATEST = 253_402_300_799_000  # the end of the year 9999


def is_append_time(info: TopicInfo) -> bool:
    """Return whether the timestamps of a topic's records are set by the broker."""
    return info.config.get("message.timestamp.type") == "LogAppendTime"


class _Look(NamedTuple):
    """A look at which a partition had grown.

    Attributes:
        at: When it was.
        silent: When Kafka fell silent about the partition before it; None if each look before it had an answer.

    """

    at: Micros
    silent: Micros | None


class _Seen(NamedTuple):
    """The results of the looks at one partition.

    Attributes:
        first: Where it ended at the first look.
        ends: Where it ended at each look at which it had grown.
        looks: These looks.

    """

    first: int
    ends: tuple[int, ...] = ()
    looks: tuple[_Look, ...] = ()

    @property
    def end(self) -> int:
        """Where the partition ended at the last look."""
        return self.ends[-1] if self.ends else self.first

    def grown(self, end: int, look: _Look) -> _Seen:
        """Return the results with one more look."""
        ends, looks = (*self.ends, end), (*self.looks, look)
        if len(ends) <= _LOOKS:
            return _Seen(self.first, ends, looks)
        half = _LOOKS // 2
        return _Seen(self.first, (*ends[1:half:2], *ends[half:]), (*looks[1:half:2], *looks[half:]))


class EndOffsetLog:
    """Where the partitions of topics ended, and when a process looked. Shared by all routers of the process.

    It stays true when a partition changes its owner and while a router starts over. Times are those of the process's
    steady clock, so a wall clock that is put right changes nothing.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._awake: Micros | None = None
        self._next: Micros | None = None
        self._asked: frozenset[str] = frozenset()
        self._seen: dict[tuple[str, int], _Seen] = {}  # by partition; the plain pair is as good a key, and made faster
        self._silent: dict[tuple[str, int], Micros] = {}

    def awake(self, at: Micros) -> None:
        """Note that the process runs, whether or not Kafka answers; forget all looks if it stood still before."""
        if self._awake is not None and at - self._awake > _STOOD_STILL:
            with self._lock:
                self._seen.clear()
                self._silent.clear()
        self._awake = at

    def due(self, topics: frozenset[str], at: Micros) -> frozenset[str]:
        """Return which topics to look at now: all of them every ten seconds, and at once those that are new."""
        if self._next is not None and at < self._next and topics <= self._asked:
            return frozenset()
        with self._lock:
            is_time = self._next is None or at >= self._next
            due = topics if is_time else topics - self._asked
            self._asked = topics if is_time else self._asked | topics
            if is_time:
                self._next = at + LOOK_PACE
        return due

    def add(self, ends: Mapping[Partition, int], silent: Iterable[Partition], at: Micros) -> None:
        """Note an answer.

        Args:
            ends: The ends of partitions, which were read just before ``at``.
            silent: Partitions about which Kafka gave no answer.
            at: When the answer came.

        """
        with self._lock:
            for place in silent:
                self._silent.setdefault(place, at)
            for place, end in ends.items():
                since, seen = self._silent.pop(place, None), self._seen.get(place)
                if seen is None:
                    self._seen[place] = _Seen(end)
                elif end < seen.first:  # created again: its records came after the look before
                    self._seen[place] = _Seen(0).grown(end, _Look(at, since)) if end else _Seen(0)
                elif end > seen.end:
                    self._seen[place] = seen.grown(end, _Look(at, since))

    def recreated(self, topic: str) -> None:
        """Note that a topic was deleted and created again: all its records came after the looks at the old one."""
        with self._lock:
            for place in [place for place in self._seen if place[0] == topic]:
                self._seen[place] = _Seen(0)

    def knows(self, place: Partition, offset: int) -> bool:
        """Return whether a record that comes to a partition now will be known to have come after a look.

        Not so before the end of the last look: the topic was made again, and the process does not know that yet.
        """
        seen = self._seen.get(place)
        return seen is not None and seen.end <= offset and place not in self._silent

    def seen(self, place: tuple[str, int], offset: int, made: Micros, now: Micros) -> Micros | None:
        """Return when a record was first seen to be there; None if it was there before the first look.

        Args:
            place: Its partition.
            offset: Its offset.
            made: Its timestamp, by the steady clock.
            now: When it is routed.

        """
        seen = self._seen.get(place)
        if seen is None or offset < seen.first:
            return None
        _, ends, looks = seen
        if ends and offset < ends[-1]:
            at, silent = looks[bisect_right(ends, offset)]
        else:
            at, silent = now, self._silent.get(place) if self._silent else None
        return at if silent is None or made > silent else silent


class ReachedTimes:
    """Tells when the event of a record reached us.

    Args:
        looks: The ends of partitions, as the process saw them.
        clock: The process's clock.
        pace: A steady clock.
        count: Hears of each topic and number of records whose timestamps cannot be true.

    """

    def __init__(
        self,
        looks: EndOffsetLog,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        count: Callable[[str, int], None],
    ) -> None:
        self._looks = looks
        self._clock = clock
        self._pace = pace
        self._count = count
        self._stamped: set[str] = set()
        self._warned: dict[str, Micros] = {}
        self.begin()

    def note(self, infos: Iterable[TopicInfo]) -> None:
        """Note which topics have timestamps that the broker sets."""
        for info in infos:
            (self._stamped.add if is_append_time(info) else self._stamped.discard)(info.name)

    def is_stamped(self, topic: str) -> bool:
        """Return whether the broker is known to set the timestamps of a topic."""
        return topic in self._stamped

    def begin(self) -> None:
        """Read the clocks: all records up to the next call are routed now."""
        self._now, self._now_paced = self._clock(), self._pace()
        self._lead = self._now - self._now_paced
        self._last = (self._now + TRUSTED_AHEAD) // 1000

    def of(self, record: Record) -> tuple[int, Micros]:
        """Return the timestamp of a record in milliseconds, and when its event reached us.

        Where its own timestamp cannot be true, the time at which the record was seen stands in its place.
        """
        topic, partition, offset, timestamp, _, _, _ = record
        is_stamped = topic in self._stamped
        if not (_FIRST <= timestamp <= self._last or (is_stamped and _FIRST <= timestamp <= _LATEST)):
            self._count(topic, 1)
            if self._now_paced >= self._warned.get(topic, self._now_paced):
                self._warned[topic] = self._now_paced + _WARNING_PACE
                logger.warning(
                    "%s/%d offset %d has the timestamp %d, which cannot be its time in milliseconds: the time at which "
                    "it was routed is taken instead. Correct its publisher, or set "
                    "message.timestamp.type=LogAppendTime on the topic",
                    topic,
                    partition,
                    offset,
                    timestamp,
                )
            seen = self._looks.seen((topic, partition), offset, self._now - self._lead, self._now_paced)
            timestamp = (self._now if seen is None else seen + self._lead) // 1000
        made = timestamp * 1000
        if is_stamped:
            return timestamp, made
        seen = self._looks.seen((topic, partition), offset, made - self._lead, self._now_paced)
        return timestamp, made if seen is None else max(made, seen + self._lead)
