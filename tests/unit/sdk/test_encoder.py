"""An encoder makes the record that a publisher sends, in any process, without Kafka."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from flowbridge_sdk import BadPayloadError, EventEncoder, Publisher, SettingsError
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from frameworks import golden

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SCHEMA = """{"type": "record", "name": "Paid", "fields": [{"name": "amount", "type": "double"}]}"""


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    (tmp_path / "enc.typed.avsc").write_text(SCHEMA)
    return tmp_path


@pytest.mark.parametrize(("name", "payload"), [("enc.generic", {"rows": 3}), ("enc.typed", {"amount": 12.5})])
def test_it_makes_what_a_publisher_sends(bootstrap: str, schemas: Path, name: str, payload: dict[str, Any]) -> None:
    encoded = EventEncoder("shop", schemas=schemas).encode(name, payload, key="c-7", id="e-1", time=NOON)
    with Publisher(bootstrap, source="shop", schemas=schemas) as publisher:
        publisher.publish(name, payload, key="c-7", id="e-1", time=NOON)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": name, "log_level": 0})
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
    sent = consumer.poll(20)
    consumer.close()
    assert sent is not None
    assert (sent.topic(), sent.key(), sent.value(), sent.headers()) == encoded[:4]
    assert Decoder(EventSchemas.load(schemas)).decode(name, encoded.value) == payload


def test_the_golden_event_has_its_bytes() -> None:
    schemas = EventSchemas.of([EventSchema.parse(golden.NAME, golden.SCHEMA, "golden.avsc")])
    encoder = EventEncoder(golden.SOURCE, schemas=schemas)
    assert encoder.encode(golden.NAME, golden.FIELDS, key=golden.KEY, id=golden.ID, time=golden.TIME) == golden.RECORD


def test_it_can_be_pickled_with_its_schemas_and_shared_topics(schemas: Path) -> None:
    encoder = EventEncoder("shop", schemas=schemas, shared_topics={"enc.*": "all-of-them"})
    again: EventEncoder = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - of this very process
    for name, payload in (("enc.typed", {"amount": 1.5}), ("other", {"a": [1, None]})):
        event: dict[str, Any] = {"key": b"k", "id": "e-1", "time": NOON}
        assert again.encode(name, payload, **event) == encoder.encode(name, payload, **event)
    assert again.encode("enc.typed", {"amount": 1.5}).topic == "all-of-them"
    with pytest.raises(BadPayloadError, match="amount"):
        again.encode("enc.typed", {"amount": "much"})


def test_one_with_a_registry_says_why_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(EventEncoder("shop", registry=Registry("http://127.0.0.1:1")))


def test_its_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, schemas: Path) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SOURCE", "from-environment")
    monkeypatch.setenv("FLOWBRIDGE_SCHEMAS", str(schemas))
    monkeypatch.setenv("FLOWBRIDGE_SHARED_TOPICS", "enc.*=all-of-them")
    encoded = EventEncoder().encode("enc.typed", {"amount": 1})
    assert (encoded.topic, dict(encoded.headers)["ce_source"]) == ("all-of-them", b"from-environment")
    monkeypatch.setenv("FLOWBRIDGE_SHARED_TOPICS", "enc")
    with pytest.raises(SettingsError):
        EventEncoder()


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import flowbridge_sdk", ["confluent_kafka", "kubernetes", "pydantic", "pyspark", "fastavro"]),
        ("import flowbridge_sdk", ["pyflink", "quixstreams", "bytewax"]),
        (
            "from flowbridge_sdk import EventEncoder; EventEncoder().encode('a', {'b': 1})",
            ["confluent_kafka", "fastavro", "kubernetes", "pydantic", "asyncio", "importlib.resources", "logging"],
        ),
        ("from flowbridge_sdk import Publisher", ["kubernetes", "pydantic", "pyspark", "pyarrow", "numpy", "fastavro"]),
        ("import flowbridge_sdk.spark.columns", ["confluent_kafka", "pyspark", "pyarrow", "numpy"]),
        (
            "from flowbridge_sdk import JobEvent",
            ["kubernetes", "pydantic", "airflow", "dagster", "prefect", "fastavro"],
        ),
    ],
)
def test_an_import_brings_only_what_it_needs(statement: str, absent: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
