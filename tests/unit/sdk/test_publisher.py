"""What publish took arrives, or somebody is told. On librdkafka's own mock cluster: enough for the client's side."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from flowbridge_sdk import (
    BadAttributeError,
    BadNameError,
    BadPayloadError,
    BufferFullError,
    ClosedError,
    Event,
    Failure,
    NotDeliveredError,
    Publisher,
    SchemaError,
    SettingsError,
)
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.delivery import buffer
from flowbridge_sdk.delivery.settings import PublisherSettings, is_local
from flowbridge_sdk.headers import read_headers

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEARLY_NO_TIME = {"delivery.timeout.ms": 300}


def _records(bootstrap: str, topic: str, number: int) -> list[Message]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False, "log_level": 0},
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    records: list[Message] = []
    give_up = time.monotonic() + 20
    while len(records) < number and time.monotonic() < give_up:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            records.append(message)
    consumer.close()
    return records


def test_what_is_published_can_be_read(bootstrap: str) -> None:
    with Publisher(bootstrap, source="shop") as publisher:
        event_id = publisher.publish("pub.one", {"order_id": "o-1"}, key="c-7", id="e-1", time=NOON)
    (record,) = _records(bootstrap, "pub.one", 1)
    head = read_headers(record.headers(), "pub.one", 0, 0, 0)  # type: ignore[arg-type] # the stubs allow more
    assert event_id == "e-1"
    assert head == ("pub.one", "e-1", "shop", 1_769_860_800_000_000)
    assert record.key() == b"c-7"
    assert Decoder().decode("pub.one", record.value(), None) == {"order_id": "o-1"}


def test_ids_differ_unless_given_and_the_time_is_now(bootstrap: str) -> None:
    before = time.time_ns() // 1000
    with Publisher(bootstrap) as publisher:
        assert publisher.publish("pub.two") != publisher.publish("pub.two")
    for record in _records(bootstrap, "pub.two", 2):
        head = read_headers(record.headers(), "pub.two", 0, 0, 0)  # type: ignore[arg-type] # the stubs allow more
        assert before <= head.time_us <= time.time_ns() // 1000


def test_close_says_what_did_not_arrive(away: str) -> None:
    publisher = Publisher(away, config=NEARLY_NO_TIME)
    publisher.publish("order.created", {"order_id": "o-1"}, id="e-1")
    with pytest.raises(NotDeliveredError, match=r"order\.created e-1: not acknowledged in time") as lost:
        publisher.close()
    assert lost.value.failed == 1
    publisher.close()


def test_a_long_list_of_failures_is_cut_and_counted(away: str) -> None:
    publisher = Publisher(away, config=NEARLY_NO_TIME)
    for _ in range(150):
        publisher.publish("order.created")
    with pytest.raises(NotDeliveredError, match="and 50 more") as lost:
        publisher.flush()
    assert (lost.value.failed, len(lost.value.failures)) == (150, 100)
    publisher.close()


def test_a_flush_that_runs_out_of_time_says_what_waits(away: str) -> None:
    publisher = Publisher(away, config={"delivery.timeout.ms": 1500})
    publisher.publish("order.created")
    with pytest.raises(NotDeliveredError) as waiting:
        publisher.flush(0.1)
    assert (waiting.value.failed, waiting.value.waiting) == (0, 1)
    with pytest.raises(NotDeliveredError):
        publisher.close()


def test_a_callback_hears_of_failures_instead(away: str) -> None:
    heard: list[Failure] = []
    with Publisher(away, config=NEARLY_NO_TIME, on_failure=heard.append) as publisher:
        publisher.publish("order.created", id="e-1")
    assert [(failure.name, failure.id, failure.topic) for failure in heard] == [
        ("order.created", "e-1", "order.created")
    ]


def test_a_full_buffer_makes_publish_wait_and_then_say_so(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher(away, config={"queue.buffering.max.messages": 2})
    monkeypatch.setattr(publisher._buffer, "timeout_s", 0.3)  # as long as the events themselves may wait in real life
    publisher.publish("order.created")
    publisher.publish("order.created")
    begun = time.monotonic()
    with pytest.raises(BufferFullError, match="was not taken"):
        publisher.publish("order.created")
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(NotDeliveredError) as waiting:
        publisher.close(0.1)
    assert waiting.value.waiting == 2


def test_an_error_in_the_block_is_not_hidden_by_lost_events(away: str) -> None:
    def job() -> None:
        with Publisher(away, config=NEARLY_NO_TIME) as publisher:
            publisher.publish("order.created", id="e-1")
            raise KeyError("the job's own")

    with pytest.raises(KeyError) as failed:
        job()
    assert "e-1" in failed.value.__notes__[0]


def test_a_closed_publisher_takes_nothing(bootstrap: str) -> None:
    with Publisher(bootstrap) as publisher:
        pass
    with pytest.raises(ClosedError):
        publisher.publish("order.created")


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"id": ""}, BadAttributeError),
        ({"id": 7}, BadAttributeError),
        ({"id": "x" * 1025}, BadAttributeError),
        ({"source": ""}, BadAttributeError),
        ({"source": "\ud800"}, BadAttributeError),
        ({"key": 7}, BadAttributeError),
        ({"time": datetime(2026, 1, 1)}, BadAttributeError),  # noqa: DTZ001 - it is what is refused
        ({"time": "now"}, BadAttributeError),
        ({"name": "x" * 250}, BadNameError),
        ({"payload": {"x": object()}}, BadPayloadError),
    ],
)
def test_what_cannot_be_sent_is_refused_before_sending(attributes: dict[str, Any], error: type, bootstrap: str) -> None:
    with Publisher(bootstrap) as publisher, pytest.raises(error):
        publisher.publish(**{"name": "order.created", **attributes})


def test_a_child_process_publishes_for_itself(bootstrap: str) -> None:
    script = (  # by itself: a child of this process would inherit the clients of all tests before
        "import os, sys, flowbridge_sdk\n"
        "with flowbridge_sdk.Publisher(sys.argv[1]) as p:\n"
        "    p.publish('pub.fork', {'from': 'parent'})\n"
        "    p.flush()\n"  # a fork while a thread looks up an address leaves a child that reaches nothing (docs/sdk.md)
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        p.publish('pub.fork', {'from': 'child'})\n"
        "        p.close(20)\n"
        "        os._exit(0)\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, bootstrap], check=True, timeout=60)
    values = [Decoder().decode("pub.fork", record.value(), None) for record in _records(bootstrap, "pub.fork", 2)]
    assert sorted(value["from"] for value in values) == ["child", "parent"]


def test_a_publisher_that_nobody_closes_still_sends(bootstrap: str) -> None:
    script = "import sys, flowbridge_sdk; flowbridge_sdk.Publisher(sys.argv[1]).publish('pub.unclosed')"
    subprocess.run([sys.executable, "-c", script, bootstrap], check=True, timeout=60)
    assert len(_records(bootstrap, "pub.unclosed", 1)) == 1


def test_a_forked_child_that_ends_normally_does_not_hang(bootstrap: str) -> None:
    script = (
        "import os, sys, flowbridge_sdk\n"
        "p = flowbridge_sdk.Publisher(sys.argv[1]); p.publish('pub.exit')\n"
        "child = os.fork()\n"
        "sys.exit(0 if child == 0 or os.waitpid(child, 0)[1] == 0 else 1)\n"
    )
    subprocess.run([sys.executable, "-c", script, bootstrap], check=True, timeout=60)


def test_settings_come_from_arguments_then_the_environment() -> None:
    environment = {
        "FLOWBRIDGE_BOOTSTRAP_SERVERS": "one:9092",
        "FLOWBRIDGE_SOURCE": "shop",
        "FLOWBRIDGE_KAFKA_LINGER_MS": "50",
        "FLOWBRIDGE_KAFKA_SASL_USERNAME": "me",
    }
    settings = PublisherSettings.of(environment=environment)
    assert settings.kafka["bootstrap.servers"] == "one:9092"
    assert (settings.kafka["linger.ms"], settings.kafka["sasl.username"]) == ("50", "me")
    assert (settings.kafka["acks"], settings.kafka["enable.idempotence"]) == ("all", True)
    assert settings.source == "shop"
    given = PublisherSettings.of("two:9092", {"linger.ms": 7}, "other", environment)
    assert (given.kafka["bootstrap.servers"], given.kafka["linger.ms"], given.source) == ("two:9092", 7, "other")
    assert PublisherSettings.of(config={"bootstrap.servers": "three:1"}, environment={}).kafka["bootstrap.servers"]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "FLOWBRIDGE_BOOTSTRAP_SERVERS"),
        ({"bootstrap.servers": "x:1", "no.such.property": 1}, "no.such.property"),
        ({"bootstrap.servers": "x:1", "acks": 0}, "acks"),
        ({"bootstrap.servers": "user:geheim@x:1"}, "^(?!.*geheim).*sasl.password"),
        ({"bootstrap.servers": "x:1", "transactional.id": "t"}, "transactional.id"),
        ({"bootstrap.servers": "x:1", "on_delivery": print}, "on_failure"),
        ({"bootstrap.servers": "x:1", "delivery.timeout.ms": "soon"}, "delivery.timeout.ms"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(SettingsError, match=problem):
        Publisher(config=config)


def test_a_missing_schema_folder_is_named(tmp_path: Path, away: str) -> None:
    with pytest.raises(SchemaError, match="nowhere"):
        Publisher(away, schemas=tmp_path / "nowhere")


def test_an_event_is_published_in_argoevents_manners(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Publisher(bootstrap) as publisher:
        event = Event("pub.event", {"a": 1}).add_to_payload("b", 2)
        assert event.publish({"c": 3}, id="e-1", publisher=publisher) == "e-1"
        monkeypatch.setenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", bootstrap)
        assert event.safe_publish(id="e-2", publisher=publisher) == "e-2"
    payloads = [Decoder().decode("pub.event", record.value()) for record in _records(bootstrap, "pub.event", 2)]
    assert sorted(payloads, key=len) == [{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]


def test_the_process_has_a_publisher_of_its_own(bootstrap: str) -> None:
    script = "from flowbridge_sdk import Event; print(Event('pub.default').publish(id='e-1'))"
    environment = {**os.environ, "FLOWBRIDGE_BOOTSTRAP_SERVERS": bootstrap}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60, capture_output=True)
    assert done.stdout == b"e-1\n"
    assert len(_records(bootstrap, "pub.default", 1)) == 1


def test_safe_publish_does_nothing_in_a_local_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", raising=False)
    assert Event("order.created").safe_publish() is None


def test_safe_publish_never_raises(monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    monkeypatch.setenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", away)
    with Publisher(away, config=NEARLY_NO_TIME) as publisher:
        assert Event("order.created", {"x": object()}).safe_publish(publisher=publisher) is None
        assert Event("order.created").safe_publish(publisher=publisher) is None


@pytest.mark.parametrize(
    ("environment", "local"),
    [
        ({}, True),
        ({"FLOWBRIDGE_BOOTSTRAP_SERVERS": "k:1"}, False),
        ({"FLOWBRIDGE_KAFKA_BOOTSTRAP_SERVERS": "k:1"}, False),
        ({"FLOWBRIDGE_BOOTSTRAP_SERVERS": "k:1", "FLOWBRIDGE_LOCAL": "1"}, True),
        ({"FLOWBRIDGE_BOOTSTRAP_SERVERS": "k:1", "FLOWBRIDGE_LOCAL": "false"}, False),
        ({"FLOWBRIDGE_BOOTSTRAP_SERVERS": "k:1", "FLOWBRIDGE_LOCAL": "jawohl"}, True),
    ],
)
def test_local_is_decided_as_documented(environment: dict[str, str], local: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert is_local(environment) == local


def test_failures_that_ctrl_c_kept_from_being_told_are_told_by_the_next_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher("127.0.0.1:1", config={**NEARLY_NO_TIME, "log_level": 0})
    publisher.publish("order.created", id="e-1")
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> NotDeliveredError:
            raise KeyboardInterrupt

        patch.setattr(buffer, "NotDeliveredError", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publisher.flush(10)
    with pytest.raises(NotDeliveredError) as lost:
        publisher.flush()
    assert (lost.value.failed, [failure.id for failure in lost.value.failures]) == (1, ["e-1"])
    publisher.close()  # they are told once
