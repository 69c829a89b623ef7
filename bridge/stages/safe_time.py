"""How far time has safely come for a trigger: no event that reached Kafka before it can come to a window after it.

A time T, the clock less a bound on its skew, is safe for a trigger when the routers' committed offsets on every
partition of its topics have reached the true ends (high watermarks) read after T, and all of them show the definition
as applied. While routers work off a backlog the ends move on, so a T that is not safe yet is kept with its ends until
it is; only then is a later one tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from bridge.core.event import MINUTE, Micros
from bridge.kafka.log import Admin, Committed, Partition
from bridge.kafka.ownership import read_note

_ABANDONED = MINUTE // 2  # so long a topic that nobody reads any more may show an old definition

EVER = 2**63
"""Later than any time, and behind any offset."""


class Safe(NamedTuple):
    """A time that is safe for one topic.

    Attributes:
        time: The time.
        applied: For triggers that were changed by this offset of ``triggers`` or an earlier one: no router of the topic
            had applied less.

    """

    time: Micros
    applied: int


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
        self._now: Micros = 0
        self._places: dict[str, list[Partition]] = {}
        self._committed: Mapping[Partition, Committed] = {}
        self._ends: Mapping[Partition, int] = {}
        self._lagging: dict[tuple[Partition, str], Micros] = {}

    def look_anew(self, topics: Mapping[str, int]) -> None:
        """Ask how far the routers have come on topics, and where these end: two questions, however many they are.

        Args:
            topics: The topics, with their partition counts.

        """
        self._places = {name: [Partition(name, number) for number in range(count)] for name, count in topics.items()}
        places = [place for some in self._places.values() for place in some]
        self._committed = self._admin.committed(self._group, places, stable=False) if places else {}
        self._now = self._clock()  # the ends are read after it
        self._ends = self._admin.end_offsets(places) if places else {}

    def of_topic(self, topic: str) -> Safe | None:
        """Return a time that is safe for one topic that was looked at; None if that of the last time is not reached."""
        places = self._places[topic]
        candidate = self._candidates.get(topic) or self._candidate(topic, places)
        committed = {place: self._committed[place] for place in places if place in self._committed}
        if not self._reached(candidate, committed):
            self._forget_lost(topic, candidate)
            return None
        del self._candidates[topic]
        applied = [read_note(committed[place]).triggers for place in candidate.ends]
        return Safe(candidate.time, min(applied, default=EVER))

    def all_applied(self, topics: Iterable[str], applied: int, read: frozenset[str]) -> bool:
        """Tell whether no router can still route by definitions from before ``applied``.

        A partition of a topic that no trigger reads any more keeps the note of its last owner for ever. If that owner
        died without a word, it is fenced, after which it cannot route anything.

        Args:
            topics: The topics concerned, which were looked at.
            applied: Offset of ``triggers`` that must have been applied.
            read: The topics that routers read now.

        """
        places = [place for topic in topics for place in self._places[topic] if place in self._committed]
        answers = [self._has_applied(place, self._committed[place], applied, read) for place in places]
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

    def _candidate(self, topic: str, places: list[Partition]) -> _Candidate:
        ends = {place: self._ends[place] for place in places if place in self._ends}
        candidate = _Candidate(self._now - self._skew, ends)
        self._candidates[topic] = candidate
        return candidate

    def _forget_lost(self, topic: str, candidate: _Candidate) -> None:
        """Give up the ends of a topic that was deleted and created again: nobody may ever reach them."""
        if any(self._ends.get(place, 0) < end for place, end in candidate.ends.items()):
            del self._candidates[topic]

    @staticmethod
    def _reached(candidate: _Candidate, committed: Mapping[Partition, Committed]) -> bool:
        return all(place in committed and committed[place].offset >= end for place, end in candidate.ends.items())
