"""The life of one client process of the in-memory Kafka, as far as its brokers notice it."""

from __future__ import annotations


class CrashedError(RuntimeError):
    """A client that crashed is used again: an error of the test, never of Kafka."""


class Client:
    """A client heartbeats in the background, as librdkafka does, unless it is stalled or has crashed."""

    def __init__(self) -> None:
        self._silent_since: int | None = None
        self._crashed = False

    def crash(self, now: int) -> None:
        """Stop for good."""
        self.stall(now)
        self._crashed = True

    def stall(self, now: int) -> None:
        """Stand still, as under SIGSTOP, until the next call."""
        if self._silent_since is None:
            self._silent_since = now

    def wake(self) -> None:
        """Note a call.

        Raises:
            CrashedError: The client had crashed.

        """
        if self._crashed:
            raise CrashedError("this client has crashed; make another MemoryLog")
        self._silent_since = None

    def silent_for(self, now: int) -> int:
        """Return for how many ms nothing was heard of it; -1 while it lives."""
        return -1 if self._silent_since is None else now - self._silent_since
