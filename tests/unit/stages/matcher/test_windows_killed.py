"""The bridge is killed right before and right after each of its effects while time ends windows of each kind."""

from __future__ import annotations

import pytest

from bridge.core.event import HOUR, MINUTE
from bridge.core.trigger import Trigger, WindowPlan
from unit.stages.effects import EFFECTS
from unit.stages.window_world import HOURLY, NO_PAYMENT, ORDER, SILENCE, Bridge, windowed

TRIGGERS: dict[str, Trigger] = {
    "every, all": windowed(WindowPlan("every", schedule=HOURLY), collect="all"),
    "session": windowed(WindowPlan("session", 45 * MINUTE), collect="all"),
    "settle": windowed(WindowPlan("settle", 46 * MINUTE), collect="all"),
    "within, absent": windowed(WindowPlan("within", 45 * MINUTE), ORDER, NO_PAYMENT, dedupe=2 * HOUR),
}


@pytest.mark.parametrize("effect", [effect for effect in EFFECTS if "abort" not in effect and "create" not in effect])
@pytest.mark.parametrize("name", TRIGGERS)
def test_windows_end_once_wherever_the_bridge_is_killed_meanwhile(name: str, effect: str) -> None:
    bridge = Bridge(TRIGGERS[name])
    for number in range(3):
        bridge.order(number)
    bridge.wait(45 * 60)
    bridge.process.at(effect, bridge.process.kill_here, nth=3)
    bridge.world.run(200, step=1)
    assert bridge.process.is_dead
    bridge.world.processes.remove(bridge.process)
    bridge.process = bridge.world.start("p2")
    bridge.world.run(12, step=0.5)
    bridge.wait(180)
    assert len(bridge.runs()) == 3
    assert bridge.reasons() == ["matched"] * 3
    bridge.check_restoring()


@pytest.mark.parametrize("effect", ["before send", "after send", "before commit", "after commit"])
def test_a_dead_mans_switch_matches_once_wherever_the_bridge_is_killed_meanwhile(effect: str) -> None:
    bridge = Bridge(windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),)))
    bridge.wait((46 + 60) * 60)  # 22:00 is not watched, 23:00 is nearly over
    bridge.process.at(effect, bridge.process.kill_here, nth=2)
    bridge.world.run(180, step=1)
    assert bridge.process.is_dead
    bridge.world.processes.remove(bridge.process)
    bridge.process = bridge.world.start("p2")
    bridge.world.run(12, step=0.5)
    bridge.wait(180)
    assert bridge.runs() == [{"order": "silence"}]
    bridge.check_restoring()
