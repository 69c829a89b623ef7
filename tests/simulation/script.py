"""What befalls the world in one seed: a plain list of acts, each with a time of its own.

An act never refers to another, and nothing about it depends on chance once it is written: so any of them can be left
out, which is how a failing seed shrinks, and a repeat names what was left out by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, Literal, NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.core.trigger import Trigger
from simulation.cluster import ANSWERS
from simulation.conditions import TOPICS
from simulation.effects import EFFECTS, STAGES, TROUBLES
from simulation.habits import drawn
from simulation.random_triggers import random_triggers
from simulation.replay_acts import gap_acts, gap_trigger, has_replays
from simulation.scenes import SCENES, format_of, scene_of

EVENTFUL: Micros = 36 * SECOND
"""How long things happen; afterwards the world heals."""

_CHANGES = ("window", "run", "where", "suspend", "delete", "restore")
_UNITS = ("router", "matcher", "matcher", "submitter", "create", "controller")
_FAULTS = {
    "trap": 62,
    "trouble": 6,
    "answer": 12,
    "stop": 4,
    "join": 4,
    "compact": 4,
    "retain": 2,
    "lose": 1,
    "recreate": 1,
    "grow": 1,
    "edit": 4,
}  # how often each is chosen
_OF_KIND = {
    "answer": ANSWERS,
    "compact": ("windows", "ledger", "triggers"),
    "retain": TOPICS,
    "lose": TOPICS,
    "recreate": TOPICS,
    "grow": TOPICS,
}


class Act(NamedTuple):
    """Something that happens to the world.

    Attributes:
        at: When, from the beginning.
        kind: The method of :class:`simulation.acts.Acts` that does it.
        detail: Its arguments.

    """

    at: Micros
    kind: str
    detail: tuple[Any, ...]


class Script(NamedTuple):
    """One seed, as plain values.

    Attributes:
        seed: The seed.
        partitions: Of the internal topics.
        triggers: What the trigger files hold at the beginning.
        seats: Processes that run at once: who dies is replaced.
        keeps_names: A process that is replaced comes back under its name.
        concurrency: Creates in flight of one process.
        bound: Arrivals in one window.
        remembered: Events of one condition that one partition remembers.
        lost_offsets: The setting of that name, until somebody decides.
        slice: Endings of a tick in one transaction.
        step: How far time goes at once.
        acts: What happens.
        scene: What it is about (:mod:`simulation.scenes`); empty for nothing in particular.
        parked: Runs of one trigger that may wait.
        format: The kind of record that the newer version writes in another format; empty for none.

    """

    seed: int
    partitions: int
    triggers: tuple[Trigger, ...]
    seats: int
    keeps_names: bool
    concurrency: int
    bound: int
    remembered: int
    lost_offsets: Literal["hold", "continue"]
    slice: int
    step: Micros
    acts: tuple[Act, ...]
    scene: str = ""
    parked: int = 1_000_000
    format: str = ""

    def without(self, numbers: frozenset[int]) -> Script:
        """Return the script without some acts, by their numbers in the whole."""
        return self._replace(acts=tuple(act for number, act in enumerate(self.acts) if number not in numbers))


def script_of(seed: int) -> Script:
    """Return what the seed stands for."""
    random = Random(seed)
    seats = random.choice((1, 2, 2, 3))
    acts = [*_events(random), *_faults(random, seats), *_habits(Random(f"habits of {seed}"), seats)]
    script = Script(
        seed=seed,
        partitions=random.choice((1, 2)),
        triggers=random_triggers(random),
        seats=seats,
        keeps_names=random.random() < 0.5,
        concurrency=random.choice((1, 3)),
        bound=random.choice((3, 100, 100)),
        remembered=random.choice((4, 1000, 1000)),
        lost_offsets=random.choice(("hold", "continue")),
        slice=random.choice((1, 2, 1000)),
        step=random.choice((SECOND // 4, SECOND // 2, SECOND)),
        acts=tuple(sorted(acts, key=lambda act: act.at)),
    )
    scene = scene_of(seed)
    if scene:
        return _with_scene(script, scene, Random(f"scene of {seed}"))
    return _with_replays(script, Random(f"gaps of {seed}")) if has_replays(seed) else script


def _with_replays(script: Script, random: Random) -> Script:
    """Return a script with a trigger more, of which events are kept from the live bridge, and replays of it."""
    trigger = gap_trigger(random)
    acts = [Act(*drawn) for drawn in gap_acts(random, trigger, len(script.triggers))]
    ordered = tuple(sorted((*script.acts, *acts), key=lambda act: act.at))
    if random.random() < 0.6:  # what comes again after the dedupe horizon may be used again, which hides faults
        ordered = tuple(_once(ordered))
    return script._replace(triggers=(*script.triggers, trigger), acts=ordered)


def _with_scene(script: Script, name: str, random: Random) -> Script:
    """Return a script with a scene, which leaves the rest of it as it was drawn, or takes its place."""
    scene = SCENES[name]
    brought = scene.triggers(random)
    acts = [Act(max(0, at), kind, detail) for at, kind, detail in scene.acts(random)]
    script = script._replace(scene=name, parked=random.choice(scene.parked), format=format_of(random, name))
    if scene.is_calm:
        script = script._replace(
            triggers=brought,
            seats=1,
            bound=100,
            remembered=1000,
            partitions=random.choice((1, 2)),
            concurrency=3,
            step=SECOND // 4,  # each create takes a turn
        )
    else:
        script = script._replace(triggers=(*script.triggers, *brought), seats=max(2, script.seats))
        acts += script.acts
    return script._replace(acts=tuple(sorted(acts, key=lambda act: act.at)))


def _once(acts: Iterable[Act]) -> Iterator[Act]:
    """Yield acts without those in which a publisher sends an event again."""
    sent: set[str] = set()
    for act in acts:
        if act.kind.startswith("publish"):
            if act.detail[1] in sent:
                continue
            sent.add(act.detail[1])
        yield act


def _events(random: Random) -> Iterator[Act]:
    keys = [f"k{number}" for number in range(random.choice((1, 2, 4)))]
    for number in range(random.randint(8, 30)):
        topic = random.choice(TOPICS)
        detail = (topic, f"e{number}", random.choice(keys), random.randrange(10), *_clock(random), random.randrange(2))
        at = random.randrange(EVENTFUL)
        if random.random() < 0.12:
            lasts = random.choice((SECOND // 2, 3 * SECOND, 12 * SECOND))
            yield Act(at, "publish_in_transaction", (*detail, lasts, random.random() < 0.6))
        else:
            yield Act(at, "publish", detail)
        while random.random() < 0.2:  # a publisher that was not answered sends again
            yield Act(at + random.randrange(20 * SECOND), "publish", detail)


def _clock(random: Random) -> tuple[Micros, Micros | None]:
    """Return how far before its publication an event happened, and what is wrong about its record's timestamp."""
    ago = random.choice((0, random.randrange(5 * SECOND), random.randrange(25 * SECOND)))
    chance = random.random()
    if chance < 0.7:
        return ago, None
    if chance < 0.97:
        wrong = random.randrange(-20 * SECOND, 20 * SECOND)  # a publisher's clock is wrong for the event and its record
        return ago + wrong, wrong
    return -7200 * SECOND, None


