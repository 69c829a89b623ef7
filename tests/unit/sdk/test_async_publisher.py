"""On asyncio: nothing that waits for Kafka keeps other coroutines waiting."""

from __future__ import annotations

import asyncio
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from flowbridge_sdk import AsyncPublisher, BadPayloadError, BufferFullError, ClosedError, Failure, NotDeliveredError

NEARLY_NO_TIME = {"delivery.timeout.ms": 300}


def _ids(bootstrap: str, topic: str, number: int) -> list[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found: list[str] = []
    give_up = time.monotonic() + 20
    while len(found) < number and time.monotonic() < give_up:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            headers = dict(message.headers() or ())
            found.append(headers["ce_id"].decode())  # type: ignore[union-attr] # ours have values
    consumer.close()
    return found


def test_events_of_many_coroutines_arrive_those_of_each_in_order(bootstrap: str) -> None:
    async def job(publisher: AsyncPublisher, number: int) -> None:
        for count in range(50):
            await publisher.publish("async.many", {"count": count}, key="k", id=f"{number}-{count}")

    async def main() -> None:
        async with AsyncPublisher(bootstrap, source="shop", config={"queue.buffering.max.messages": 10}) as publisher:
            await asyncio.gather(*[job(publisher, number) for number in range(4)])

    asyncio.run(main())
    found = _ids(bootstrap, "async.many", 200)
    assert len(found) == 200
    for number in range(4):
        assert [id_ for id_ in found if id_.startswith(f"{number}-")] == [f"{number}-{count}" for count in range(50)]


def test_a_full_buffer_awaits_while_others_run_and_then_says_so(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> int:
        publisher = AsyncPublisher(away, config={"queue.buffering.max.messages": 1})
        monkeypatch.setattr(publisher._buffer, "timeout_s", 0.5)
        await publisher.publish("order.created")
        steps = 0

        async def others() -> None:
            nonlocal steps
            while True:
                steps += 1
                await asyncio.sleep(0.01)

        task = asyncio.create_task(others())
        with pytest.raises(BufferFullError, match="was not taken"):
            await publisher.publish("order.created")
        task.cancel()
        with pytest.raises(NotDeliveredError) as waiting:
            await publisher.close(0.05)
        assert waiting.value.waiting == 1
        return steps

    assert asyncio.run(main()) > 10


def test_a_call_that_is_cancelled_has_taken_nothing(away: str) -> None:
    async def main() -> None:
        publisher = AsyncPublisher(away, config={"queue.buffering.max.messages": 1})
        await publisher.publish("order.created")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(publisher.publish("order.created"), 0.1)
        with pytest.raises(NotDeliveredError) as waiting:
            await publisher.close(0.05)
        assert waiting.value.waiting == 1

    asyncio.run(main())


def test_failures_are_told_by_flush_or_to_the_callback(away: str) -> None:
    heard: list[Failure] = []

    async def main() -> None:
        publisher = AsyncPublisher(away, config=NEARLY_NO_TIME)
        await publisher.publish("order.created", id="e-1")
        with pytest.raises(NotDeliveredError, match=r"order\.created e-1: not acknowledged in time"):
            await publisher.flush()
        async with AsyncPublisher(away, config=NEARLY_NO_TIME, on_failure=heard.append) as other:
            await other.publish("order.created", id="e-2")
        await publisher.close()

    asyncio.run(main())
    assert [failure.id for failure in heard] == ["e-2"]


def test_what_cannot_be_sent_is_refused_and_a_closed_publisher_takes_nothing(bootstrap: str) -> None:
    async def main() -> None:
        async with AsyncPublisher(bootstrap) as publisher:
            with pytest.raises(BadPayloadError, match="amount"):
                await publisher.publish("order.created", {"amount": 1j})
        with pytest.raises(ClosedError):
            await publisher.publish("order.created")
        await publisher.close()

    asyncio.run(main())


def test_the_blocks_own_error_comes_first(away: str) -> None:
    async def main() -> None:
        async with AsyncPublisher(away, config=NEARLY_NO_TIME) as publisher:
            await publisher.publish("order.created", id="e-1")
            raise KeyError("the job's own")

    with pytest.raises(KeyError) as failed:
        asyncio.run(main())
    assert any("e-1" in note for note in failed.value.__notes__)
