"""The promises of ``flowbridge publish``, on librdkafka's mock cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, Message, Producer

from bridge.cli.main import cli
from bridge.errors import ExitCode
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.schemas import EventSchemas

NAME = "order.created"


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    host = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
    brokers = host.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    host.flush(0)


def published(servers: str, *arguments: str, lines: str | bytes | None = None) -> Result:
    command = ["publish", *arguments, "--bootstrap-servers", servers]
    return CliRunner().invoke(cli, command, input=lines, prog_name="flowbridge")


def read(servers: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages: list[Message] = []
    deadline = time.monotonic() + 30
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            messages.append(message)
    consumer.close()
    return messages


def headers(message: Message) -> dict[str, str]:
    pairs: Any = message.headers() or []
    return {name: value.decode() for name, value in pairs if isinstance(value, bytes)}


def test_an_event_is_published_with_its_attributes_and_its_id_printed(servers: str) -> None:
    options = ["--key", "c-7", "--id", "o-1", "--time", "2026-01-31T12:00:00", "--source", "shop"]
    result = published(servers, NAME, "order_id=o-1", "amount:=12.5", *options)
    assert (result.exit_code, result.stdout) == (ExitCode.OK, "published order.created o-1\n")
    message = read(servers, NAME, 1)[0]
    assert message.key() == b"c-7"
    attributes = headers(message)
    assert (attributes["ce_id"], attributes["ce_source"], attributes["ce_type"]) == ("o-1", "shop", NAME)
    assert attributes["ce_time"].startswith("2026-01-31T12:00:00")


def test_each_line_of_standard_input_is_an_event(servers: str) -> None:
    lines = "".join(json.dumps({"number": number}) + "\n" for number in range(1_200)) + "\n"
    result = published(servers, "line.read", "-", "-o", "json", lines=lines)
    assert result.exit_code == ExitCode.OK
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["event"] for event in told} == {"line.read"}
    assert sorted(event["id"] for event in told) == sorted(
        headers(message)["ce_id"] for message in read(servers, "line.read", 1_200)
    )


def test_what_was_published_before_a_bad_line_is_told(servers: str) -> None:
    result = published(servers, "half.read", "-", lines='{"a": 1}\n{"a": 2}\n[3]\n')
    assert result.exit_code == ExitCode.USAGE
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("error: line 3 of standard input is no JSON object\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["amount"], "'amount' is no field"),
        (["=1"], "'=1' is no field"),
        (["a=1", "a:=2"], "the field 'a' comes twice"),
        (["a:=1x"], "the field 'a' is no JSON"),
        (["a=1", "--time", "yesterday"], "--time: found 'yesterday'"),
        (["a=1", "--timeout", "10"], "--timeout: '10' is no length of time"),
        (["a=1", "--timeout", "1ms"], "--timeout: found '1ms'"),
        (["-", "a=1"], "- and fields together"),
        (["-", "--id", "x"], "--id for several events"),
        (["a=1", "--id", ""], "id"),
        (["a=1", "--schemas", "/nowhere"], "/nowhere: neither a folder nor a file"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_sent(
    servers: str,
    arguments: list[str],
    said: str,
) -> None:
    result = published(servers, NAME, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""
    assert said in result.stderr
    assert "what to do: " in result.stderr


def test_lines_that_are_no_utf_8_are_refused(servers: str) -> None:
    result = published(servers, NAME, "-", lines=b'{"a": "\xff"}\n')
    assert result.exit_code == ExitCode.USAGE
    assert "line 1 of standard input is no JSON" in result.stderr


def test_a_field_that_does_not_fit_its_schema_is_named(servers: str, tmp_path: Path) -> None:
    fields = [{"name": "amount", "type": "double"}]
    schema = {"type": "record", "name": "Typed", "fields": fields}
    (tmp_path / "typed.event.avsc").write_text(json.dumps(schema))
    result = published(servers, "typed.event", "amount=much", "--schemas", str(tmp_path))
    assert result.exit_code == ExitCode.USAGE
    assert "amount" in result.stderr
    assert published(servers, "typed.event", "amount:=1.5", "--schemas", str(tmp_path)).exit_code == ExitCode.OK


def test_days_times_and_decimals_are_published_to_a_typed_schema(servers: str, tmp_path: Path) -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 20}
    types: dict[str, Any] = {
        "day": {"type": "int", "logicalType": "date"},
        "at": {"type": "long", "logicalType": "timestamp-millis"},
        "text": decimal,
        "number": ["null", decimal],
        "plain": "double",
    }
    schema = {"type": "record", "name": "T", "fields": [{"name": name, "type": kind} for name, kind in types.items()]}
    (tmp_path / "typed.sent.avsc").write_text(json.dumps(schema))
    fields = ["day=2026-01-31", "at=2026-01-31T12:00:00Z", "text=1.10", "number:=1234567890.12345678901234567890"]
    result = published(servers, "typed.sent", *fields, "plain:=1.1", "--schemas", str(tmp_path))
    assert (result.exit_code, result.stderr) == (ExitCode.OK, "")
    payload = Decoder(EventSchemas.load(tmp_path)).decode("typed.sent", read(servers, "typed.sent", 1)[0].value())
    assert payload == {
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "text": Decimal("1.1"),
        "number": Decimal("1234567890.12345678901234567890"),
        "plain": 1.1,
    }


def test_a_kafka_that_does_not_answer_ends_with_3() -> None:
    result = published("127.0.0.1:1", NAME, "a=1", "--timeout", "1s")
    assert result.exit_code == ExitCode.KAFKA
    assert "127.0.0.1:1" in result.stderr
    assert "publish them again with the same --id" in result.stderr


def test_a_registry_that_does_not_answer_ends_with_5(servers: str) -> None:
    result = published(servers, NAME, "a=1", "--schema-registry-url", "http://127.0.0.1:1")
    assert result.exit_code == ExitCode.REGISTRY
