"""Topics that several names share: in them an event is known by its name, and everything else holds as ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bridge.core.definition import Definition
from bridge.core.event import MINUTE
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.stages.shared.slot_index import SlotIndex
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from unit.stages.world import World, one_slot, two_slots

SHARED = {"order.*": "shop", "payment.*": "shop"}
REFUND = Trigger("default", "refund", (Slot("order.returned", "returned"),), RunPlan("ship", "default"), require=1)


def started(*triggers: Trigger) -> World:
    world = World(*triggers, shared=SHARED)
    world.start()
    world.run(3)
    return world


def orders(world: World) -> list[str]:
    return [workflow["order"] for workflow in world.workflows()]


def append(world: World, value: bytes, *headers: tuple[str, bytes]) -> None:
    world.broker.append("shop", 0, None, value, list(headers))


def test_an_event_is_for_the_slots_of_its_name_alone() -> None:
    world = started(one_slot(), REFUND)
    world.publish("order.created", {"order": "1"}, id="a")
    world.publish("order.returned", {"order": "2"}, id="b")
    world.publish("order.paid", {"order": "3"}, id="c")
    world.run(3)
    assert sorted(orders(world)) == ["1", "2"]
    assert [world.reasons_of(name) for name in "abc"] == [["matched"], ["matched"], []]
    assert set(world.broker.topics) >= {"shop"}
    assert "order.created" not in world.broker.topics


def test_what_no_trigger_wants_is_passed_without_being_decoded() -> None:
    world = started(one_slot())
    append(world, b"no Avro", ("ce_type", b"order.paid"))
    append(world, b"x" * 2_000_000, ("ce_type", b"order.paid"))
    append(world, b"no Avro", ("ce_type", b"order.paid"), ("ce_time", b"never"))
    append(world, b"no Avro")  # its name is the topic's: nobody's
    world.run(3)
    assert (world.reasons(), world.letters()) == ([], [])
    assert world.committed("router", "shop") == 4


def test_what_is_wanted_and_cannot_be_decoded_is_a_dead_letter_of_its_slots() -> None:
    world = started(one_slot(), REFUND)
    append(world, b"no Avro", ("ce_type", b"order.created"))
    world.run(3)
    assert [(decision.reason, decision.trigger) for decision in world.decisions] == [("undecodable", "default/ship")]
    assert len(world.letters()) == 1


@pytest.mark.parametrize("name", [b"", b"\xff", b"order\n.created", b"\x1b[2J"])
def test_a_name_that_cannot_be_read_might_be_anybodys(name: bytes) -> None:
    world = started(one_slot(), REFUND)
    append(world, world.encoder.encode("x", {"order": "1"}), ("ce_type", name))
    world.run(3)
    assert sorted(decision.trigger for decision in world.decisions) == ["default/refund", "default/ship"]
    assert set(world.reasons()) == {"undecodable"}
    assert len(world.letters()) == 1


def test_events_of_two_names_in_one_topic_meet_in_a_window() -> None:
    world = started(two_slots())
    world.publish("order.created", {"order": 7})
    world.publish("order.paid", {"order": 7})
    world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_no_tick_overtakes_an_event_in_a_shared_topic() -> None:
    world = World(two_slots(), shared=SHARED)
    router = world.start("r", ("router",))
    world.start("p", ("controller", "matcher", "submitter"))
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    world.processes.remove(router)  # a backlog
    world.publish("payment.done", {"order": 7, "amount": 1}, partition=1)
    world.run(30 * 60, step=10)
    assert world.reasons() == ["waiting"]
    world.processes.append(router)
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_what_waits_ends_by_time_though_events_of_others_come() -> None:
    world = started(two_slots())
    world.publish("order.created", {"order": 7}, id="a")
    for _ in range(15):
        world.run(60, step=10)
        world.publish("order.paid", {"order": 7})
    assert world.reasons_of("a") == ["waiting", "expired"]


def test_a_shared_topic_that_is_missing_is_created() -> None:
    world = World(shared=SHARED)
    world.triggers.append(one_slot())
    world.start()
    world.run(3)
    assert "shop" in world.broker.topics
    assert "order.created" not in world.broker.topics


def test_a_trigger_that_comes_to_a_topic_begun_by_another_sees_events_from_then_on() -> None:
    world = started(one_slot())
    world.publish("order.returned", {"order": "before"})
    world.run(2)
    world.triggers.append(replace(REFUND, start_from="earliest"))
    world.run(3)
    world.publish("order.returned", {"order": "after"})
    world.publish("order.created", {"order": "1"})
    world.run(3)
    assert sorted(orders(world)) == ["1", "after"]


def test_all_processes_follow_what_the_controller_wrote() -> None:
    world = World(one_slot(), shared=SHARED)
    world.start("c", ("controller",))
    world.shared = SharedTopics()
    world.start("others", ("router", "matcher", "submitter"))
    world.shared = SharedTopics(SHARED)
    world.run(3)
    world.publish("order.created", {"order": "1"})
    world.run(3)
    assert orders(world) == ["1"]


def test_a_setting_that_changes_is_an_edit_of_the_triggers_that_it_concerns() -> None:
    world = World(two_slots(), REFUND)
    first = world.start()
    world.topic("shop")
    world.broker.append("shop", 0, None, world.encoder.encode("x", {"order": "old"}), [("ce_type", b"order.returned")])
    world.run(3)
    world.publish("order.created", {"order": 7}, id="waits")
    world.run(2)
    first.stop()
    world.processes.clear()
    world.shared = SharedTopics(SHARED)
    world.start("p2")
    world.run(60, step=1)
    assert world.reasons_of("waits") == ["waiting", "expired"]  # its window belonged to the condition as it was
    world.publish("order.created", {"order": 8})
    world.publish("payment.done", {"order": 8, "amount": 2})
    world.publish("order.returned", {"order": "9"})
    world.run(3)
    assert sorted(orders(world)) == ["8", "9"]  # and nothing of what stood in the topic before
    assert world.committed("router", "shop") == 4


def test_a_broken_file_keeps_its_triggers_on_their_shared_topics() -> None:
    world = started(one_slot())
    kept: list[Trigger] = []

    class Broken(TriggerSource):
        def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
            kept[:] = [sourced.trigger for sourced in in_force.values()]
            return Sources(list(in_force.values()), ())

    world.source = lambda _: Broken()
    world.run(20)
    assert kept == [one_slot()]  # sources know nothing of topics
    world.publish("order.created", {"order": "1"})
    world.run(3)
    assert orders(world) == ["1"]


def test_a_topic_that_was_recreated_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    world = started(one_slot())
    world.publish("order.created", {"order": "old"})
    world.run(2)
    world.broker.delete("shop")
    world.topic("shop")
    world.publish("order.created", {"order": "new"})
    world.run(15)
    assert sorted(orders(world)) == ["new", "old"]
    assert "topic shop was deleted and created again" in caplog.text


def test_a_trigger_from_before_its_topic_was_shared_still_reads_all_of_it() -> None:
    """While a trigger is gone from its file and not yet retired, its definition is as it was."""
    before = Definition(replace(one_slot(), slots=(Slot("shop", "shop"),)))
    after = Definition(replace(REFUND, slots=(replace(REFUND.slots[0], shared_topic="shop"),)))
    readers = SlotIndex([before, after])
    assert readers.own.get("shop") is None
    assert {reader for reader, _ in readers.of_shared("shop", [("ce_type", b"order.returned")])} == {before, after}
    assert {reader for reader, _ in readers.of_shared("shop", [("ce_type", b"order.paid")])} == {before}
    assert readers.of_shared("elsewhere", [("ce_type", b"order.paid")]) == ()


def test_several_slots_of_one_trigger_are_grouped_as_in_a_topic_of_their_own() -> None:
    slots = (Slot("order.created", "a", shared_topic="shop"), Slot("order.created", "b", shared_topic="shop"))
    trigger = Trigger(
        "default", "pair", slots, RunPlan("ship", "default"), 2, window=WindowPlan("within", MINUTE), grace=MINUTE
    )
    definition = Definition(trigger)
    ((found, filled),) = SlotIndex([definition]).of_shared("shop", [("ce_type", b"order.created")])
    assert (found, [slot.index for slot in filled]) == (definition, [0, 1])


def test_a_whole_cloudevent_is_for_the_slots_of_the_name_in_its_document() -> None:
    world = started(one_slot(), REFUND)
    structured = ("content-type", b"application/cloudevents+json")
    for index, name in enumerate(["order.created", "order.returned", "order.paid"]):
        event = {"specversion": "1.0", "id": "abc"[index], "source": "/s", "type": name, "data": {"order": str(index)}}
        append(world, json.dumps(event).encode(), structured, ("ce_type", b"order.created"))
    append(world, b"{}", structured)
    world.run(3)
    assert sorted(orders(world)) == ["0", "1"]
    assert [world.reasons_of(name) for name in "abc"] == [["matched"], ["matched"], []]
    assert world.reasons().count("undecodable") == 2  # of which trigger it is cannot be known
    assert len(world.letters()) == 1
