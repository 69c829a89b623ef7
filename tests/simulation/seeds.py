"""One seed from beginning to end: the script, the healing, and what has to be true afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from typing import Any, NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import SECOND, Micros
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.matcher import ticks
from bridge.stages.process import group_of
from simulation.acts import Acts
from simulation.conditions import TOPICS
from simulation.effects import STAGES
from simulation.explain_check import wrong_stories
from simulation.limits_check import wrong_starts
from simulation.replay_check import REST, asked_by_cancelled_replays, wrong_replays
from simulation.replays import NOTHING
from simulation.routing_check import Arrived, Decided, arrived
from simulation.scene_check import wrong_in_scene
from simulation.script import EVENTFUL, Script
from simulation.submitting_check import (
    asked_for,
    other_letters,
    shared_keys,
    undecided_runs,
    wrong_identities,
    wrong_workflows,
)
from simulation.versions import releases
from simulation.world import BEGIN, World

_ROUNDS = 600


class Verdict(NamedTuple):
    """What came of a seed.

    Attributes:
        wrong: What is wrong, for people; empty if nothing is.
        told: What happened.
        figures: How much of what happened.

    """

    wrong: tuple[str, ...]
    told: tuple[str, ...]
    figures: Counter[str]


def run(script: Script) -> Verdict:
    """Run a script."""
    world = World(script)
    former, ticks.SLICE = ticks.SLICE, script.slice
    try:
        with ExitStack() as stack:
            if script.scene == "two versions":
                stack.enter_context(releases(lambda: world.turning is not None and world.turning.is_newer))
            _live(world)
            wrong = tuple(_wrong(world))
    except Exception as error:  # noqa: BLE001  (whatever it is, the seed is to be repeated)
        wrong = (f"{type(error).__name__}: {error}",)
    finally:
        ticks.SLICE = former
        world.end()
    return Verdict(wrong, tuple(world.told), _figures(world))


def _live(world: World) -> None:
    script, acts, random = world.script, Acts(world), Random(world.script.seed)
    left, looks = list(script.acts), _looks(script)
    while left or world.now < BEGIN + EVENTFUL:
        while looks and looks[0] <= world.now - BEGIN:
            looks.pop(0)
            for wrong in wrong_stories(world):
                raise AssertionError(wrong)
        while left and left[0].at <= world.now - BEGIN:
            acts.do(left.pop(0))
        acts.end_transactions()
        acts.end_habits()
        world.go_on(script.step / SECOND, random)
    acts.end_transactions(all_of_them=True)
    acts.end_habits(all_of_them=True)
    _heal(world, random)
    _replay_the_rest(world, random)


def _looks(script: Script) -> list[Micros]:
    """Return when explain is held against what happened so far: once in a quarter of the seeds, besides at the end."""
    random = Random(f"looks of {script.seed}")
    return [random.randrange(EVENTFUL)] if random.random() < 0.25 else []


def _heal(world: World, random: Random) -> None:
    """Let nothing more happen, until nothing is left to do and nothing waits.

    That has to be seen three times: in a row, unless dead man's switches watch, which in turn may never be silent.
    """
    world.said("everything heals")
    world.cluster.heal()
    is_held = world.routing.lost_offsets == "hold" and world.routing.has_lost
    world.routing.lost_offsets = "continue"
    if world.script.scene == "two versions":
        world.newer_seats = set(world.seats)
    for process in world.living():
        process.heal()
        is_old = process.is_newer != (process.seat in world.newer_seats)
        process.is_stopping = process.is_stopping or is_held or is_old  # to be started again with what was decided
    world.replays.heal()
    _settle(world, random)


def _replay_the_rest(world: World, random: Random) -> None:
    """Replay once more what was replayed before, now that all is calm, and plan that again to see what is left."""
    in_force = world.triggers.whole().in_force
    triggers = {asked.request.trigger for asked in world.replays.asked.values()} & in_force.keys()
    for number, trigger in enumerate(sorted(triggers)):
        world.replays.ask(f"{REST}{number}", trigger, None, 4, None)
        _settle(world, random)
        process = world.replays.look(trigger)
        while not process.is_dead:
            world.go_on(1, random)
        _settle(world, random)
        for error in (process.error, world.replays.asked[f"{REST}{number}"].failed):
            if error and NOTHING not in error:
                raise AssertionError(f"{trigger} cannot be replayed when all is calm: {error}")


def _settle(world: World, random: Random) -> None:
    """Go on until nothing is left to do and nothing waits; see :func:`_heal`."""
    watched = any(sourced.trigger.is_switch for sourced in world.triggers.whole().in_force.values())
    quiet = 0
    for _ in range(_ROUNDS):
        world.go_on(2 if quiet and not watched else 1, random)
        if not _left(world):
            quiet += 1
            if quiet == 3:
                return
        elif not watched:
            quiet = 0
    raise AssertionError(f"work is left over: {_left(world)}")


def _left(world: World) -> list[str]:
    """Return what is not done yet."""
    read = {"router": TOPICS, "matcher": (world.topics.arrivals,), "submitter": (world.topics.runs,)}
    found = []
    for stage, topics in read.items():
        committed = world.broker.group(group_of(world.topics, stage)).committed
        reading = _read_by(world) if stage == "router" else set(topics)
        for log in [log for topic in topics if topic in reading for log in world.broker.topics[topic].logs]:
            note = committed.get(log.partition)
            if note is None or note.offset != log.end:
                found.append(f"{log.partition.topic}/{log.partition.number} at {note}, of {log.end}")
    entries: dict[bytes, str] = {}
    for record in world.history.records(world.topics.ledger):
        entries.pop(record.key or b"", None)  # the entry of a run of a cancelled replay is erased
        if record.value is not None:
            entries[record.key or b""] = LEDGER_ENTRY.decode(record.value)["state"]
    found += [f"run {key.decode()} is {state}" for key, state in entries.items() if state not in ("done", "dead")]
    found += [f"{place} waits" for place in world.matching.waiting()]
    found += world.replays.left()
    return found


def _read_by(world: World) -> set[str]:
    return {event for sourced in world.triggers.whole().in_force.values() for event in sourced.trigger.events}


def _wrong(world: World) -> Iterator[str]:
    """Say what is wrong at the end."""
    history, topics, tolerant = world.history, world.topics, world.routing.is_uncertain
    found, decided = arrived(history.records(topics.arrivals), world.stamping), _decided(world)
    yield from _differences("arrival", world.routing.arrivals, found, tolerant=tolerant)
    asked = world.routing.runs + world.matching.runs
    yield from _differences("run", asked, asked_for(history, topics), tolerant=tolerant)
    yield from wrong_workflows(history, topics, world.cluster, world.expired, asked_by_cancelled_replays(world))
    yield from wrong_replays(world)
    if world.script.seed % 2 or world.script.scene:
        yield from wrong_stories(world)
    yield from other_letters(history, topics)
    harmed = sum(all_process.harmed for all_process in world.all_processes)
    if world.poison * 2 > harmed * len(STAGES):  # each of them takes two processes with it, or their stages
        yield f"{world.poison} records are poison, and processes came to harm {harmed} times"
    yield from undecided_runs(history, topics, world.written)
    yield from wrong_identities(history, topics, world.triggers, world.script)
    yield from shared_keys(history, topics, world.triggers)
    yield from wrong_starts(history, topics, world.triggers, world.expired)
    expected = world.routing.decisions + world.matching.decisions
    yield from _differences("decision", expected, decided, tolerant=tolerant)
    yield from _undecided(world, found, decided)
    yield from wrong_in_scene(world)
    world.time.retirements(history)


def _undecided(world: World, found: Counter[Arrived], decided: Counter[Decided]) -> Iterator[str]:
    """Say which arrivals have no final decision, or more than one."""
    definitions = world.triggers.whole().definitions
    switches = {definition.identity for definition in definitions.values() if definition.trigger.is_switch}
    final, came = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for decision, count in decided.items():
        if decision.reason is not Reason.WAITING:
            final[decision.trigger, decision.slot, decision.event.source, decision.event.id] += count
    for arrival, count in found.items():
        variable = definitions[arrival.definition].slots[arrival.slot].slot.variable
        came[arrival.trigger, variable, arrival.source, arrival.id] += count
    for place, count in came.items():
        if final[place] < count and place[0] not in switches:
            yield f"{place} came {count} times and has {final[place]} final decisions"


def _decided(world: World) -> Counter[Decided]:
    return Counter(
        Decided(decision.trigger, decision.slot, decision.event, decision.reason)
        for written in world.written
        for decision in written.decisions
        if isinstance(decision, Decision)
    )


def _differences(what: str, expected: Counter[Any], found: Counter[Any], *, tolerant: bool) -> Iterator[str]:
    yield from (f"{what} missing: {item} ({count})" for item, count in (expected - found).items())
    if not tolerant:
        yield from (f"{what} besides: {item} ({count})" for item, count in (found - expected).items())


def _figures(world: World) -> Counter[str]:
    return Counter(
        commits=len(world.written),
        creates=sum(map(len, world.cluster.created.values())),
        events=sum(len(times) for times in world.time.came.values()),
        outdated=sum(process.is_too_old for process in world.all_processes),
        harmed=sum(process.harmed for process in world.all_processes),
        replays=len(world.replays.asked),
        replayed=sum(bool(run.replay) for run in world.runs()),
        harmed_replays=world.replays.harmed,
        unions=world.replays.unions.total(),
        explained=world.explained["recorded"] + world.explained["recomputed"],
        recomputed=world.explained["recomputed"],
        untold=world.explained["cannot be told"],
    )
