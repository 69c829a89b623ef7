"""The promises of the bound on calls of librdkafka, and of what its errors become: errors of the port, always.

Any other error would stop the whole process.
"""

import threading
from collections.abc import Callable
from typing import NoReturn
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.kafka.confluent import consumer as consumer_module
from bridge.kafka.confluent import embedded
from bridge.kafka.confluent import reader as reader_module
from bridge.kafka.confluent.consumer import ConfluentConsumer
from bridge.kafka.confluent.producer import StuckError, within
from bridge.kafka.confluent.reader import ConfluentRangeReader
from bridge.kafka.log import FencedError, LogError, Partition


def test_a_call_that_comes_back_was_done() -> None:
    done: list[int] = []
    within(30.0, lambda: done.append(1))
    assert done == [1]


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise FencedError("by another")

    with pytest.raises(FencedError, match="by another"):
        within(30.0, fail)


def test_a_call_that_never_comes_back_is_left_behind() -> None:
    end = threading.Event()

    def wait() -> None:
        end.wait()

    with pytest.raises(StuckError, match=r"within 0\.05 s"):
        within(0.05, wait)
    end.set()


class BrokenClient:
    """A client of confluent-kafka whose every call fails, as after it was fenced, except that it can be assigned."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take any properties."""

    def assign(self, _: object) -> None:
        """Begin."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Return a call that fails."""

        def fail(*_: object, **__: object) -> NoReturn:
            if name == "consumer_group_metadata":
                raise RuntimeError("Consumer group metadata not available")
            raise KafkaException(KafkaError(KafkaError._STATE if name == "seek" else KafkaError._FATAL))

        return fail


PLACE = Partition("orders", 0)
MEMBER: dict[str, Callable[[ConfluentConsumer], object]] = {
    "subscribe": lambda member: member.subscribe(["orders"], Mock()),
    "unsubscribe": lambda member: member.subscribe([], Mock()),
    "poll": lambda member: member.poll(0),
    "positions": lambda member: member.positions(),
    "seek": lambda member: member.seek(PLACE, 7),
    "pause": lambda member: member.pause([PLACE]),
    "resume": lambda member: member.resume([PLACE]),
    "metadata": lambda member: member.metadata(),
    "close": lambda member: member.close(),
}
RANGES: dict[str, Callable[[ConfluentRangeReader], object]] = {
    "poll": lambda reader: reader.poll(0),
    "positions": lambda reader: reader.positions(),
    "pause": lambda reader: reader.pause([PLACE]),
    "resume": lambda reader: reader.resume([PLACE]),
}


@pytest.mark.parametrize("call", MEMBER)
def test_an_error_of_a_member_s_client_is_an_error_of_the_port(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "Consumer", BrokenClient)
    member = ConfluentConsumer({})
    member._next[PLACE] = 3
    with pytest.raises(LogError if call == "metadata" else FencedError):
        MEMBER[call](member)


@pytest.mark.parametrize("call", RANGES)
def test_an_error_of_a_reader_s_client_is_an_error_of_the_port(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "Consumer", BrokenClient)
    reader = ConfluentRangeReader({}, {PLACE: 3})
    with pytest.raises(LogError):
        RANGES[call](reader)


@pytest.mark.parametrize("library", ["offered", "closed"])
def test_the_embedded_broker_answers_whether_or_not_the_client_s_library_offers_its_functions(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "closed":
        monkeypatch.setattr(embedded, "_Cluster", Mock(side_effect=AttributeError("rd_kafka_new")))
    broker = embedded.EmbeddedBroker()
    try:
        client = Producer({"bootstrap.servers": broker.bootstrap})
        assert len(client.list_topics(timeout=10).brokers) == 1
        client.close()
    finally:
        broker.close()
