"""The promises of room: never more than there is, first come first served, and nothing of it is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge.gateway.capacity import Capacity
from unit.gateway.house import run


def test_who_comes_first_is_served_first_also_the_large_one() -> None:
    async def work() -> None:
        room, order = Capacity(10), []
        assert room.take(8)

        async def visit(name: str, amount: int) -> None:
            assert await room.wait(amount, asyncio.get_running_loop().time() + 10)
            order.append(name)

        visits = []
        for name, amount in (("large", 9), ("small", 1)):
            visits.append(asyncio.create_task(visit(name, amount)))
            await asyncio.sleep(0)
        assert room.is_full
        assert not room.take(1)
        room.give(8)
        await asyncio.gather(*visits)
        assert (order, room.taken) == (["large", "small"], 10)

    run(work)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_goes_and_gives_up_all_room_comes_back(seed: int) -> None:
    async def work() -> None:
        chance, room, most = random.Random(seed), Capacity(10), 0

        async def visit() -> None:
            nonlocal most
            amount = chance.randint(1, 10)
            if not await room.wait(amount, asyncio.get_running_loop().time() + chance.random() / 50):
                return
            most = max(most, room.taken)
            try:
                await asyncio.sleep(chance.random() / 100)
            finally:
                room.give(amount)

        visits = [asyncio.create_task(visit()) for _ in range(100)]
        await asyncio.sleep(chance.random() / 50)
        for task in chance.sample(visits, 20):
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        assert (room.taken, room.is_full) == (0, False)
        assert 0 < most <= 10

    run(work)


def test_a_holder_that_has_its_part_waits_and_keeps_no_other_waiting() -> None:
    async def work() -> None:
        room = Capacity(8, 6)
        deadline = asyncio.get_running_loop().time() + 10
        assert room.take(6, "greedy")
        waiting = asyncio.create_task(room.wait(1, deadline, "greedy"))
        await asyncio.sleep(0)
        assert not room.is_full
        assert room.take(2, "other")
        assert room.is_full
        room.give(2, "other")
        assert not waiting.done()
        room.give(1, "greedy")
        assert await waiting
        assert room.taken == 6

    run(work)
