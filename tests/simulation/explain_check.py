"""That explain tells the truth: its decisions and runs are those of the reference, at any moment of a world's life.

A decision that it calls recorded has to be one that was made. A decision that it recomputes has to be as well, unless
the records that are left cannot tell: a live bridge meets the partitions of topics in an order of its own, and ends
windows by ticks of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

from bridge.core.decision import Decision, Reason
from bridge.core.event import SECOND, EventIdentity, Micros
from bridge.explain.explainer import Explainer
from bridge.explain.question_reader import Question
from bridge.explain.story import UNKNOWN, Story
from bridge.kafka.log import LogError
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.records import TICK
from bridge.replay.history import Change, History
from bridge.replay.planner import ReplayDependencies
from bridge.replay.request import Bound, ReplayError
from bridge.settings.groups import SubmitterSettings
from bridge.stages.shared.arrival_records import decode_arrival
from bridge.stages.shared.definitions import Definitions
from flowbridge_sdk.codec import Decoder

if TYPE_CHECKING:
    from simulation.world import World

_EVERYTHING = 100_000
_SOON: Micros = 2 * SECOND  # within which every router that works has applied an edit
_LAG: Micros = 60 * SECOND  # how far behind a router may be that stood still
_WIDE = 100  # arrivals, which no window of a script reaches
_CLOSED = frozenset(reason.value for reason in Reason)
_ENDS = (Reason.MATCHED, Reason.SUPERSEDED, Reason.EXPIRED, Reason.CANCELLED, Reason.RESET)
"""How an event that waits leaves its window."""

Slot = tuple[str, EventIdentity]
Used = tuple[str, str, str]


def stories(world: World) -> Iterator[tuple[str, Story]]:
    """Yield what explain tells of each trigger, from the beginning on."""
    log = MemoryLog(world.broker)
    definitions = Definitions(log, world.topics.triggers, lambda: world.now)
    definitions.refresh()
    around = ReplayDependencies(
        log=log,
        topics=world.topics,
        decoder=Decoder,
        windows=world.windows,
        horizon=SubmitterSettings.ledger_horizon,
        clock=lambda: world.now,
        pace=count(world.now, SECOND // 10).__next__,  # nothing goes on meanwhile, so a silent Kafka stays silent
        wait=lambda _: None,
    )
    explainer = Explainer(around, definitions, lambda _namespace, _name: "")
    for trigger in sorted({definition.identity for definition in definitions.known.values()}):
        try:
            yield trigger, explainer.explain(Question(trigger, start=Bound(text="earliest"), limit=_EVERYTHING))
        except ReplayError as error:
            if not any(text in str(error) for text in ("there is no t", "nothing lies between")):  # topic, trigger
                raise


def wrong_stories(world: World) -> Iterator[str]:
    """Say where explain disagrees with what happened so far."""
    if world.routing.is_uncertain or world.routing.has_lost or world.script.scene == "two versions":
        return  # the older version cannot read what the newer one writes, and says so
    made: defaultdict[str, defaultdict[Slot, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for written in world.written:  # at the end these are held against the reference
        for decided in written.decisions:
            if isinstance(decided, Decision):
                made[decided.trigger][decided.slot, decided.event][decided.reason.value] += 1
    asked: defaultdict[str, list[list[Used]]] = defaultdict(list)
    for run in world.runs():
        asked[run.run_key].append(sorted((slot, event.name, event.id) for slot, event in run.events))
    try:
        for trigger, story in stories(world):
            yield from _wrong_decisions(world, trigger, story, made[trigger])
            yield from _wrong_runs(world, story, asked)
    except LogError:  # Kafka gives trouble, which a person sees as such
        world.explained["not answered"] += 1


def _wrong_decisions(world: World, trigger: str, story: Story, made: defaultdict[Slot, Counter[str]]) -> Iterator[str]:
    changes = History.read(MemoryLog(world.broker), world.topics.triggers, trigger).changes
    is_in_order = _met_in_order(world, trigger)
    for event in story.events:
        identity = EventIdentity(event.name, event.source, event.id)
        told: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for decision in event.decisions:
            told[decision.slot].add((decision.reason, decision.known))
        for decision in event.decisions:
            if "replay" in decision.evidence:  # the live bridge decided before it, and that may be forgotten
                told.pop(decision.slot, None)
        for slot, decisions in told.items():
            times = Counter(made.get((slot, identity), Counter()))
            for place in event.places:  # a record that could not be read, or that killed, is decided by its place
                topic = place.split("/")[0]
                times += made.get((slot, EventIdentity(topic, topic, place)), Counter())
            expected = set(times)
            final = expected - {"waiting"} or expected
            found = {reason for reason, _ in decisions if reason in _CLOSED}
            found = found - {"waiting"} or found
            is_recorded = any(known == "recorded" for reason, known in decisions if reason in found or not found)
            is_unknown = any(reason == UNKNOWN for reason, _ in decisions)
            kind = "recorded" if is_recorded and not is_unknown else "recomputed"
            world.explained[kind] += 1
            made_so = {reason for reason, known in decisions if known == "recorded"} & _CLOSED
            if found == final or (len(event.places) > 1 and made_so <= expected and found & final):
                continue  # of an event that came again, a full sample may not have each decision
            if (
                len(event.places) > 1
                and found == {"waiting"}
                and times["waiting"] > sum(times[end.value] for end in _ENDS)
            ):
                continue  # it waits, whatever was decided about its other records
            if not found and len(event.places) > 1:
                continue  # its last record is not decided yet, and nothing is recorded of the first any more
            if kind == "recomputed" and (
                is_unknown or not is_in_order or _is_narrow(world) or _is_near_an_edit(event.reached, changes)
            ):
                world.explained["cannot be told"] += 1
                continue
            about = f"{event.id} at {slot} of {trigger}"
            yield f"explain says {sorted(decisions)} of {about}, and it was decided {sorted(expected)}"


def _met_in_order(world: World, trigger: str) -> bool:
    """Return whether the matchers met the events of a trigger in the order in which these reached Kafka."""
    newest: dict[int, Micros] = {}
    for record in world.history.records(world.topics.arrivals):
        value = record.value or b""
        if value.startswith(TICK.prefix):
            continue
        arrival = decode_arrival(value)
        if arrival.trigger == trigger:
            if arrival.reached <= newest.get(record.partition, 0):
                return False
            newest[record.partition] = arrival.reached
    return True


def _is_near_an_edit(reached: str, changes: Sequence[Change]) -> bool:
    """Return whether a router may have decided by another definition: it applies an edit when it gets to it."""
    at = round(datetime.fromisoformat(reached).timestamp() * SECOND)
    return any(-_SOON <= change.at - at <= _LAG for change in changes)


def _is_narrow(world: World) -> bool:
    """Return whether windows of the live bridge may be full where those of the rules are not.

    A partition holds less than all of them.
    """
    return world.script.bound < _WIDE or world.script.remembered < _WIDE


def _wrong_runs(world: World, story: Story, asked: Mapping[str, list[list[Used]]]) -> Iterator[str]:
    for told in story.runs:
        if told.known != "recorded":
            continue
        world.explained["runs"] += 1
        found = sorted((event["slot"], event["name"], event["id"]) for event in told.events)
        if found not in asked.get(told.run_key, []):
            yield f"explain says that run {told.run_key} has the events {found}, and it has {asked.get(told.run_key)}"
