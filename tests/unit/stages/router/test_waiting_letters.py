"""Events whose schema is not known wait as dead letters, and run exactly once when it appears."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.core import slot_filters
from bridge.core.event import HOUR, moment
from bridge.core.route import unless_filtered
from bridge.core.trigger import Slot, Trigger
from bridge.kafka.log import LogError
from bridge.kafka.records import SENT_BACK
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import write_headers
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.stages.world import World, one_slot, two_slots

if TYPE_CHECKING:
    from bridge.core.decision import Decision
    from bridge.core.definition import CompiledSlot, Definition
    from bridge.core.event import Event
    from bridge.core.route import Accepted
    from unit.stages.world import Process

TOPIC = "order.created"


def schema(version: int) -> EventSchema:
    """Return a version of the event's schema, with a fingerprint of its own."""
    fields = f'{{"name": "order", "type": "string"}}, {{"name": "v{version}", "type": "null"}}'
    text = f'{{"type": "record", "name": "Order", "fields": [{fields}]}}'
    return EventSchema.parse(TOPIC, text, f"order@{version}.avsc")


class Folder:
    """The folder of schemas of all processes."""

    def __init__(self, world: World) -> None:
        self.versions: set[int] = set()
        world.decoder = self.decoder
        world.schema_state = lambda: frozenset(self.versions)

    def schemas(self) -> EventSchemas:
        return EventSchemas.of([], [schema(version) for version in self.versions])

    def decoder(self) -> Decoder:
        return Decoder(self.schemas())


def begun(*triggers: Trigger) -> tuple[World, Folder, Process]:
    world = World(*(triggers or (one_slot(),)))
    folder = Folder(world)
    process = world.start()
    world.run(3)
    return world, folder, process


def publish(world: World, order: str, version: int = 1, partition: int = 0) -> None:
    encoder = Encoder(EventSchemas.of([schema(version)]))
    headers = write_headers(TOPIC, order, "tests", moment(world.now))
    world.broker.append(TOPIC, partition, None, encoder.encode(TOPIC, {"order": order, f"v{version}": None}), headers)


def orders(world: World) -> list[str]:
    return sorted(workflow["order"] for workflow in world.workflows())


def marks(world: World) -> Counter[tuple[int, int]]:
    sent = [SENT_BACK.decode(value) for value in world.values(world.topics.retries)]
    return Counter((mark["partition"], mark["offset"]) for mark in sent)


def test_an_event_does_not_wait_if_its_schema_came_moments_before_it() -> None:
    world, folder, _ = begun()
    for version in (1, 2):
        publish(world, f"early {version}", version)
        world.run(0.5)
        folder.versions.add(version)
        world.run(0.5)
        publish(world, f"late {version}", version)
        world.run(0.5)
    assert len(world.letters()) == 2
    world.run(10)
    assert orders(world) == ["early 1", "early 2", "late 1", "late 2"]
    assert marks(world).total() == 2


def test_an_event_waits_for_its_schema_and_runs_once_when_it_appears(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.stages.router.waiting_letters")
    world, folder, _ = begun()
    for order in ("1", "2", "3"):
        publish(world, order)
    world.run(20)
    assert orders(world) == []
    assert [letter["reason"] for letter in world.letters()] == ["unknown-schema"] * 3
    folder.versions.add(1)
    world.run(10)
    assert orders(world) == ["1", "2", "3"]
    assert set(marks(world).values()) == {1}
    world.run(60)
    assert len(world.created) == 3
    assert world.reasons_of("1") == ["matched"]
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("waiting_letters")]
    fingerprint = schema(1).fingerprint.hex()
    waits, sent_back = lines
    assert waits.startswith(
        f"events of {TOPIC} wait as dead letters for the schema with the fingerprint {fingerprint};"
    )
    assert sent_back == (f"3 events that waited for the schema with the fingerprint {fingerprint} were sent back")


def test_a_bridge_that_has_the_schema_first_keeps_nothing_waiting() -> None:
    world, folder, _ = begun()
    folder.versions.add(1)
    world.run(6)
    publish(world, "1")
    world.run(3)
    assert (orders(world), world.letters(), marks(world)) == (["1"], [], Counter())


