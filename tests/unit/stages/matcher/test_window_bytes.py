"""How much memory windows take is bounded, with a share for each trigger, and counted alike after a restart."""

from __future__ import annotations

import logging

import pytest

from bridge.core.decision import Reason
from bridge.core.event import HOUR, EventIdentity
from bridge.core.trigger import WindowPlan
from bridge.core.windows.window import Spent
from bridge.kafka.observer import Unobserved
from bridge.stages.matcher.window_indexes import Usage, held_bytes
from bridge.stages.matcher.window_records import Place, WindowKey
from unit.stages.window_world import ORDER, PAYMENT, Bridge, windowed

BOUND = 100_000
LARGE = 10_000
"""Bytes of a payload: seven of them fit into three quarters of the bound."""


def large_order(bridge: Bridge, number: int) -> None:
    bridge.world.publish("order.created", {"order": number, "text": "x" * LARGE})
    bridge.world.run(1)


def bounded(bridge: Bridge, held: int = BOUND) -> None:
    matcher = bridge.process.stage("matcher")
    matcher._bounds = matcher._bounds._replace(bytes=held, disk=0)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_arrivals_beyond_the_bytes_are_over_bound_and_one_that_completes_a_match_makes_room(
    *, is_restarted: bool
) -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    bounded(bridge)
    for number in range(6):
        large_order(bridge, number)
    assert bridge.reasons() == []
    if is_restarted:
        bridge.restart()
        bounded(bridge)
    large_order(bridge, 6)
    large_order(bridge, 7)
    assert bridge.reasons() == ["over-bound"] * 2
    last = bridge.world.decisions[-1]
    windows = bridge.windows()[0]
    assert last.evidence["bound"] == f"{BOUND} bytes"
    assert last.evidence["held"] == last.evidence["held_by_trigger"] == str(windows.size)
    assert 6 * LARGE < windows.size < BOUND
    bridge.pay(0)
    assert bridge.reasons()[-2:] == ["matched", "matched"]
    large_order(bridge, 8)
    assert bridge.reasons()[-1] == "matched"  # it waits
    bridge.check_restoring()


def test_what_was_held_before_the_bound_was_lowered_is_restored_and_leaves_before_more_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    for number in range(10):
        large_order(bridge, number)
    bridge.world.window_bytes = BOUND
    with caplog.at_level(logging.ERROR):
        bridge.restart()
    assert "the windows of partition 0 take" in caplog.text
    assert "window_bytes" in caplog.text
    large_order(bridge, 10)
    assert bridge.reasons() == ["over-bound"]
    for number in range(6):
        bridge.pay(number)
    large_order(bridge, 11)
    assert bridge.reasons() == ["over-bound", *["matched"] * 12]
    bridge.check_restoring()


def test_identities_alone_meet_the_bound_too() -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    bounded(bridge, 8_000)
    for number in range(10):
        bridge.order(number)
        bridge.pay(number)
    reasons = bridge.reasons()
    assert reasons[:2] == ["matched", "matched"]
    assert set(reasons) == {"matched", "over-bound"}
    assert bridge.windows()[0].size < 8_000
    bridge.wait(4 * 3_600)
    assert (bridge.windows()[0].size, bridge.windows()[0].contents().sizes) == (0, {})
    bridge.order(11)
    bridge.pay(11)
    assert bridge.reasons()[-2:] == ["matched", "matched"]


def test_a_trigger_that_holds_much_leaves_room_for_those_that_hold_little() -> None:
    usage, greedy, modest = Usage(), ("default/greedy", "g"), ("default/modest", "m")
    size = 0
    while usage.has_room(greedy, 1_000, BOUND):
        usage.add(greedy, 1_000)
        size += 1_000
    assert size == 3 * BOUND // 4
    given = 0
    while usage.has_room(modest, 1_000, BOUND):
        usage.add(modest, 1_000)
        given += 1_000
    assert given >= BOUND // 8
    assert not usage.has_room(greedy, 1_000, BOUND)
    assert usage.size <= BOUND


def test_long_texts_of_an_event_count() -> None:
    short = Place(WindowKey("default/ship", "c", "k"), 0, EventIdentity("order.created", "shop", "1"))
    long = short._replace(event=EventIdentity("order.created", "shop", "é😀" * 1_000))
    spent = Spent(0, 0, 0, Reason.MATCHED)
    assert held_bytes(long, spent) - held_bytes(short, spent) > 7_900


class Told(Unobserved):
    """Keeps what it hears of windows."""

    def __init__(self) -> None:
        self.by_partition: dict[int, int | None] = {}

    def window_bytes(self, partition: int, in_memory: int | None, on_disk: int | None) -> None:
        """Keep it."""
        del on_disk
        self.by_partition[partition] = in_memory


def test_the_bytes_that_a_partition_holds_are_told() -> None:
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    told = bridge.process.stage("matcher")._observer = Told()
    large_order(bridge, 1)
    assert told.by_partition == {0: bridge.windows()[0].size}
    assert bridge.windows()[0].size > LARGE
    bridge.process.stop()
    assert told.by_partition == {0: None}
