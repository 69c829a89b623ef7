"""What a seed has of replays: a trigger of which events are kept from the live bridge, and what people do about them.

All of it is drawn apart from the rest of the seed, and stands beside it in the script as acts like all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

from bridge.core.event import SECOND, Micros
from bridge.core.trigger import RunPlan, Trigger
from simulation.conditions import TEMPLATE, TOPICS
from simulation.random_triggers import TABLE
from simulation.replays import EFFECTS, SENDING
from simulation.scenes import scene_of

SHARE = 1 / 3
"""Of the seeds without a scene: a quarter of all seeds."""

_LAST: Micros = 62 * SECOND  # no event of a script comes later

Acts = Iterator[tuple[Micros, str, tuple[Any, ...]]]
"""When, what, and its arguments."""


def has_replays(seed: int) -> bool:
    """Return whether replays run in the world of a seed."""
    return not scene_of(seed) and Random(f"replays of {seed}").random() < SHARE


def seeds_with_replays(count: int) -> list[int]:
    """Return the first seeds in whose worlds replays run."""
    return list(islice((seed for seed in itertools.count() if has_replays(seed)), count))


def gap_trigger(random: Random) -> Trigger:
    """Return the trigger of which events are kept from the live bridge."""
    chance = random.random()
    if chance < 0.3:
        trigger = TABLE[random.choice(("single", "mapped"))].make(random)
    elif chance < 0.7:
        trigger = TABLE["pair"].make(random)
    else:
        trigger = TABLE[random.choice([name for name in TABLE if "switch" not in name])].make(random)
    if trigger.is_switch:
        trigger = TABLE["pair"].make(random)
    trigger = replace(trigger, name="gap", start_from=random.choice(("now", "earliest")))
    if 0.1 < chance < 0.7 and trigger.window is None:
        return replace(trigger, run=RunPlan(TEMPLATE, "default", (("key", "it.payload.k"),)))
    return trigger


def gap_acts(random: Random, trigger: Trigger, number: int) -> Acts:
    """Yield events of the trigger, what keeps some of them from the live bridge, and replays.

    Args:
        random: A source of chance.
        trigger: The trigger.
        number: Number of its file.

    """
    topics = [topic for topic in TOPICS if topic in trigger.events]
    for count in range(random.randint(6, 18)):
        yield _event(random, topics, f"r{count}", random.randrange(34 * SECOND))
    way = random.choice(("added", "added", "suspended", "suspended", "hidden", "hidden"))
    if way == "hidden":  # the live bridge never sees an event of it
        yield 0, "edit", (number, random.choice(("suspend", "delete")))
        yield _LAST, "edit", (number, "restore")
        begun = _LAST + random.randrange(4, 8) * SECOND
    else:  # it is put in force when events have come already, or is suspended for a while
        since, again = random.randrange(12) * SECOND, random.randrange(14, 34) * SECOND
        yield (0, "edit", (number, "delete")) if way == "added" else (since, "edit", (number, "suspend"))
        yield again, "edit", (number, "restore" if way == "added" else "resume")
        begun = again + random.choice((2, 4, 6, 20)) * SECOND
        for count in range(random.choice((0, 4, 8))):  # some are held by live windows when the replay is planned
            at = again + random.randrange(-3 * SECOND, 12 * SECOND)
            yield _event(random, topics, f"h{count}", at)
    if random.random() < 0.3:  # a matcher stands still in the middle of a transaction meanwhile
        effect = random.choice(("after tick", "after tick", "after changelog", "before commit"))
        detail = (random.randrange(2), "matcher", effect, 1, random.choice(("pause", "delay")), 9 * SECOND)
        yield begun - random.randrange(4 * SECOND), "trap", detail
    yield from _replays(random, number, begun)


def _event(random: Random, topics: list[str], id_: str, at: Micros) -> tuple[Micros, str, tuple[Any, ...]]:
    detail = (random.choice(topics), id_, f"k{random.randrange(2)}", random.randrange(10), 0, None)
    return at, "publish", (*detail, random.randrange(2))


def _replays(random: Random, number: int, begun: Micros) -> Acts:
    since = begun - random.randrange(3, 30) * SECOND  # a moment while events came
    ago = since if random.random() < 0.4 and since > 0 else None
    detail = (number, ago, random.choice((1, 1, 2, 4)), random.choice((None, 1.0, 1.0, 10.0)))
    yield begun, "replay", ("one", *detail)
    yield from _harm(random, "one", begun)
    has_to_wait = random.random() < 0.35
    if has_to_wait:  # its runs do
        what = random.choice(("missing", "forbidden"))
        yield begun - SECOND, "habit", ("no template", random.choice((6, 14, 44, 44)) * SECOND, what)
        yield begun + 46 * SECOND, "replay_change", ("one", "resume")  # the world heals no earlier
        for _ in range(random.choice((4, 8, 12))):
            yield begun + random.randrange(6 * SECOND), "answer", ("quota",)
    later = begun + random.randrange(12 * SECOND)
    if random.random() < 0.35:
        yield begun + random.choice((0, random.randrange(6 * SECOND))), "replay", ("two", *detail)
        yield from _harm(random, "two", begun)
    change = random.choice(("pause", "cancel", "take over", "") if not has_to_wait else ("cancel", "cancel", "pause"))
    if change:
        yield later, "replay_change", ("one", change)
    if change == "pause":
        yield later + random.randrange(2, 12) * SECOND, "replay_change", ("one", "resume")
    elif change == "cancel" and random.random() < 0.7:
        yield later + random.randrange(8 * SECOND), "replay", ("again", *detail)
        yield from _harm(random, "again", later)


def _harm(random: Random, name: str, begun: Micros) -> Acts:
    for _ in range(random.choice((0, 1, 2, 3, 4, 6))):
        if random.random() < 0.6:  # it is killed while it sends
            effect, countdown, harm, lasts = random.choice(SENDING), random.choice((1, 1, 2, 3)), "kill", 0
        else:
            effect, countdown = random.choice(EFFECTS), random.choice((1, 1, 2, 3, 5, 9))
            harm, lasts = random.choice((("kill", 0), ("pause", 12), ("delay", 3), ("delay", 8)))
        at = begun + random.randrange(10 * SECOND)
        yield at, "replay_trap", (name, effect, countdown, harm, lasts * SECOND)
    if random.random() < 0.3:
        yield begun + random.randrange(10 * SECOND), "replay_change", (name, "kill")