def test_a_schema_that_appears_while_no_bridge_runs_is_enough() -> None:
    world, folder, process = begun()
    publish(world, "1")
    world.run(10)
    process.stop()
    folder.versions.add(1)
    world.start("p2")
    world.run(6)
    assert orders(world) == ["1"]
    world.start("p3")  # the partitions move, and what was sent back stays so
    world.run(20)
    assert (len(world.created), marks(world).total()) == (1, 1)


def test_each_event_waits_for_its_own_schema() -> None:
    world, folder, _ = begun()
    for number in range(8):
        publish(world, str(number), version=1 + number % 2)
    world.run(10)
    folder.versions.add(2)
    world.run(10)
    assert orders(world) == ["1", "3", "5", "7"]
    folder.versions.add(1)
    world.run(10)
    assert len(world.created) == 8
    folder.versions.discard(2)  # a schema that goes sends nothing
    world.run(10)
    assert (len(world.created), set(marks(world).values())) == (8, {1})


MOMENTS = [
    (f"{when} {effect}", nth)
    for effect, most in (("send", 12), ("offsets", 1), ("commit", 3))
    for when in ("before", "after")
    for nth in range(1, most + 1)
]


@pytest.mark.parametrize(("effect", "nth"), MOMENTS)
def test_a_process_that_is_killed_while_it_sends_back_loses_nothing_and_repeats_nothing(effect: str, nth: int) -> None:
    world, folder, process = begun()
    for number in range(5):
        publish(world, str(number), partition=number % 2)
    world.run(10)
    process.at(effect, process.kill_here, nth)
    folder.versions.add(1)
    world.run(8)
    assert process.is_dead
    world.start("p2")
    world.run(40)
    assert orders(world) == ["0", "1", "2", "3", "4"]
    assert len(world.created) == 5
    letters = len(world.letters())
    assert (marks(world).total(), set(marks(world).values())) == (letters, {1})


@pytest.mark.parametrize("effect", ["before send", "before commit"])
def test_a_process_that_stands_still_while_it_sends_back_is_fenced_by_its_successor(effect: str) -> None:
    world, folder, process = begun()
    for number in range(5):
        publish(world, str(number), partition=number % 2)
    world.run(10)
    world.start("p2")
    world.run(3)
    process.at(effect, lambda: process.stand_still(30))
    folder.versions.add(1)
    world.run(40)
    assert orders(world) == ["0", "1", "2", "3", "4"]
    assert (len(world.created), marks(world).total(), set(marks(world).values())) == (5, 5, {1})


def test_processes_with_other_schemas_send_back_what_they_can() -> None:
    world, folder, process = begun()
    publish(world, "1")
    world.run(10)
    folder.versions.add(1)
    world.decoder, world.schema_state = Decoder, lambda: None
    world.start("behind")
    world.run(20)
    process.stop()
    world.run(20)
    assert marks(world).total() <= 1
    world.decoder = folder.decoder
    world.start("level")
    world.run(30)
    assert (orders(world), len(world.created)) == (["1"], 1)


def test_what_cannot_be_read_with_its_schema_is_another_dead_letter_and_comes_back_no_more() -> None:
    world, folder, _ = begun()
    value = b"\xc3\x01" + schema(1).fingerprint + b"\x7f"
    world.broker.append(TOPIC, 0, None, value, write_headers(TOPIC, "1", "tests", moment(world.now)))
    publish(world, "2")
    world.run(10)
    folder.versions.add(1)
    world.run(30)
    assert orders(world) == ["2"]
    assert [letter["reason"] for letter in world.letters()] == ["unknown-schema", "unknown-schema", "undecodable"]
    assert world.letters()[2]["topic"] == TOPIC
    assert marks(world).total() == 2


@pytest.mark.parametrize("again", ["before", "after"])
def test_an_event_that_is_published_again_meanwhile_runs_once(again: str) -> None:
    world, folder, _ = begun()
    publish(world, "1")
    if again == "before":
        publish(world, "1")
    world.run(10)
    folder.versions.add(1)
    world.run(10)
    if again == "after":
        publish(world, "1")
    world.run(10)
    assert (orders(world), len(world.created)) == (["1"], 1)


