"""Logs that Kafka is away in one line, while librdkafka says so several times a second."""

from __future__ import annotations

import logging
import time
from collections import deque

from confluent_kafka import KafkaError

_log = logging.getLogger("flowbridge_sdk.kafka")

_QUIET_S = 60.0  # librdkafka tries every 10 s at the latest: after a minute without an error the outage is over
_UNREACHABLE = (KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)  # noqa: SLF001 - librdkafka's local codes
_SUMMARY = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the same


class Outage:
    """The errors of one producer's connections.

    An outage is one WARNING when it begins, and one for each further kind of error (a certificate, a password) that
    it brings. Its end is one INFO. Repeated errors are DEBUG.

    Args:
        bootstrap: Kafka's addresses, for the lines.
        waits_s: How long an event waits at most, in seconds.
        silent: Whether nothing is logged above DEBUG.

    Attributes:
        errors: Errors that are not logged yet. ``errors.append`` is librdkafka's ``error_cb``: no Python runs in
            that call, which an exception (Ctrl-C) would turn into a SystemError.
        reason: The text of the last error; empty while Kafka is not known to be away.

    """

    def __init__(self, bootstrap: str, waits_s: float, *, silent: bool) -> None:
        self._kafka = f"Kafka at {bootstrap}"
        self._waits_s = waits_s
        self._silent = silent
        self._kinds: set[int] = set()
        self._last = 0.0
        self.errors: deque[KafkaError] = deque(maxlen=100)
        self.reason = ""

    def log_errors(self) -> None:
        """Log the errors in ``errors``, and forget them."""
        while self.errors:
            error = self.errors.popleft()
            code, now = error.code(), time.monotonic()
            if code == _SUMMARY:
                continue
            if now - self._last > _QUIET_S:
                self._kinds.clear()
            self._last, self.reason = now, str(error.str())
            kind = _UNREACHABLE[0] if code in _UNREACHABLE else code
            level = logging.DEBUG if self._silent or kind in self._kinds else logging.WARNING
            self._kinds.add(kind)
            _log.log(level, "%s: %s; events wait, each at most %g s", self._kafka, self.reason, self._waits_s)

    def delivered(self) -> None:
        """Note that Kafka is back: all events were delivered."""
        if self.reason:
            _log.log(logging.DEBUG if self._silent else logging.INFO, "%s is reachable again", self._kafka)
            self._kinds.clear()
            self.reason = ""
