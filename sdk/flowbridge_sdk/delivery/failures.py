"""The failures of a publisher: events that did not arrive.

librdkafka calls back while it is polled, and an exception in such a call ends the poll. So the call only notes the
report, and all else (the user's ``on_failure`` above all) happens after the poll.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from confluent_kafka import KafkaError

from flowbridge_sdk.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Message, Producer

    from flowbridge_sdk.delivery.outage import Outage

FAILURES_KEPT = 100
"""Failures that ``NotDeliveredError`` lists; all are counted."""

SLICE_S = 0.1
"""How long a wait for Kafka may keep a signal waiting, in seconds."""

_Report: TypeAlias = "tuple[str, str, KafkaError, Message]"


class Failures:
    """The failures that were not reported to the user yet.

    Args:
        on_failure: Called for each failure; ``untold`` returns none of them then.
        outage: Logs the connection's errors.

    Attributes:
        total: All failures since the start.

    """

    def __init__(self, on_failure: Callable[[Failure], None] | None, outage: Outage) -> None:
        self._on_failure = on_failure
        self._outage = outage
        self._reports: deque[_Report] = deque()
        self._lock = threading.RLock()  # a signal's handler may publish too
        self._kept: list[Failure] = []
        self._noted = 0  # all failures since the start, without on_failure
        self._told = 0  # those of them that the user was told of
        self.total = 0

    def report(self, name: str, event_id: str, error: KafkaError, message: Message) -> None:
        """Note a delivery report; librdkafka sends only those of failures."""
        self._reports.append((name, event_id, error, message))

    def serve(self, producer: Producer, seconds: float) -> None:
        """Let ``producer`` deliver its reports, waiting ``seconds`` for the first, and handle them."""
        self._collect(producer.poll, seconds)

    def wait(self, producer: Producer, seconds: float) -> int:
        """Serve reports until nothing waits in ``producer``'s buffer, at most for ``seconds``.

        Waits in slices, so that signals are handled. Returns how many events still wait.
        """
        give_up = time.monotonic() + seconds
        while waiting := len(producer):
            left = give_up - time.monotonic()
            if left <= 0:
                break
            self._collect(producer.flush, min(left, SLICE_S))
        self._collect(producer.poll, 0)  # an error that comes now would count as waiting, too
        return min(waiting, len(producer))

    def _collect(self, call: Callable[[float], object], seconds: float) -> None:
        """Call one of librdkafka's functions that deliver reports, and handle the reports.

        A signal's exception ends the call. If it comes in the microsecond in which a report is noted, that failure is
        not counted.
        """
        try:
            call(seconds)
        except SystemError:  # on Python 3.11 confluent-kafka drops an exception without a value, as Ctrl-C's is
            raise KeyboardInterrupt from None
        if self._reports:
            self._handle_reports()
        if self._outage.errors:
            self._outage.log_errors()

    def untold(self) -> tuple[list[Failure], int, int]:
        """Return the failures (at most ``FAILURES_KEPT``), their number, and the number that ``tell`` takes later."""
        with self._lock:
            self._handle_reports()
            return list(self._kept), self._noted - self._told, self._noted

    def tell(self, noted: int) -> None:
        """Forget the failures that ``untold`` returned with this number."""
        with self._lock:
            self._kept = self._kept[max(0, noted - self._told) :]
            self._told = max(self._told, noted)

    def _handle_reports(self) -> None:
        if self._on_failure is not None:
            while self._reports:
                self.total += 1
                self._on_failure(_failure(self._reports.popleft()))
            return
        with self._lock:
            while self._reports:
                self._kept += [_failure(self._reports[0])] if len(self._kept) < FAILURES_KEPT else []
                self._noted += 1
                self.total += 1
                self._reports.popleft()


def _failure(report: _Report) -> Failure:
    name, event_id, error, message = report
    topic = message.topic() or name
    match error.code():
        case KafkaError._UNKNOWN_TOPIC | KafkaError.UNKNOWN_TOPIC_OR_PART:  # noqa: SLF001 - librdkafka's local codes
            reason = f"topic {topic} does not exist, and the broker does not create it; create it"
        case KafkaError._MSG_TIMED_OUT:  # noqa: SLF001 - the same
            reason = f"not acknowledged in time ({error.str()}); is Kafka reachable?"
        case KafkaError.TOPIC_AUTHORIZATION_FAILED:
            reason = f"this client may not write to topic {topic}"
        case KafkaError.MSG_SIZE_TOO_LARGE:
            reason = f"larger than topic {topic} allows (max.message.bytes)"
        case _:
            reason = str(error.str())
    return Failure(name, event_id, topic, reason)