def test_an_event_that_is_sent_back_meets_partners_of_now() -> None:
    world, folder, _ = begun(two_slots())
    publish(world, "1")
    world.run(3 * 3600, step=60)
    folder.versions.add(1)
    world.run(10)
    world.publish("payment.done", {"order": "1", "amount": 2}, ago=3 * HOUR)  # it happened next to the order
    world.run(10)
    assert orders(world) == ["1"]


def test_the_deadline_of_a_run_begins_when_its_event_is_sent_back() -> None:
    trigger = one_slot()
    world, folder, _ = begun(replace(trigger, run=replace(trigger.run, start_deadline=HOUR)))
    publish(world, "1")
    world.run(3 * 3600, step=60)
    folder.versions.add(1)
    world.run(10)
    assert orders(world) == ["1"]


def test_letters_of_a_topic_that_nothing_reads_wait_until_something_does() -> None:
    world, folder, _ = begun()
    publish(world, "1")
    world.run(10)
    kept, world.triggers = world.triggers, [replace(one_slot(), slots=(Slot("other", "other"),))]
    world.run(30)
    folder.versions.add(1)
    world.run(20)
    assert marks(world).total() == 0
    world.triggers = kept
    world.run(30)
    folder.versions.add(2)
    world.run(20)
    assert orders(world) == ["1"]


def test_marks_that_cannot_be_read_delay_these_letters_and_nothing_else() -> None:
    world, folder, process = begun()
    publish(world, "1")
    world.run(10)
    letters = process.stage("router")._letters
    ends = letters._admin.all_ends

    def fail(*_: object) -> None:
        raise LogError("the partition has no leader")

    letters._admin.all_ends = fail
    folder.versions.add(1)
    world.run(8)
    world.publish(TOPIC, {"order": "2"})
    world.run(10)
    assert orders(world) == ["2"]
    letters._admin.all_ends = ends
    world.run(10)
    assert orders(world) == ["1", "2"]


def test_an_event_whose_processing_fails_when_it_is_sent_back_stays_a_dead_letter_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(definition: Definition, slot: CompiledSlot, event: Event) -> Accepted | Decision | None:
        if event.payload["order"] == "bad":
            raise KeyError("a bug")
        return unless_filtered(definition, slot, event)

    monkeypatch.setattr(slot_filters, "unless_filtered", fails)
    world, folder, _ = begun()
    for order in ("1", "bad", "2"):
        publish(world, order)
    world.run(10)
    folder.versions.add(1)
    world.run(20)
    world.publish(TOPIC, {"order": "3"})
    world.run(20)
    assert orders(world) == ["1", "2", "3"]
    assert (len(world.created), marks(world).total()) == (3, 2)
    assert sum("a bug" in (record.exc_text or record.getMessage()) for record in caplog.records) == 1


def test_an_event_that_kills_when_it_is_sent_back_is_poison_to_the_successor_and_stops_no_other() -> None:
    world, folder, process = begun()

    class DeadlyDecoder(Decoder):
        def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
            payload = super().decode(topic, value, headers)
            if payload["order"] == "poison":
                next(each for each in world.processes if each.is_busy and not each.is_dead).kill_here()
            return payload

    world.decoder = lambda: DeadlyDecoder(folder.schemas())
    process.stop()
    process = world.start("first")
    for number, order in enumerate(["1", "2", "poison", "3", "4"]):
        publish(world, order, partition=number % 2)
    world.run(10)
    folder.versions.add(1)
    world.run(20)
    assert process.is_dead
    second = world.start("second")
    world.run(30)
    assert not second.is_dead
    assert orders(world) == ["1", "2", "3", "4"]
    assert [letter["reason"] for letter in world.letters()] == ["unknown-schema"] * 5 + ["poison"]
    assert world.reasons_of(f"{TOPIC}/0/1") == ["undecodable", "poison"]  # its place: its id was never read
    assert (marks(world).total(), set(marks(world).values())) == (5, {1})
    second.stop()  # it is no longer tried
    third = world.start("third")
    world.run(20)
    assert (third.is_dead, len(world.created), len(world.letters())) == (False, 4, 6)
