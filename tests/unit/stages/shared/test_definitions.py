"""The promises of the definitions that the stages of a process read: all share them, however many there are."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.definition import Definition
from bridge.core.trigger import RunPlan, Slot
from bridge.kafka.memory.log import MemoryLog
from bridge.stages.shared import definitions
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.garbage import LARGE, BatchGarbageCollector
from unit.stages.world import World, one_slot


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("number", [2, 12])
def test_many_definitions_are_left_out_of_collections(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(definitions, "_SIZE", LARGE // 10)
    world = World(*[replace(one_slot(), name=f"ship-{place}") for place in range(number)])
    world.start(stages=("controller",))
    world.run(3)
    before = gc.get_freeze_count()
    Definitions(MemoryLog(world.broker), world.topics.triggers, lambda: world.now).refresh()
    assert (gc.get_freeze_count() > before) is (number >= 10)


@pytest.mark.usefixtures("no_collections")
def test_what_a_failed_stage_has_read_is_freed_though_it_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "_SIZE", LARGE)
    world = World(one_slot())
    world.start(stages=("controller",))
    world.run(3)
    read = Definitions(MemoryLog(world.broker), world.topics.triggers, lambda: world.now)
    read.refresh()
    read.close()
    freed, frozen = weakref.ref(read), gc.get_freeze_count()
    del read
    assert frozen > 0
    collector = BatchGarbageCollector()
    collector.look_at_everything()
    assert freed() is not None
    collector.after_failure()
    assert freed() is None
    assert gc.get_freeze_count() > 0  # what is alive is left out again


@pytest.mark.usefixtures("no_collections")
def test_a_definition_has_no_cycles_so_it_is_freed_with_its_last_reference() -> None:
    slot = Slot("order.created", "order", 'payload.order == "7" && payload.name.matches("^a") && payload.rows % 3 > 1')
    definition = Definition(replace(one_slot(), slots=(slot,), run=RunPlan("ship", "default", (("order", "order"),))))
    where = definition.slots[0].where
    assert where is not None
    assert where.shortcut is not None
    freed: list[weakref.ref[Any]] = [weakref.ref(definition), weakref.ref(where), weakref.ref(where.shortcut)]
    del definition, where
    assert [reference() for reference in freed] == [None, None, None]


def test_stages_share_definitions_as_compiled_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "_newest", deque(maxlen=2))  # kept though no stage knows them
    world = World(*[replace(one_slot(), name=f"ship-{number}") for number in range(10)])
    world.start(stages=("controller",))
    world.run(3)
    stages = []
    for _ in range(2):
        stages.append(Definitions(MemoryLog(world.broker), world.topics.triggers, lambda: world.now))
        stages[-1].refresh()
    first, second = (stage.in_force for stage in stages)
    assert len(first) == 10
    assert all(second[name] is definition for name, definition in first.items())
