"""The gateway's log in memory, for tests and trials: it can go away and come back."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from typing_extensions import override

from bridge.gateway.event_log import EventLog, NotRecordedError
from bridge.gateway.incoming import Encoded


class MemoryEventLog(EventLog):
    """Keeps events in lists.

    Attributes:
        events: The events that are safe, by topic and in order.
        waiting: How many events wait for it to come back.

    """

    def __init__(self, patience: float = 50.0) -> None:
        """Begin empty; an event that waits for ``patience`` seconds fails."""
        self.events: defaultdict[str, list[Encoded]] = defaultdict(list)
        self._patience = patience
        self._away = False
        self._waiting: list[tuple[asyncio.Future[None], str, Encoded]] = []

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return sum(not future.done() for future, _, _ in self._waiting)

    def go_away(self) -> None:
        """Acknowledge nothing until ``come_back``."""
        self._away = True

    def come_back(self) -> None:
        """Acknowledge the events that wait, in order, and all further ones."""
        self._away = False
        waiting, self._waiting = self._waiting, []
        for future, topic, event in waiting:
            if not future.done():
                self._keep(future, topic, event)

    @override
    async def open(self) -> None:
        pass

    @override
    def append(self, topic: str, event: Encoded) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._away:
            self._waiting.append((future, topic, event))
            loop.call_later(self._patience, _fail, future)
        else:
            self._keep(future, topic, event)
        return future

    @override
    async def close(self) -> None:
        await asyncio.gather(*(future for future, _, _ in self._waiting), return_exceptions=True)

    def _keep(self, future: asyncio.Future[None], topic: str, event: Encoded) -> None:
        self.events[topic].append(event)
        future.set_result(None)


def _fail(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(NotRecordedError("not acknowledged in time"))
