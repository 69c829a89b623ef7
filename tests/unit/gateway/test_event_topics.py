"""Questions to a Kafka that is away keep neither the event loop nor the end of the process."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from bridge.gateway.event_topics import EventTopics, TopicRules, run_in_background
from bridge.kafka.log import LogError


def test_it_gives_what_the_work_gives() -> None:
    def refuse() -> None:
        raise KeyError("a")

    async def whole() -> None:
        assert await run_in_background(lambda: 7) == 7
        with pytest.raises(KeyError):
            await run_in_background(refuse)

    asyncio.run(whole())


def test_an_end_does_not_wait_for_work_that_hangs() -> None:
    going_on, ended = threading.Event(), threading.Event()

    def hang() -> None:
        going_on.wait(30)
        ended.set()

    async def whole() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await run_in_background(hang)

    began = time.monotonic()
    asyncio.run(whole())
    assert time.monotonic() - began < 10
    going_on.set()
    assert ended.wait(10)  # and what it gives to a loop that has ended is nobody's


def test_while_kafka_does_not_answer_one_thread_asks_however_many_come() -> None:
    going_on = threading.Event()

    class Away:
        asked = 0

        def topics(self) -> dict[str, int]:
            self.asked += 1
            going_on.wait(30)
            raise LogError("away")

    async def whole() -> int:
        admin = Away()
        topics = EventTopics(admin, TopicRules("fb."))  # type: ignore[arg-type]  # it is asked nothing else
        loop = asyncio.get_running_loop()
        for _ in range(3):  # each time all give up before Kafka does
            await asyncio.gather(*[topics.find(f"n{number}", loop.time() + 0.1) for number in range(20)])
        going_on.set()
        return admin.asked

    assert asyncio.run(whole()) == 1
