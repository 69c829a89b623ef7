"""The gateway's port to Kafka: append an event, and learn when it is safe.

:mod:`bridge.gateway.kafka_log` implements it on Kafka, :mod:`bridge.gateway.memory_log` in memory; both pass the same
tests. All its methods are called on the event loop that ``open`` was called on.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from bridge.gateway.incoming import Encoded


class NotRecordedError(Exception):
    """An event did not become safe in time, or was refused; the text says why. It may yet appear."""


class EventLog(ABC):
    """The log that events are appended to."""

    @abstractmethod
    async def open(self) -> None:
        """Begin; Kafka may be away."""

    @abstractmethod
    def append(self, topic: str, event: Encoded) -> asyncio.Future[None]:
        """Take an event for a topic that exists. While Kafka is away it waits.

        Returns:
            A future that is done once every in-sync replica has the event, or fails with :class:`NotRecordedError`.
            It is answered exactly once, within the time that the log was made with.

        """

    @abstractmethod
    async def close(self) -> None:
        """Wait until all appended events are safe or have failed, and release the log."""
