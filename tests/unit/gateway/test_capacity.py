"""The promises of a capacity: it is never exceeded, serves in order, and no amount of it is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge.gateway.capacity import Capacity
from unit.gateway.house import run


def test_requests_are_served_in_order_also_a_large_one() -> None:
    async def work() -> None:
        capacity, order = Capacity(10), []
        assert capacity.try_acquire(8)

        async def visit(name: str, amount: int) -> None:
            assert await capacity.acquire(amount, asyncio.get_running_loop().time() + 10)
            order.append(name)

        visits = []
        for name, amount in (("large", 9), ("small", 1)):
            visits.append(asyncio.create_task(visit(name, amount)))
            await asyncio.sleep(0)
        assert capacity.is_full
        assert not capacity.try_acquire(1)
        capacity.release(8)
        await asyncio.gather(*visits)
        assert (order, capacity.used) == (["large", "small"], 10)

    run(work)


@pytest.mark.parametrize("seed", range(20))
def test_all_capacity_is_free_again_after_visits_that_end_or_give_up(seed: int) -> None:
    async def work() -> None:
        chance, capacity, most = random.Random(seed), Capacity(10), 0

        async def visit() -> None:
            nonlocal most
            amount = chance.randint(1, 10)
            if not await capacity.acquire(amount, asyncio.get_running_loop().time() + chance.random() / 50):
                return
            most = max(most, capacity.used)
            try:
                await asyncio.sleep(chance.random() / 100)
            finally:
                capacity.release(amount)

        visits = [asyncio.create_task(visit()) for _ in range(100)]
        await asyncio.sleep(chance.random() / 50)
        for visit_task in chance.sample(visits, 20):
            visit_task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        assert (capacity.used, capacity.is_full) == (0, False)
        assert 0 < most <= 10

    run(work)


def test_a_holder_that_has_its_share_waits_and_keeps_no_other_waiting() -> None:
    async def work() -> None:
        capacity = Capacity(8, 6)
        deadline = asyncio.get_running_loop().time() + 10
        assert capacity.try_acquire(6, "greedy")
        waiting = asyncio.create_task(capacity.acquire(1, deadline, "greedy"))
        await asyncio.sleep(0)
        assert not capacity.is_full
        assert capacity.try_acquire(2, "other")
        assert capacity.is_full
        capacity.release(2, "other")
        assert not waiting.done()
        capacity.release(1, "greedy")
        assert await waiting
        assert capacity.used == 6

    run(work)
