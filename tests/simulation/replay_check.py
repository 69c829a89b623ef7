"""That replays fill the gaps of the past, and do nothing else.

Told by the plans that were made, by all runs that were ever asked for, and by the Workflows in the end. What a plan has
to hold is computed from the records by the reference matcher (:mod:`kinds`), where no run was recorded before it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridge.argo.manifest import REPLAY as REPLAY_LABEL
from bridge.core.definition import Definition
from bridge.core.event import SECOND, Event, EventIdentity, Micros, time_text
from bridge.core.route import Accepted, route
from bridge.core.runs.run import Run
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival
from bridge.kafka.log import Partition, Record
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.records import DEAD_LETTER, LEDGER_ENTRY
from bridge.replay.execution import SUBMITTED
from bridge.replay.frozen import ReadRange
from bridge.replay.planner import Draft
from bridge.replay.replays import COMPLETED, FAILED, Replay, ReplayLog
from bridge.stages.shared.run_records import decode_facts, decode_run
from kinds import reference_of
from kinds.reference import Happened
from simulation.history import committed_records

if TYPE_CHECKING:
    from simulation.replays import Drafted
    from simulation.world import World

NOTICED: Micros = 4 * SECOND
"""How long after a cancel a submitter may begin a run of the replay: until it has read of it."""

HELD_UP: Micros = 16 * SECOND
"""How much longer a submitter may take that stands still for a while around that time."""

REST = "rest"
"""The beginning of the names of the last replays, which make all that is missing."""

_WIDE = 100  # arrivals, which no window of a script reaches
_FAR: Micros = 10_000 * SECOND


class WrongPlanError(AssertionError):
    """A plan does not hold what it has to."""


class _Came(NamedTuple):
    """A record and its place in the merged order."""

    time: int
    place: Partition
    record: Record


# -- a plan ------------------------------------------------------------------------------------------------------------


def check_plan(world: World, drafted: Drafted) -> None:
    """Hold a plan, just made, against the records that it was made from.

    Raises:
        WrongPlanError: It reads what it must not read, too little, or holds other runs than the reference.

    """
    draft, name = drafted.draft, drafted.name or "nobody carries out"
    frozen, trigger = draft.frozen, draft.definition.trigger
    if world.routing.is_uncertain:  # a topic was created again, and routers read on before they knew
        return
    for place, part in frozen.reads.items():
        log = world.broker.topics[place.topic].logs[place.number]
        routed = drafted.committed.get(place)
        if routed is not None and part.end > max(routed, part.begin):
            raise WrongPlanError(f"the plan of {name} reads {place} up to {part.end}, and routers are at {routed}")
        if trigger.window is not None and trigger.window.kind == "within":
            fill = trigger.window.length + trigger.grace + trigger.dedupe
            first = max(log.start, log.offset_at((frozen.begin - fill) // 1000))
            if part.first > min(first, part.begin, part.end):
                raise WrongPlanError(
                    f"the plan of {name} reads {place} from {part.first} on, and windows that reach into the range "
                    f"begin at {first}"
                )
        if log.start > part.first:
            return  # retention has taken it while it was read
    is_sliding = trigger.window is None or (trigger.window.kind == "within" and not trigger.absent_slots)
    if drafted.had_runs or draft.held or not (is_sliding or drafted.request.start.time is None):
        return
    expected, found = set(_matches(world, draft)), set(drafted.events.values())
    if expected != found:
        raise WrongPlanError(
            f"the plan of {name} from {time_text(frozen.begin)} lacks {sorted(expected - found)} and has "
            f"{sorted(found - expected)} besides, by {frozen.reads}"
        )


def _matches(world: World, draft: Draft) -> Iterator[tuple[str, ...]]:
    """Yield the events of each match of a range by the reference rules, if no run is recorded."""
    definition, reads, slots = draft.definition, draft.frozen.reads, draft.definition.slots
    trigger, count = definition.trigger, 0
    remembered = world.script.remembered * world.topics.partitions  # as much as all live partitions together
    reference = reference_of(trigger, world.script.bound, remembered) if trigger.window else None
    for came in _in_order(world, reads):
        is_inside = came.record.offset >= reads[came.place].begin
        if reference is not None:
            yield from _named(definition, reference.tick(came.time * 1000 - 1))
        event = world.routing._event(came.record)
        for slot in definition.slots_for(event.name):
            routed = route(definition, slot, event)
            if not isinstance(routed, Accepted):
                continue
            if reference is None:
                if is_inside:
                    yield (f"{slots[slot.index].slot.variable} {event.id}",)
                continue
            count += 1
            happened = reference.arrive(routed.key, _arrival(definition, event, slot.index, count))
            if is_inside:
                yield from _named(definition, happened)
    if reference is not None:
        yield from _named(definition, reference.tick(draft.frozen.end))


def _in_order(world: World, reads: Mapping[Partition, ReadRange]) -> list[_Came]:
    """Return the records of ranges by time; none counts as earlier than the one in front of it in its partition."""
    found = []
    for place, part in reads.items():
        newest = 0
        for record in committed_records(world.broker.topics[place.topic].logs[place.number], part.first, part.end):
            newest = max(newest, record.timestamp)
            found.append(_Came(newest, place, record))
    return sorted(found, key=lambda came: (came.time, came.place))


def _arrival(definition: Definition, event: Event, slot: int, offset: int) -> Arrival:
    return Arrival(event.time, offset, slot, event.identity, event.reached, definition.hash, None, b"")


def _named(definition: Definition, happened: Happened) -> Iterator[tuple[str, ...]]:
    for match in happened.matches:
        used = [arrival for slot in match.choice for arrival in slot]
        yield tuple(sorted(f"{definition.trigger.slots[arrival.slot].variable} {arrival.event.id}" for arrival in used))


# -- in the end --------------------------------------------------------------------------------------------------------


def wrong_replays(world: World) -> Iterator[str]:
    """Say what is wrong with what replays have done."""
    if not world.replays.asked:
        return
    runs = world.runs()
    yield from _used_twice(world, runs)
    yield from _sent_twice(runs)
    yield from _after_a_cancel(world)
    yield from _no_matches(world, runs)
    log = MemoryLog(world.broker)
    replays = ReplayLog(log, world.topics)
    for replay in replays.all().values():
        yield from _wrong_counts(world, replay, [run for _, run in replays.plan(replay, replay.plan_start)])
    for drafted in world.replays.drafts:
        if not drafted.name:
            yield from _still_missing(world, drafted, runs)


def _is_plain(world: World, trigger: Trigger) -> bool:
    """Return whether a match rests on its own events alone.

    It does not where windows are full. And a group of events ends as a whole: where a match passes events of it over, a
    replay forms the group again in the order of time, and the live bridge may have met another order.
    """
    is_wide = world.script.bound >= _WIDE and world.script.remembered >= _WIDE
    is_group = trigger.window is not None and trigger.window.kind in ("session", "batch", "settle")
    return is_wide and (not is_group or trigger.collect == "all")


def published_once(world: World, event: EventIdentity) -> bool:
    """Return whether an event came once: what comes again may be used again after the dedupe horizon."""
    return len(world.reached._came.get(event.id, ())) == 1


def _used_twice(world: World, runs: list[Run]) -> Iterator[str]:
    """Say which events are used by more than one run of a trigger of which one is a replay's."""
    if world.routing.is_uncertain:
        return
    users: defaultdict[tuple[str, EventIdentity], dict[str, Run]] = defaultdict(dict)
    replayed = {run.run_key for run in runs if run.replay}
    for run in runs:
        for _, event in run.events:
            if run.run_key in world.cluster.created and published_once(world, event):
                users[run.trigger, event].setdefault(run.run_key, run)
    for (trigger, event), using in users.items():
        if len(using) > 1 and using.keys() & replayed:
            told = [f"{run.replay or 'live'}: {[event.id for _, event in run.events]}" for run in using.values()]
            yield f"{event.id} is used by {len(using)} runs of {trigger}: {told}"


