"""CloudEvents' own conformance features for its Kafka and HTTP bindings, in both content modes.

The cases are those of the features in github.com/cloudevents/conformance. A record of Kafka is read as the router reads
it. A request is posted to the gateway, and the record that the gateway appends is read the same way.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bridge.core.event import Event, moment
from bridge.kafka.log import Record
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.event_reader import EventReader
from flowbridge_sdk.codec import Decoder
from unit.gateway.house import CLOUDEVENTS, House, run

ATTRIBUTES = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
}
DATA = {"message": "Hello World!"}
STRUCTURED = json.dumps({**ATTRIBUTES, "datacontenttype": "application/json", "data": DATA}).encode()
DATA_TYPES = ["application/json", "application/json; charset=utf-8"]
EVENT_TYPES = ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"]
TOPIC = "com.example.someevent"


def _read(headers: list[tuple[str, bytes]], value: bytes) -> Event:
    record = Record(TOPIC, 0, 0, 1, None, value, headers)
    return EventReader(EventDecoder(Decoder, lambda: 0)).read(record, 1, 1000).event


def _assert_is_the_event(event: Event) -> None:
    assert event.identity == (ATTRIBUTES["type"], ATTRIBUTES["source"], ATTRIBUTES["id"])
    assert moment(event.time) == datetime(2018, 4, 5, 3, 56, 24, tzinfo=UTC)
    assert event.payload == DATA


@pytest.mark.parametrize("data_type", DATA_TYPES)
def test_a_record_of_kafka_in_binary_mode(data_type: str) -> None:
    headers = [(f"ce_{name}", text.encode()) for name, text in ATTRIBUTES.items()]
    _assert_is_the_event(_read([*headers, ("content-type", data_type.encode())], json.dumps(DATA).encode()))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_record_of_kafka_in_structured_mode(event_type: str) -> None:
    _assert_is_the_event(_read([("content-type", event_type.encode())], STRUCTURED))


@pytest.mark.parametrize("data_type", DATA_TYPES)
def test_a_request_in_binary_mode(data_type: str) -> None:
    headers = {f"ce-{name}": text for name, text in ATTRIBUTES.items()} | {"content-type": data_type}
    _assert_is_taken(headers, json.dumps(DATA).encode())


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_request_in_structured_mode(event_type: str) -> None:
    _assert_is_taken({"content-type": event_type}, STRUCTURED)


def _assert_is_taken(headers: dict[str, str], body: bytes) -> None:
    async def work() -> None:
        house = House()
        assert (await house.post(body, headers, CLOUDEVENTS)).status_code == 200
        (record,) = house.log.events[TOPIC]
        _assert_is_the_event(_read(list(record.headers), record.value))

    run(work)
