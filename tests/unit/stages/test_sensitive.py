"""What a trigger calls sensitive is in no decision and in no sample, whichever stage decides."""

from __future__ import annotations

from bridge.core.evidence import REDACTED
from bridge.kafka.records import DECISION
from bridge.stages.decision_sample import ALIKE
from unit.stages.world import World, two_slots


def test_a_key_made_of_a_sensitive_field_is_shown_by_no_decision() -> None:
    world = World(two_slots(sensitive=("order",)))
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "secret-7"})
    world.publish("payment.done", {"order": "secret-7", "amount": 1})
    world.run(2)
    assert world.workflows() == [{"order": "secret-7", "amount": "1"}]
    samples = [DECISION.decode(value) for value in world.values(world.topics.decisions)]
    assert sorted(one["reason"] for one in samples) == ["created", "matched", "matched", "waiting"]
    assert [one["key"] for one in samples if one["stage"] == "matcher"] == [REDACTED] * 3
    assert "secret-7" not in str(samples)


def test_of_decisions_alike_so_many_a_minute_are_sent_along_and_all_are_counted() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    for number in range(3 * ALIKE):
        world.publish("order.created", {"order": f"o-{number}"})
    world.run(2)
    assert world.reasons() == ["waiting"] * 3 * ALIKE
    assert len(list(world.values(world.topics.decisions))) == ALIKE
    world.run(60, step=1)
    world.publish("order.created", {"order": "one-more"})
    world.run(2)
    assert len(list(world.values(world.topics.decisions))) == ALIKE + 1
