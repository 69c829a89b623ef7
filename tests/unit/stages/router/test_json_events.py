"""Events whose values are JSON reach triggers as all others do: routed, matched, and as dead letters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bridge.kafka.records import ARRIVAL
from flowbridge_sdk.codec import Decoder
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"
JSON = [("content-type", b"application/json; charset=utf-8")]


def begun(trigger: Any, *json_topics: str) -> World:
    world = World(trigger)
    world.decoder = lambda: Decoder(json_topics=json_topics)
    world.start()
    world.run(3)
    return world


def test_an_event_of_json_starts_a_run_with_its_payload() -> None:
    world = begun(one_slot())
    world.broker.append(TOPIC, 0, b"k", b'{"order": "o-1"}', JSON)
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]


def test_bare_json_starts_a_run_where_the_setting_names_its_topic() -> None:
    world = begun(one_slot(), "order.*")
    world.broker.append(TOPIC, 0, b"k", b'{"order": "o-1"}')
    world.run(3)
    assert world.workflows() == [{"order": "o-1"}]


def test_an_event_of_json_pairs_with_one_of_avro_and_is_carried_as_avro_that_every_release_reads() -> None:
    world = begun(two_slots())
    world.broker.append(TOPIC, 0, b"k", b'{"order": "o-1", "n": 18446744073709551616}', JSON)
    world.publish("payment.done", {"order": "o-1", "amount": 2})
    world.run(5)
    assert len(world.workflows()) == 1
    carried = [ARRIVAL.decode(record.value or b"") for record in world.records(world.topics.arrivals) if record.key]
    payloads = [Decoder().decode(TOPIC, arrival["value"]) for arrival in carried]
    assert {"order": "o-1", "n": Decimal(2**64)} in payloads


@pytest.mark.parametrize(
    ("value", "headers", "text"),
    [
        (b'{"order": "o-1"}', [], "this looks like JSON"),
        (b'{"order": NaN}', JSON, "NaN is no JSON number"),
        (b'["o-1"]', JSON, "a payload is an object"),
    ],
)
def test_json_that_cannot_be_read_is_a_dead_letter_that_says_what_to_do(
    value: bytes, headers: list[tuple[str, bytes]], text: str
) -> None:
    world = begun(one_slot())
    world.broker.append(TOPIC, 0, None, value, headers)
    world.run(2)
    assert world.reasons() == ["undecodable"]
    assert text in world.letters()[0]["text"]
