"""Worlds with a subject: every fourth seed has one of these scenes, with triggers, acts and bounds of its own.

A scene is more than a habit: it takes a trigger that makes it matter, acts that belong together, or bounds that no
other world has. All that is promised holds in it. In a calm scene nothing else happens, so that how quickly runs start
can be told, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.core.trigger import RunLimits, RunPlan, Slot, Trigger
from simulation.conditions import BRIEF, OTHER, TEMPLATE, TOPICS
from simulation.random_triggers import TABLE
from simulation.versions import KINDS, NewerTrigger, newer

Acts = Iterator[tuple[Micros, str, tuple[Any, ...]]]
"""When, what, and its arguments."""

_SEATS = 2
_MOVED = 12 * SECOND


class Scene(NamedTuple):
    """What a world is about.

    Attributes:
        triggers: Draws the triggers that it brings along.
        acts: Draws what happens.
        retention: How long Kafka keeps entries of the ledger; 0 for ever.
        parked: How many runs of one trigger may wait, one of these.
        is_calm: Nothing else happens, and there are no other triggers.

    """

    triggers: Callable[[Random], tuple[Trigger, ...]]
    acts: Callable[[Random], Acts]
    retention: Micros = 0
    parked: tuple[int, ...] = (1_000_000,)
    is_calm: bool = False


def single(
    name: str, event: str, *, namespace: str = "default", template: str = TEMPLATE, limits: RunLimits | None = None
) -> Trigger:
    """Return a trigger on each event of a name."""
    plan = RunPlan(template, namespace, (("key", "it.payload.k"),), limits=limits or RunLimits())
    return Trigger(namespace, name, (Slot(event, "it"),), plan, 1, start_from="earliest")


def _events(random: Random, topic: str, count: int, begin: Micros, end: Micros) -> Acts:
    for _ in range(count):
        at = random.randrange(begin, end)
        yield at, "publish", (topic, f"{topic}{at}", "k0", random.randrange(10), 0, None, random.randrange(2))


# -- retention -------------------------------------------------------------------------------------------------------


def _waiting(random: Random) -> tuple[Trigger, ...]:
    per = random.choice((6, 12)) * SECOND
    return (single("slow", "sent", limits=RunLimits(rate=1, per=per)), single("quiet", "paid"))


def _restarts(random: Random) -> Acts:
    """Yield runs that wait for longer than Kafka keeps their entries, and restarts after long silences."""
    yield from _events(random, "sent", random.randint(8, 14), 0, 30 * SECOND)
    for at in (random.randrange(70, 100), random.randrange(122, 150)):
        for seat in range(_SEATS + 1):
            yield at * SECOND, "stop", (seat,)
    yield from _events(random, "paid", 2, at * SECOND, (at + 10) * SECOND)


# -- neighbours ------------------------------------------------------------------------------------------------------


def _neighbours(random: Random) -> tuple[Trigger, ...]:
    limits = random.choice(
        (
            RunLimits(rate=1, per=random.choice((6, 12)) * SECOND),
            RunLimits(storm=2, storm_within=10 * SECOND),
            RunLimits(rate=1, per=6 * SECOND, storm=3, storm_within=10 * SECOND),
        )
    )
    return (
        single("plain", "order"),
        single("limited", "sent", limits=limits),
        single("hung", "paid", namespace=OTHER),
    )


def _hang(random: Random) -> Acts:
    yield from _events(random, "sent", random.randint(8, 20), 5 * SECOND, 10 * SECOND)
    yield from _events(random, "paid", random.randint(10, 30), 5 * SECOND, 12 * SECOND)
    for second in range(6, 36):
        yield from _events(random, "order", 1, second * SECOND, (second + 1) * SECOND)
    yield random.choice((4, 8)) * SECOND, "habit", ("namespace hangs", 30 * SECOND)
    if random.random() < 0.3:
        yield random.randrange(15, 30) * SECOND, "stop", (0,)


def _two_namespaces(random: Random) -> tuple[Trigger, ...]:
    return (single("plain", "order"), single("other", "paid", namespace=random.choice(("default", OTHER))))


def _outage(random: Random) -> Acts:
    """Yield an API server that answers 500 to every create for longer than a Workflow lives, and never stops looks."""
    yield from _events(random, "order", 4, 2 * SECOND, 12 * SECOND)
    yield from _events(random, "paid", 2, 2 * SECOND, 12 * SECOND)
    yield 4 * SECOND, "habit", ("creates fail", random.choice((45, 70)) * SECOND)
    yield 80 * SECOND, "habit", ("creates fail", 0)


# -- short lives -----------------------------------------------------------------------------------------------------


def _brief(random: Random) -> tuple[Trigger, ...]:
    mapped = single("brief", random.choice(TOPICS), template=BRIEF)
    return (mapped, replace(mapped, name="unmapped", run=replace(mapped.run, parameters=())))


def _lost_answers(random: Random) -> Acts:
    for _ in range(random.randint(3, 8)):
        yield random.randrange(30 * SECOND), "answer", (random.choice(("lost", "lost", "never", "late", "broken")),)
    for _ in range(random.randint(1, 3)):
        effect = random.choice(("before create", "after create", "after create"))
        yield random.randrange(30 * SECOND), "trap", (random.randrange(_SEATS), "create", effect, 1, "kill", 0)
    if random.random() < 0.5:
        yield random.randrange(20 * SECOND), "habit", ("creates fail", random.choice((20, 45)) * SECOND)


# -- sources ---------------------------------------------------------------------------------------------------------


def _none(random: Random) -> tuple[Trigger, ...]:
    del random
    return ()


def _sources(random: Random) -> Acts:
    """Yield a folder that is mounted elsewhere, and readings that find nothing in it, or only a part."""
    at = random.randrange(4, 20) * SECOND
    if random.random() < 0.7:
        yield at, "mount", (random.choice(("/new", "/new/deeper")),)
    for _ in range(random.choice((1, 2))):
        silent = at + random.choice((0, _MOVED, random.randrange(-4, 16) * SECOND))
        yield silent, "habit", (random.choice(("silent source", "silent source", "half a source")), 8 * SECOND)


# -- two versions ----------------------------------------------------------------------------------------------------


def _of_both(random: Random) -> tuple[Trigger, ...]:
    each = single("each", "order", template=BRIEF)
    each = replace(each, run=replace(each.run, id="string(it.payload.n % 2)"))
    return (replace(TABLE["pair"].make(random), name="pair", start_from="earliest"), each)


def _upgrades(random: Random) -> Acts:
    """Yield an upgrade of one process, what only the new version can read, and perhaps a way back."""
    at, seat = random.randrange(15) * SECOND, random.randrange(_SEATS)
    yield at, "upgrade", (seat,)
    if random.random() < 0.4:
        yield at + random.randrange(2, 8) * SECOND, "deploy", (9, random.choice(("within", "single")))
    if random.random() < 0.6:
        yield at + random.randrange(8, 20) * SECOND, "upgrade", (random.choice((seat, seat, 1 - seat)),)
    yield from _events(random, "order", 10, 0, 60 * SECOND)


def of_the_newer_version(which: str) -> NewerTrigger:
    """Return a trigger that only the newer version can read."""
    trigger = single("new", "order") if which == "single" else TABLE["pair"].make(Random(0))
    return newer(replace(trigger, name="new", start_from="earliest"), at_most=3)


SCENES: Mapping[str, Scene] = {
    "ageing": Scene(_waiting, _restarts, retention=80 * SECOND),
    "neighbours": Scene(_neighbours, _hang, parked=(6, 1_000), is_calm=True),
    "outage": Scene(_two_namespaces, _outage, is_calm=True),
    "short lives": Scene(_brief, _lost_answers),
    "sources": Scene(_none, _sources),
    "two versions": Scene(_of_both, _upgrades),
}
"""By name."""

_EVERY = 4
_FORMATS = ("", "", "run", "ledger_entry", *KINDS)


def scene_of(seed: int) -> str:
    """Return the scene of a seed; empty for most."""
    return list(SCENES)[seed // _EVERY % len(SCENES)] if seed % _EVERY == _EVERY - 1 else ""


def seeds_of(scene: str, count: int) -> range:
    """Return the first seeds of a scene."""
    first = _EVERY * list(SCENES).index(scene) + _EVERY - 1
    return range(first, first + count * _EVERY * len(SCENES), _EVERY * len(SCENES))


def format_of(random: Random, scene: str) -> str:
    """Return of which kind of record the newer version has another format; empty for none."""
    return random.choice(_FORMATS) if scene == "two versions" else ""
