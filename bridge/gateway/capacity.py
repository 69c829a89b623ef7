"""A bounded capacity: callers acquire and release amounts of it, and wait in order if it is used up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple


class _Waiting(NamedTuple):
    amount: int
    holder: str
    place: asyncio.Future[None]


class Capacity:
    """So much room and no more, of which one holder has a part at most. For one event loop.

    Requests that find no room wait, first come first served. One that waits for its holder's part alone keeps nobody
    else from taking room.

    Args:
        size: How much there is.
        part: How much one holder may have; all of it without.

    Attributes:
        taken: How much is taken.

    """

    def __init__(self, size: int, part: int | None = None) -> None:
        self.taken = 0
        self._size = size
        self._part = size if part is None else part
        self._holders: Counter[str] = Counter()
        self._line: list[_Waiting] = []

    @property
    def is_full(self) -> bool:
        """Whether a request of a holder that has nothing would wait."""
        return self.taken >= self._size or any(not self._has_its_part(waiting) for waiting in self._line)

    def take(self, amount: int, holder: str = "") -> bool:
        """Take room if there is some and no request waits for it; return whether it was taken."""
        wanted = _Waiting(amount, holder, None)  # type: ignore[arg-type] # it does not wait
        if self.taken + amount > self._size or self._has_its_part(wanted):
            return False
        if any(waiting.holder == holder or not self._has_its_part(waiting) for waiting in self._line):
            return False
        self._seat_one(wanted)
        return True

    async def wait(self, amount: int, deadline: float, holder: str = "") -> bool:
        """Take room as soon as there is some; return whether there was before ``deadline`` (of the loop's clock)."""
        if self.take(amount, holder):
            return True
        waiting = _Waiting(amount, holder, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        try:
            async with asyncio.timeout_at(deadline):
                await waiting.place
        except BaseException as error:
            if waiting.place.done() and not waiting.place.cancelled():  # it was given in the same moment
                self.give(amount, holder)
            else:
                with suppress(ValueError):  # it was passed over meanwhile
                    self._line.remove(waiting)
                self._seat()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    @asynccontextmanager
    async def booking(
        self, amount: int, deadline: float, holder: str = ""
    ) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Give what waits for room when it is called, and returns whether there was some; the end gives it back."""
        taken = 0

        async def book() -> bool:
            nonlocal taken
            if await self.wait(amount, deadline, holder):
                taken = amount
            return bool(taken)

        try:
            yield book
        finally:
            if taken:
                self.give(taken, holder)

    def give(self, amount: int, holder: str = "") -> None:
        """Give back what was taken, to those who wait."""
        self.taken -= amount
        self._holders[holder] -= amount
        if self._holders[holder] <= 0:
            del self._holders[holder]
        self._seat()

    def _has_its_part(self, waiting: _Waiting) -> bool:
        return self._holders[waiting.holder] + waiting.amount > self._part

    def _seat_one(self, waiting: _Waiting) -> None:
        self.taken += waiting.amount
        self._holders[waiting.holder] += waiting.amount

    def _seat(self) -> None:
        left: list[_Waiting] = []
        line = iter(self._line)
        for waiting in line:
            if waiting.place.done():
                continue
            if self._has_its_part(waiting):
                left.append(waiting)
            elif self.taken + waiting.amount <= self._size:
                self._seat_one(waiting)
                waiting.place.set_result(None)
            else:
                left.append(waiting)
                break
        self._line = [*left, *line]
