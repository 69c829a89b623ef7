"""Carrying a plan out: exactly its runs, once, whatever ends the process that does it, and not after a cancel."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bridge.core.event import SECOND
from bridge.kafka.log import FencedError, LogError
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.replays import CANCELLED, PAUSED, Replay, ReplayLog, ReplayOwner
from bridge.replay.request import ReplayError
from unit.replay.replaying import carry_out, draft, execution, orders, outcomes, planned, stands
from unit.stages.world import World, one_slot, parameters_of, two_slots

MAPPED = (("order", "order_created.payload.order"),)


@pytest.fixture
def world() -> World:
    """A world in which ten events came before their trigger."""
    world = World(one_slot(parameters=MAPPED))
    world.start()
    world.run(3)
    for number in range(10):
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
        world.run(1)
    world.triggers[:] = [replace(world.triggers[0], name="later")]
    world.run(20)
    world.created.clear()
    return world


def ran(world: World) -> list[str]:
    return [parameters_of(workflow)["order"] for workflow in world.created]


ALL = [str(number) for number in range(10)]


def test_a_plan_is_carried_out_and_a_second_replay_has_nothing_to_do(world: World) -> None:
    replay, made = planned(world, trigger="default/later")
    assert orders(made) == ALL
    carry_out(world, replay)
    assert ran(world) == ALL
    after = stands(world)
    assert (after.state, after.planned, after.counts) == ("completed", 10, {"submitted": 10})
    assert after.position == after.plan_end
    again = draft(world, "default/later")
    assert (outcomes(again), again.plan.count()) == ({"ran": 10}, 0)
    labels = {workflow.manifest["metadata"]["labels"]["flowbridge.dev/replay"] for workflow in world.created}
    assert labels == {"gap"}


def test_the_newest_may_come_first_and_only_some_if_asked_for(world: World) -> None:
    made = draft(world, "default/later")
    newest = [planned.run.parameters for planned in made.plan.runs(newest_first=True, limit=3)]
    assert newest == [(("order", order),) for order in ("9", "8", "7")]


def test_no_more_runs_are_on_their_way_than_asked_for_and_they_are_sent_at_the_rate(world: World) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=2, rate=1.0)
    begun = world.now
    world.api.set_quota("default", 0)
    replay.begin()
    for _ in range(40):
        replay.step()
        world.run(0.25)
    runs = [record for record in world.records(world.topics.runs) if b"gap" in (record.value or b"")]
    assert len(runs) == 2
    world.api.set_quota("default", None)
    carry_out(world, replay, 400)
    assert sorted(ran(world)) == ALL
    assert world.now - begun >= 9 * SECOND


@pytest.mark.parametrize("step", range(12))
def test_a_process_that_dies_leaves_a_replay_that_another_one_finishes(world: World, step: int) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=3)
    replay.begin()
    for _ in range(step):
        replay.step()
        world.run(0.25)
    second = execution(world, stands(world))  # the first one is gone, and nothing of it was closed
    carry_out(world, second)
    assert Counter(ran(world)) == Counter(ALL)
    after = stands(world)
    assert (after.state, sum(after.counts.values())) == ("completed", 10)
    with pytest.raises(FencedError):
        replay.begin()


def test_what_was_made_meanwhile_is_not_made_again_and_is_told(world: World) -> None:
    first, _ = planned(world, name="one", trigger="default/later")
    second, _ = planned(world, name="two", trigger="default/later")
    carry_out(world, first)
    carry_out(world, second)
    assert Counter(ran(world)) == Counter(ALL)
    assert stands(world, "two").counts == {"ran meanwhile": 10}


def test_two_replays_of_the_same_range_at_once_make_each_run_once(world: World) -> None:
    both = [planned(world, name=name, trigger="default/later", concurrency=2)[0] for name in ("one", "two")]
    for replay in both:
        replay.begin()
    going = list(both)
    for _ in range(400):
        going = [replay for replay in going if replay.step()]
        world.run(0.25)
    assert not going
    assert Counter(ran(world)) == Counter(ALL)
    counts = [stands(world, name).counts for name in ("one", "two")]
    assert [sum(each.values()) for each in counts] == [10, 10]
    assert sum(each.get("submitted", 0) for each in counts) == 10, "a run counts for the replay that has made it"


def test_a_pause_stops_it_and_survives_until_it_is_resumed(world: World) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=1)
    replay.begin()
    for _ in range(6):
        replay.step()
        world.run(0.25)
    owner = ReplayOwner(MemoryLog(world.broker), world.topics, "gap")  # another process takes it over to pause it
    owner.write(replace(stands(world), state=PAUSED))
    with pytest.raises(FencedError):
        carry_out(world, replay)
    before = len(ran(world))
    world.run(30)
    assert len(ran(world)) == before < 10
    assert replay.run().state == PAUSED
    carry_out(world, execution(world, stands(world)))
    assert Counter(ran(world)) == Counter(ALL)


def test_a_cancel_leaves_nothing_behind_that_holds_later_runs(world: World) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=4)
    world.api.set_quota("default", 0)
    replay.begin()
    for _ in range(8):
        replay.step()
        world.run(0.25)
    owner = ReplayOwner(MemoryLog(world.broker), world.topics, "gap")
    owner.write(replace(stands(world), state=CANCELLED))
    world.run(5)
    world.api.set_quota("default", None)
    world.publish("order.created", {"order": "live"})
    world.run(700, 5)
    assert ran(world) == ["live"]
    again, made = planned(world, name="again", trigger="default/later")
    assert orders(made) == ALL
    carry_out(world, again)
    assert Counter(ran(world)) == Counter([*ALL, "live"])


def test_a_replay_is_taken_over_as_it_is_though_another_one_stands_still_in_a_transaction(world: World) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=3)
    replay.begin()
    replay.step()
    other = MemoryLog(world.broker).producer("the process of another replay")
    other.init()
    other.begin()
    other.send(world.topics.replays, 0, b"other", None)
    for _ in range(4):
        replay.step()
        world.run(0.25)
    owner = ReplayOwner(MemoryLog(world.broker), world.topics, "gap")
    with pytest.raises(LogError, match="does not go on"):
        stands(world)
    other.abort()
    assert stands(world).position == replay.replay.position > replay.replay.plan_start
    carry_out(world, execution(world, stands(world), owner))
    assert len([record for record in world.records(world.topics.runs) if b"gap" in (record.value or b"")]) == 10


def test_a_pair_whose_run_waited_when_its_replay_was_cancelled_is_made_whole_by_a_later_replay() -> None:
    world = two_orders_and_a_payment()
    world.api.set_quota("default", 0)
    replay, made = planned(world, trigger="default/later")
    assert made.plan.count() == 1
    replay.begin()
    for _ in range(8):
        replay.step()
        world.run(0.25)
    ReplayOwner(MemoryLog(world.broker), world.topics, "gap").write(replace(stands(world), state=CANCELLED))
    world.run(700, 5)
    world.api.set_quota("default", None)
    again, made = planned(world, name="again", trigger="default/later")
    assert [len(each.run.events) for each in made.plan.runs()] == [2]
    carry_out(world, again)
    assert len(world.created) == 1


def test_no_event_is_used_by_the_runs_of_two_replays_whose_plans_pair_it_in_other_ways() -> None:
    world = two_orders_and_a_payment()
    first, _ = planned(world, name="first", trigger="default/later")
    world.triggers[:] = [replace(world.triggers[0], collect="latest")]
    world.run(15)
    latest, _ = planned(world, name="latest", trigger="default/later")
    carry_out(world, latest)
    carry_out(world, first)
    assert len(world.created) == 1
    assert stands(world, "first").counts == {"ran meanwhile": 1}


def two_orders_and_a_payment() -> World:
    """Return a world in which these came before their trigger, which pairs events in order."""
    trigger = replace(two_slots(), collect="first", slots=tuple(replace(slot, key=None) for slot in two_slots().slots))
    world = World(trigger)
    world.start()
    world.run(3)
    for name, order in (("order.created", "1"), ("order.created", "2"), ("payment.done", "1")):
        world.publish(name, {"order": order, "amount": "1"})
        world.run(1)
    world.triggers[:] = [replace(trigger, name="later")]
    world.run(20)
    world.created.clear()
    return world


def test_an_empty_plan_is_over_at_once() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "1"})
    world.run(3)
    replay, _ = planned(world)
    carry_out(world, replay, 5)
    assert stands(world).state == "completed"


def test_replays_are_listed_the_oldest_first(world: World) -> None:
    for name in ("b", "a"):
        planned(world, name=name, trigger="default/later")
        world.run(1)
    listed = ReplayLog(MemoryLog(world.broker), world.topics).all()
    assert list(listed) == ["b", "a"]
    assert Replay.decode(listed["a"].encode()) == listed["a"]


def test_a_stop_between_two_steps_loses_no_run(world: World) -> None:
    replay, _ = planned(world, trigger="default/later", concurrency=2)
    replay.begin()
    for _ in range(4):
        replay.step()
        world.run(0.25)
    replay.stop()
    assert replay.run().state == PAUSED
    assert stands(world).state == PAUSED
    carry_out(world, execution(world, stands(world)))
    assert Counter(ran(world)) == Counter(ALL)


def test_a_run_that_was_passed_over_is_no_run_on_its_way_after_a_crash(world: World) -> None:
    first, _ = planned(world, name="one", trigger="default/later")
    second, _ = planned(world, name="two", trigger="default/later")
    carry_out(world, first)
    second.begin()
    for _ in range(12):
        if not second.step():
            break
        world.run(0.25)
    carry_out(world, execution(world, replace(stands(world, "two"), state="running")), 30)
    assert stands(world, "two").counts == {"ran meanwhile": 10}


def test_a_plan_that_retention_has_removed_is_told(world: World) -> None:
    replay, _ = planned(world, trigger="default/later")
    made = stands(world)
    world.broker.topics[world.topics.replay_plans].logs[made.partition].purge(made.plan_start + 1)
    replay.begin()
    with pytest.raises(ReplayError, match="the plan of replay gap is gone"):
        carry_out(world, replay)


def test_a_replay_waits_for_another_one_of_its_trigger_that_began_before_it(world: World) -> None:
    first, _ = planned(world, name="one", trigger="default/later", concurrency=1)
    second, _ = planned(world, name="two", trigger="default/later")
    first.begin()
    second.begin()
    first.step()
    for _ in range(8):
        second.step()
        world.run(0.25)
    assert second.replay.position == second.replay.plan_start
    world.run(20)  # the first one makes no progress any more
    carry_out(world, second)
    assert Counter(ran(world)) == Counter(ALL)
