"""A bounded capacity: callers acquire and release amounts of it, and wait in order if it is used up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple


class _Request(NamedTuple):
    amount: int
    holder: str
    granted: asyncio.Future[None]


class Capacity:
    """A bounded capacity of which each holder may have a share. For one event loop.

    Requests that do not fit wait, first come first served. A request that waits only because its holder has used up its
    share does not keep the requests of other holders waiting.

    Args:
        size: The capacity.
        share: The most that one holder may have; all of it unless given.

    Attributes:
        used: The amount that is acquired now.

    """

    def __init__(self, size: int, share: int | None = None) -> None:
        self.used = 0
        self._size = size
        self._share = size if share is None else share
        self._used_by: Counter[str] = Counter()
        self._queue: list[_Request] = []

    @property
    def is_full(self) -> bool:
        """Whether a request of a holder that has nothing would wait."""
        return self.used >= self._size or any(not self._exceeds_share(request) for request in self._queue)

    def try_acquire(self, amount: int, holder: str = "") -> bool:
        """Acquire an amount if it is free and no request waits for it; return whether it was acquired."""
        wanted = _Request(amount, holder, None)  # type: ignore[arg-type] # it does not wait
        if self.used + amount > self._size or self._exceeds_share(wanted):
            return False
        if any(request.holder == holder or not self._exceeds_share(request) for request in self._queue):
            return False
        self._grant(wanted)
        return True

    async def acquire(self, amount: int, deadline: float, holder: str = "") -> bool:
        """Acquire an amount as soon as it is free; return False after ``deadline`` (of the loop's clock)."""
        if self.try_acquire(amount, holder):
            return True
        request = _Request(amount, holder, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        try:
            async with asyncio.timeout_at(deadline):
                await request.granted
        except BaseException as error:
            if request.granted.done() and not request.granted.cancelled():  # it was granted in the same moment
                self.release(amount, holder)
            else:
                with suppress(ValueError):  # it was passed over meanwhile
                    self._queue.remove(request)
                self._serve_queue()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    @asynccontextmanager
    async def reservation(
        self, amount: int, deadline: float, holder: str = ""
    ) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Yield a function that acquires the amount, as ``acquire`` does; the end of the context releases it."""
        acquired = 0

        async def reserve() -> bool:
            nonlocal acquired
            if await self.acquire(amount, deadline, holder):
                acquired = amount
            return bool(acquired)

        try:
            yield reserve
        finally:
            if acquired:
                self.release(acquired, holder)

    def release(self, amount: int, holder: str = "") -> None:
        """Release an amount, which goes to the requests that wait."""
        self.used -= amount
        self._used_by[holder] -= amount
        if self._used_by[holder] <= 0:
            del self._used_by[holder]
        self._serve_queue()

    def _exceeds_share(self, request: _Request) -> bool:
        return self._used_by[request.holder] + request.amount > self._share

    def _grant(self, request: _Request) -> None:
        self.used += request.amount
        self._used_by[request.holder] += request.amount

    def _serve_queue(self) -> None:
        still_waiting: list[_Request] = []
        queue = iter(self._queue)
        for request in queue:
            if request.granted.done():
                continue
            if self._exceeds_share(request):
                still_waiting.append(request)
            elif self.used + request.amount <= self._size:
                self._grant(request)
                request.granted.set_result(None)
            else:
                still_waiting.append(request)
                break
        self._queue = [*still_waiting, *queue]