def _faults(random: Random, seats: int) -> Iterator[Act]:
    if random.random() < 0.3:  # somebody comes to harm while it joins
        unit, effect = random.choice(STAGES), random.choice(("after ask", "before restore", "before offsets"))
        yield Act(0, "trap", (random.randrange(seats), unit, effect, 1, *_harm(random)))
    if seats > 1 and random.random() < 0.25:
        yield from _overtaken(random)
    for _ in range(random.randint(3, 12)):
        (kind,) = random.choices(list(_FAULTS), list(_FAULTS.values()))
        at = random.randrange(EVENTFUL)
        if kind == "edit":
            yield from _edits(random, at, seats)
        else:
            yield Act(at, kind, _detail(random, kind, seats))


def _habits(random: Random, seats: int) -> Iterator[Act]:
    """Yield the habits of a world, drawn apart: a new one changes nothing else about a seed."""
    for at, name, lasts, detail in drawn(random, seats, EVENTFUL):
        yield Act(at, "habit", (name, lasts, *detail))


def _overtaken(random: Random) -> Iterator[Act]:
    """Somebody comes back, and stands still while it takes over; who took its place instead dies before it wakes."""
    at, unit = random.randrange(20 * SECOND), random.choice(("router", "matcher", "matcher", "submitter"))
    effect = random.choice(("after ask", "after fence", "before restore", "before begin"))
    yield Act(at, "stop", (0,))
    yield Act(at + SECOND, "trap", (0, unit, effect, random.choice((1, 2)), "pause", 9 * SECOND))
    later = at + random.randrange(8 * SECOND, 14 * SECOND)
    yield Act(later, "trap", (1, unit, "before commit", random.choice((1, 2, 3)), "kill", 0))


def _detail(random: Random, kind: str, seats: int) -> tuple[Any, ...]:
    if kind == "trap":
        unit, countdown = random.choice(_UNITS), random.choice((1, 1, 2, 3, 6))
        return (random.randrange(seats), unit, random.choice(EFFECTS[unit]), countdown, *_harm(random))
    if kind == "trouble":
        return random.randrange(seats), random.choice(TROUBLES)
    if kind == "stop":
        return (random.randrange(seats),)
    return () if kind == "join" else (random.choice(_OF_KIND[kind]),)


def _harm(random: Random) -> tuple[str, Micros]:
    chance = random.random()
    if chance < 0.35:
        return "kill", 0
    lasts = random.choice((SECOND, 3 * SECOND, 8 * SECOND, 8 * SECOND, 9 * SECOND, 14 * SECOND))
    return ("pause" if chance < 0.75 else "delay"), lasts


def _edits(random: Random, at: Micros, seats: int) -> Iterator[Act]:
    number, change = random.randrange(3), random.choice(_CHANGES)
    if random.random() < 0.7:  # one router applies it long after the others
        effect, lasts = random.choice(("before poll", "after poll")), random.choice((5, 9, 14)) * SECOND
        yield Act(max(0, at - 2 * SECOND), "trap", (random.randrange(seats), "router", effect, 1, "delay", lasts))
    yield Act(at, "edit", (number, change))
    if random.random() < 0.5:
        back = {"suspend": "resume", "delete": "restore"}.get(change, "restore")
        yield Act(at + random.randrange(12 * SECOND), "edit", (number, back))
