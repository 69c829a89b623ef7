"""The promises of the definitions that the stages of a process read: all share them, however many there are."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from bridge.kafka.memory.log import MemoryLog
from bridge.stages.shared import definitions
from bridge.stages.shared.definitions import Definitions
from unit.stages.world import World, one_slot


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
