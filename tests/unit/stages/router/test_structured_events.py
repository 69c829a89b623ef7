"""Whole CloudEvents in a record's value reach triggers as all other events do, and are one event in every mode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.kafka.records import ARRIVAL, NAMED_ARRIVAL, kind_of
from flowbridge_sdk.codec import Decoder, Encoder
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"
JSON: list[tuple[str, bytes]] = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": TOPIC, "time": "2023-11-14T12:00:00Z"}


def document(data: Any, **changes: Any) -> bytes:
    return json.dumps({**ATTRIBUTES, **changes, "data": data}).encode()


def begun(trigger: Any, *json_topics: str) -> World:
    world = World(trigger)
    world.decoder = lambda: Decoder(json_topics=json_topics)
    world.start()
    world.run(3)
    return world


def test_a_whole_cloudevent_starts_a_run_with_its_data() -> None:
    world = begun(one_slot())
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-1"}), JSON)
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]


def test_an_event_in_structured_and_in_binary_mode_is_one_event_and_runs_once() -> None:
    world = begun(one_slot())
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-1"}), JSON)
    binary = [(f"ce_{name}", text.encode()) for name, text in ATTRIBUTES.items()]
    world.broker.append(TOPIC, 0, b"k", Encoder().encode(TOPIC, {"order": "o-1"}), binary)
    world.broker.append(TOPIC, 0, b"k", b'{"order": "o-1"}', [*binary, ("content-type", b"application/json")])
    world.run(4)
    assert world.workflows() == [{"order": "o-1"}]
    assert world.reasons().count("matched") == 3


def test_the_document_says_who_the_event_is_and_not_the_headers_beside_it() -> None:
    world = begun(two_slots())
    headers = [("ce_id", b"another"), ("ce_source", b"/elsewhere"), ("ce_type", b"other"), *JSON]
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-1"}), headers)
    world.run(3)
    ((kind, arrival),) = (
        (kind_of(record.value or b""), record.value or b"")
        for record in world.records(world.topics.arrivals)
        if record.key
    )
    fields = {"arrival": ARRIVAL, "named_arrival": NAMED_ARRIVAL}[kind].decode(arrival)
    assert (fields["id"], fields["source"], fields["event_key"]) == ("e-1", "/shop", "k")
    assert Decoder().decode(TOPIC, fields["value"]) == {"order": "o-1"}


def test_an_event_without_data_is_an_event_in_both_modes_and_a_tombstone_is_none() -> None:
    world = begun(one_slot())
    binary = [(f"ce_{name}", text.encode()) for name, text in ATTRIBUTES.items()]
    world.broker.append(TOPIC, 0, b"k", None, [*binary[:1], ("ce_id", b"e-2"), *binary[2:]])
    world.broker.append(TOPIC, 0, b"k", document(None), JSON)
    world.broker.append(TOPIC, 0, b"k", None, JSON)
    world.broker.append(TOPIC, 0, b"k", None, binary[:3])
    world.run(3)
    assert world.reasons().count("matched") == 2
    assert world.reasons().count("undecodable") == 2
    assert world.letters() == []


@pytest.mark.parametrize(
    ("value", "headers", "text"),
    [
        (document({}, specversion="0.3"), JSON, "a record of order.created is a structured CloudEvent that cannot be"),
        (document({}, id=""), JSON, "id: expected a text that is not empty"),
        (document({"n": [[[]] * 70]}, time="noon"), JSON, "time: expected RFC 3339"),
        (json.dumps(ATTRIBUTES)[:-1].encode() + b', "data": {"a":' + b"[" * 70 + b"]" * 70 + b"}}", JSON, "field a"),
        (document({"a": "x" * (1 << 20)}), JSON, "at most 1048576 are read"),
        (document({"a": [1.5] * 150_000}), JSON, "as Avro; at most 1048576 are read"),
        (
            document("<a/>", datacontenttype="application/xml"),
            JSON,
            "datacontenttype 'application/xml' is not read; th",
        ),
        (b"[]", [("content-type", b"application/cloudevents-batch+json")], "Kafka has no batches"),
        (b"\x0a\x01", [("content-type", b"application/protobuf")], "application/protobuf, which is not read; these"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_that_names_it_and_nothing_stops(
    value: bytes, headers: list[tuple[str, bytes]], text: str
) -> None:
    world = begun(one_slot())
    world.broker.append(TOPIC, 0, None, value, headers)
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-2"}), JSON)
    world.run(3)
    assert sorted(world.reasons()) == ["created", "matched", "undecodable"]
    assert text in world.letters()[0]["text"]
    assert world.workflows() == [{"order": "o-2"}]


def test_a_topic_of_json_may_hold_whole_cloudevents_without_a_header() -> None:
    """Debezium's CloudEvents converter writes no header."""
    world = begun(one_slot(), TOPIC)
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-1"}))
    world.broker.append(TOPIC, 0, b"k", document({"order": "o-1"}), JSON)  # the same event
    world.broker.append(TOPIC, 0, b"k", b'{"specversion": "1.0", "id": "e-9", "order": "o-2"}')  # no CloudEvent
    world.broker.append(TOPIC, 0, b"k", document([], id="e-3"))
    world.run(4)
    assert [workflow["order"] for workflow in world.workflows()] == ["o-1", "o-2"]
    assert "data: expected a JSON object" in world.letters()[0]["text"]
