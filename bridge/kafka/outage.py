"""Log an outage of Kafka: one line when it begins, one a minute, one when it is over.

Each of some twenty clients of librdkafka logs each connection that it tries, and each stage logs each time that it
starts over: tens of thousands of lines a minute that say one thing. :class:`KafkaOutage` is a filter of the log's
handler. It notes these lines in place of letting them through, and a thread that lives as long as the outage says what
is worth reading.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

ABOUT_KAFKA: Mapping[str, object] = {"is_about_kafka": True}
"""The ``extra`` of our own log lines that follow from a Kafka that does not answer: an outage takes them in."""

EVERY = 60.0
"""Seconds between two lines while Kafka is away."""

QUIET = 5.0
"""Kafka is back when it answers and no client has complained for so many seconds: some reconnect later than others."""

_LOOK = 1.0
_CLIENTS = "bridge.kafka.client"
_CLIENT_LINE = "%s [%s] %s"  # how confluent-kafka hands librdkafka's lines on: facility, client, text
_THREAD = re.compile(r"^\[thrd:[^]]*\]: ")
_AWAY = frozenset({"FAIL", "ERROR", "REQTMOUT"})


class KafkaOutage(logging.Filter):
    """Leaves out what clients and stages say again and again while Kafka is away, and says it in short.

    Args:
        answers: Asks Kafka for anything; returns whether it answered. Called in a thread of its own.
        every: Seconds between two lines.
        quiet: Seconds without a complaint after which Kafka is back.
        log: Where it says so.

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
        """Say no more, whether or not Kafka is back."""
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
            self._note(_THREAD.sub("", str(text)))
            return False
        is_shown = facility != "GETPID"  # a producer asks until its coordinator is there: at each start
        return not self._takes_in(str(text), is_client=True) and is_shown

    def _takes_in(self, text: str, *, is_client: bool) -> bool:
        """Count a line that says nothing new while Kafka is away; return whether it is."""
        with self._lock:
            if not self._is_open:
                return False
            self._left_out += 1
            if not is_client:
                self._reason = text
            return True

    def _note(self, text: str) -> None:
        """Note a complaint; the first one begins an outage."""
        with self._lock:
            self._last = time.monotonic()
            self._reason = text
            self._left_out += 1
            if self._is_open:
                return
            self._is_open = True
            self._left_out = 1
        threading.Thread(target=self._tell, args=(text,), name="kafka-outage", daemon=True).start()

    def _tell(self, text: str) -> None:
        """Say that Kafka is away, and so on until it is back."""
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
