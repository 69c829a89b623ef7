"""Every way to publish an event leads to its Workflow, whole: by the SDK, by plain Avro clients, with a registry."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pydantic
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from bridge.cli.main import cli
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec
from e2e.expected import ExpectedEvent, ExpectedRun, assert_is
from flowbridge_sdk import Event, event_type
from flowbridge_sdk.registry import Registry
from servers.registry import RegistryServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation, Manifest

WHEN = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)
ORDER: dict[str, Any] = {"order_id": "o-1", "amount": 12.5}
PARAMETERS = {"order_id": "o-1", "amount": "12.5"}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [{"name": "order_id", "type": "string"}, {"name": "amount", "type": "double"}],
}
NAMES = ("generic", "typed", "fluent", "plain", "bare", "registry", "dataclass", "pydantic", "java", "go", "debezium")
WHERE = {"debezium": ", where: \"payload.op == 'u' && payload.before.status == 'new'\""}
MAPPED = {"debezium": ", parameters: {order_id: order.payload.after.id, amount: order.payload.after.status}"}


@dataclass
class Order:
    order_id: str
    amount: float


class OrderModel(pydantic.BaseModel):
    order_id: str
    amount: float


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryServer]:
    """A schema registry that the bridge and the producers share."""
    with RegistryServer() as server:
        yield server


@pytest.fixture(scope="module")
def bridge(installation: Installation, registry: RegistryServer) -> Iterator[BridgeProcess]:
    """A bridge with a trigger for each way to publish, all with the default mapping."""
    for name in ("typed", "plain", "bare"):
        (installation.schemas / f"orders.{name}.avsc").write_text(json.dumps(SCHEMA))
    (installation.schemas / "orders.dataclass.avsc").write_text(
        CliRunner().invoke(cli, ["schema", "infer", f"{__name__}:Order"]).output
    )
    installation.create_template("take-order", order_id=None, amount=None, note="none")
    installation.write_triggers("\n---\n".join(_trigger(name) for name in NAMES))
    settings = {"FLOWBRIDGE_SCHEMA_REGISTRY_URL": registry.url, "FLOWBRIDGE_JSON_TOPICS": "orders.debezium"}
    with installation.process(**settings) as process:
        installation.wait_triggers(*NAMES)
        yield process


def _trigger(name: str) -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: orders.{name}, as: order{WHERE.get(name, "")}}}]
  run: {{workflowTemplate: take-order{MAPPED.get(name, "")}}}
"""


def _expected(name: str, **given: Any) -> ExpectedRun:
    identity = {"id": "e-1", "source": "shop"} | {part: given.pop(part) for part in ("id", "source") if part in given}
    topic = f"orders.{name}"
    event_name = given.pop("event", topic)
    event = ExpectedEvent("order", event_name, **identity, is_foreign=event_name != topic)
    return ExpectedRun(name, "take-order", (event,), given.pop("time", WHEN), given.pop("parameters", PARAMETERS))


def _recorded(language: str, case: str) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
    """Return value and headers of a record that another producer wrote (tests/unit/sdk/others)."""
    file = Path(__file__).parents[1] / "unit" / "sdk" / "others" / language / f"{language}.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    (record,) = (record for record in records if record["case"] == case)
    return base64.b64decode(record["value"]), [(name, base64.b64decode(text)) for name, text in record["headers"]]


def _only(installation: Installation, trigger: str) -> Manifest:
    (workflow,) = installation.wait_workflows(trigger, 1)
    return workflow


def _single_object(payload: dict[str, Any]) -> bytes:
    """Encode as Avro's specification says, with nothing of the SDK: C3 01, the fingerprint, the datum."""
    schema = fastavro.parse_schema(SCHEMA)
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, payload)
    return b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")) + body.getvalue()


def _produce(installation: Installation, topic: str, value: bytes | None, **more: Any) -> int:
    """Produce a record with a plain client and return its timestamp in milliseconds."""
    stamps: list[int] = []
    producer = Producer({"bootstrap.servers": installation.bootstrap})
    producer.produce(topic, value, on_delivery=lambda _error, sent: stamps.append(sent.timestamp()[1]), **more)
    assert producer.flush(30) == 0
    return stamps[0]


def _cloud_events(name: str) -> list[tuple[str, str | bytes | None]]:
    return [
        ("ce_specversion", "1.0"),
        ("ce_id", "e-1"),
        ("ce_source", "shop"),
        ("ce_type", name),
        ("ce_time", "2024-02-29T13:00:00.123456+01:00"),
        ("content-type", "application/avro"),
    ]


@pytest.mark.usefixtures("bridge")
@pytest.mark.parametrize("name", ["generic", "typed"])
def test_an_event_by_the_sdk_becomes_its_workflow(name: str, installation: Installation) -> None:
    schemas = installation.schemas if name == "typed" else None
    with installation.publisher(schemas=schemas) as publisher:
        publisher.publish(f"orders.{name}", ORDER, key="c-7", id="e-1", time=WHEN)
    assert_is(_only(installation, name), _expected(name), installation)


@pytest.mark.usefixtures("bridge")
def test_an_event_in_argo_events_manners_becomes_its_workflow(installation: Installation) -> None:
    with installation.publisher() as publisher:
        event = Event("orders.fluent").add_to_payload("order_id", "o-1").add_to_payload("amount", 12.5)
        event.publish(id="e-1", time=WHEN, publisher=publisher)
    assert_is(_only(installation, "fluent"), _expected("fluent"), installation)


