"""Every way to publish an event leads to its Workflow, whole: by the SDK, by plain Avro clients, with a registry."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
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
NAMES = ("generic", "typed", "fluent", "plain", "bare", "registry", "dataclass", "pydantic")


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
    with installation.process(FLOWBRIDGE_SCHEMA_REGISTRY_URL=registry.url) as process:
        installation.wait_triggers(*NAMES)
        yield process


def _trigger(name: str) -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: orders.{name}, as: order}}]
  run: {{workflowTemplate: take-order}}
"""


def _expected(name: str, **given: Any) -> ExpectedRun:
    identity = {"id": "e-1", "source": "shop"} | {part: given.pop(part) for part in ("id", "source") if part in given}
    event = ExpectedEvent("order", f"orders.{name}", **identity)
    return ExpectedRun(name, "take-order", (event,), given.pop("time", WHEN), PARAMETERS)


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


def _produce(installation: Installation, topic: str, value: bytes, **more: Any) -> int:
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
