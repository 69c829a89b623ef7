"""The default mapping takes the fields that the WorkflowTemplate names, and names what it cannot fill."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.stages.world import World, one_slot

TOPIC = "order.created"
TEXT = """
{"type": "record", "name": "order", "fields": [
    {"name": "order", "type": "string"},
    {"name": "auc", "type": "double", "default": 0},
    {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0}
]}
"""


def typed(parameters: tuple[str, ...] = (), defaults: tuple[str, ...] = ()) -> World:
    """Return a world whose events are typed, and whose template takes these parameters."""
    schemas = EventSchemas.of([EventSchema.parse(TOPIC, TEXT, "order.avsc")])
    world = World(one_slot())
    world.encoder, world.decoder = Encoder(schemas), lambda: Decoder(schemas)
    world.api.add_template("default", "ship", parameters, defaults=defaults)
    world.start()
    world.run(3)
    return world


def publish_nan(world: World) -> None:
    """Publish an event with a NaN, as publishers do that do not use the SDK."""
    value = world.encoder.encode(TOPIC, {"order": "a", "auc": 1.5})
    nan = value.replace(struct.pack("<d", 1.5), struct.pack("<d", float("nan")))
    assert nan != value
    world.broker.append(TOPIC, 0, None, nan)


def test_a_nan_that_no_parameter_takes_is_in_no_runs_way() -> None:
    world = typed(("order",))
    publish_nan(world)
    world.run(2)
    assert world.workflows() == [{"order": "a"}]
    assert world.letters() == []


@pytest.mark.parametrize("taken", [{"parameters": ("order", "auc")}, {"parameters": ("order",), "defaults": ("auc",)}])
def test_a_nan_that_a_parameter_takes_is_a_dead_letter_that_names_it(taken: dict[str, Any]) -> None:
    world = typed(**taken)
    publish_nan(world)
    world.run(2)
    assert world.workflows() == []
    (letter,) = world.letters()
    assert letter["text"].startswith("parameter 'auc': JSON has no such number")


def test_a_parameter_that_the_template_requires_and_the_event_lacks_is_a_dead_letter_that_names_it() -> None:
    world = World(one_slot())
    world.api.add_template("default", "ship", ("from", "to"), defaults=("dry-run",))
    world.start()
    world.run(3)
    world.publish(TOPIC, {"from": "2026-01-01"})
    world.publish(TOPIC, {"from": "2026-01-01", "to": "2026-02-01"})
    world.run(2)
    assert world.workflows() == [{"from": "2026-01-01", "to": "2026-02-01"}]
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("submitter", "refused")
    assert "the WorkflowTemplate default/ship requires the parameter 'to'" in letter["text"]
    assert "Publish the event with it" in letter["text"]
    assert world.reasons().count("refused") == 1