@pytest.mark.usefixtures("bridge")
def test_an_event_by_a_plain_fastavro_producer_becomes_its_workflow(installation: Installation) -> None:
    _produce(installation, "orders.plain", _single_object(ORDER), headers=_cloud_events("orders.plain"))
    assert_is(_only(installation, "plain"), _expected("plain"), installation)


@pytest.mark.usefixtures("bridge")
def test_an_event_by_a_producer_without_cloudevents_headers_is_named_by_its_place(installation: Installation) -> None:
    stamp = _produce(installation, "orders.bare", _single_object(ORDER), partition=2)
    when = datetime.fromtimestamp(stamp / 1000, UTC)
    expected = _expected("bare", id="orders.bare/2/0", source="orders.bare", time=when)
    assert_is(_only(installation, "bare"), expected, installation)


@pytest.mark.usefixtures("bridge")
def test_an_event_by_confluents_avro_serializer_becomes_its_workflow(
    installation: Installation, registry: RegistryServer
) -> None:
    conf = {"auto.register.schemas": True}
    serializer = AvroSerializer(SchemaRegistryClient({"url": registry.url}), json.dumps(SCHEMA), conf=conf)
    value = serializer(ORDER, SerializationContext("orders.registry", MessageField.VALUE))
    assert value is not None
    _produce(installation, "orders.registry", value, headers=_cloud_events("orders.registry"))
    assert_is(_only(installation, "registry"), _expected("registry"), installation)


@pytest.mark.usefixtures("bridge")
def test_an_object_of_a_dataclass_becomes_its_workflow_by_the_schema_that_infer_printed(
    installation: Installation,
) -> None:
    created = event_type("orders.dataclass", Order)
    with installation.publisher() as publisher:
        publisher.publish(created, Order("o-1", 12.5), key="c-7", id="e-1", time=WHEN)
    assert_is(_only(installation, "dataclass"), _expected("dataclass"), installation)


@pytest.mark.usefixtures("bridge")
def test_an_object_of_a_pydantic_model_becomes_its_workflow_by_the_schema_that_was_registered(
    installation: Installation, registry: RegistryServer
) -> None:
    command = ["schema", "register", f"{__name__}:OrderModel", "--name", "orders.pydantic"]
    done = CliRunner().invoke(cli, [*command, "--schema-registry-url", registry.url])
    assert done.exit_code == 0, done.output
    created = event_type("orders.pydantic", OrderModel)
    with installation.publisher(registry=Registry(registry.url)) as publisher:
        publisher.publish(created, OrderModel(order_id="o-1", amount=12.5), key="c-7", id="e-1", time=WHEN)
    assert_is(_only(installation, "pydantic"), _expected("pydantic"), installation)


@pytest.mark.usefixtures("bridge")
def test_infer_prints_the_schema_of_the_last_events_of_a_topic(installation: Installation) -> None:
    admin = ConfluentLog({"bootstrap.servers": installation.bootstrap}).admin()
    admin.create([TopicSpec("orders.seen", 2)])
    admin.close()
    for number in range(3):
        _produce(installation, "orders.seen", json.dumps({"order_id": f"o-{number}", "amount": number}).encode())
    done = installation.command("schema", "infer", "topic:orders.seen", "--last", "5000")
    assert done.returncode == 0, done.stderr
    fields = [{"name": "order_id", "type": "string"}, {"name": "amount", "type": "long"}]
    assert json.loads(done.stdout) == {"type": "record", "name": "OrdersSeen", "fields": fields}


@pytest.mark.usefixtures("bridge")
@pytest.mark.parametrize("language", ["java", "go"])
def test_an_event_of_cloudevents_sdks_becomes_one_workflow_in_whichever_modes_it_comes(
    language: str, installation: Installation
) -> None:
    for case in ("sdk: structured", "sdk: binary"):
        value, headers = _recorded(language, case)
        _produce(installation, f"orders.{language}", value, headers=headers, key=b"c-7")
    expected = _expected(
        language,
        event="order.created",
        id="e-1",
        source="/shop/caf%C3%A9",
        time=datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
        parameters={**PARAMETERS, "note": "größe"},
    )
    assert_is(_only(installation, language), expected, installation)
    installation.wait_idle()
    assert len(installation.workflows(language)) == 1


@pytest.mark.usefixtures("bridge")
def test_a_change_of_debezium_becomes_its_workflow_and_a_tombstone_none(installation: Installation) -> None:
    for case in ("connect: delete with schemas", "connect: update with schemas"):
        stamp = _produce(installation, "orders.debezium", _recorded("java", case)[0], partition=1)
    _produce(installation, "orders.debezium", None, partition=1)
    expected = _expected(
        "debezium",
        id="orders.debezium/1/1",
        source="orders.debezium",
        time=datetime.fromtimestamp(stamp / 1000, UTC),
        parameters={"order_id": "7", "amount": "paid"},
    )
    assert_is(_only(installation, "debezium"), expected, installation)
    installation.wait_idle()
    assert len(installation.workflows("debezium")) == 1
    assert installation.dead_letters("orders.debezium") == []
