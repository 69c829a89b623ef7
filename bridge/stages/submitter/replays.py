"""The topic ``replays`` as the submitter reads it: which replays are cancelled, and how far the others have come.

A replay is written by :mod:`bridge.replay`. Its runs come to the submitter like any others, and carry its name. The
submitter needs to know whether a person has cancelled the replay, so that the runs that still wait are not started. The
progress is for the metrics: the process that carries a replay out may be a command on a person's machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.core.event import Micros
from bridge.kafka.follower import Follower
from bridge.kafka.log import Log, Record
from bridge.kafka.records import REPLAY, NewerFormatError, RecordError, UnreadableRecordError

CANCELLED = frozenset({"cancelling", "cancelled"})
"""The states of a replay in which no further run of it starts."""

IN_PROGRESS = frozenset({"running", "paused"})
"""The states of a replay of which some runs are dealt with, and others are not."""

TOLD = 50
"""Replays in progress whose progress is told, those that were written last."""

_progress = REPLAY.only("state", "planned", "counts")


class Replays:
    """Which replays are cancelled, and how far the others have come.

    Args:
        log: The Kafka cluster.
        topic: The topic ``replays``.
        pace: A steady clock.

    """

    def __init__(self, log: Log, topic: str, pace: Callable[[], Micros]) -> None:
        self._follower = Follower(log, topic, pace, self._apply)
        self._cancelled: set[str] = set()
        self._in_progress: dict[str, tuple[str, int, int]] = {}  # state, runs planned and dealt with

    def is_cancelled(self, replay: str) -> bool:
        """Return whether a replay is cancelled, as far as the topic was read."""
        return replay in self._cancelled

    def progress(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """Return, by name and state of each replay in progress, how many runs it has planned, and dealt with."""
        told = list(self._in_progress.items())[-TOLD:]
        return {(name, state): (planned, done) for name, (state, planned, done) in told}

    def refresh_when_due(self) -> bool:
        """Read on, if the last time is long enough ago; return whether new records were read."""
        return self._follower.is_due() and self.refresh()

    def refresh(self) -> bool:
        """Read the topic to its end; return whether new records were read.

        Raises:
            LogError: Kafka did not answer.
            UnreadableRecordError: A newer version has written something that this one cannot read.

        """
        return self._follower.read_on()

    def close(self) -> None:
        """Close the clients."""
        self._follower.close()

    def _apply(self, record: Record) -> None:
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
