"""The topic ``replays`` as the submitter reads it: which replays are cancelled.

A replay is written by :mod:`bridge.replay`. Its runs come to the submitter like any others, and carry its name. The
submitter needs to know one thing more: whether a person has cancelled the replay, so that the runs that still wait are
not started.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.event import Micros
from bridge.kafka.follower import Follower
from bridge.kafka.log import Log, Record
from bridge.kafka.records import REPLAY, NewerFormatError, RecordError, UnreadableRecordError

CANCELLED = frozenset({"cancelling", "cancelled"})
"""The states of a replay in which no further run of it starts."""

_state = REPLAY.only("state")


class Replays:
    """Which replays are cancelled.

    Args:
        log: The Kafka cluster.
        topic: The topic ``replays``.
        pace: A steady clock.

    """

    def __init__(self, log: Log, topic: str, pace: Callable[[], Micros]) -> None:
        self._follower = Follower(log, topic, pace, self._apply)
        self._cancelled: set[str] = set()

    def is_cancelled(self, replay: str) -> bool:
        """Return whether a replay is cancelled, as far as the topic was read."""
        return replay in self._cancelled

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
            is_cancelled = record.value is not None and _state(record.value)[0] in CANCELLED
        except NewerFormatError as error:
            raise UnreadableRecordError(record[:3], record.headers or (), error) from error
        except RecordError:
            is_cancelled = False  # it is none of ours, and no run of ours carries its name
        (self._cancelled.add if is_cancelled else self._cancelled.discard)(name)
