"""What happened, as a test file: it passes as long as the trigger is as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.core.definition import Definition
from bridge.explain.case import read_case
from bridge.explain.question_reader import Question
from bridge.explain.recording import Redaction, record_case
from bridge.explain.trial import Trial, try_out
from bridge.replay.request import Bound
from bridge.stages.matcher.window_store import Bounds
from flowbridge_sdk.schemas import EventSchemas
from unit.explain.asking import explainer
from unit.stages.world import World, two_slots

BOUNDS = Bounds(1_000, 1_000, 10_000_000)
SCHEMAS = EventSchemas.of(())


def recorded(world: World, **question: Any) -> str:
    question.setdefault("start", Bound(text="earliest"))
    definition, story, reading = explainer(world).follow(Question("default/ship", **question))
    assert reading is not None
    return record_case(definition, story, list(reading.tracer.traced.values()), ["ship.yaml"], SCHEMAS, BOUNDS)


def tried(tmp_path: Path, text: str, definition: Definition) -> Trial:
    (tmp_path / "case.yaml").write_text(text, encoding="utf-8")
    return try_out(read_case(tmp_path / "case.yaml"), definition, SCHEMAS, BOUNDS)


@pytest.fixture
def world() -> World:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "1", "card": "4711-secret"}, id="o-1")
    world.run(1)
    world.publish("payment.done", {"order": "1", "amount": "5", "card": "4711-secret"}, id="p-1")
    world.run(1)
    world.publish("order.created", {"order": "2", "card": "0815-secret"}, id="o-2")
    world.run(5)
    return world


def test_a_recorded_file_passes_with_the_trigger_as_it_was(world: World, tmp_path: Path) -> None:
    text = recorded(world)
    plain = yaml.safe_load(text)
    assert [event["id"] for event in plain["events"]] == ["o-1", "p-1", "o-2"]
    assert plain["expect"]["runs"] == [{"events": ["o-1", "p-1"], "parameters": {"order": "1", "amount": "5"}}]
    assert {"event": "o-1", "slot": "order", "reason": "matched"} in plain["expect"]["decisions"]
    trial = tried(tmp_path, text.replace("reason: waiting", "reason: expired"), Definition(two_slots()))
    assert trial.failures == []


def test_a_trigger_that_is_mended_fails_it_until_the_expectation_is_mended(world: World, tmp_path: Path) -> None:
    mended = replace(two_slots(), collect="latest", run=replace(two_slots().run, parameters=(("order", "'x'"),)))
    trial = tried(tmp_path, recorded(world, key="1"), Definition(mended))
    assert [(failure.expected, failure.got) for failure in trial.failures] == [("1", "x"), ("5", "no such parameter")]


def test_only_the_events_of_the_question_are_written(world: World) -> None:
    assert [event["id"] for event in yaml.safe_load(recorded(world, key="2"))["events"]] == ["o-2"]
    assert [event["id"] for event in yaml.safe_load(recorded(world, event="p-1"))["events"]] == ["o-1", "p-1"]


def test_a_sensitive_field_is_redacted_and_equal_values_stay_equal(tmp_path: Path) -> None:
    slots = tuple(replace(slot, key="payload.card") for slot in two_slots().slots)
    trigger = two_slots(slots=slots, sensitive=("card",))
    world = World(trigger)
    world.start()
    world.run(3)
    for number, card in enumerate(["4711-secret", "0815-secret"]):
        world.publish("order.created", {"order": str(number), "card": card}, id=f"o-{number}")
        world.publish("payment.done", {"order": str(number), "amount": "5", "card": card}, id=f"p-{number}")
    world.run(5)
    text = recorded(world)
    assert "secret" not in text
    assert "# Redacted: card." in text
    assert "reads a redacted field" in text
    cards = [event["payload"]["card"] for event in yaml.safe_load(text)["events"]]
    assert (len(set(cards)), len(cards)) == (2, 4)
    assert tried(tmp_path, text, Definition(trigger)).failures == []


@pytest.mark.parametrize(
    ("sensitive", "payload", "expected"),
    [
        (("a",), {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (("a.b",), {"a": {"b": "x", "c": "y"}}, {"a": {"b": "redacted-1", "c": "y"}}),
        (("a",), {"a": {"b": "x", "c": [1.5, None, True]}}, {"a": {"b": "redacted-1", "c": [2.0, None, False]}}),
        ((), {"a": "x"}, {"a": "x"}),
    ],
)
def test_a_stand_in_has_the_type_of_what_it_stands_for(
    sensitive: tuple[str, ...], payload: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert Redaction(sensitive).payload(payload) == expected


def test_equal_values_of_all_events_have_one_stand_in() -> None:
    redaction = Redaction(("a",))
    first, second, third = (redaction.payload({"a": value})["a"] for value in ("x", "y", "x"))
    assert first == third != second
