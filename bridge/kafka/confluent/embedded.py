"""The embedded broker of ``flowbridge dev``: librdkafka's mock cluster, and what it lacks made up for.

Good for trying things out on a machine with nothing but Python. It loses everything when it ends, a partition keeps
5 MiB, and it keeps no offsets of transactions: they are committed plainly, after the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer
from typing_extensions import override

from bridge.kafka.confluent.admin import ConfluentAdmin, SharedClient
from bridge.kafka.confluent.errors import error_of, meaning
from bridge.kafka.confluent.properties import logger
from bridge.kafka.log import MISSING, TopicInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.kafka.log import Partition, TopicSpec

PARTITIONS = 4
"""Partitions of every topic on the embedded broker."""

_TIMEOUT = 10.0
_CHUNK = 65_536  # bytes that a door passes on at a time


class EmbeddedBroker:
    """A broker inside this process, on loopback.

    The broker listens on a port that librdkafka chooses. A client that asks at the door learns that address from the
    first answer, so only its first questions pass through the door.

    Args:
        port: Port of the door on localhost; None for no door.

    Attributes:
        bootstrap: Where other processes reach the broker: at the door, or directly where there is none.
        has_door: Whether the port was free.

    """

    def __init__(self, port: int | None = None) -> None:
        self._client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "embedded"}, logger=logger)
        (broker,) = self._client.list_topics(timeout=_TIMEOUT).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"
        self._door = _Door(port, broker.host, broker.port) if port is not None else None
        self.has_door = self._door is not None and self._door.is_open
        if self.has_door:
            self.bootstrap = f"localhost:{port}"

    def close(self) -> None:
        """End it, and all that it held."""
        if self._door is not None:
            self._door.close()
        self._client.close()


class _Door:
    """Passes connections to a fixed port of localhost on to another address, on a thread of its own."""

    def __init__(self, port: int, host: str, target: int) -> None:
        self._target = host, target
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded-broker-door", daemon=True)
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "localhost", port), self._loop)
        if not isinstance(opening.exception(_TIMEOUT), OSError):  # otherwise another program has the port
            self._server = opening.result()

    @property
    def is_open(self) -> bool:
        """Return whether the port was free."""
        return self._server is not None

    def close(self) -> None:
        """Close the port and all connections through it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            self._loop.run_until_complete(asyncio.wait(connections, timeout=_TIMEOUT))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection is always served by a task
        self._connections.add(task)
        back: asyncio.Task[None] | None = None
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._target)
            back = asyncio.create_task(_pass_on(inner_reader, writer))
            await _pass_on(reader, inner_writer)
        except OSError:
            writer.close()
        finally:
            if back is not None:
                back.cancel()
            self._connections.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until either side ends the connection."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


class EmbeddedAdmin(ConfluentAdmin):
    """An admin client for the embedded broker: topics come by being asked for, and have no id and no settings."""

    def __init__(self, config: Mapping[str, str], shared: SharedClient) -> None:
        super().__init__(config, shared)
        self._producer = Producer(dict(config), logger=logger)

    @override
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        counts = self.topics()
        return {name: TopicInfo(name, "", counts[name], 1, {}) for name in names if name in counts}

    @override
    def unreadable(self, names: Iterable[str]) -> dict[str, str]:
        known = self.topics()
        return {name: MISSING for name in names if name not in known}

    @override
    def create(self, specs: Iterable[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        for name in names:
            try:
                self._producer.list_topics(name, timeout=_TIMEOUT)  # a producer's question creates the topic
            except KafkaException as exception:
                raise meaning(error_of(exception)) from exception
        self._wait_until_known(names)

    @override
    def fence(self, transactional_id: str) -> None:
        """Do nothing: the embedded broker knows no fencing."""

    @override
    def purge(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing: a partition of the embedded broker keeps 5 MiB and drops what is older by itself."""

    @override
    def close(self) -> None:
        self._producer.close()
        super().close()
