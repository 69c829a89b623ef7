"""The embedded broker of ``flowbridge dev``: librdkafka's mock cluster, and what it lacks made up for.

Good for trying things out on a machine with nothing but Python. It loses everything when it ends, a partition keeps
5 MiB, and it keeps no offsets of transactions: they are committed plainly, after the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer, cimpl
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
_JOIN_DELAY_MS = 10  # a group waits three seconds for further members by default, and here each stage is the only one
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
        self._cluster: _Cluster | Producer
        try:
            self._cluster = _Cluster()
            host, _, number = self._cluster.address.rpartition(":")
        except (AttributeError, OSError):  # the client's library offers its functions to no others
            self._cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "embedded"}, logger=logger)
            (broker,) = self._cluster.list_topics(timeout=_TIMEOUT).brokers.values()
            host, number = broker.host, str(broker.port)
        self.bootstrap = f"{host}:{number}"
        self._door = _Door(port, host, int(number)) if port is not None else None
        self.has_door = self._door is not None and self._door.is_open
        if self.has_door:
            self.bootstrap = f"localhost:{port}"

    def close(self) -> None:
        """End it, and all that it held."""
        if self._door is not None:
            self._door.close()
        self._cluster.close()


class _Cluster:
    """A mock cluster of librdkafka that lets groups begin at once. confluent-kafka has no function for that.

    Attributes:
        address: Where its broker listens.

    Raises:
        AttributeError, OSError: librdkafka's functions cannot be reached here.

    """

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL(cimpl.__file__)  # its own functions, and those of librdkafka
        for name in ("conf_new", "new", "mock_cluster_new"):
            getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        wait, self._end = library.rd_kafka_mock_group_initial_rebalance_delay_ms, library.rd_kafka_mock_cluster_destroy
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        library.rd_kafka_conf_set(conf, b"log_level", b"0", error, ctypes.c_size_t(len(error)))
        client = library.rd_kafka_new(0, conf, error, ctypes.c_size_t(len(error)))
        if not client:
            raise OSError(error.value.decode(errors="replace"))
        self._client = ctypes.c_void_p(client)
        self._mock = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(self._client, 1))
        wait(self._mock, _JOIN_DELAY_MS)
        self.address: str = library.rd_kafka_mock_cluster_bootstraps(self._mock).decode()

    def close(self) -> None:
        """End it."""
        self._end(self._mock)
        self._library.rd_kafka_destroy(self._client)


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
