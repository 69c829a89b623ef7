"""The port to Kafka of the gateway: append an event, and hear when it is safe.

:mod:`bridge.gateway.kafka_log` implements it on Kafka, :mod:`bridge.gateway.memory_log` in memory; one suite of tests
holds both. Everything of it happens on the event loop that ``open`` was called on.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from bridge.gateway.incoming import Encoded


class NotRecordedError(Exception):
    """An event did not become safe in time, or was refused; the text says why. It may yet appear."""


class EventLog(ABC):
    """Where events go."""

    @abstractmethod
    async def open(self) -> None:
        """Begin; Kafka need not be there."""

    @abstractmethod
    def append(self, topic: str, event: Encoded) -> asyncio.Future[None]:
        """Take an event for a topic that exists. While Kafka is away it waits.

        Returns:
            A future that is done once every in-sync replica has the event, or fails with :class:`NotRecordedError`.
            It is answered exactly once, within the time that the log was made with.

        """

    @abstractmethod
    async def close(self) -> None:
        """Wait until everything appended is safe or has failed, and let go."""
