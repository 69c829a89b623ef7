"""A Kafka that lives in the process of the tests."""

import socket
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    """A broker inside this process: it lives as long as its client."""
    client = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(client.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    del client


@pytest.fixture
def away() -> Iterator[str]:
    """An address at which nobody listens, and nobody else will."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
