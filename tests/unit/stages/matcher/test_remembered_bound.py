"""How many events of a condition a partition remembers is bounded, and counted alike before and after a restart."""

from __future__ import annotations

import pytest

from bridge.core.event import HOUR
from bridge.core.trigger import WindowPlan
from unit.stages.window_world import ORDER, PAYMENT, Bridge, windowed


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_is_beyond_the_bound_is_decided_so_and_only_what_is_remembered_counts(*, is_restarted: bool) -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    bridge.order(1)
    bridge.pay(1)  # the order's deadline, which is of no use now, is not counted
    if is_restarted:
        bridge.restart()
    matcher = bridge.process.stage("matcher")
    matcher._bounds = matcher._bounds._replace(remembered=3)
    bridge.order(2)
    bridge.order(3)
    bridge.pay(2)
    assert bridge.reasons() == ["matched", "matched", "over-bound", "over-bound"]
    assert bridge.windows()[0].contents().counts == {("default/ship", bridge.world.triggers[0].condition_hash): 3}
    bridge.wait(3 * 3_600)
    bridge.order(4)
    bridge.pay(4)
    assert bridge.reasons()[-3:] == ["expired", "matched", "matched"]
    bridge.check_restoring()
