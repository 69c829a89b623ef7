"""The SDK on real Kafka: what it publishes, and what others publish, reads back as the event that was meant."""

from __future__ import annotations

import io
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from flowbridge_sdk import Event, NotDeliveredError, Publisher, event_id, topic_of
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import EventHead, read_headers
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from servers.kafka import KafkaServer
from servers.topics import make_topics

if TYPE_CHECKING:
    from servers.choice import AnyKafka
    from servers.registry import RegistryServer

TEXT = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "order_id", "type": "string"},
            {"name": "amount", "type": "double"},
        ],
    },
)
PAYLOAD = {"order_id": "o-1", "amount": 12.5}


def _new_name(kafka: AnyKafka, stem: str = "order.created") -> str:
    """Return the name of an event whose topic exists, with one partition."""
    name = f"{stem}.{uuid.uuid4().hex[:8]}"
    make_topics(kafka.bootstrap, topic_of(name))
    return name


def _typed(name: str) -> EventSchemas:
    return EventSchemas.of([EventSchema.parse(name, TEXT, f"{name}.avsc")])


def _records(kafka: AnyKafka, topic: str, number: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records: list[Message] = []
    give_up = time.monotonic() + 30
    while len(records) < number and time.monotonic() < give_up:
        records += [message for message in consumer.consume(number, 0.2) if message.error() is None]
    consumer.close()
    return records


def _head(record: Message) -> EventHead:
    headers: Any = record.headers()
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return read_headers(headers, topic, partition, offset, record.timestamp()[1])


@pytest.mark.parametrize("typed", [True, False])
def test_what_the_sdk_publishes_reads_back(typed: bool, kafka: AnyKafka) -> None:  # noqa: FBT001 - a parameter of the table
    name = _new_name(kafka)
    schemas = _typed(name) if typed else EventSchemas.of(())
    with Publisher(kafka.bootstrap, source="shop", schemas=schemas) as publisher:
        for row in range(100):
            publisher.publish(name, PAYLOAD, key="c-7", id=event_id("job", row))
    records = _records(kafka, name, 100)
    heads = [_head(record) for record in records]
    assert [head.id for head in heads] == [event_id("job", row) for row in range(100)]
    assert {(head.name, head.source) for head in heads} == {(name, "shop")}
    decoder = Decoder(schemas)
    assert all(decoder.decode(name, record.value(), None) == PAYLOAD for record in records)


def test_a_name_that_kafka_refuses_is_published_all_the_same(kafka: AnyKafka) -> None:
    name = _new_name(kafka, "Auftrag angelegt: grün")
    with Publisher(kafka.bootstrap) as publisher:
        Event(name).add_to_payload("order_id", "o-1").publish(publisher=publisher)
    (record,) = _records(kafka, topic_of(name), 1)
    assert _head(record).name == name


def test_a_plain_fastavro_producer_without_headers_is_read(kafka: AnyKafka) -> None:
    name = _new_name(kafka)
    schemas = _typed(name)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, json.loads(TEXT), PAYLOAD)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    timestamp = time.time_ns() // 1_000_000  # no older one: the broker may remove what is older than its retention
    producer.produce(name, b"\xc3\x01" + schemas.current[name].fingerprint + body.getvalue(), timestamp=timestamp)
    producer.flush()
    (record,) = _records(kafka, name, 1)
    assert _head(record) == EventHead(name, f"{name}/0/0", name, timestamp * 1000)
    assert Decoder(schemas).decode(name, record.value(), record.headers()) == PAYLOAD  # type: ignore[arg-type] # the stubs allow more


@pytest.mark.parametrize("in_header", [False, True])
def test_what_confluents_serializer_writes_is_read(
    in_header: bool,  # noqa: FBT001 - as above
    kafka: AnyKafka,
    schema_registry: RegistryServer,
) -> None:
    name = _new_name(kafka)
    client = SchemaRegistryClient({"url": schema_registry.url})
    special = {"schema.id.serializer": header_schema_id_serializer} if in_header else {}
    schema_registry.register(f"{name}-value", TEXT)  # its answer to a client that registers a schema lacks the GUID
    conf = {"auto.register.schemas": False, "use.latest.version": True, **special}
    serializer = AvroSerializer(client, TEXT, conf=conf)
    headers: list[Any] = []
    value = serializer(PAYLOAD, SerializationContext(name, MessageField.VALUE, headers))
    assert bool(headers) == in_header
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(name, value, headers=headers)
    producer.flush()
    (record,) = _records(kafka, name, 1)
    decoder = Decoder(None, Registry(schema_registry.url))
    assert decoder.decode(name, record.value(), record.headers()) == PAYLOAD  # type: ignore[arg-type] # the stubs allow more


def test_with_a_registry_the_sdk_and_confluents_deserializer_agree(
    kafka: AnyKafka, schema_registry: RegistryServer
) -> None:
    name = _new_name(kafka)
    registry = Registry(schema_registry.url, auto_register=True)
    with Publisher(kafka.bootstrap, schemas=_typed(name), registry=registry) as publisher:
        publisher.publish(name, PAYLOAD)
    (record,) = _records(kafka, name, 1)
    assert Decoder(None, Registry(schema_registry.url)).decode(name, record.value(), None) == PAYLOAD
    assert (record.value() or b"")[:5] == b"\x00\x00\x00\x00\x01"
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": schema_registry.url}))
    context = SerializationContext(name, MessageField.VALUE)
    assert deserializer(record.value(), context) == PAYLOAD


def test_a_topic_that_does_not_exist_is_named(kafka: AnyKafka) -> None:
    """The client must not create it: the broker's word on the topic decides, not its default for new ones."""
    config = {
        "allow.auto.create.topics": False,
        "topic.metadata.propagation.max.ms": 200,
        "delivery.timeout.ms": 20_000,
    }
    name = f"nowhere.{uuid.uuid4().hex[:8]}"
    publisher = Publisher(kafka.bootstrap, config=config)
    publisher.publish(name, id="e-1")
    with pytest.raises(NotDeliveredError) as lost:
        publisher.close()
    assert name in str(lost.value)


def test_the_largest_payload_arrives(kafka: AnyKafka) -> None:
    name = _new_name(kafka)
    with Publisher(kafka.bootstrap) as publisher:
        publisher.publish(name, {"data": "x" * ((1 << 20) - 100)})
    (record,) = _records(kafka, name, 1)
    assert len(Decoder().decode(name, record.value(), None)["data"]) == (1 << 20) - 100


def test_an_outage_is_a_line_when_it_begins_and_one_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    with KafkaServer(properties={"auto.create.topics.enable": "true"}) as server, caplog.at_level("INFO"):
        with Publisher(server.bootstrap, connect_within=10) as publisher:
            publisher.publish("order.created", {"n": 1})
            publisher.flush(30)
            server.kill()
            publisher.publish("order.created", {"n": 2})
            with pytest.raises(NotDeliveredError) as away:
                publisher.flush(3)
            assert (away.value.failed, away.value.waiting) == (0, 1)
            server.start()
            publisher.flush(60)
        lines = [record.getMessage() for record in caplog.records if record.name == "flowbridge_sdk.kafka"]
        began, over = lines
        assert began.endswith("events wait, each at most 120 s")
        assert over == f"Kafka at {server.bootstrap} is reachable again"
