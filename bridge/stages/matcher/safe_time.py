"""Safe time of a trigger: every event that reached Kafka before it has been routed.

A time T is safe for a trigger when the routers' committed offsets on every partition of its topics have reached the
true ends (high watermarks) read after T, and all of them show the definition as applied. While routers work off a
backlog the ends move on, so a T that is not safe yet is kept with its ends until it is. Only then is a later one tried.

T is this process's clock less a bound on its skew, and no later than what the brokers' own clocks are known to show: a
clock that is ahead ends no window early. A topic about which Kafka gives no answer has no safe time. That holds back
only the triggers that read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from bridge.core.event import MINUTE, SECOND, Micros
from bridge.kafka.log import Admin, Committed, Partition, UnansweredError
from bridge.kafka.ownership import read_note

T = TypeVar("T")

logger = logging.getLogger(__name__)

_ABANDONED = MINUTE // 2  # for so long a topic that no trigger reads any more may show an old definition
_GONE_AFTER = MINUTE  # after this time brokers that leave out a partition know that it was deleted
_SURELY_AHEAD = 10 * SECOND  # a tick that asks for the brokers' time is read back within this time
_ROUNDED: Micros = 1_000  # timestamps are rounded down to ms: one that is written now may show so much less
_ASK_AGAIN = 5 * SECOND  # a question about a partition without a leader may take the client seconds

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


class BrokerTime:
    """A time that the brokers' clocks have passed, learned from records that carry the time of their append.

    Args:
        pace: A steady clock: it only goes forward, and its zero means nothing.

    """

    def __init__(self, pace: Callable[[], Micros]) -> None:
        self._pace = pace
        self._lead: Micros | None = None

    def hear(self, timestamp: int) -> None:
        """Learn from a record that was read now, and that a broker's clock stamped with ``timestamp`` (ms)."""
        lead = timestamp * 1000 - self._pace()
        self._lead = lead if self._lead is None else max(self._lead, lead)

    def now(self) -> Micros | None:
        """Return a time that the brokers' clocks have passed; None as long as no record was read."""
        return None if self._lead is None else self._lead + self._pace() - _ROUNDED