def _sent_twice(runs: list[Run]) -> Iterator[str]:
    sent = Counter((run.replay, run.run_key) for run in runs if run.replay)
    yield from (
        f"replay {name} has sent the run {key} {count} times" for (name, key), count in sent.items() if count > 1
    )


def _after_a_cancel(world: World) -> Iterator[str]:
    """Say what a replay has started after it was cancelled."""
    for name, asked in world.replays.asked.items():
        if asked.cancelled is None:
            continue
        ends, at = asked.cancelled
        for record in world.history.records(world.topics.runs):
            run = decode_run(record.value or b"")
            if run.replay == name and record.offset >= ends[record.partition]:
                yield f"replay {name} has sent {run.run_key} after it was cancelled"
        is_held_up = any(abs(harmed - at) <= HELD_UP for harmed in world.harms)
        noticed = at + NOTICED + (HELD_UP if is_held_up else 0)
        begun: set[bytes] = set()
        for record in world.history.records(world.topics.ledger):
            entry = None if record.value is None else LEDGER_ENTRY.decode(record.value)
            if entry is not None and entry["state"] == "intent" and decode_run(entry["run"]).replay == name:
                key = record.key or b""
                if key not in begun and record.timestamp * 1000 > noticed:
                    yield f"run {key.decode()} of replay {name} was begun after it was cancelled"
                begun.add(key)
            elif entry is not None and entry["state"] == "done" and entry["reason"].startswith("skipped: its replay"):
                yield f"run {(record.key or b'').decode()} has an entry left, and its replay {name} was cancelled"


def _no_matches(world: World, runs: list[Run]) -> Iterator[str]:
    """Say which runs of replays are no matches of their triggers, all by themselves."""
    seen = world.replays.seen
    definitions = {drafted.draft.definition.hash: drafted.draft.definition for drafted in world.replays.drafts}
    for run in runs:
        definition = definitions.get(run.definition_hash)
        if not run.replay or definition is None or not run.events or not _is_plain(world, definition.trigger):
            continue
        if not all(event in seen and published_once(world, event) for _, event in run.events):
            continue
        used = {event for _, event in run.events}
        came = sorted([seen[event] for event in seen if event in used], key=lambda came: came[0])  # of a time, as seen
        if tuple(sorted(f"{variable} {event.id}" for variable, event in run.events)) not in _alone(
            world, definition, run, came
        ):
            yield f"run {run.run_key} of replay {run.replay} is no match: {[event.id for _, event in came]}"


