"""Timers: a tick never overtakes what came before it, and ends much in slices, each thing once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bridge.core.event import MINUTE, SECOND, Micros
from bridge.kafka.memory.log import MemoryLog
from bridge.stages.matcher.ticks import TickPlanner
from bridge.stages.matcher.window_store import WindowStore
from unit.stages.world import World, two_slots


def pay(world: World) -> None:
    world.publish("payment.done", {"order": 7, "amount": 1})


def test_no_tick_overtakes_an_event_that_a_router_has_not_read_yet() -> None:
    world = World(two_slots())
    router = world.start("r", ("router",))
    world.start("p", ("controller", "matcher", "submitter"))
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    world.processes.remove(router)  # a backlog
    pay(world)
    world.run(30 * 60, step=10)
    assert world.reasons() == ["waiting"]
    world.processes.append(router)
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]
    assert "expired" not in world.reasons()


def test_no_tick_overtakes_an_event_of_a_dead_router_whose_partitions_nobody_has() -> None:
    world = World(two_slots())
    router = world.start("r", ("router",))
    world.start("p", ("controller", "matcher", "submitter"))
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    pay(world)
    router.at("before commit", router.kill_here)
    router.step("router")
    world.run(30 * 60, step=10)
    assert world.reasons() == ["waiting"]
    world.start("r2", ("router",))
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_a_publishers_open_transaction_holds_its_topics_timers() -> None:
    world = World(two_slots())
    world.broker.transaction_timeout = 10**9
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    publisher = MemoryLog(world.broker).producer("publisher")
    publisher.init()
    publisher.begin()
    publisher.send("payment.done", 0, None, world.encoder.encode("payment.done", {"order": 7, "amount": 1}))
    world.run(30 * 60, step=10)
    assert world.reasons() == ["waiting"]
    publisher.commit()
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_a_partition_that_was_just_added_holds_timers_too() -> None:
    world = World(two_slots())
    router = world.start("r", ("router",))
    world.start("p", ("controller", "matcher", "submitter"))
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(10 * 60 + 55, step=5)
    world.processes.remove(router)
    world.broker.grow("payment.done", 3)
    world.publish("payment.done", {"order": 7, "amount": 1}, partition=2, ago=2 * MINUTE)
    world.run(9, step=0.5)
    world.processes.append(router)
    world.run(3)
    assert len(world.workflows()) == 1


def test_an_event_is_ended_once_its_time_is_safe() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(11 * 60 - 5, step=5)
    assert world.reasons() == ["waiting"]
    world.run(15, step=0.5)
    assert world.reasons() == ["waiting", "expired"]


def test_much_that_ends_at_once_ends_in_slices_and_a_crash_between_them_ends_nothing_twice() -> None:
    world = World(two_slots(), partitions=1)
    process = world.start()
    world.run(3)
    for number in range(2_300):
        world.publish("order.created", {"order": number})
    world.run(5)
    assert world.reasons().count("waiting") == 2_300
    world.run(11 * 60 - 20, step=20)
    world.decisions.clear()
    world.start("p2")
    world.processes.remove(process)
    matcher = process.loops["matcher"]
    assert matcher is not None
    ended: list[int] = []
    while not ended or ended[-1] < 2_000:  # the first two slices, one transaction each
        world.now += SECOND
        for stage in ("router", "matcher"):
            process.step(stage)
        ended.append(world.reasons().count("expired"))
    assert [count for count in ended if count] == [1_000, 2_000]
    log = world.broker.topics["fb.arrivals"].logs[0]
    assert (world.committed("matcher", "fb.arrivals") or 0) < log.end - 1, "the tick is not passed"
    process.at("before commit", process.kill_here)
    process.step("matcher")
    assert process.is_dead
    world.run(12, step=0.5)
    assert world.reasons().count("expired") == 2_300
    assert len({decision.event for decision in world.decisions}) == 2_300  # type: ignore[union-attr]  # decisions on events
    restored = world.processes[0].stage("matcher").windows[0]
    assert not restored.open_windows


def test_an_identity_that_comes_again_after_it_was_forgotten_waits_its_whole_time() -> None:
    world = World(two_slots(dedupe=2 * MINUTE))
    world.start()
    world.run(3)
    for _ in range(2):
        world.publish("order.created", {"order": 7}, id="again")
        pay(world)
        world.run(2)
        assert "duplicate" not in world.reasons()
        world.run(3 * 60, step=5)  # forgotten, long before its first wait would have ended
    world.publish("order.created", {"order": 7}, id="again")
    world.run(8 * 60, step=5)
    assert world.reasons().count("expired") == 0


def test_a_plan_of_ticks_that_takes_long_leaves_time_for_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(two_slots(), partitions=1)
    world.start()
    world.run(5)
    world.publish("order.created", {"order": 1})
    world.run(5)
    world.now += 3_600 * SECOND
    plan = TickPlanner.plan

    def slow_plan(self: TickPlanner, windows: Mapping[int, WindowStore], now: Micros) -> Iterator[Any]:
        world.now += 3 * SECOND
        yield from plan(self, windows, now)

    monkeypatch.setattr(TickPlanner, "plan", slow_plan)
    pay(world)
    world.publish("order.created", {"order": 7})
    world.run(20)
    assert world.workflows() == [{"order": "7", "amount": "1"}]
    assert "expired" in world.reasons()
