"""A record whose processing kills its process goes to the dead letters by itself; all others get through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bridge.kafka.log import AbortableError, Committed, Partition
from bridge.kafka.ownership import Note, disown, read_note
from bridge.kafka.suspects import IsolationLock
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.process import group_of
from flowbridge_sdk.codec import Decoder
from unit.stages.world import Process, World, one_slot, two_slots

TOPIC = "order.created"
UPSTREAM = ("controller", "submitter")
LATER = 8  # seconds after which a group does without a member that was killed


def deadly(world: World) -> None:
    """Let every process die that decodes the order ``poison``."""

    class DeadlyDecoder(Decoder):
        def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
            payload = super().decode(topic, value, headers)
            if payload["order"] == "poison":
                stepping(world).kill_here()
            return payload

    world.decoder = DeadlyDecoder


def stepping(world: World) -> Process:
    return next(process for process in world.processes if process.is_busy and not process.is_dead)


def started_again(world: World, name: str, *stages: str, most: int = 10) -> int:
    """Start a process each time the one before was killed; return how many starts it took until one lived."""
    for number in range(1, most + 1):
        process = world.start(f"{name}{number}", stages)
        world.run(LATER)
        if not process.is_dead:
            return number
    raise AssertionError("every process was killed")


def orders(world: World) -> list[str]:
    return sorted(workflow["order"] for workflow in world.workflows())


def notes(world: World, stage: str) -> list[int]:
    return [read_note(note).alone for note in world.broker.group(group_of(world.topics, stage)).committed.values()]


@pytest.mark.parametrize("behind", [0, 1, 30])
def test_an_event_that_kills_two_routers_is_poison_to_the_third_and_all_others_get_through(behind: int) -> None:
    world = World(one_slot())
    deadly(world)
    world.start("rest", UPSTREAM)
    world.run(3)
    before = [str(number) for number in range(behind)]
    for number, order in enumerate([*before, "poison", "after"]):
        world.publish(TOPIC, {"order": order}, partition=number % 2, id=order)
    assert started_again(world, "r", "router") == 3
    assert orders(world) == sorted([*before, "after"])
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"], letter["topic"]) == ("router", "poison", TOPIC)
    assert world.reasons().count("poison") == 1
    assert len(world.created) == behind + 1
    assert notes(world, "router") == [0, 0]


def test_an_event_deep_in_a_backlog_is_found_in_a_few_starts() -> None:
    world = World(one_slot())
    deadly(world)
    world.start("rest", UPSTREAM)
    world.run(3)
    for number in range(3_000):
        world.publish(TOPIC, {"order": "poison" if number == 2_500 else str(number)}, partition=number % 2)
    assert started_again(world, "r", "router") <= 6
    assert [letter["reason"] for letter in world.letters()] == ["poison"]
    world.run(30)
    assert len(world.created) == 2_999


def test_an_arrival_that_kills_two_matchers_is_poison_to_the_third_and_its_partner_goes_on_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, step = World(two_slots()), WindowStore.step

    def kills(*arguments: Any, **named: Any) -> Any:
        if "poison" in repr(arguments[3]):
            stepping(world).kill_here()
        return step(*arguments, **named)

    monkeypatch.setattr(WindowStore, "step", kills)
    world.start("rest", ("controller", "router", "submitter"))
    world.run(3)
    world.publish(TOPIC, {"order": "7"}, id="partner")
    world.publish("payment.done", {"order": "7", "amount": 1}, id="poison")
    world.publish("payment.done", {"order": "8", "amount": 2})
    assert started_again(world, "m", "matcher") == 3
    assert [(letter["stage"], letter["reason"], letter["trigger"]) for letter in world.letters()] == [
        ("matcher", "poison", "default/ship")
    ]
    assert world.reasons_of("poison") == ["poison"]
    world.publish("payment.done", {"order": "7", "amount": 3})
    world.publish(TOPIC, {"order": "8"})
    world.run(3)
    assert sorted(workflow["amount"] for workflow in world.workflows()) == ["2", "3"]


def test_a_healthy_router_writes_no_note() -> None:
    world = World(one_slot())
    seen = commits(world)
    process = world.start()
    world.run(3)
    for number in range(50):
        world.publish(TOPIC, {"order": str(number)}, partition=number % 2)
    world.run(3)
    process.stop()
    world.start("p2")
    world.publish(TOPIC, {"order": "50"})
    world.run(3)
    assert len(orders(world)) == 51
    assert not [note for note in seen if read_note(note).alone]
    assert len(seen) < 30


def commits(world: World) -> list[Committed]:
    """Return what routers commit from now on."""
    seen: list[Committed] = []
    committed = world.broker.group(group_of(world.topics, "router")).committed

    class Watched(dict[Partition, Committed]):
        def __setitem__(self, place: Partition, note: Committed) -> None:
            seen.append(note)
            super().__setitem__(place, note)

        def update(self, *others: Any, **named: Any) -> None:
            for other in others:
                for place, note in dict(other).items():
                    self[place] = note
            assert not named

    world.broker.group(group_of(world.topics, "router")).committed = Watched(committed)
    return seen


def test_processes_that_are_killed_for_other_reasons_make_no_poison() -> None:
    world = World(one_slot())
    world.start("rest", UPSTREAM)
    world.run(3)
    for number in range(40):
        world.publish(TOPIC, {"order": str(number)}, partition=number % 2)
    effects = ["before commit", "after send", "before offsets", "after commit", "after poll"]
    for turn, effect in enumerate(effects):
        process = world.start(f"r{turn}", ("router",))
        kill_at(process, effect, nth=3 + 4 * turn)  # each somewhere else
        world.run(LATER)
    world.start("last", ("router",))
    world.run(LATER)
    assert [letter["text"] for letter in world.letters()] == []
    assert len(world.created) == 40


def test_an_event_at_which_two_processes_were_killed_for_other_reasons_is_no_poison() -> None:
    world = World(one_slot())
    world.start("rest", UPSTREAM)
    world.run(3)
    first = world.start("r1", ("router",))
    world.run(1)
    world.publish(TOPIC, {"order": "1"})
    world.publish(TOPIC, {"order": "2"})
    kill_at(first, "before commit", 1)
    world.run(LATER)
    second = world.start("r2", ("router",))
    kill_at(second, "before commit", 3)  # after its claim and its note
    world.run(LATER)
    assert (first.is_dead, second.is_dead) == (True, True)
    assert notes(world, "router") == [1, 0]
    third = world.start("r3", ("router",))
    world.run(LATER)
    assert not third.is_dead
    assert orders(world) == ["1", "2"]
    assert (world.letters(), notes(world, "router")) == ([], [0, 0])


def test_an_event_whose_trial_tells_nothing_is_poison_to_the_fourth() -> None:
    world = World(one_slot())
    deadly(world)
    world.survives = lambda _: True  # the child only waited, or there is no fork
    world.start("rest", UPSTREAM)
    world.run(3)
    for order in ["1", "poison", "2"]:
        world.publish(TOPIC, {"order": order})
    assert started_again(world, "r", "router") == 4
    assert orders(world) == ["1", "2"]
    assert [letter["reason"] for letter in world.letters()] == ["poison"]


def test_a_process_that_dies_of_the_trial_leaves_proof() -> None:
    """A kernel without memory may end the parent instead of the child."""
    world = World(one_slot())
    deadly(world)
    world.start("rest", UPSTREAM)
    world.run(3)
    world.survives = lambda _: stepping(world).kill_here()
    for order in ["1", "poison", "2"]:
        world.publish(TOPIC, {"order": order})
    assert started_again(world, "r", "router") == 4
    assert orders(world) == ["1", "2"]
    assert [letter["reason"] for letter in world.letters()] == ["poison"]


def kill_at(process: Process, effect: str, nth: int) -> None:
    process.at(effect, process.kill_here, nth)


def test_trouble_with_kafka_while_an_event_is_processed_alone_makes_no_poison() -> None:
    world = World(one_slot())
    deadly(world)
    world.start("rest", UPSTREAM)
    world.run(3)
    process = world.start("r1", ("router",))
    world.run(1)
    world.publish(TOPIC, {"order": "poison"})
    world.run(LATER)
    assert process.is_dead
    world.decoder = Decoder  # it was no fault of the event
    second = world.start("r2", ("router",))
    for _ in range(3):
        second.at("before commit", lambda: _raise(AbortableError("the broker said no")))
        world.run(1)
    world.run(LATER)
    assert orders(world) == ["poison"]
    assert world.letters() == []


def _raise(error: Exception) -> None:
    raise error


def test_a_process_that_starts_over_by_itself_is_not_taken_for_one_that_was_killed() -> None:
    world = World(one_slot())
    world.start("rest", UPSTREAM)
    world.run(3)
    process = world.start("r1", ("router",))
    world.run(1)
    world.publish(TOPIC, {"order": "1"})

    def fence_and_cut() -> None:
        process.memory.admin().fence("fb.router-r1")

    process.at("before commit", fence_and_cut)
    world.run(LATER)
    assert orders(world) == ["1"]
    loop = process.loops["router"]
    assert loop is not None
    assert not loop._careful.is_on


def test_a_process_with_a_name_of_its_own_knows_its_former_self() -> None:
    world = World(one_slot())
    deadly(world)
    world.start("rest", UPSTREAM)
    world.run(3)
    world.publish(TOPIC, {"order": "poison"})
    world.publish(TOPIC, {"order": "after"})
    for _ in range(3):
        process = world.start("statefulset-0", ("router",))
        world.run(LATER)
    assert not process.is_dead
    assert orders(world) == ["after"]
    assert [letter["reason"] for letter in world.letters()] == ["poison"]


def test_an_event_that_comes_after_a_kill_is_under_no_suspicion() -> None:
    world = World(one_slot())
    world.start("rest", UPSTREAM)
    world.run(3)
    first = world.start("r1", ("router",))
    world.run(1)
    first.crash()
    world.publish(TOPIC, {"order": "1"})
    seen = commits(world)
    world.start("r2", ("router",))
    world.run(LATER)
    assert [note.offset for note in seen if read_note(note).alone] == [0]
    del seen[:]
    world.publish(TOPIC, {"order": "2"})
    world.run(2)
    assert orders(world) == ["1", "2"]
    assert seen
    assert not [note for note in seen if read_note(note).alone]


def test_an_event_that_kills_a_process_with_all_stages_makes_poison_of_nothing_else() -> None:
    other = replace(two_slots(), name="pair")
    world = World(one_slot(), other)
    deadly(world)
    first = world.start()
    world.run(3)
    for number in range(20):
        world.publish(TOPIC, {"order": str(number)}, partition=number % 2)
    world.run(0.25)
    world.publish(TOPIC, {"order": "poison"}, id="poison")
    for number in range(20):
        world.publish("payment.done", {"order": str(number), "amount": number}, partition=number % 2)
    world.run(LATER)
    assert first.is_dead
    assert started_again(world, "p", "controller", "router", "matcher", "submitter") <= 2
    world.run(LATER)
    assert [(letter["stage"], letter["reason"]) for letter in world.letters()] == [("router", "poison")]
    assert len(world.created) == 40


def test_only_one_stage_of_a_process_reads_a_record_alone() -> None:
    isolation = IsolationLock()
    assert isolation.take("router")
    assert not isolation.take("matcher")
    isolation.give("matcher")
    assert not isolation.take("matcher")
    isolation.give("router")
    assert isolation.take("matcher")


def test_a_stage_waits_for_another_one_that_reads_carefully_but_not_for_ever() -> None:
    world = World(one_slot())
    world.start("rest", UPSTREAM)
    world.run(3)
    first = world.start("r1", ("router",))
    world.run(1)
    first.crash()
    second = world.start("r2", ("router",))
    second._around.isolation.take("another stage that hangs")
    world.publish(TOPIC, {"order": "1"})
    world.run(LATER + 1)
    assert orders(world) == []
    world.run(LATER)
    assert orders(world) == ["1"]
    assert second._around.isolation.take("another stage that hangs")


def test_a_note_that_a_record_is_alone_is_read_by_versions_that_know_nothing_of_it() -> None:
    note = Note("flowbridge.router-a", 7, "id-1", alone=2)
    assert read_note(Committed(1, note.text())) == note
    owner, triggers, topic_id = json.loads(note.text())  # as 0.1.0 reads it
    assert (owner, triggers, topic_id) == ("flowbridge.router-a", 7, "id-1")
    assert not read_note(disown(Committed(1, note.text()))).alone
