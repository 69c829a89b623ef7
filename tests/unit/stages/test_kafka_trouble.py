"""Kafka in trouble: what cannot be asked, read or trusted holds up what depends on it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.kafka.log import Partition
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.records import START, kind_of
from unit.stages.world import Process, World, one_slot, two_slots

ORDERS, PAYMENTS = "order.created", "payment.done"
SHORT = {"window": WindowPlan("within", 20 * SECOND), "grace": 5 * SECOND, "dedupe": MINUTE}


def other_pair() -> Trigger:
    """Return a pair of other events than ``two_slots`` has."""
    slots = (Slot("x", "x", key="payload.order"), Slot("y", "y", key="payload.order"))
    return replace(
        two_slots(**SHORT, slots=slots, run=RunPlan("ship", "default", (("order", "x.payload.order"),))), name="bad"
    )


def single(topic: str) -> Trigger:
    return replace(one_slot(), name=topic, slots=(Slot(topic, topic),))


def starts_of(world: World) -> list[list[int]]:
    values = (record.value for record in world.records("fb.triggers"))
    return [START.decode(value)["offsets"] for value in values if value and kind_of(value) == "start"]


def errors_of(process: Process) -> list[str]:
    return [str(error) for errors in process.stage("router")._definitions.errors.values() for error in errors]


# -- partitions without a leader ---------------------------------------------------------------------------------------


def test_no_tick_overtakes_an_event_in_a_partition_without_a_leader() -> None:
    world = World(two_slots(**SHORT))
    process = world.start()
    world.run(3)
    order = world.publish(ORDERS, {"order": 1})
    world.run(3)
    world.publish(PAYMENTS, {"order": 1, "amount": 5}, partition=1)
    world.broker.leaderless.add(Partition(PAYMENTS, 1))
    world.run(120)
    assert world.reasons_of(order) == ["waiting"]
    assert process.troubles == []
    world.broker.leaderless.clear()
    world.run(10)
    assert len(world.workflows()) == 1


def test_a_partition_without_a_leader_holds_up_the_windows_of_its_triggers_alone() -> None:
    world = World(two_slots(**SHORT), other_pair())
    process = world.start()
    world.run(3)
    held, free = world.publish("x", {"order": 1}), world.publish(ORDERS, {"order": 1})
    world.run(3)
    world.broker.leaderless.add(Partition("x", 1))
    world.run(90)
    assert world.reasons_of(held) == ["waiting"]
    assert world.reasons_of(free) == ["waiting", "expired"]
    assert process.troubles == []
    world.broker.leaderless.clear()
    world.run(30)
    assert world.reasons_of(held) == ["waiting", "expired"]


def test_windows_are_never_restored_from_an_answer_that_leaves_their_changelog_out() -> None:
    world = World(two_slots())
    first = world.start()
    world.run(3)
    for number in range(8):
        world.publish(ORDERS, {"order": number})
    world.run(3)
    first.crash()
    world.broker.left_out.add("fb.windows")
    second = world.start("p2")
    world.run(20)
    assert second.troubles
    world.broker.left_out.clear()
    for number in range(8):
        world.publish(PAYMENTS, {"order": number, "amount": 1})
    world.run(20)
    assert len(world.workflows()) == 8


@pytest.mark.parametrize("habit", ["left out", "leaderless"])
def test_a_ledger_is_never_restored_from_no_answer(habit: str) -> None:
    world = World(one_slot())
    first = world.start()
    world.run(3)
    for number in range(4):
        world.publish(ORDERS, {"order": number}, id=f"same{number}")
    world.run(5)
    first.crash()
    if habit == "left out":
        world.broker.left_out.add("fb.ledger")
    else:
        world.broker.leaderless.update({Partition("fb.ledger", 0), Partition("fb.ledger", 1)})
    world.start("p2")
    for number in range(4):
        world.publish(ORDERS, {"order": number}, id=f"same{number}")
    world.run(20)
    world.broker.left_out.clear()
    world.broker.leaderless.clear()
    world.run(20)
    assert len(world.created) == 4
    assert world.reasons().count("already-ran") == 4


def test_a_trigger_whose_topic_cannot_be_begun_yet_is_reported_and_begins_where_it_says_later() -> None:
    world = World(single("sound"))
    world.topic(ORDERS)
    for number in range(3):
        world.publish(ORDERS, {"order": number}, partition=1)
    world.broker.leaderless.add(Partition(ORDERS, 1))
    process = world.start()
    world.run(3)
    world.triggers.append(one_slot())
    world.run(20)
    assert starts_of(world) == [[0, 0]]
    assert any("order.created" in error and "leader" in error for error in errors_of(process))
    process.crash()
    process = world.start("p2")
    world.broker.leaderless.clear()
    world.run(20)
    assert starts_of(world) == [[0, 0], [0, 3]]
    assert errors_of(process) == []
    event = world.publish(ORDERS, {"order": 9}, partition=1)
    world.run(5)
    assert world.reasons_of(event) == ["matched"]


# -- topics that are missing, forbidden or left out --------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["read", "describe"])
@pytest.mark.parametrize("when", ["before the start", "while it is read"])
def test_a_forbidden_topic_stops_its_own_triggers_alone_and_comes_back_by_itself(operation: str, when: str) -> None:
    world = World(single("secret"), one_slot())
    if when == "before the start":
        world.broker.denied["secret"] = operation  # type: ignore[assignment]  # one of the operations of its type
        process = world.start()
        world.run(3)
    else:
        process = world.start()
        world.run(3)
        world.broker.denied["secret"] = operation  # type: ignore[assignment]  # one of the operations of its type
    world.run(20)
    troubles = len(process.troubles)
    for number in range(5):
        world.publish(ORDERS, {"order": number})
        world.run(10)
    assert len(process.troubles) == troubles
    assert troubles <= 4, "each stage starts over once at most"
    assert len(world.workflows()) == 5
    assert any("secret" in error and "may not" in error for error in errors_of(process))
    world.broker.denied.clear()
    world.run(25)
    event = world.publish("secret", {"order": 9})
    world.run(15)
    assert world.reasons_of(event) == ["matched"]
    assert errors_of(process) == []


def test_a_topic_that_was_deleted_stops_its_own_triggers_alone_and_is_read_when_it_is_there_again() -> None:
    world = World(single("gone"), one_slot())
    world.new_topic = None
    process = world.start()
    world.run(3)
    world.broker.delete("gone")
    world.run(20)
    world.publish(ORDERS, {"order": 1})
    world.run(5)
    assert len(world.workflows()) == 1
    assert any("gone does not exist" in error for error in errors_of(process))
    world.topic("gone")
    event = world.publish("gone", {"order": 9})
    world.run(30)
    assert world.reasons_of(event) == ["matched"]
    assert errors_of(process) == []


def test_a_stale_brokers_answer_without_a_topic_does_not_make_time_safe() -> None:
    world = World(two_slots(**SHORT))
    world.start("p1", ("controller", "matcher", "submitter"))
    router = world.start("p2", ("router",))
    world.run(3)
    order = world.publish(ORDERS, {"order": 1})
    world.run(3)
    router.crash()
    world.publish(PAYMENTS, {"order": 1, "amount": 5})
    world.run(12)
    world.broker.left_out.add(PAYMENTS)
    world.run(40)
    world.broker.left_out.clear()
    world.run(5)
    assert world.reasons_of(order) == ["waiting"]
    world.start("p3", ("router",))
    world.run(10)
    assert len(world.workflows()) == 1


# -- batches and offsets -----------------------------------------------------------------------------------------------


def test_a_batch_that_cannot_be_read_sets_its_partition_aside_and_others_go_on() -> None:
    world = World(one_slot())
    process = world.start()
    world.run(3)
    bad = world.publish(ORDERS, {"order": 1})
    world.broker.unfetchable[Partition(ORDERS, 0)] = 0
    for number in range(5):
        world.publish(ORDERS, {"order": number}, partition=1)
        world.run(10)
    assert process.troubles == []
    assert len(world.workflows()) == 5
    assert world.reasons_of(bad) == []
    world.broker.unfetchable.clear()
    world.run(70)
    assert world.reasons_of(bad) == ["matched"]


def test_to_continue_after_a_truncation_reads_again_what_came_within_a_day_and_doubles_nothing() -> None:
    world = World(one_slot())
    world.lost_offsets = "continue"
    old = [world.publish(ORDERS, {"order": number}) for number in range(3)]
    process = world.start()
    world.run(3)
    old = [world.publish(ORDERS, {"order": number}) for number in range(3)]
    world.run(3)
    world.now += 48 * HOUR
    recent = [world.publish(ORDERS, {"order": number}) for number in range(4)]
    world.run(3)
    process.crash()
    world.broker.truncate(Partition(ORDERS, 0), 8)
    new = world.publish(ORDERS, {"order": 9})
    process = world.start("p2")
    world.run(20)
    assert [world.reasons_of(event) for event in old] == [["matched"]] * 3
    assert [world.reasons_of(event)[0] for event in recent] == ["matched"] * 4
    assert world.reasons_of(new) == ["matched"]
    assert len(world.created) == 8


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_step_of_the_wall_clock_stops_nothing(step: int) -> None:
    world = World(two_slots(**SHORT))
    process = world.start()
    world.run(5)
    world.clock_error = step
    world.run(5)
    world.clock_error = 0
    world.topic("new")
    world.triggers.append(single("new"))
    event = world.publish(ORDERS, {"order": 7})
    world.run(60)
    assert world.reasons_of(event) == ["waiting", "expired"]
    assert "default/new" in process.stage("router")._definitions.in_force


def test_a_matcher_whose_clock_is_ahead_ends_no_window_early() -> None:
    world = World(two_slots(**SHORT))
    world.clock_error = HOUR
    world.start()
    world.run(3)
    order = world.publish(ORDERS, {"order": 1}, ago=-0)
    world.run(15)
    world.publish(PAYMENTS, {"order": 1, "amount": 5})
    world.run(5)
    assert world.reasons_of(order)[-1] == "matched"
    late = world.publish(ORDERS, {"order": 2})
    world.run(60)
    assert world.reasons_of(late) == ["waiting", "expired"]


# -- fencing -----------------------------------------------------------------------------------------------------------


def test_a_dead_router_is_fenced_once_however_many_partitions_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    fenced: list[str] = []
    fence = MemoryAdmin.fence

    def seen(admin: MemoryAdmin, transactional_id: str) -> None:
        fenced.append(transactional_id)
        fence(admin, transactional_id)

    monkeypatch.setattr(MemoryAdmin, "fence", seen)
    pairs = [
        replace(
            two_slots(
                slots=(Slot(f"a{number}", "a", key="payload.order"), Slot(f"b{number}", "b", key="payload.order")),
                run=RunPlan("ship", "default", (("order", "a.payload.order"),)),
            ),
            name=f"t{number}",
        )
        for number in range(8)
    ]
    world = World(two_slots(), *pairs)
    process = world.start()
    world.run(4)
    events = [world.publish(f"a{number}", {"order": number}) for number in range(8)]
    world.run(2)
    process.crash()
    world.triggers[1:] = []
    world.start("p2", ("controller", "matcher", "submitter"))
    world.run(90, step=0.5)
    assert [owner for owner in fenced if "router" in owner] == ["fb.router-p1"]
    assert [world.reasons_of(event)[-1] for event in events] == ["expired"] * 8
