"""What the gateway rests on at its log, held by the one in memory and the one on real Kafka alike."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from bridge.gateway.event_log import EventLog, NotRecordedError
from bridge.gateway.incoming import Encoded, Incoming, encode
from bridge.gateway.kafka_log import KafkaEventLog
from bridge.gateway.memory_log import MemoryEventLog
from integration.gateway_process import records_of
from servers.kafka import KafkaServer
from servers.topics import make_topics

PATIENCE = 6.0


class Bed(ABC):
    """An event log, and what can happen to what is behind it."""

    @abstractmethod
    def log(self) -> EventLog:
        """Return a log that waits for ``PATIENCE`` seconds."""

    @abstractmethod
    def topic(self) -> str:
        """Return a new topic."""

    @abstractmethod
    def go_away(self) -> None:
        """Acknowledge nothing any more."""

    @abstractmethod
    def come_back(self) -> None:
        """Acknowledge again."""

    @abstractmethod
    def values(self, topic: str) -> list[bytes]:
        """Return the values that are in a topic."""


class MemoryBed(Bed):
    def __init__(self) -> None:
        self._log = MemoryEventLog(PATIENCE / 10)

    @override
    def log(self) -> EventLog:
        return self._log

    @override
    def topic(self) -> str:
        return uuid.uuid4().hex

    @override
    def go_away(self) -> None:
        self._log.go_away()

    @override
    def come_back(self) -> None:
        self._log.come_back()

    @override
    def values(self, topic: str) -> list[bytes]:
        return [event.value for event in self._log.events[topic]]


class KafkaBed(Bed):
    def __init__(self, server: KafkaServer) -> None:
        self._server = server

    @override
    def log(self) -> EventLog:
        return KafkaEventLog({"bootstrap.servers": self._server.bootstrap}, PATIENCE)

    @override
    def topic(self) -> str:
        name = uuid.uuid4().hex
        make_topics(self._server.bootstrap, name, partitions=2)
        return name

    @override
    def go_away(self) -> None:
        self._server.pause()

    @override
    def come_back(self) -> None:
        self._server.resume()

    @override
    def values(self, topic: str) -> list[bytes]:
        return [record.value() or b"" for record in records_of(self._server.bootstrap, topic)]


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    bed = MemoryBed() if request.param == "memory" else KafkaBed(request.getfixturevalue("server"))
    yield bed
    bed.come_back()


def event(number: int) -> Encoded:
    encoded = encode(Incoming("x", str(number), "test", datetime.now(UTC), {"number": number}))
    assert isinstance(encoded, Encoded)
    return encoded


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    asyncio.run(whole())


def test_what_is_acknowledged_is_there_once(bed: Bed) -> None:
    topic, events = bed.topic(), [event(number) for number in range(500)]

    async def work() -> None:
        log = bed.log()
        await log.open()
        await asyncio.gather(*(log.append(topic, event) for event in events))
        await log.close()

    run(work)
    assert sorted(bed.values(topic)) == sorted(event.value for event in events)


def test_what_waits_while_it_is_away_arrives_when_it_is_back(bed: Bed) -> None:
    topic = bed.topic()

    async def work() -> None:
        log = bed.log()
        await log.open()
        await log.append(topic, event(0))
        bed.go_away()
        waiting = [log.append(topic, event(number)) for number in range(1, 20)]
        await asyncio.sleep(0.2)
        assert not any(request.done() for request in waiting)
        bed.come_back()
        await asyncio.gather(*waiting)
        await log.close()

    run(work)
    assert sorted(bed.values(topic)) == sorted(event(number).value for number in range(20))


def test_what_waits_too_long_fails_and_later_events_do_not(bed: Bed) -> None:
    topic = bed.topic()

    async def work() -> None:
        log = bed.log()
        await log.open()
        await log.append(topic, event(0))
        bed.go_away()
        with pytest.raises(NotRecordedError):
            await asyncio.wait_for(log.append(topic, event(1)), PATIENCE + 2)
        bed.come_back()
        await log.append(topic, event(2))
        await log.close()

    run(work)
    assert event(2).value in bed.values(topic)


def test_closing_waits_for_what_was_appended(bed: Bed) -> None:
    topic = bed.topic()

    async def work() -> None:
        log = bed.log()
        await log.open()
        waiting = [log.append(topic, event(number)) for number in range(50)]
        await log.close()
        assert all(request.done() and request.exception() is None for request in waiting)

    run(work)
    assert len(bed.values(topic)) == 50
