"""Replays in the small world of the stages: plans are made, and carried out, next to live processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bridge.core.event import SECOND
from bridge.core.expressions.expression import recorded
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.execution import Execution
from bridge.replay.planner import Draft, Planner, ReplayDependencies
from bridge.replay.replays import Replay, ReplayLog, ReplayOwner, new_replay
from bridge.replay.request import Bound, Request
from bridge.settings.groups import WindowSettings
from bridge.stages.shared.definitions import Definitions
from unit.stages.world import World

EARLIEST = Bound(text="earliest")


def around(world: World) -> ReplayDependencies:
    """Return what a replay in this world works with; while it waits, the live processes go on."""
    return ReplayDependencies(
        log=MemoryLog(world.broker),
        topics=world.topics,
        decoder=world.decoder,
        windows=WindowSettings(),
        horizon=world.submitter.ledger_horizon,
        clock=lambda: world.now,
        pace=lambda: world.now,
        wait=lambda seconds: world.run(seconds, seconds),
    )


def draft(
    world: World, trigger: str = "default/ship", start: Bound = EARLIEST, *, name: str = "gap", **fields: Any
) -> Draft:
    """Return the plan of a replay."""
    dependencies = around(world)
    definitions = Definitions(dependencies.log, world.topics.triggers, lambda: world.now)
    definitions.refresh()
    request = Request(trigger, start, **fields)
    where = recorded(request.where) if request.where is not None else None
    return Planner(dependencies, definitions).draft(name, request, where=where)


def would_run(made: Draft) -> list[dict[str, str]]:
    """Return the parameters of the runs of a plan, in order."""
    return [dict(planned.run.parameters or ()) for planned in made.plan.runs()]


def orders(made: Draft) -> list[str]:
    """Return the parameter ``order`` of the runs of a plan."""
    return [parameters["order"] for parameters in would_run(made)]


def outcomes(made: Draft) -> Mapping[str, int]:
    """Return the matches of a plan by outcome."""
    return dict(made.plan.outcomes())


def suspend(world: World, *, is_suspended: bool) -> None:
    """Suspend all triggers of the world, or let them go on."""
    world.triggers[:] = [replace(trigger, suspend=is_suspended) for trigger in world.triggers]
    world.run(5)


def planned(world: World, name: str = "gap", trigger: str = "default/ship", **fields: Any) -> tuple[Execution, Draft]:
    """Plan a replay and write it; return what carries it out."""
    made = draft(world, trigger, name=name, **fields)
    request = Request(trigger, EARLIEST, **{key: value for key, value in fields.items() if key != "start"})
    log = MemoryLog(world.broker)
    owner = ReplayOwner(log, world.topics, name)
    replay = new_replay(name, request, made, world.now)
    return execution(world, owner.write_plan(replay, (run.run for run in made.plan.runs())), owner), made


def execution(world: World, replay: Replay, owner: ReplayOwner | None = None) -> Execution:
    """Return what carries a replay out; without an owner it takes the replay over."""
    log = MemoryLog(world.broker)
    owner = owner or ReplayOwner(log, world.topics, replay.name)
    return Execution(log, world.topics, owner, replay, lambda: world.now, lambda: world.now, lambda _: None)


def carry_out(world: World, replay: Execution, seconds: float = 120) -> None:
    """Carry a replay out while the live processes work, for some seconds at most."""
    replay.begin()
    until = world.now + round(seconds * SECOND)
    while replay.step():
        world.run(0.25)
        assert world.now < until, f"not over after {seconds} s: {replay.replay}"


def stands(world: World, name: str = "gap") -> Replay:
    """Return a replay as Kafka has it."""
    replay = ReplayLog(MemoryLog(world.broker), world.topics).find(name)
    assert replay is not None
    return replay