def _alone(world: World, definition: Definition, run: Run, came: list[tuple[int, Event]]) -> set[tuple[str, ...]]:
    """Return the matches of some events alone."""
    variables = {(variable, event) for variable, event in run.events}
    if not definition.trigger.is_windowed:
        slot = definition.slots[0]
        passed = [event for _, event in came if isinstance(route(definition, slot, event), Accepted)]
        return {(f"{slot.slot.variable} {event.id}",) for event in passed}
    reference = reference_of(definition.trigger, world.script.bound, world.script.remembered)
    found: set[tuple[str, ...]] = set()
    for number, (time, event) in enumerate(came):
        found.update(_named(definition, reference.tick(time * 1000 - 1)))
        for slot in definition.slots_for(event.name):
            routed = route(definition, slot, event)
            if isinstance(routed, Accepted) and (slot.slot.variable, event.identity) in variables:
                arrival = _arrival(definition, event, slot.index, number + 1)
                found.update(_named(definition, reference.arrive(routed.key, arrival)))
    found.update(_named(definition, reference.tick(came[-1][0] * 1000 + _FAR)))
    return found


def _wrong_counts(world: World, replay: Replay, plan: list[Run]) -> Iterator[str]:
    """Say whether a replay that is over has counted other than what happened."""
    if replay.state not in (COMPLETED, FAILED):
        return
    if sum(replay.counts.values()) != replay.planned or len(plan) != replay.planned:
        yield f"replay {replay.name} has {replay.counts}, and {replay.planned} runs were planned"
    made = [workflows[0] for run in plan if (workflows := world.cluster.created.get(run.run_key))]
    own = [workflow for workflow in made if workflow.manifest["metadata"]["labels"].get(REPLAY_LABEL) == replay.name]
    if len(own) != replay.counts.get(SUBMITTED, 0):
        yield f"replay {replay.name} has started {len(own)} Workflows, and counts {replay.counts}"


def _still_missing(world: World, drafted: Drafted, runs: list[Run]) -> Iterator[str]:
    """Say what a last plan still finds, and where the union of live and replayed runs is not what it has to be."""
    draft, trigger = drafted.draft, drafted.draft.definition.trigger
    came = [world.routing._event(came.record).identity for came in _in_order(world, draft.frozen.reads)]
    is_known = _is_plain(world, trigger) and all(published_once(world, event) for event in came)
    if drafted.events and (is_known or not trigger.is_windowed):
        yield f"a plan of {drafted.request.trigger} finds {sorted(drafted.events.values())} after a replay of all"
    letters = {DEAD_LETTER.decode(record.value or b"")["run_key"] for record in _letters(world)}
    made = {*world.cluster.created, *letters}
    mine = [run for run in runs if run.trigger == drafted.request.trigger and run.run_key in made]
    ran = {tuple(sorted(f"{variable} {event.id}" for variable, event in run.events)) for run in mine}
    expected = set(_matches(world, draft))
    if not trigger.is_windowed and trigger.run.id is None:
        world.replays.unions["single"] += 1
        yield from (
            f"{match} has no run of {drafted.request.trigger} after a replay of all" for match in expected - ran
        )
    elif is_known and trigger.window is not None and trigger.window.kind == "within" and not trigger.absent_slots:
        before = {
            tuple(sorted(f"{variable} {event.id}" for variable, event in run.events))
            for run in mine
            if not run.replay.startswith(REST)
        }
        if before <= expected:  # what the live bridge met came in the order of time, as far as can be told
            world.replays.unions["pairs of live and replayed runs" if before else "pairs"] += 1
            if ran != expected:
                yield (
                    f"live and replayed runs of {drafted.request.trigger} lack {sorted(expected - ran)} and have "
                    f"{sorted(ran - expected)} besides"
                )


def _letters(world: World) -> list[Record]:
    return world.history.records(world.topics.dead_letters)


# -- for other checks --------------------------------------------------------------------------------------------------


def asked_by_cancelled_replays(world: World) -> set[str]:
    """Return the run keys that only replays asked for that were cancelled: they have a Workflow, or none."""
    asking: defaultdict[str, set[str]] = defaultdict(set)
    for run in world.runs():
        asking[run.run_key].add(run.replay)
    cancelled = {name for name, asked in world.replays.asked.items() if asked.cancelled is not None}
    return {run_key for run_key, names in asking.items() if names <= cancelled}


def is_of_a_replay(entry: Mapping[str, object]) -> bool:
    """Return whether an entry of the ledger is of a run that a replay asked for."""
    encoded = entry["run"]
    if not isinstance(encoded, bytes):
        return False
    if entry["state"] in ("parked", "intent"):
        return bool(decode_run(encoded).replay)
    facts = decode_facts(encoded)
    return facts is not None and bool(facts.replay)
