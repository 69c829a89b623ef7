"""A retirement that takes slices is decided once, whatever becomes of its trigger, or of its owner, meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core.event import HOUR, MINUTE
from bridge.core.trigger import WindowPlan
from bridge.stages.matcher import ticks
from unit.stages.window_world import HOURLY, ORDER, PAYMENT, SILENCE, Bridge, windowed

ORDERS = 30
PAIR = windowed(WindowPlan("within", HOUR), ORDER, PAYMENT)


def run_until(bridge: Bridge, is_so: Callable[[], bool]) -> None:
    """Let the world go on, a step at a time, until something is so; for a minute at most."""
    for _ in range(240):
        if is_so():
            return
        bridge.world.run(0.25)
    raise AssertionError("it never came to be so")


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Bridge:
    """Return a bridge with many open windows, whose trigger is changed, in the middle of the retirement."""
    monkeypatch.setattr(ticks, "SLICE", 2)
    bridge = Bridge(PAIR, partitions=1)
    for number in range(ORDERS):
        bridge.order(number)
    bridge.world.triggers[:] = [replace(PAIR, grace=2 * MINUTE)]
    run_until(bridge, lambda: bool(bridge.reasons()))
    bridge.world.triggers[:] = [PAIR]
    return bridge


def test_a_trigger_that_comes_back_between_two_slices_begins_with_empty_windows(bridge: Bridge) -> None:
    bridge.world.run(10)
    assert bridge.reasons() == ["expired"] * ORDERS
    bridge.pay(ORDERS - 1)
    bridge.order(1)
    bridge.pay(1)
    assert bridge.runs() == [{}]
    bridge.check_restoring()
    assert bridge.windows()[0].retiring is None


def test_the_next_owner_of_a_retirement_that_is_under_way_ends_it_as_it_was_begun(bridge: Bridge) -> None:
    bridge.world.run(1.5)
    ended = len(bridge.reasons())
    assert ended < ORDERS - 2
    assert bridge.process.stage("matcher")._definitions.is_in_force(PAIR.identity, PAIR.condition_hash)
    bridge.restart()
    bridge.world.run(10)
    assert bridge.reasons() == ["expired"] * ORDERS
    bridge.check_restoring()


def test_a_switch_that_comes_back_between_two_slices_is_armed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "SLICE", 1)
    trigger = windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),))
    bridge = Bridge(trigger, partitions=1)
    bridge.wait(60)
    for number in range(9):
        bridge.order(number)
    bridge.world.triggers[:] = [replace(trigger, grace=2 * MINUTE)]
    matcher = bridge.process.stage("matcher")
    run_until(bridge, lambda: matcher.windows[0].retiring is not None)
    bridge.world.triggers[:] = [trigger]
    bridge.world.run(10)
    bridge.wait(2 * 3_600)
    assert bridge.runs() == [{"order": "silence"}]
