"""The topic ``replays`` as the submitter reads it: which replays are cancelled.

A replay is written by :mod:`bridge.replay`. Its runs come to the submitter like any others, and carry its name. The
submitter needs to know one thing more: whether a person has cancelled the replay, so that the runs that still wait are
not started.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import MISSING, Log, Partition, Record, UnansweredError
from bridge.kafka.records import REPLAY, NewerFormatError, RecordError, UnreadableRecordError

CANCELLED = frozenset({"cancelling", "cancelled"})
"""The states of a replay in which no further run of it starts."""

_state = REPLAY.only("state")
_PACE = SECOND


class Replays:
    """Which replays are cancelled.

    Args:
        log: The Kafka cluster.
        topic: The topic ``replays``.
        pace: A steady clock.

    """

    def __init__(self, log: Log, topic: str, pace: Callable[[], Micros]) -> None:
        self._partition = Partition(topic, 0)
        self._admin = log.admin()
        self._reader = log.reader()
        self._pace = pace
        self._asked: Micros = -(2**62)
        self._offset = 0
        self._cancelled: set[str] = set()

    def is_cancelled(self, replay: str) -> bool:
        """Return whether a replay is cancelled, as far as the topic was read."""
        return replay in self._cancelled

    def refresh_when_due(self) -> bool:
        """Read on, if the last time is long enough ago; return whether new records were read."""
        return self._pace() - self._asked >= _PACE and self.refresh()

    def refresh(self) -> bool:
        """Read the topic to its end; return whether new records were read.

        Raises:
            LogError: Kafka did not answer.
            UnreadableRecordError: A newer version has written something that this one cannot read.

        """
        self._asked = self._pace()
        ends = self._admin.stable_ends([self._partition])
        if self._partition not in ends:
            raise UnansweredError({}, {self._partition: MISSING})
        end = ends[self._partition]
        if end <= self._offset:
            return False
        for records in self._reader.read(self._partition, self._offset, end):
            for record in records:
                self._apply(record)
        self._offset = end
        return True

    def close(self) -> None:
        """Close the clients."""
        self._reader.close()
        self._admin.close()

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
