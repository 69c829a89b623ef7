"""What is no event, or cannot be used as one: decided, kept as a dead letter, and in nobody's way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.kafka.outbox import RECORD_LIMIT, Outbox
from bridge.kafka.stage import BATCH_BYTES
from bridge.stages.shared.event_reader import VALUE_LIMIT
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import RegistryUnavailableError
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"


def begun(*triggers: Any) -> World:
    world = World(*(triggers or (one_slot(),)))
    world.broker.topics[TOPIC].config["max.message.bytes"] = str(64 * 1024 * 1024)
    world.start()
    world.run(3)
    return world


def goes_on(world: World) -> bool:
    """Tell whether events behind are routed as ever."""
    world.publish(TOPIC, {"order": "behind"})
    world.run(3)
    return {"order": "behind"} in world.workflows()


@pytest.mark.parametrize("value", [b"", b"no avro", b"\xc3\x01short", b"\xc3\x01" + bytes(8) + b"x", b"\x00\x00\x00"])
def test_bytes_that_cannot_be_decoded_are_decided_and_kept_with_where_they_stood(value: bytes) -> None:
    world = begun()
    world.broker.append(TOPIC, 1, b"k", value, [("h", b"v")])
    world.run(2)
    assert world.reasons() == ["undecodable"]
    (letter,) = world.letters()
    kept = {name: letter[name] for name in ("stage", "reason", "topic", "partition", "offset", "key", "value")}
    assert kept == {
        "stage": "router",
        "reason": "unknown-schema" if value.startswith(b"\xc3\x01\0") else "undecodable",
        "topic": TOPIC,
        "partition": 1,
        "offset": 0,
        "key": b"k",
        "value": value,
    }
    assert letter["headers"] == [{"name": "h", "value": b"v"}]
    assert letter["text"]
    assert goes_on(world)


def test_what_cannot_be_decoded_is_decided_at_each_slot_and_kept_once() -> None:
    world = begun(one_slot(), replace(two_slots(), name="pair"))
    world.broker.append(TOPIC, 0, None, b"no avro")
    world.run(2)
    assert world.reasons() == ["undecodable", "undecodable"]
    assert len(world.letters()) == 1


def test_a_null_value_is_a_decision_and_no_dead_letter() -> None:
    world = begun()
    world.broker.append(TOPIC, 0, b"k", None)
    world.run(2)
    assert world.reasons() == ["undecodable"]
    assert world.letters() == []
    assert goes_on(world)


@pytest.mark.parametrize(
    "header", [("ce_time", b"yesterday"), ("ce_id", b""), ("ce_source", b"\xff"), ("ce_type", b"\xff")]
)
def test_a_header_that_is_unusable_is_a_dead_letter_that_names_it(header: tuple[str, bytes]) -> None:
    world = begun()
    world.broker.append(TOPIC, 0, None, world.encoder.encode(TOPIC, {"order": "1"}), [header])
    world.run(2)
    assert world.reasons() == ["undecodable"]
    assert header[0] in world.letters()[0]["text"]
    assert goes_on(world)


@pytest.mark.parametrize("payload", [{}, {"order": 1.5}, {"order": None}, {"order": "x" * 2000}])
def test_an_event_without_a_usable_key_is_a_dead_letter_of_its_trigger(payload: dict[str, Any]) -> None:
    world = begun(two_slots())
    world.publish(TOPIC, payload)
    world.run(2)
    assert world.reasons() == ["unkeyed"]
    (letter,) = world.letters()
    assert (letter["reason"], letter["trigger"]) == ("unkeyed", "default/ship")


def test_a_value_over_the_limit_is_decided_oversize_and_not_decoded() -> None:
    world = begun()
    world.broker.append(TOPIC, 0, None, bytes(VALUE_LIMIT + 1))
    world.run(2)
    assert world.reasons() == ["oversize"]
    assert world.letters()[0]["reason"] == "oversize"
    assert goes_on(world)


def test_a_value_that_not_even_a_dead_letter_can_keep_is_told_by_its_place() -> None:
    world = begun()
    world.broker.append(TOPIC, 0, bytes(RECORD_LIMIT), bytes(2 * RECORD_LIMIT), [("h", bytes(RECORD_LIMIT))])
    world.run(2)
    (letter,) = world.letters()
    assert (letter["key"], letter["value"], letter["headers"], letter["offset"]) == (None, None, [], 0)
    assert goes_on(world)


def test_an_event_whose_identity_is_too_large_is_oversize_at_each_slot() -> None:
    world = begun(one_slot(), replace(two_slots(), name="pair"))
    headers = [("ce_id", b"x" * RECORD_LIMIT), ("ce_source", b"s"), ("ce_type", TOPIC.encode())]
    world.broker.append(TOPIC, 0, None, world.encoder.encode(TOPIC, {"order": "1"}), headers)
    world.run(2)
    assert world.reasons() == ["oversize", "oversize"]
    assert [letter["reason"] for letter in world.letters()] == ["oversize"]
    assert goes_on(world)


def test_an_event_whose_run_would_be_too_large_is_a_dead_letter_of_its_trigger() -> None:
    world = begun()
    world.publish(TOPIC, {"order": "\x01" * (VALUE_LIMIT - 4096)})  # six bytes each, as JSON
    world.run(2)
    (letter,) = world.letters()
    assert (letter["reason"], letter["trigger"]) == ("unrunnable", "default/ship")
    assert goes_on(world)


def test_a_match_that_no_run_can_be_made_of_is_a_dead_letter_and_its_window_goes_on() -> None:
    run = replace(two_slots().run, parameters=(("order", "order.payload.missing"),))
    world = begun(two_slots(run=run))
    for name in (TOPIC, "payment.done"):
        world.publish(name, {"order": 7})
    world.run(2)
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("matcher", "unrunnable")
    assert world.reasons().count("matched") == 2
    assert world.workflows() == []


class _AwayDecoder(Decoder):
    """A decoder whose registry is away: for records that begin with 00."""

    is_away = True

    def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
        if self.is_away and value is not None and value.startswith(b"\x00"):
            raise RegistryUnavailableError("http://registry", "connection refused")
        return super().decode(topic, value.removeprefix(b"\x00") if value is not None else None, headers)


def test_a_registry_that_is_away_holds_its_partition_while_the_others_go_on() -> None:
    world = World(one_slot())
    decoder = _AwayDecoder()
    world.decoder = lambda: decoder
    world.start()
    world.run(3)
    value = world.encoder.encode(TOPIC, {"order": "held"})
    world.broker.append(TOPIC, 0, None, b"\x00" + value)
    world.publish(TOPIC, {"order": "behind"}, partition=0)
    world.publish(TOPIC, {"order": "elsewhere"}, partition=1)
    world.run(10)
    assert world.workflows() == [{"order": "elsewhere"}]
    assert world.committed("router", TOPIC, 0) == 0
    assert world.letters() == []
    decoder.is_away = False
    world.run(5)
    assert sorted(workflow["order"] for workflow in world.workflows()) == ["behind", "elsewhere", "held"]


def test_what_many_triggers_cannot_use_is_one_dead_letter_that_names_them() -> None:
    triggers = [replace(two_slots(), name=f"t{number:02}") for number in range(50)]
    world = begun(*triggers)
    for number in range(3):
        world.publish(TOPIC, {"order": 1.5, "text": "x" * 1_000_000}, partition=number % 2)
    before = log_bytes(world)
    world.run(3)
    letters = world.letters()
    assert [(letter["reason"], letter["trigger"], len(letter["triggers"])) for letter in letters] == [
        ("unkeyed", "", 50)
    ] * 3
    assert letters[0]["triggers"][:2] == ["default/t00", "default/t01"]
    assert letters[0]["value"] is not None
    assert world.reasons().count("unkeyed") == 150
    assert log_bytes(world) - before < 4_000_000


def log_bytes(world: World) -> int:
    return sum(len(value) for value in world.values(world.topics.dead_letters))


def test_different_faults_of_triggers_stand_in_one_text() -> None:
    others = two_slots(slots=(replace(two_slots().slots[0], key="payload.text"), two_slots().slots[1]))
    world = begun(two_slots(), replace(others, name="other"))
    world.publish(TOPIC, {"order": 1.5})
    world.run(3)
    (letter,) = world.letters()
    assert letter["triggers"] == ["default/ship", "default/other"]
    assert "default/ship: " in letter["text"]
    assert "default/other: " in letter["text"]


def test_a_batch_ends_before_its_transaction_is_too_large() -> None:
    triggers = [replace(two_slots(), name=f"t{number:02}") for number in range(10)]
    world = begun(*triggers)
    largest = [0]
    works = Outbox.send

    def send(self: Outbox, *arguments: Any) -> None:
        works(self, *arguments)
        largest[0] = max(largest[0], self.size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outbox, "send", send)
        for number in range(20):
            world.publish(TOPIC, {"order": str(number), "text": "x" * 1_000_000})
        world.run(8)
    assert world.reasons().count("waiting") == 200  # 200 MB of arrivals
    assert largest[0] < BATCH_BYTES + 20 * 1024 * 1024


@pytest.mark.parametrize("header", [b"junk", b"\x00\x00", b"\x00" * 6, b"\x01" * 16, b"\xc3\x01" + bytes(8)])
def test_a_header_that_holds_no_schema_id_is_refused_by_the_router_and_its_partner_goes_on(header: bytes) -> None:
    world = begun(two_slots())
    world.publish("payment.done", {"order": "7", "amount": 1}, id="partner")
    world.broker.append(TOPIC, 0, None, world.encoder.encode(TOPIC, {"order": "7"}), [("__value_schema_id", header)])
    world.run(3)
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("router", "undecodable")
    assert "__value_schema_id that holds no whole schema id" in letter["text"]
    assert world.reasons_of("partner") == ["waiting"]
    world.publish(TOPIC, {"order": "7"})
    world.run(3)
    assert len(world.workflows()) == 1


def test_a_schema_id_in_a_header_counts_for_the_router_as_for_the_matcher() -> None:
    world = World(two_slots())
    world.decoder = _RegistryDecoder
    world.start()
    world.run(3)
    value = world.encoder.encode(TOPIC, {"order": "7"})
    world.broker.append(TOPIC, 0, None, value, [("__value_schema_id", b"\x00\x00\x00\x00\x05")])
    world.publish("payment.done", {"order": "7", "amount": 1})
    world.run(3)
    assert len(world.workflows()) == 1
    assert world.letters() == []


class _RegistryDecoder(Decoder):
    """Knows one id: what follows it is decoded by its own prefix."""

    def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
        return super().decode(topic, value.removeprefix(b"\x00\x00\x00\x00\x05") if value else None, headers)
