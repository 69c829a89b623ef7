"""Flink, Quix Streams and Bytewax write the SDK's records through sinks of their own, and refuse what is no event."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from frameworks import golden
from servers.topics import make_topics, remove_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frameworks.environments import Environment
    from servers.choice import AnyKafka

TESTS = Path(__file__).parents[1]
FRAMEWORKS = TESTS / "frameworks"
SECONDS = 240.0
TWICE = (
    "event 'golden.ordered': expected at most one event of each source record; found two of {}, which would share the "
    "id. Name with `id` what tells them apart"
)
TOMBSTONE = "event 'golden.ordered', the payload: found a message without a value (a tombstone); a mapping"
NO_ID = "event 'golden.ordered': expected a text from `id`, found None"
NO_KEY = "an event's key is str or bytes, found int"
NAIVE = (
    "an event's time: expected a datetime with a time zone, as in .replace(tzinfo=UTC); "
    "found a datetime 2026-01-31 00:00:00"
)


@pytest.fixture
def golden_topic(kafka: AnyKafka) -> Iterator[str]:
    """The golden event's topic, empty, on the broker that all tests share."""
    remove_topics(kafka.bootstrap, golden.NAME)
    make_topics(kafka.bootstrap, golden.NAME)
    yield golden.NAME
    remove_topics(kafka.bootstrap, golden.NAME)


@pytest.fixture
def new_topic(kafka: AnyKafka) -> str:
    """A topic of the test's own."""
    topic = f"streaming-{uuid.uuid4().hex[:10]}"
    make_topics(kafka.bootstrap, topic)
    return topic


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A folder with the golden event's schema."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / f"{golden.NAME}.avsc").write_text(golden.SCHEMA)
    return folder


def _run(
    environment: Environment, framework: str, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the program of a framework's folder to its end, in an empty folder."""
    path = os.pathsep.join([environment.variables()["PYTHONPATH"], str(TESTS)])
    return subprocess.run(
        [str(environment.python), str(FRAMEWORKS / framework / "program.py"), *arguments],
        env=environment.variables({"PYTHONPATH": path, **variables}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _refusals(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]


def test_flink_writes_the_golden_event_by_both_apis_and_refuses_tables_without_an_id(
    kafka: AnyKafka, flink: Environment, golden_topic: str, schemas: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    extra = {"event_id": golden.ID, "customer": golden.KEY, "happened": golden.TIME.isoformat().replace("+00:00", "Z")}
    (rows / "golden.json").write_text(json.dumps({**golden.FIELDS, **extra}))
    (jar,) = flink.jars
    done = _run(flink, "flink", tmp_path, kafka.bootstrap, str(jar), str(rows), FLOWBRIDGE_SCHEMAS=str(schemas))
    expected, columns = (
        "event 'golden.ordered': expected ",
        "event_id, customer, happened, order_id, amount, lines, at, note",
    )
    no_column = f"{expected}a column of the table as `{{}}`, found '{{}}'; the table has {columns}"
    no_id = (
        f"{expected}`id`, the column of an id that is the same whenever the row is computed, or the columns "
        "kafka_topic, kafka_partition, kafka_offset (KAFKA_PLACE in the DDL of a Kafka source); found the columns "
        f"{columns}"
    )
    assert _refusals(done) == [
        no_id,
        f"{expected}a column or more as `id`, found none",
        no_column.format("id", "missing"),
        f"{expected}STRING or BYTES as `key`, found column amount of type DECIMAL; CAST it",
        f"{expected}TIMESTAMP_LTZ as `time`, found column order_id of type VARCHAR; CAST it",
        no_column.format("payload", "price"),
    ]
    by_both = golden.read_all(kafka.bootstrap, golden_topic, 2)
    found = [(record.topic(), record.key(), record.value(), record.headers()) for record in by_both]
    assert found == [golden.RECORD[:4]] * 2


def test_quix_writes_the_golden_event_and_a_publisher_works_beside_it(
    kafka: AnyKafka, quix: Environment, golden_topic: str, new_topic: str, schemas: Path, tmp_path: Path
) -> None:
    make_topics(kafka.bootstrap, f"{new_topic}.published")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(new_topic, json.dumps({"fields": golden.FIELDS}))
    assert producer.flush(30) == 0
    done = _run(quix, "quix", tmp_path, "golden", kafka.bootstrap, new_topic, FLOWBRIDGE_SCHEMAS=str(schemas))
    assert done.returncode == 0, done.stderr[-3000:]
    assert golden.read_one(kafka.bootstrap, golden_topic) == golden.RECORD[:4]
    _, _, _, headers = golden.read_one(kafka.bootstrap, f"{new_topic}.published")
    assert ("ce_id", golden.ID.encode()) in headers


def test_quix_refuses_values_that_are_no_event(
    kafka: AnyKafka, quix: Environment, new_topic: str, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(new_topic, json.dumps(golden.FIELDS))
    assert producer.flush(30) == 0
    assert _refusals(_run(quix, "quix", tmp_path, "refusals", kafka.bootstrap, new_topic)) == [
        TWICE.format(f"{new_topic}/0/0"),
        TOMBSTONE,
        "event 'golden.ordered', the payload: found a list of length 1; a mapping",
        NO_ID,
        NO_KEY,
        NAIVE,
    ]


def test_bytewax_writes_the_golden_event(
    kafka: AnyKafka, bytewax: Environment, golden_topic: str, schemas: Path, tmp_path: Path
) -> None:
    done = _run(bytewax, "bytewax", tmp_path, "golden", kafka.bootstrap, "", FLOWBRIDGE_SCHEMAS=str(schemas))
    assert done.returncode == 0, done.stderr[-3000:]
    assert golden.read_one(kafka.bootstrap, golden_topic) == golden.RECORD[:4]


def test_bytewax_refuses_items_that_are_no_event(bytewax: Environment, tmp_path: Path) -> None:
    no_message = (
        "event 'golden.ordered': expected a KafkaSourceMessage, whose place is its id, found dict. Give SinkMessages "
        "an `id`: a function that returns the same text whenever the item is processed"
    )
    assert _refusals(_run(bytewax, "bytewax", tmp_path, "refusals", "", "")) == [
        no_message,
        TWICE.format("orders/2/17"),
        TOMBSTONE,
        "event 'golden.ordered', the payload: found a bytes of length 2; a mapping",
        NO_ID,
        NO_KEY,
        NAIVE,
    ]


def test_a_bytewax_dataflow_fails_if_kafka_does_not_take_an_event(
    kafka: AnyKafka, bytewax: Environment, tmp_path: Path
) -> None:
    topic = f"missing-{uuid.uuid4().hex[:10]}"
    done = _run(bytewax, "bytewax", tmp_path, "undelivered", kafka.bootstrap, topic)
    assert done.returncode != 0
    assert f"topic {topic}: an event was not delivered: Broker: Unknown topic or partition" in done.stderr
