"""Records that producers of others wrote are events as the bridge reads them.

``others/java`` and ``others/go`` hold the programs that wrote them, with the CloudEvents SDKs for Java and Go, Kafka
Connect's JSON converter, and Debezium's CloudEvents converter. Debezium's records of Avro are made here, by its
documentation: its converter for them asks a registry. Knative writes with the SDKs for Java and Go.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from bridge.core.event import Event, time_text
from bridge.kafka.log import Record
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.event_reader import EventReader
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import DecodeError, NullValueError
from flowbridge_sdk.registry import Registry
from unit.sdk.registry_server import FakeRegistry, serving

OTHERS = Path(__file__).parent / "others"
PAYLOAD = {"order_id": "o-1", "amount": 12.5, "note": "größe"}
BEFORE, AFTER = {"id": 7, "status": "new"}, {"id": 7, "status": "paid"}
TABLE = "shop.public.orders"


def _records(file: str) -> dict[str, Record]:
    records = {}
    for line in (OTHERS / file).read_text().splitlines():
        fields = json.loads(line)
        headers = [(name, base64.b64decode(text)) for name, text in fields["headers"]]
        value = None if fields["value"] is None else base64.b64decode(fields["value"])
        topic = "order.created" if fields["case"].startswith("sdk") else TABLE
        records[fields["case"]] = Record(topic, 0, 3, 1_769_860_000_000, b"c-7", value, headers)
    return records


JAVA, GO = _records("java/java.jsonl"), _records("go/go.jsonl")


def _read(record: Record, decoder: Decoder | None = None) -> Event:
    known = decoder or Decoder(json_topics=[TABLE])
    return EventReader(EventDecoder(lambda: known, lambda: 0)).read(record, record.timestamp, 0).event


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(records[case], id=f"{language} {case}")
        for language, records in (("java", JAVA), ("go", GO))
        for case in ("sdk: binary", "sdk: structured", "sdk: binary with a suffix", "sdk: structured with a suffix")
        if case in records
    ],
)
def test_an_event_of_cloudevents_own_sdks_is_read_in_both_modes(record: Record) -> None:
    event = _read(record)
    assert event.identity == ("order.created", "/shop/caf%C3%A9", "e-1")  # on Kafka a percent is a percent
    assert (event.time, event.key) == (1_769_860_800_123_456, "c-7")
    assert event.payload == PAYLOAD


@pytest.mark.parametrize("records", [JAVA, GO], ids=["java", "go"])
def test_their_events_without_data_and_with_other_data_are_read_and_refused(records: dict[str, Record]) -> None:
    for mode in ("binary", "structured"):
        assert _read(records[f"sdk: {mode} without data"]).payload == {}
        with pytest.raises(DecodeError, match=r"application/xml.* not read; .*application/cloudevents\+json"):
            _read(records[f"sdk: {mode} xml"])


@pytest.mark.parametrize("schemas", ["with schemas", "without schemas"])
def test_a_change_of_debezium_as_kafka_connect_writes_it_is_read_with_and_without_its_schema(schemas: str) -> None:
    update, delete = _read(JAVA[f"connect: update {schemas}"]), _read(JAVA[f"connect: delete {schemas}"])
    assert update.identity == (TABLE, TABLE, f"{TABLE}/0/3")
    for event, op, after in ((update, "u", AFTER), (delete, "d", None)):
        payload = event.payload
        assert (payload["op"], payload["before"], payload["after"]) == (op, BEFORE, after)
        assert (payload["source"]["table"], payload["ts_ms"]) == ("orders", 1_769_860_800_456)
    with pytest.raises(NullValueError):
        _read(JAVA[f"connect: tombstone {schemas}"])


@pytest.mark.parametrize("schemas", ["with schemas", "without schemas"])
@pytest.mark.parametrize("header", ["", "with a header, "])
def test_a_cloudevent_of_debeziums_converter_is_read_with_and_without_a_header(header: str, schemas: str) -> None:
    event = _read(JAVA[f"debezium: update {header}{schemas}"])
    name = "io.debezium.connector.postgresql.DataChangeEvent"
    assert event.identity == (name, "/debezium/postgresql/shop", "name:shop;lsn:29274832;txId:565;sequence:null")
    assert time_text(event.time) == "2026-01-31T12:00:00.123Z"
    assert event.payload == {"before": BEFORE, "after": AFTER}
    if header:
        assert _read(JAVA[f"debezium: delete {header}{schemas}"]).payload == {"before": BEFORE, "after": None}


ENVELOPE: dict[str, Any] = {
    "type": "record",
    "name": "Envelope",
    "namespace": TABLE,
    "connect.version": 2,
    "connect.name": f"{TABLE}.Envelope",
    "fields": [
        {
            "name": "before",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Value",
                    "fields": [
                        {"name": "id", "type": {"type": "int", "connect.default": 0}, "default": 0},
                        {"name": "status", "type": ["null", "string"], "default": None},
                        {"name": "at", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}},
                    ],
                    "connect.name": f"{TABLE}.Value",
                },
            ],
            "default": None,
        },
        {"name": "after", "type": ["null", "Value"], "default": None},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "namespace": "io.debezium.connector.postgresql",
                "fields": [
                    {"name": "snapshot", "type": [{"type": "string", "connect.default": "false"}, "null"]},
                    {"name": "table", "type": "string"},
                ],
            },
        },
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ],
}
CHANGE = {
    "before": None,
    "after": {**AFTER, "at": 1_769_860_800_000_000},
    "source": {"snapshot": "false", "table": "orders"},
    "op": "c",
    "ts_ms": 1_769_860_800_456,
}
FLAT: dict[str, Any] = {
    "type": "record",
    "name": "CloudEvent",
    "namespace": TABLE,
    "fields": [
        {"name": name, "type": "string"} for name in ("id", "source", "specversion", "type", "time", "datacontenttype")
    ]
    + [{"name": "iodebeziumop", "type": ["null", "string"], "default": None}, {"name": "data", "type": "bytes"}],
}


def test_changes_of_debezium_in_avro_are_read_through_a_registry() -> None:
    with serving() as server:
        decoder = Decoder(registry=Registry(server.url))
        change = _framed(server, f"{TABLE}-value", ENVELOPE, CHANGE)
        assert _read(Record(TABLE, 0, 3, 1_769_860_000_000, None, change, []), decoder).payload == CHANGE
        flat = {"id": "e-1", "source": "/debezium", "specversion": "1.0", "type": "t", "time": "2026-01-31T12:00:00.1Z"}
        flat |= {"datacontenttype": "application/avro", "iodebeziumop": "c"}
        value = _framed(server, f"{TABLE}-event", FLAT, {**flat, "data": change})
        headers = [("content-type", b"application/cloudevents+avro")]
        event = _read(Record(TABLE, 0, 3, 1_769_860_000_000, None, value, headers), decoder)
        assert event.identity == ("t", "/debezium", "e-1")
        assert event.payload == CHANGE


def _framed(server: FakeRegistry, subject: str, schema: Any, payload: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), payload)
    return b"\x00" + server.register(subject, {"schema": json.dumps(schema)}).to_bytes(4, "big") + body.getvalue()
