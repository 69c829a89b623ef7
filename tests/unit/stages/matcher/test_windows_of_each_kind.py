"""Each kind of window from event to Workflow, told with the bridge killed and started again after each happening.

Clocks begin at 22:13:20 UTC. Whatever is killed, what comes out is the same, and at each step the changelog says what
the matcher holds.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import WindowPlan
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import RegistryUnavailableError
from kinds import KINDS
from unit.stages.window_world import ALL_ORDERS, HOURLY, NO_PAYMENT, ONE_EACH, ORDER, SILENCE, Bridge, windowed

STORIES = {name: story for kind in KINDS.values() for name, story in kind.stories.items()}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_of_a_window_comes_out_as_it_should(name: str) -> None:
    trigger, happenings, runs, reasons = STORIES[name]
    bridge = Bridge(trigger)
    for happens in happenings:
        happens(bridge)
        bridge.check_restoring()
    assert bridge.runs() == runs
    assert sorted(bridge.reasons()) == sorted(reasons)


@pytest.mark.parametrize("name", STORIES)
def test_a_story_comes_out_the_same_when_the_bridge_is_killed_in_the_middle_of_it(name: str) -> None:
    trigger, happenings, runs, reasons = STORIES[name]
    bridge = Bridge(trigger)
    for happens in happenings:
        happens(bridge)
        bridge.restart()
    assert bridge.runs() == runs
    assert sorted(bridge.reasons()) == sorted(reasons)


def test_a_dead_mans_switch_matches_though_nothing_ever_comes_and_once_for_each_window() -> None:
    bridge = Bridge(windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),)))
    bridge.wait(3 * 3_600)
    assert len(bridge.runs()) == 2  # 22:00 had begun before
    bridge.check_restoring()
    bridge.restart()
    bridge.wait(3_600)
    assert len(bridge.runs()) == 3


def test_only_one_partition_watches_a_dead_mans_switch() -> None:
    bridge = Bridge(windowed(WindowPlan("every", schedule=HOURLY), SILENCE), partitions=7)
    bridge.wait(60)
    assert sum(bool(window.contents().clocks) for window in bridge.windows().values()) == 1


def test_a_dead_mans_switch_catches_up_after_an_outage_with_what_happened_in_each_window() -> None:
    bridge = Bridge(windowed(WindowPlan("every", schedule=HOURLY), SILENCE, run=(("order", "'silence'"),)))
    bridge.wait(60)
    bridge.process.crash()
    bridge.world.processes.remove(bridge.process)
    bridge.world.run(100 * 60, step=60)  # until 23:54
    bridge.world.publish("order.created", {"order": 7})
    bridge.world.run(3 * 3_600, step=600)  # until 02:54
    bridge.process = bridge.world.start("p2")
    bridge.world.run(60, step=0.5)
    assert len(bridge.runs()) == 2  # 00:00 and 01:00; an event happened after 23:00
    assert bridge.reasons() == ["matched"]


def test_an_absence_does_not_fire_wrongly_after_an_outage_longer_than_the_window() -> None:
    absent = windowed(WindowPlan("within", 10 * MINUTE), ORDER, NO_PAYMENT, run=ONE_EACH, dedupe=HOUR)
    bridge = Bridge(absent)
    bridge.order()
    bridge.process.crash()
    bridge.world.processes.remove(bridge.process)
    bridge.world.run(5 * 60, step=60)
    bridge.world.publish("payment.done", {"order": 7, "amount": 1})
    bridge.world.run(3_600, step=600)
    bridge.process = bridge.world.start("p2")
    bridge.world.run(30, step=0.5)
    assert bridge.runs() == []
    assert sorted(bridge.reasons()) == ["cancelled", "matched"]


class AwayOnce(Decoder):
    """A decoder whose schema registry does not answer the first time that it is asked behind a window."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self._calls = calls

    def decode(self, *given: Any, **named: Any) -> Any:
        self._calls.append("asked")
        if len(self._calls) == FIRST_AT_CLOSE:
            raise RegistryUnavailableError("the registry does not answer")
        return super().decode(*given, **named)


FIRST_AT_CLOSE = 3  # the router asks for both orders first


def test_a_match_at_a_close_waits_for_its_schema_and_is_made_once() -> None:
    calls: list[str] = []
    bridge = Bridge(windowed(WindowPlan("settle", 5 * SECOND), run=ALL_ORDERS, collect="all"), partitions=1)
    bridge.process.crash()
    bridge.world.processes.clear()
    bridge.world.decoder = lambda: AwayOnce(calls)
    bridge.process = bridge.world.start("p2")
    bridge.world.run(12, step=0.5)
    bridge.order(1)
    bridge.order(2, amount=9)
    bridge.world.run(30, step=0.5)
    assert len(calls) == FIRST_AT_CLOSE + 2
    assert sorted(run["amount"] for run in bridge.runs()) == ["1", "9"]
    assert bridge.reasons() == ["matched", "matched"]
    bridge.check_restoring()
