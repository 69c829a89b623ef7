"""Triggers that are edited, suspended and deleted while events wait in their windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.event import MINUTE, SECOND
from bridge.core.trigger import RunPlan, Trigger, WindowPlan
from bridge.kafka.records import DEFINITION, RecordError
from bridge.stages.shared.definitions import Definitions
from unit.stages.world import Process, World, let_hear, two_slots


def order(world: World, number: int = 7, partition: int = 0) -> str:
    return world.publish("order.created", {"order": number}, partition=partition)


def payment(world: World, number: int = 7) -> str:
    return world.publish("payment.done", {"order": number, "amount": 1})


def edit(world: World, **fields: object) -> None:
    world.triggers[0] = replace(world.triggers[0], **fields)  # type: ignore[arg-type]  # any field of a trigger


def run_of(template: str) -> RunPlan:
    return RunPlan(template, "default", (("order", "order.payload.order"),))


def ends(world: World) -> list[int]:
    return [log.end for log in world.broker.topics["fb.arrivals"].logs]


def begun() -> tuple[World, Process]:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    return world, process


def test_a_changed_condition_ends_what_waits_and_starts_with_empty_windows() -> None:
    world, process = begun()
    first = order(world)
    world.run(1)
    edit(world, window=WindowPlan("within", 20 * MINUTE))
    world.run(5)
    assert world.reasons_of(first) == ["waiting", "expired"]
    second = payment(world)
    world.run(2)
    assert world.reasons_of(second) == ["waiting"]
    order(world)
    world.run(2)
    assert len(world.workflows()) == 1
    assert all(len(list(window.conditions())) <= 1 for window in process.stage("matcher").windows.values()), (
        "the old ones are gone"
    )


def test_old_windows_end_only_once_all_routers_have_applied_the_change() -> None:
    world, _ = begun()
    slow = world.start("slow", ("router",))
    world.run(3)
    event = order(world)
    world.run(1)
    world.processes.remove(slow)  # alive, and busy with something for long
    edit(world, window=WindowPlan("within", 20 * MINUTE))
    world.run(30, step=0.5)
    assert world.reasons_of(event) == ["waiting"]
    world.processes.append(slow)
    world.run(5)
    assert world.reasons_of(event) == ["waiting", "expired"]


def test_an_event_that_a_slow_router_still_routes_by_the_old_condition_matches_there() -> None:
    world, _ = begun()
    slow = world.start("slow", ("router",))
    world.run(3)
    order(world)
    world.run(1)
    world.processes.remove(slow)
    owned = next(place for place in slow.loops["router"].owned if place.topic == "payment.done")  # type: ignore[union-attr]  # it runs
    edit(world, window=WindowPlan("within", 20 * MINUTE))
    world.run(5)
    world.publish("payment.done", {"order": 7, "amount": 1}, partition=owned.number)
    definitions = slow.stage("router")._definitions
    let_hear(definitions, hears=False)  # the change has not come to it yet
    world.processes.append(slow)
    world.run(3)
    assert len(world.workflows()) == 1


def test_a_changed_run_part_keeps_windows_and_the_completing_arrivals_definition_decides() -> None:
    world, _ = begun()
    world.api.add_template("default", "other", parameters=("order",))
    order(world)
    world.run(1)
    edit(world, run=run_of("other"))
    world.run(2)
    payment(world)
    world.run(2)
    (workflow,) = world.api.workflows()
    assert workflow.manifest["spec"]["workflowTemplateRef"]["name"] == "other"
    assert "expired" not in world.reasons()


def test_a_completing_arrival_decides_also_where_its_batch_takes_another_event() -> None:
    batch = replace(two_slots(), require=1, collect="first", window=WindowPlan("batch", 10 * MINUTE, size=2))
    world = World(batch)
    world.start()
    world.run(3)
    world.api.add_template("default", "other", parameters=("order",))
    first = order(world)
    world.run(1)
    edit(world, run=run_of("other"))
    world.run(2)
    second = order(world)
    world.run(2)
    (workflow,) = world.api.workflows()
    assert workflow.manifest["spec"]["workflowTemplateRef"]["name"] == "other"
    assert world.reasons_of(first)[-1] == "matched"
    assert world.reasons_of(second)[-1] == "superseded"


def test_an_edit_that_is_taken_back_at_once_costs_no_waiting_event() -> None:
    world, _ = begun()
    slow = world.start("slow", ("router",))
    world.run(3)
    event = order(world)
    world.run(1)
    before = world.triggers[0]
    world.processes.remove(slow)
    edit(world, window=WindowPlan("within", 20 * MINUTE))
    world.run(3)
    world.triggers[0] = before
    world.run(3)
    world.processes.append(slow)
    world.run(5)
    assert world.reasons_of(event) == ["waiting"]
    payment(world)
    world.run(2)
    assert len(world.workflows()) == 1


def test_a_tick_that_retires_what_is_in_force_again_ends_nothing() -> None:
    world, process = begun()
    event = order(world)
    world.run(1)
    before = world.triggers[0]
    edit(world, window=WindowPlan("within", 20 * MINUTE))
    before_tick = ends(world)
    while ends(world) == before_tick:  # until the tick is in the log, and not yet read
        for stage in ("controller", "router", "matcher"):
            process.step(stage)
        world.now += SECOND // 4
    assert world.reasons_of(event) == ["waiting"]
    world.triggers[0] = before
    for _ in range(8):
        process.step("controller")
        world.now += SECOND // 4
    matcher = process.stage("matcher")
    let_hear(matcher._definitions, hears=False)  # it has not heard of that yet
    world.run(3)
    assert world.reasons_of(event) == ["waiting"]


def test_a_deleted_trigger_ends_what_waits_and_takes_no_more_events() -> None:
    world, process = begun()
    first = order(world)
    world.run(1)
    world.triggers.clear()
    world.run(18)
    second = payment(world)
    world.run(3)
    assert world.reasons_of(first) == ["waiting", "expired"]
    assert world.reasons_of(second) == []
    assert all(
        not window.contents().remembered and not list(window.conditions())
        for window in process.stage("matcher").windows.values()
    )


def test_the_windows_of_a_deleted_trigger_end_although_its_router_died_without_a_word() -> None:
    world, process = begun()
    event = order(world)
    world.run(1)
    process.crash()
    world.triggers.clear()
    world.start("p2", ("controller", "matcher", "submitter"))
    world.run(60, step=0.5)
    assert world.reasons_of(event) == ["waiting", "expired"]


def test_events_of_a_suspended_trigger_are_decided_so_and_its_windows_stay() -> None:
    world, _ = begun()
    order(world)
    world.run(1)
    edit(world, suspend=True)
    world.run(2)
    event = payment(world)
    world.run(2)
    assert world.reasons_of(event) == ["suspended"]
    edit(world, suspend=False)
    world.run(2)
    payment(world)
    world.run(2)
    assert len(world.workflows()) == 1


def test_a_matcher_that_meets_an_unknown_definition_reads_triggers_to_their_end() -> None:
    world, process = begun()
    definitions = process.stage("matcher")._definitions
    let_hear(definitions, hears=False)
    world.triggers.append(another())
    world.run(2)
    event = order(world)
    world.run(2)
    assert world.reasons_of(event) == ["waiting", "waiting"]
    assert world.letters() == []


@pytest.mark.parametrize("stages", [("router",), ("matcher",), ("submitter",), ("controller",)])
def test_a_process_that_cannot_read_a_definition_stops_before_it_commits_anything(stages: tuple[str, ...]) -> None:
    world, process = begun()
    process.stop()
    world.processes.clear()
    older = world.start("older", stages)
    world.run(3)
    newer = {**two_slots().to_json(), "at_most": 3}
    fields = {"trigger": "default/ship", "definition": "newer", "condition": "newer", "origin": "a.yaml:1", "at": 0}
    spec = json.dumps(newer)
    world.broker.append("fb.triggers", 0, b"definition:newer", DEFINITION.encode({**fields, "spec": spec}), [])
    event = order(world)
    with pytest.raises(RecordError, match=r"definition of newer .* upgrade this process") as stopped:
        world.run(5)
    assert "at_most" in str(stopped.value)
    older.crash()
    world.processes.clear()
    assert world.reasons_of(event) == []
    Definitions._define, plain = _as_a_newer_version_does, Definitions._define  # type: ignore[assignment, method-assign]  # a method of today is replaced
    try:
        world.start("newer")
        world.run(20, step=0.5)
    finally:
        Definitions._define = plain  # type: ignore[method-assign]  # and put back
    assert world.reasons_of(event) == ["waiting"]


def _as_a_newer_version_does(definitions: Definitions, name: str, fields: Mapping[str, Any]) -> None:
    if name != "newer":
        _define(definitions, name, fields)


_define = Definitions._define


def another() -> Trigger:
    return replace(two_slots(), name="another", window=WindowPlan("within", 3 * MINUTE))
