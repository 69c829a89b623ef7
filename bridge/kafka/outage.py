"""Log an outage of Kafka: one line when it begins, one a minute, one when it is over.

About twenty clients of librdkafka log each connection that they try, and each stage logs each time that it starts over.
These are tens of thousands of lines a minute with one meaning. :class:`KafkaOutage` is a filter of the log's handler.
It counts these lines and leaves them out. During the outage a thread logs a short summary.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

ABOUT_KAFKA: Mapping[str, object] = {"is_about_kafka": True}
"""The ``extra`` of our own log lines that follow from a Kafka that does not answer: an outage counts them."""

EVERY = 60.0
"""Seconds between two lines while Kafka is away."""

QUIET = 5.0
"""Kafka is back when it answers and no client has complained for this many seconds: some clients reconnect late."""

_LOOK = 1.0
_CLIENTS = "bridge.kafka.client"
_CLIENT_LINE = "%s [%s] %s"  # the format in which confluent-kafka logs librdkafka's lines: facility, client, text
_THREAD = re.compile(r"^\[thrd:[^]]*\]: ")
_AWAY = frozenset({"FAIL", "ERROR", "REQTMOUT"})


class KafkaOutage(logging.Filter):
    """Leaves out the repeated lines of clients and stages while Kafka is away, and logs a summary.

    Args:
        answers: Asks Kafka for anything; returns whether it answered. Called in a thread of its own.
        every: Seconds between two lines.
        quiet: Seconds without a complaint after which Kafka is back.
        log: Takes the summary.

    """

    def __init__(
        self,
        answers: Callable[[], bool],
        every: float = EVERY,
        quiet: float = QUIET,
        log: logging.Logger = logger,
    ) -> None:
        super().__init__()
        self._answers = answers
        self._every = every
        self._quiet = quiet
        self._log = log
        self._lock = threading.Lock()
        self._is_open = False
        self._reason = ""
        self._last = 0.0  # when the newest complaint came
        self._left_out = 0
        self._closed = threading.Event()

    def close(self) -> None:
        """Stop the summary, whether or not Kafka is back."""
        self._closed.set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line goes to the log; note it if it belongs to an outage."""
        if getattr(record, "is_about_kafka", False):
            return not self._takes_in(record.getMessage(), is_client=False)
        if record.name != _CLIENTS or record.msg != _CLIENT_LINE or not isinstance(record.args, tuple):
            return True
        if record.levelno <= logging.DEBUG:  # asked for with librdkafka's property `debug`
            return True
        facility, _, text = record.args
        if facility == "FAIL" and record.levelno < logging.WARNING:  # idle connections are closed, and made again
            return False
        if facility in _AWAY:
            complaint = _THREAD.sub("", str(text))
            with self._lock:
                begins = not self._is_open
                self._is_open = True
                self._last = time.monotonic()
                self._reason = complaint
                self._left_out = 1 if begins else self._left_out + 1
            if begins:
                threading.Thread(target=self._tell, args=(complaint,), name="kafka-outage", daemon=True).start()
            return False
        is_shown = facility != "GETPID"  # a producer asks until its coordinator is there: at each start
        return not self._takes_in(str(text), is_client=True) and is_shown

    def _takes_in(self, text: str, *, is_client: bool) -> bool:
        """Count a line that says nothing new while Kafka is away; return whether Kafka is away."""
        with self._lock:
            if not self._is_open:
                return False
            self._left_out += 1
            if not is_client:
                self._reason = text
            return True

    def _tell(self, text: str) -> None:
        """Log that Kafka is away, again and again until it is back."""
        began = told = time.monotonic()
        self._log.warning(
            "Kafka cannot be reached: %s. Work waits and goes on by itself; what follows is said in short", text
        )
        while not self._closed.wait(_LOOK):
            is_back = time.monotonic() - self._last > self._quiet and self._answers()
            now = time.monotonic()
            with self._lock:
                left_out, reason = self._left_out, self._reason
                is_back = is_back and now - self._last > self._quiet
                self._is_open = not is_back
            if is_back:
                self._log.warning("Kafka is back after %.0f s (%d log lines left out)", self._last - began, left_out)
                return
            if now - told >= self._every:
                told = now
                self._log.warning(
                    "Kafka cannot be reached for %.0f s now (%d log lines left out), the last: %s",
                    now - began,
                    left_out,
                    reason,
                )
