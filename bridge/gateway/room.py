"""Room for what is under way: an amount that is taken and given back, and a line of those who wait for theirs."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Room:
    """So much room and no more. Whoever finds none waits, first come first served. For one event loop.

    Attributes:
        taken: How much is taken.

    """

    def __init__(self, size: int) -> None:
        self.taken = 0
        self._size = size
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether somebody waits, or would."""
        return self.taken >= self._size or bool(self._line)

    def take(self, amount: int) -> bool:
        """Take room if there is some and nobody waits for it; tell whether it was taken."""
        if self._line or self.taken + amount > self._size:
            return False
        self.taken += amount
        return True

    async def wait(self, amount: int, deadline: float) -> bool:
        """Take room as soon as there is some; tell whether there was before ``deadline`` (of the loop's clock)."""
        if self.take(amount):
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((amount, place))
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # it was given in the same moment
                self.give(amount)
            else:
                self._leave(amount, place)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def give(self, amount: int) -> None:
        """Give back what was taken, to those who wait."""
        self.taken -= amount
        self._seat()

    def _leave(self, amount: int, place: asyncio.Future[None]) -> None:
        with suppress(ValueError):  # it was passed over meanwhile
            self._line.remove((amount, place))
        self._seat()

    def _seat(self) -> None:
        while self._line and self.taken + self._line[0][0] <= self._size:
            amount, place = self._line.popleft()
            if not place.done():
                self.taken += amount
                place.set_result(None)
