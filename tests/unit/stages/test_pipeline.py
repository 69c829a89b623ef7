"""An event's way through all stages, on the in-memory ports."""

from typing import Any

from bridge.core.event import MINUTE, SECOND
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
    assert [(one.open, one.remembered, one.timers) for one in windows] == [({}, {}, {})] * 2
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
