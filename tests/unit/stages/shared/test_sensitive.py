"""What a trigger or the setting calls sensitive is in no decision, no sample and no log, whichever stage decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.event import MINUTE
from bridge.core.evidence import REDACTED
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.kafka.records import DECISION
from bridge.stages.shared.decision_sample import ALIKE
from unit.stages.window_world import Bridge, windowed
from unit.stages.world import World, one_slot, two_slots

SECRET = "secret-7"

IN_TRIGGER_OR_SETTING = pytest.mark.parametrize("said_by", ["the trigger", "the setting"])


def world_of(trigger: Trigger, said_by: str) -> World:
    """Return a running world in which ``order`` is a sensitive field."""
    is_set = said_by == "the setting"
    world = World(trigger if is_set else replace(trigger, sensitive=("order",)))
    world.sensitive = ("order",) if is_set else ()
    world.start()
    world.run(3)
    return world


def samples(world: World) -> list[dict[str, Any]]:
    """Return the sample of decisions."""
    return [DECISION.decode(value) for value in world.values(world.topics.decisions)]


def check_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Check that nobody who looks at decisions or logs sees the value."""
    redact_keys = [[*decision, *dict(decision.evidence).items()] for decision in world.decisions]
    assert SECRET not in f"{redact_keys}{samples(world)}{caplog.text}"


@IN_TRIGGER_OR_SETTING
def test_a_key_made_of_a_sensitive_field_is_shown_by_no_decision(
    said_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_of(two_slots(), said_by)
    world.publish("order.created", {"order": SECRET})
    world.publish("payment.done", {"order": SECRET, "amount": 1})
    world.run(2)
    assert world.workflows() == [{"order": SECRET, "amount": "1"}]
    assert sorted(sample["reason"] for sample in samples(world)) == ["created", "matched", "matched", "waiting"]
    assert [sample["key"] for sample in samples(world) if sample["stage"] == "matcher"] == [REDACTED] * 3
    check_secret(world, caplog)


@IN_TRIGGER_OR_SETTING
@pytest.mark.parametrize(
    "where", ['payload.order == "7" && payload.amount > 3', '{"a": true}[payload.order]', "payload.order"]
)
def test_a_filtered_event_shows_neither_the_value_nor_an_error_that_quotes_it(
    where: str, said_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = one_slot()
    world = world_of(replace(trigger, slots=(replace(trigger.slots[0], where=where),)), said_by)
    world.publish("order.created", {"order": SECRET, "amount": 4})
    world.run(2)
    (filtered,) = samples(world)
    assert (filtered["reason"], filtered["evidence"]["payload.order"]) == ("filtered", REDACTED)
    assert filtered["evidence"].get("error", REDACTED) == REDACTED
    check_secret(world, caplog)


@IN_TRIGGER_OR_SETTING
@pytest.mark.parametrize("trigger", [one_slot(), two_slots()], ids=["one slot", "two slots"])
@pytest.mark.parametrize("of", ["parameter", "run.id"])
def test_an_error_of_a_run_that_quotes_it_is_shown_by_no_decision_dead_letter_or_log(
    of: str, trigger: Trigger, said_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = f"duration({trigger.slots[0].variable}.payload.order)"
    parameters, run_id = ((("order", wrong),), None) if of == "parameter" else ((("order", "1"),), wrong)
    world = world_of(replace(trigger, run=RunPlan("ship", "default", parameters, id=run_id)), said_by)
    for event in trigger.events:
        world.publish(event, {"order": SECRET})
    world.run(2)
    (letter,) = world.letters()
    assert letter["text"].endswith(f"({wrong}): {REDACTED}")
    assert {sample["evidence"].get("error") for sample in samples(world) if sample["reason"] == "matched"} == {
        letter["text"].removeprefix("the match has no run: ")
    }
    check_secret(world, caplog)


def test_an_unkeyed_event_shows_no_value(caplog: pytest.LogCaptureFixture) -> None:
    slot = Slot("order.created", "order", key="payload.order")
    world = world_of(replace(two_slots(), slots=(slot, two_slots().slots[1])), "the setting")
    world.publish("order.created", {"order": [SECRET]})
    world.run(2)
    (letter,) = world.letters()
    assert (letter["reason"], letter["text"]) == ("unkeyed", REDACTED)
    check_secret(world, caplog)


def test_what_the_setting_names_is_hidden_from_windows_that_were_open_before() -> None:
    world = World(two_slots())
    first = world.start()
    world.run(3)
    world.publish("order.created", {"order": SECRET})
    world.run(2)
    first.stop()
    world.sensitive = ("order",)
    world.start("p2")
    world.run(3)
    world.publish("payment.done", {"order": SECRET, "amount": 1})
    world.run(2)
    keys = {sample["reason"]: sample["key"] for sample in samples(world) if sample["stage"] == "matcher"}
    assert keys == {"waiting": SECRET, "matched": REDACTED}
    assert world.workflows() == [{"order": SECRET, "amount": "1"}]


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


def test_what_becomes_sensitive_is_not_shown_of_a_window_that_was_open_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parameters = (("order", "duration(order[0].payload.secret)"),)
    bridge = Bridge(windowed(WindowPlan("settle", 5 * MINUTE), run=parameters, collect="all"))
    bridge.world.publish("order.created", {"order": 7, "secret": SECRET})
    bridge.world.run(2)
    bridge.process.stop()
    bridge.world.processes.remove(bridge.process)
    bridge.world.sensitive = ("secret",)
    bridge.process = bridge.world.start("p2")
    bridge.world.run(5)
    bridge.wait(600)
    (letter,) = bridge.world.letters()
    assert "run.parameters.order" in letter["text"]
    assert SECRET not in letter["text"]
    check_secret(bridge.world, caplog)
