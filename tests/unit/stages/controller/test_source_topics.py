"""Topics of triggers: begun where their triggers say, recreated, cut short by retention, dropped and taken up again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bridge.core.event import SECOND
from bridge.core.trigger import Slot, Trigger
from bridge.kafka.log import Partition, TopicSpec
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.records import kind_of
from bridge.stages.shared.definitions import Definitions
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"


def errors_of(world: World) -> list[str]:
    """Return what is wrong with triggers, as ``status`` tells it."""
    definitions = Definitions(world.processes[0].memory, world.topics.triggers, lambda: 0)
    definitions.refresh()
    return [str(error) for errors in definitions.errors.values() for error in errors]


@pytest.mark.parametrize("event", ["fb.dead-letters", "fb.arrivals", "__consumer_offsets"])
def test_a_trigger_on_a_topic_of_the_bridge_or_of_kafka_is_refused_and_others_are_in_force(event: str) -> None:
    slots = (replace(one_slot().slots[0], event=event, variable="letter"),)
    feeding = replace(one_slot(), name="feeding", slots=slots, run=replace(one_slot().run, parameters=()))
    world = World(one_slot())
    world.triggers.append(feeding)
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(3)
    assert orders(world) == ["1"]
    (error,) = errors_of(world)
    assert f"{event!r} is not for triggers" in error
    assert "spec.events[0].name" in error


def test_a_trigger_that_is_too_large_is_refused_and_others_are_in_force() -> None:
    large = replace(one_slot(), name="large")
    large = replace(large, run=replace(large.run, annotations=(("note", "é" * 1_500_000),)))
    world = World(large, one_slot())
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(3)
    assert orders(world) == ["1"]
    (error,) = errors_of(world)
    assert "bytes as a definition; 2097152 is the limit" in error


def orders(world: World) -> list[str]:
    return [workflow["order"] for workflow in world.workflows()]


def test_a_topic_that_is_new_to_the_bridge_is_begun_now() -> None:
    world = World(one_slot())
    world.publish(TOPIC, {"order": "before"})
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "after"})
    world.run(3)
    assert orders(world) == ["after"]


def test_a_topic_is_begun_once_although_the_marker_of_that_commit_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(one_slot())
    plain = MemoryAdmin.stable_ends

    def late(admin: MemoryAdmin, partitions: Iterable[Partition]) -> dict[Partition, int]:
        found = plain(admin, partitions)
        return dict.fromkeys(found, 0) if world.now < until else found

    monkeypatch.setattr(MemoryAdmin, "stable_ends", late)
    until = world.now + 3 * SECOND
    world.start("controller", ("controller",))
    world.start("others", ("router", "matcher", "submitter"))
    world.run(2)
    world.publish(TOPIC, {"order": "1"})
    world.run(10)
    starts = [value for value in world.values(world.topics.triggers) if kind_of(value) == "start"]
    assert len(starts) == 1
    assert orders(world) == ["1"]


def test_a_topic_is_begun_at_its_start_or_at_a_time_where_its_trigger_says_so() -> None:
    for is_earliest, expected in ((True, ["1", "2"]), (False, ["2"])):
        world = World()
        world.topic(TOPIC)
        world.publish(TOPIC, {"order": "1"})
        world.now += 60_000_000
        world.publish(TOPIC, {"order": "2"})
        world.api.add_template("default", "ship", parameters=("order",))
        world.triggers.append(replace(one_slot(), start_from="earliest" if is_earliest else world.now))
        world.start()
        world.run(3)
        assert sorted(orders(world)) == expected


def test_a_topic_that_is_missing_is_created() -> None:
    world = World()
    world.triggers.append(one_slot())
    world.start()
    world.run(3)
    assert TOPIC in world.broker.topics


def test_a_topic_that_appears_after_its_trigger_is_read_from_its_beginning() -> None:
    world = World()
    world.new_topic = None
    world.api.add_template("default", "ship", parameters=("order",))
    world.triggers.append(one_slot())
    world.start()
    world.run(3)
    world.topic(TOPIC)
    world.publish(TOPIC, {"order": "first"})  # before anybody looked again
    world.run(3)
    assert orders(world) == ["first"]


def test_partitions_that_are_found_later_are_begun_at_zero() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.broker.grow(TOPIC, 3)
    world.publish(TOPIC, {"order": "1"}, partition=2)
    world.run(3)
    assert orders(world) == ["1"]


@pytest.mark.parametrize("more", [1, 5])
def test_a_topic_that_was_recreated_is_begun_at_its_new_start_loudly(
    more: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    for number in range(3):
        world.publish(TOPIC, {"order": f"old{number}"})
    world.run(3)
    world.broker.delete(TOPIC)
    world.topic(TOPIC)
    for number in range(more):  # fewer than the old offset, or more
        world.publish(TOPIC, {"order": f"new{number}"})
    world.run(15)
    assert sorted(orders(world)) == [f"new{number}" for number in range(more)] + ["old0", "old1", "old2"]
    assert "deleted and created again" in caplog.text


def test_a_recreated_topic_is_begun_anew_by_a_router_that_took_over_meanwhile() -> None:
    world = World(one_slot())
    first = world.start()
    world.run(3)
    for number in range(3):
        world.publish(TOPIC, {"order": f"old{number}"})
    world.run(3)
    first.stop()
    world.broker.delete(TOPIC)
    world.topic(TOPIC)
    world.publish(TOPIC, {"order": "new"})
    world.start("p2")
    world.run(15)
    assert sorted(orders(world)) == ["new", "old0", "old1", "old2"]


def cut_short(lost_offsets: str) -> tuple[World, list[str]]:
    """Let retention take an event of partition 0 that nobody has read."""
    world = World(one_slot())
    world.lost_offsets = "hold" if lost_offsets == "hold" else "continue"
    first = world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "read"})
    world.run(2)
    first.stop()
    world.publish(TOPIC, {"order": "lost"})
    world.publish(TOPIC, {"order": "kept"})
    world.broker.expire_below(Partition(TOPIC, 0), 2)
    world.publish(TOPIC, {"order": "elsewhere"}, partition=1)
    world.start("p2")
    world.run(10)
    return world, sorted(orders(world))


def test_a_lost_offset_holds_its_partition_while_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    world, found = cut_short("hold")
    assert found == ["elsewhere", "read"]
    assert world.committed("router", TOPIC) == 1
    assert "waits until you decide" in caplog.text


def test_a_lost_offset_is_passed_loudly_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    world, found = cut_short("continue")
    assert found == ["elsewhere", "kept", "read"]
    assert world.committed("router", TOPIC) == 3
    assert "the records before it are lost" in caplog.text


def test_a_topic_that_was_dropped_by_all_triggers_is_begun_anew_when_it_is_read_again() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(2)
    trigger = world.triggers.pop()
    world.run(20)
    world.publish(TOPIC, {"order": "while nobody reads"})
    world.run(2)
    world.triggers.append(trigger)
    world.run(3)
    world.publish(TOPIC, {"order": "2"})
    world.run(2)
    assert orders(world) == ["1", "2"]


def test_a_router_that_slept_through_the_drop_of_a_topic_begins_it_anew_too() -> None:
    world = World(one_slot())
    world.start("c", ("controller", "matcher", "submitter"))
    sleeper = world.start("r", ("router",))
    world.run(3)
    trigger = world.triggers.pop()
    world.processes.remove(sleeper)  # it does not step; its client goes on
    world.run(20)
    world.publish(TOPIC, {"order": "while nobody reads"})
    world.triggers.append(trigger)
    world.run(3)
    world.processes.append(sleeper)
    world.run(5)
    world.publish(TOPIC, {"order": "2"})
    world.run(3)
    assert orders(world) == ["2"]


def test_a_topic_that_another_trigger_reads_already_is_not_begun_again() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.triggers.append(replace(two_slots(), name="pair", start_from="earliest"))
    world.broker.create(TopicSpec("payment.done", 2))
    world.publish(TOPIC, {"order": "1"})
    world.run(4)
    assert world.reasons().count("matched") == 1
    assert world.committed("router", TOPIC) == 1


def many_slots(number: int, events: Iterable[str]) -> Trigger:
    slots = tuple(Slot(event, f"s{place}", key="payload.k") for place, event in enumerate(events))
    return replace(
        two_slots(), name=f"many{number:02}", slots=slots, require=1, run=replace(two_slots().run, parameters=())
    )


def test_triggers_create_topics_up_to_a_bound_and_those_beyond_it_say_so() -> None:
    world = World(one_slot())
    world.topic_bound = there = len(world.broker.topics) + 20
    world.triggers += [many_slots(n, [f"event.{n:02}.{place:02}" for place in range(8)]) for n in range(30)]
    controller = world.start().stage
    world.run(15)
    assert len(world.broker.topics) == there
    assert len(controller("controller")._refused) == 30 * 8 - 20
    errors = errors_of(world)
    assert f"the cluster has {there} topics, and where it has {there} no more are created" in errors[0]
    assert "FLOWBRIDGE_TOPIC_BOUND" in errors[0]
    world.publish(TOPIC, {"order": "1"})
    world.run(3)
    assert orders(world) == ["1"]  # all others run
    world.topic("event.20.00")  # somebody else may create more
    world.run(15)
    assert len(controller("controller")._refused) == 30 * 8 - 21


def test_a_shared_topic_is_created_at_the_bound_too() -> None:
    world = World(shared={"order.*": "orders"})
    world.topic_bound = len(world.broker.topics)
    world.triggers += [one_slot()]
    world.start()
    world.run(3)
    assert "orders" in world.broker.topics
    assert errors_of(world) == []
