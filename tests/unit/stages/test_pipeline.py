"""An event's way through all stages, on the in-memory ports."""

from typing import Any

from bridge.core.event import MINUTE, SECOND
from bridge.core.trigger import RunPlan
from bridge.kafka.records import kind_of
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import Headers
from unit.stages.world import World, one_slot, two_slots


def test_an_event_becomes_one_workflow_with_its_fields_as_parameters() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "o-1", "amount": 12, "other": True})
    world.run(2)
    assert world.workflows() == [{"order": "o-1", "amount": "12"}]
    assert world.reasons() == ["matched", "created"]


def test_two_events_of_one_order_become_one_workflow_with_fields_of_both() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("payment.done", {"order": 7, "amount": 12.5})
    world.publish("order.created", {"order": "8"}, partition=1)
    world.publish("order.created", {"order": "7"}, partition=1)
    world.run(2)
    assert world.workflows() == [{"order": "7", "amount": "12.5"}]
    assert sorted(world.reasons()) == ["created", "matched", "matched", "waiting", "waiting"]


def test_a_pair_that_completes_in_the_batch_in_which_it_begins_leaves_the_records_of_its_end_alone() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"}, partition=1)
    world.publish("payment.done", {"order": 7, "amount": 12.5})
    world.run(2)
    assert [kind_of(value) for value in world.values("fb.windows")] == ["spent", "spent"]
    world.publish("order.created", {"order": "8"}, partition=1)
    world.run(2)
    world.publish("payment.done", {"order": 8, "amount": 1}, partition=1)
    world.run(2)
    assert [kind_of(value) for value in world.values("fb.windows")][2:] == ["waiting", "spent", "spent"]
    assert len(world.workflows()) == 2


def test_what_waits_in_vain_expires_and_leaves_nothing_behind() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": "8"})
    world.run(60)
    assert world.reasons() == ["waiting"]
    world.run(11 * 60, step=1)
    assert world.reasons() == ["waiting", "expired"]
    world.now += 11 * MINUTE
    world.run(5)
    windows = process.stage("matcher").windows.values()
    assert [(window.open_windows, window.size, list(window.conditions())) for window in windows] == [(0, 0, [])] * 2
    assert world.workflows() == []


def test_events_that_take_long_are_split_over_transactions_before_one_lasts_too_long() -> None:
    world = World(one_slot())

    class Slow(Decoder):
        def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> dict[str, Any]:
            world.now += SECOND
            return super().decode(topic, value, headers)

    world.decoder = Slow
    process = world.start()
    world.run(3)
    for number in range(5):
        world.publish("order.created", {"order": str(number)})
    process.step("router")
    decided = world.reasons().count("matched")
    world.run(3)
    assert (decided, world.reasons().count("matched")) == (2, 5)


def _publish_as(world: World, name: str, topic: str, order: str, event_id: str) -> None:
    """Publish an event into a topic that its name is not that of."""
    headers = [("ce_id", event_id.encode()), ("ce_source", b"shop"), ("ce_type", name.encode())]
    world.broker.append(topic, 0, None, world.encoder.encode(name, {"order": order, "amount": 1}), headers)


def test_one_id_under_two_names_in_a_topic_is_two_events() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    for name in ("OrderCreated", "OrderCancelled", "OrderCreated"):
        _publish_as(world, name, "order.created", name, "o-1")
    world.run(2)
    assert sorted(workflow["order"] for workflow in world.workflows()) == ["OrderCancelled", "OrderCreated"]
    assert sorted(world.reasons()) == ["already-ran", "created", "created", "matched", "matched", "matched"]


def test_one_id_under_two_names_is_two_events_of_a_window_also_after_it_is_restored() -> None:
    plan = RunPlan("ship", "default", (("order", "order.payload.order"), ("name", "order.name")))
    world = World(two_slots(run=plan))
    process = world.start()
    world.run(3)
    for order, name in (("1", "OrderCreated"), ("2", "OrderCancelled"), ("1", "OrderCreated")):
        _publish_as(world, name, "order.created", order, "o-1")
    world.run(2)
    assert sorted(world.reasons()) == ["duplicate", "waiting", "waiting"]
    process.stop()
    world.start("p2")
    world.run(3)
    _publish_as(world, "OrderCancelled", "order.created", "2", "o-1")
    world.publish("payment.done", {"order": "1", "amount": 1})
    world.publish("payment.done", {"order": "2", "amount": 1})
    world.run(2)
    found = sorted((workflow["order"], workflow["name"]) for workflow in world.workflows())
    assert found == [("1", "OrderCreated"), ("2", "OrderCancelled")]
    assert world.reasons().count("duplicate") == 2
