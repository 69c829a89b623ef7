"""How far time has safely come for a trigger: no event that reached Kafka before it can come to a window after it.

A time T, the clock less a bound on its skew, is safe for a trigger when the routers' committed offsets on every
partition of its topics have reached the true ends (high watermarks) read after T, and all of them show the definition
as applied. While routers work off a backlog the ends move on, so a T that is not safe yet is kept with its ends until
it is; only then is a later one tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.core.event import MINUTE, Micros
from bridge.kafka.log import Admin, Committed, Partition
from bridge.kafka.ownership import read_note

_ABANDONED = MINUTE // 2  # so long a topic that nobody reads any more may show an old definition


class _Candidate(NamedTuple):
    """A time and the ends that routers have to reach for it to be safe."""

    time: Micros
    ends: Mapping[Partition, int]


class SafeTime:
    """Asks Kafka how far the routers have come.

    Args:
        admin: The cluster.
        group: The routers' consumer group.
        clock: The process's clock.
        skew: Bound on the difference between this clock and the brokers'.

    """

    def __init__(self, admin: Admin, group: str, clock: Callable[[], Micros], skew: Micros) -> None:
        self._admin = admin
        self._group = group
        self._clock = clock
        self._skew = skew
        self._candidates: dict[str, _Candidate] = {}
        self._lagging: dict[tuple[Partition, str], Micros] = {}

    def of_topic(self, topic: str, partitions: int, applied: int) -> Micros | None:
        """Return the latest time known to be safe for one topic; None if none is yet.

        Args:
            topic: The topic.
            partitions: How many partitions it has.
            applied: Offset of ``triggers`` that the routers must have applied.

        """
        places = [Partition(topic, number) for number in range(partitions)]
        now = self._clock()
        candidate = self._candidates.get(topic) or self._candidate(topic, places, now)
        committed = self._admin.committed(self._group, places, stable=False)
        if not self._reached(candidate, committed, applied):
            self._forget_lost(topic, candidate)
            return None
        del self._candidates[topic]
        return candidate.time

    def all_applied(self, topics: Mapping[str, int], applied: int, read: frozenset[str]) -> bool:
        """Tell whether no router can still route by definitions from before ``applied``.

        A partition of a topic that no trigger reads any more keeps the note of its last owner for ever. If that owner
        died without a word, it is fenced, after which it cannot route anything.

        Args:
            topics: The topics concerned, with their partition counts.
            applied: Offset of ``triggers`` that must have been applied.
            read: The topics that routers read now.

        """
        places = [Partition(topic, number) for topic, count in topics.items() for number in range(count)]
        committed = self._admin.committed(self._group, places, stable=False)
        # Each is asked, so that the times of all that lag run at once.
        answers = [self._has_applied(place, one, applied, read) for place, one in committed.items()]
        return all(answers)  # each is asked for, since asking is what begins the time after which an owner is fenced

    def _has_applied(self, place: Partition, one: Committed, applied: int, read: frozenset[str]) -> bool:
        note = read_note(one)
        if note.triggers >= applied or not note.owner:
            return True
        lagging = (place, note.owner)
        since = self._lagging.setdefault(lagging, self._clock())
        if place.topic in read or self._clock() - since < _ABANDONED:
            return False
        self._admin.fence(note.owner)
        return True

    def _candidate(self, topic: str, places: list[Partition], now: Micros) -> _Candidate:
        candidate = _Candidate(now - self._skew, self._admin.end_offsets(places))
        self._candidates[topic] = candidate
        return candidate

    def _forget_lost(self, topic: str, candidate: _Candidate) -> None:
        """Give up the ends of a topic that was deleted and created again: nobody may ever reach them."""
        ends = self._admin.end_offsets(candidate.ends)
        if any(ends.get(place, 0) < end for place, end in candidate.ends.items()):
            del self._candidates[topic]

    @staticmethod
    def _reached(candidate: _Candidate, committed: Mapping[Partition, Committed], applied: int) -> bool:
        return all(
            place in committed and committed[place].offset >= end and read_note(committed[place]).triggers >= applied
            for place, end in candidate.ends.items()
        )
