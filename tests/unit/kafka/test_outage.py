"""A Kafka that is away is told in a few lines, and no other line is left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from bridge.kafka.outage import ABOUT_KAFKA, KafkaOutage
from servers.process import wait_for

CLIENT = logging.getLogger("bridge.kafka.client")
OURS = logging.getLogger("bridge.kafka.loop")
CLIENT_LINE = "%s [%s] %s"


class Log(logging.Handler):
    """What a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "bridge.kafka.outage":  # commands that other tests ran in this process may still say theirs
            self.lines.append(record.getMessage())


@pytest.fixture
def back() -> threading.Event:
    return threading.Event()


@pytest.fixture
def log(back: threading.Event) -> Iterator[Log]:
    client_level = CLIENT.level
    CLIENT.setLevel(logging.NOTSET)  # `dev` in other tests turns it down
    handler = Log()
    outage = KafkaOutage(back.is_set, every=2.5, quiet=0.5, log=logging.getLogger("tests.outage"))
    handler.addFilter(outage)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield handler
    outage.close()
    root.removeHandler(handler)
    root.setLevel(level)
    CLIENT.setLevel(client_level)


def _refused() -> None:
    CLIENT.error(CLIENT_LINE, "FAIL", "rdkafka#consumer-1", "host:9092/1: Connection refused (after 0ms)")


def test_an_outage_is_one_line_when_it_goes_some_between_and_one_when_it_is_back(
    log: Log, back: threading.Event
) -> None:
    _refused()
    wait_for(lambda: len(log.lines) == 1, 10, "the line when it goes")
    assert "cannot be reached: host:9092/1: Connection refused" in log.lines[0]
    for _ in range(1_000):
        _refused()
        OURS.warning("router starts over: timed out", extra=ABOUT_KAFKA)
        CLIENT.warning(CLIENT_LINE, "GETPID", "rdkafka#producer-2", "retrying")
    assert len(log.lines) == 1
    wait_for(lambda: len(log.lines) == 2, 10, "the line between")
    assert "3001 log lines left out" in log.lines[1]
    back.set()
    wait_for(lambda: len(log.lines) == 3, 10, "the line when it is back")
    assert log.lines[2].startswith("Kafka is back after")
    OURS.warning("router starts over: fenced", extra=ABOUT_KAFKA)
    assert log.lines[3] == "router starts over: fenced"


def test_lines_that_are_not_about_kafka_are_all_there_while_it_is_away(log: Log) -> None:
    _refused()
    wait_for(lambda: len(log.lines) == 1, 10, "the line when it goes")
    logging.getLogger("bridge.stages").info("trigger a is in force")
    CLIENT.warning("%s/%s: %s", "topic", 1, "the offset is lost")
    assert log.lines[1:] == ["trigger a is in force", "topic/1: the offset is lost"]


def test_without_an_outage_our_lines_and_the_clients_warnings_are_shown_and_idle_connections_are_not(log: Log) -> None:
    OURS.warning("router: batch given up", extra=ABOUT_KAFKA)
    CLIENT.warning(CLIENT_LINE, "CONFWARN", "rdkafka#consumer-1", "no such property")
    CLIENT.info(CLIENT_LINE, "FAIL", "rdkafka#consumer-1", "Disconnected (after 600000ms in state UP)")
    CLIENT.warning(CLIENT_LINE, "GETPID", "rdkafka#producer-1", "Not coordinator: retrying")  # at each start
    assert log.lines == ["router: batch given up", "CONFWARN [rdkafka#consumer-1] no such property"]
