"""A topic that is deleted and created again: its events without ids are not taken for those of the old one."""

from __future__ import annotations

from typing import Any

from bridge.core.decision import Decision
from bridge.core.event import MINUTE
from bridge.kafka.records import START, kind_of
from bridge.stages.shared.definitions import Start, encode_start
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"


def orders(world: World) -> list[str]:
    return sorted(workflow["order"] for workflow in world.workflows())


def publish(world: World, payload: dict[str, Any], topic: str = TOPIC) -> None:
    """Publish an event without headers: its id is its place."""
    world.broker.append(topic, 0, None, world.encoder.encode(topic, payload))


def make_again(world: World, topic: str = TOPIC) -> None:
    world.broker.delete(topic)
    world.run(2)
    world.topic(topic)


def test_events_without_ids_of_a_topic_that_was_made_again_run_although_their_places_did_before() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    for number in range(3):
        publish(world, {"order": f"old{number}"})
    world.run(3)
    for life in ("second", "third"):
        make_again(world)
        for number in range(5):
            publish(world, {"order": f"{life}{number}"})
        world.run(20)
    expected = [f"old{n}" for n in range(3)] + [f"{life}{n}" for life in ("second", "third") for n in range(5)]
    assert orders(world) == sorted(expected)


def test_a_pair_has_the_payload_of_the_new_topic() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    publish(world, {"order": "o-1", "life": "first"})
    world.run(3)
    make_again(world)
    publish(world, {"order": "o-2"})
    world.run(20)
    publish(world, {"order": "o-2", "amount": 7}, "payment.done")
    world.run(5)
    assert world.workflows() == [{"order": "o-2", "amount": "7"}]
    assert "duplicate" not in world.reasons()


def test_the_id_has_the_topics_id_only_where_the_event_has_none_and_the_topic_was_made_again() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    publish(world, {"order": "old"})
    world.run(3)
    make_again(world)
    publish(world, {"order": "new"})
    world.publish(TOPIC, {"order": "own"}, id="e-1")
    world.run(20)
    (start,) = [START.decode(value) for value in world.values(world.topics.triggers) if kind_of(value) == "start"][-1:]
    ids = {decision.event.id for decision in world.decisions if isinstance(decision, Decision)}
    assert ids == {f"{TOPIC}/0/0", f"{TOPIC}/0/0/{start['topic_id']}", "e-1"}


def test_a_start_of_a_topic_that_was_made_again_is_one_that_0_1_0_reads() -> None:
    whole = START.decode(encode_start(TOPIC, Start("id", (0, 0), 0, recreated=True), MINUTE))
    assert whole == {"topic": TOPIC, "topic_id": "id", "offsets": [0, 0, -2], "at": MINUTE}
    usual = START.decode(encode_start(TOPIC, Start("id", (4, 0), 0), MINUTE))
    assert usual["offsets"] == [4, 0]


def test_a_process_that_starts_later_gives_the_same_ids() -> None:
    world = World(one_slot())
    first = world.start()
    world.run(3)
    publish(world, {"order": "old"})
    world.run(3)
    make_again(world)
    publish(world, {"order": "new"})
    world.run(20)
    first.stop()
    world.broker.group("fb.router").committed.clear()  # all of the topic is read again
    world.start("p2")
    world.run(20)
    assert orders(world) == ["new", "old"]
    assert world.reasons().count("already-ran") == 1


def test_a_topic_that_was_made_again_while_the_bridge_was_down_loses_and_doubles_nothing() -> None:
    world = World(one_slot())
    first = world.start()
    world.run(3)
    for number in range(3):
        publish(world, {"order": f"old{number}"})
    world.run(3)
    first.stop()
    world.broker.delete(TOPIC)
    world.topic(TOPIC)
    for number in range(5):
        publish(world, {"order": f"new{number}"})
    world.start("p2")
    world.run(20)
    assert orders(world) == sorted([f"old{n}" for n in range(3)] + [f"new{n}" for n in range(5)])


def test_a_topic_that_grows_past_its_old_end_before_that_is_noticed_loses_nothing() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    for number in range(3):
        publish(world, {"order": f"old{number}"})
    world.run(3)
    world.broker.delete(TOPIC)
    world.topic(TOPIC)
    for number in range(5):
        publish(world, {"order": f"new{number}"})
    world.run(20)
    assert set(orders(world)) == {f"old{n}" for n in range(3)} | {f"new{n}" for n in range(5)}