class SafeTime:
    """Asks Kafka how far the routers have come.

    Args:
        admin: The cluster.
        group: The routers' consumer group.
        clock: The process's clock.
        pace: A steady clock, for waiting.
        skew: Bound on the difference between this clock and the brokers'.

    """

    def __init__(
        self, admin: Admin, group: str, clock: Callable[[], Micros], pace: Callable[[], Micros], skew: Micros
    ) -> None:
        self._admin = admin
        self._group = group
        self._clock = clock
        self._pace = pace
        self._skew = skew
        self._broker_time = BrokerTime(pace)
        self._ahead_since: Micros | None = None
        self._candidates: dict[str, _Candidate] = {}
        self._now: Micros = 0
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[Partition]] = {}
        self._committed: Mapping[Partition, Committed] = {}
        self._ends: Mapping[Partition, int] = {}
        self._unanswered: dict[Partition, str] = {}
        self._ask_again: dict[str, Micros] = {}
        self._missing: dict[Partition, Micros] = {}
        self._lagging: dict[tuple[Partition, str], Micros] = {}
        self._fenced: dict[str, int] = {}

    def hear(self, timestamp: int) -> None:
        """Learn the brokers' time from a record that was read now, and appended at ``timestamp`` (ms)."""
        self._broker_time.hear(timestamp)

    def knows_time(self) -> bool:
        """Return True if anything is known of the brokers' time."""
        return self._broker_time.now() is not None

    def is_ahead(self) -> bool:
        """Return True if this process's clock, less the skew, shows more than the brokers' clocks are known to show."""
        known = self._broker_time.now()
        if known is None:
            return True
        if self._clock() - self._skew <= known:
            self._ahead_since = None
            return False
        if self._ahead_since is None:
            self._ahead_since = self._pace()
        elif self._pace() - self._ahead_since >= _SURELY_AHEAD:  # what was heard before may have been read late
            self._ahead_since = EVER  # said once
            seconds = (self._clock() - known) // SECOND
            logger.warning(
                "this machine's clock is ahead of Kafka's by about %d s: set it right (NTP). "
                "Windows end by Kafka's time meanwhile, so none ends early",
                seconds,
            )
        return True

    def look(self, topics: Mapping[str, int]) -> None:
        """Ask how far the routers have come on topics, and where these end, in two requests for all topics together.

        Remembers since when partitions are missing, and delays the next request for topics without an answer.

        Args:
            topics: The topics, with their partition counts as far as they are known; 0 for one that seems to be
                missing. A count that was larger before is not forgotten, since a stale broker may answer less.

        Raises:
            LogError: Kafka did not answer at all.

        """
        now = self._pace()
        self._places = {}
        for name, count in topics.items():
            known = self._counts[name] = max(count, self._counts.get(name, 1))
            if self._ask_again.get(name, now) <= now:
                self._places[name] = [Partition(name, number) for number in range(known)]
        places = [place for some in self._places.values() for place in some]
        self._unanswered = {}
        self._committed = self._answers(lambda: self._admin.committed(self._group, places, stable=False))
        known_time = self._broker_time.now()  # the ends are read after it
        self._now = self._clock() if known_time is None else min(self._clock(), known_time + self._skew)
        self._ends = self._answers(lambda: self._admin.end_offsets(places))
        now = self._pace()
        silent = {place.topic for place in self._unanswered}
        for topic in self._places:
            if topic not in silent:
                self._ask_again.pop(topic, None)
                continue
            if topic not in self._ask_again:
                why = next(why for place, why in self._unanswered.items() if place.topic == topic)
                logger.warning("windows of triggers that read %s wait: %s", topic, why)
            self._ask_again[topic] = now + _ASK_AGAIN
        for place in places:
            if place in self._ends or place in self._unanswered:
                self._missing.pop(place, None)
            elif now - self._missing.setdefault(place, now) >= _GONE_AFTER:
                self._counts[place.topic] = max(topics[place.topic], 1)

    def _answers(self, ask: Callable[[], Mapping[Partition, T]]) -> Mapping[Partition, T]:
        try:
            return ask()
        except UnansweredError as error:
            self._unanswered.update(error.unanswered)
            return error.answered

    def of_topic(self, topic: str) -> Safe | None:
        """Return a time that is safe for one topic that was looked at.

        None if that of the last time is not reached, or if Kafka gave no answer about a partition.
        """
        places = self._places.get(topic)
        if places is None or not self.knows_time():
            return None
        candidate = self._candidates.get(topic)
        if candidate is None:
            if any(self._is_unsure(place) for place in places):
                return None  # Kafka did not say where each partition ends
            ends = {place: self._ends[place] for place in places if place in self._ends}
            candidate = self._candidates[topic] = _Candidate(self._now - self._skew, ends)
        committed = {place: self._committed[place] for place in places if place in self._committed}
        targets = candidate.ends.items()
        if all(place in committed and committed[place].offset >= end for place, end in targets):
            del self._candidates[topic]
            applied = [read_note(committed[place]).triggers for place in candidate.ends]
            return Safe(candidate.time, min(applied, default=EVER))
        if any(self._ends.get(place, 0) < end and not self._is_unsure(place) for place, end in targets):
            del self._candidates[topic]  # the topic was deleted and created again: its old ends may never be reached
        return None

    def all_applied(self, topics: Iterable[str], applied: int, known: int, read: frozenset[str]) -> bool:
        """Return True if no router can still route by definitions from before ``applied``.

        A partition of a topic that no trigger reads any more keeps the note of its last owner. If that owner died
        without releasing it, this method fences the owner, which can route nothing after that.

        Args:
            topics: The topics concerned, which were looked at.
            applied: Offset of ``triggers`` that must have been applied.
            known: Offset of ``triggers`` that is known here.
            read: The topics that routers read now.

        """
        asked = list(topics)
        places = [place for topic in asked for place in self._places.get(topic, ())]
        if any(topic not in self._places for topic in asked) or any(
            self._is_unsure(place) for place in places if place not in self._committed
        ):
            return False
        have_applied = True
        for place in places:
            if place not in self._committed:
                continue
            note = read_note(self._committed[place])
            if note.triggers >= applied or not note.owner or self._fenced.get(note.owner, -1) >= applied:
                continue
            # The first look at an owner begins the time until it is fenced, so the others are looked at all the same.
            since = self._lagging.setdefault((place, note.owner), self._pace())
            if place.topic in read or self._pace() - since < _ABANDONED:
                have_applied = False
                continue
            self._admin.fence(note.owner)
            # If the owner comes back, it first reads ``triggers`` to its end, which is at least so far.
            self._fenced[note.owner] = known
        return have_applied

    def _is_unsure(self, place: Partition) -> bool:
        """Return True if nothing is known of a partition: Kafka gave no answer, or left it out only recently."""
        missing_since = self._missing.get(place)
        is_missing = missing_since is not None and self._pace() - missing_since < _GONE_AFTER
        return is_missing or place in self._unanswered
