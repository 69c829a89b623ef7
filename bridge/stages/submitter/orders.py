"""What people have ordered about runs that wait, as the submitter reads it: cancelled replays, and holds.

A replay is written by :mod:`bridge.replay`. Its runs come to the submitter like any others, and carry its name. The
submitter needs to know whether a person has cancelled the replay, so that the runs that still wait are not started. The
progress is for the metrics: the process that carries a replay out may be a command on a person's machine. Holds are
written by ``flowbridge runs hold`` and ``release`` (:mod:`bridge.core.runs.holds`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bridge.core.event import Micros
from bridge.core.runs.holds import Order, order_text
from bridge.kafka.follower import FollowedEnds, Follower
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, Record
from bridge.kafka.records import ORDER, REPLAY, NewerFormatError, RecordError, UnreadableRecordError

logger = logging.getLogger(__name__)

CANCELLED = frozenset({"cancelling", "cancelled"})
"""The states of a replay in which no further run of it starts."""

IN_PROGRESS = frozenset({"running", "paused"})
"""The states of a replay of which some runs are dealt with, and others are not."""

TOLD = 50
"""Replays in progress whose progress is told, those that were written last."""

_progress = REPLAY.only("state", "planned", "counts")


class Orders:
    """The topics ``replays`` and ``holds`` as read so far.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        pace: A steady clock.
        ends: Asks for the ends of topics.

    """

    def __init__(self, log: Log, topics: InternalTopics, pace: Callable[[], Micros], ends: FollowedEnds) -> None:
        self._followers = (
            Follower(log, topics.replays, pace, self._apply_replay, ends),
            Follower(log, topics.holds, pace, self._apply_hold, ends),
        )
        self._cancelled: set[str] = set()
        self._in_progress: dict[str, tuple[str, int, int]] = {}  # state, runs planned and dealt with
        self._holds: dict[str, Order] = {}

    def is_cancelled(self, replay: str) -> bool:
        """Return whether a replay is cancelled."""
        return replay in self._cancelled

    def progress(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """Return, by name and state of each replay in progress, how many runs it has planned, and dealt with."""
        told = list(self._in_progress.items())[-TOLD:]
        return {(name, state): (planned, done) for name, (state, planned, done) in told}

    @property
    def holds(self) -> Mapping[str, Order]:
        """What people have said about holds, by scope."""
        return self._holds

    def refresh_when_due(self) -> bool:
        """Read on, if the last time is long enough ago; return whether new records were read."""
        return sum(follower.read_when_due() for follower in self._followers) > 0

    def refresh(self) -> bool:
        """Read the topics to their ends; return whether new records were read.

        Raises:
            LogError: Kafka did not answer.
            UnreadableRecordError: A newer version has written something that this one cannot read.

        """
        return sum(follower.read_on() for follower in self._followers) > 0

    def close(self) -> None:
        """Close the clients."""
        for follower in self._followers:
            follower.close()

    def _apply_replay(self, record: Record) -> None:
        if record.key is None:
            return
        name = record.key.decode(errors="replace")
        try:
            state, planned, counts = _progress(record.value) if record.value is not None else ("", 0, {})
        except NewerFormatError as error:
            raise UnreadableRecordError(record[:3], record.headers or (), error) from error
        except RecordError:
            state, planned, counts = "", 0, {}  # it is none of ours, and no run of ours carries its name
        (self._cancelled.add if state in CANCELLED else self._cancelled.discard)(name)
        self._in_progress.pop(name, None)
        if state in IN_PROGRESS:
            self._in_progress[name] = (state, planned, sum(counts.values()))

    def _apply_hold(self, record: Record) -> None:
        read = read_order(record)
        if read is None:
            return
        scope, order = read
        if order is None:
            self._holds.pop(scope, None)
            return
        before = self._holds.get(scope)
        self._holds[scope] = order
        if order.allowed is not None or (before is not None and before.allowed is not None):
            logger.warning("%s", order_text(scope, order))


def read_order(record: Record) -> tuple[str, Order | None] | None:
    """Return the scope of a record of ``holds`` and what was said about it; None for a record that is none of ours.

    Raises:
        UnreadableRecordError: A newer version has written it.

    """
    if record.key is None:
        return None
    scope = record.key.decode(errors="replace")
    if record.value is None:
        return scope, None
    try:
        return scope, Order(at=record.timestamp * 1_000, **ORDER.decode(record.value))
    except NewerFormatError as error:
        raise UnreadableRecordError(record[:3], record.headers or (), error) from error
    except RecordError:
        return None
