"""Every kind of window decides as docs/triggers says: random stories against a reference written from the pages."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.core.windows.window import Arrival
from unit.core.reference_windows import Choice, Docs, Outcome
from unit.core.seeds import seeded, seeds
from unit.core.stepping import Stepping, trigger_of

STEP = 8
"""Event and reached times are multiples of it; durations are chosen so that no two ends fall on the same moment."""


def any_trigger(chance: random.Random, kind: str) -> Trigger:
    """Draw a trigger with a window of that kind, and what goes with it."""
    slots = chance.randint(1, 3)
    words = [name + chance.choice(["", "", "*2", "*3"]) for name in "abc"[:slots]]
    reset = Schedule(every=STEP * chance.choice([2, 4, 7]), offset=1) if chance.random() < 0.5 else None
    long = STEP * chance.randint(0, 4)
    windows: dict[str, Any] = {
        "within": lambda: WindowPlan("within", long, reset=reset),
        "every": lambda: WindowPlan("every", schedule=Schedule(every=STEP * chance.choice([2, 3, 5]))),
        "session": lambda: WindowPlan("session", long, max_wait=max_wait(chance), reset=reset),
        "settle": lambda: WindowPlan("settle", long + 4, max_wait=max_wait(chance), reset=reset),
        "batch": lambda: WindowPlan("batch", chance.choice([0, long + 4]), size=chance.choice([2, 3, 5]), reset=reset),
    }
    order: Any = chance.choice(["any", "any", "sequence"]) if slots > 1 and kind != "batch" else "any"
    collects = ["latest", "first"] if kind == "within" or order == "sequence" else ["latest", "first", "all"]
    return trigger_of(
        " ".join(words),
        require=slots if order == "sequence" else chance.randint(1, slots),
        window=windows[kind](),
        grace=STEP * chance.randint(0, 3) + 2,
        dedupe=STEP * chance.randint(0, 8) + 6,
        order=order,
        collect=chance.choice(collects),
    )


def max_wait(chance: random.Random) -> int | None:
    """Draw the longest wait, which never ends where another end does."""
    return chance.choice([None, STEP * 5 + 5, STEP * 9 + 5])


def any_story(chance: random.Random, trigger: Trigger) -> list[Arrival]:
    """Draw events in the order in which they reach us, some of them late and some of them repeated."""
    story: list[Arrival] = []
    reached = STEP * 4
    for offset in range(chance.randint(2, 14)):
        reached += STEP * chance.choice([0, 0, 1, 1, 1, 2, 5])
        if story and chance.random() < 0.15:
            story.append(chance.choice(story)._replace(reached=reached, offset=offset))
            continue
        slot = chance.randrange(len(trigger.slots))
        time = reached - STEP * chance.choice([0, 0, 1, 1, 2, 4])
        identity = EventIdentity(trigger.slots[slot].event, "shop", f"{trigger.slots[slot].event}{offset}")
        story.append(Arrival(time, offset, slot, identity, reached, "", None, b""))
    return story


def told(real: Stepping, story: list[Arrival]) -> tuple[Counter[Outcome], Counter[Choice]]:
    """Run a story, with the time that is safe before each event, and to its end."""
    variables = [slot.variable for slot in real.trigger.slots]
    decisions = []
    for new in story:
        decisions += real.tick(new.reached - 1)
        decisions += real.arrive("", new).decisions
    decisions += real.tick(10**9)
    outcomes = Counter(
        (decision.reason.value, variables.index(decision.slot), decision.event.id)
        for decision in decisions
        if decision.reason is not Reason.WAITING
    )
    matches = Counter(
        tuple(tuple(arrival.event.id for arrival in slot) for slot in match) for _, match, _ in real.matches
    )
    return outcomes, matches


@pytest.mark.parametrize("kind", ["within", "every", "session", "settle", "batch"])
def test_every_story_is_decided_as_the_pages_say(kind: str) -> None:
    for seed in seeds(200):
        with seeded(seed) as chance:
            trigger = any_trigger(chance, kind)
            story = any_story(chance, trigger)
            docs = Docs(trigger)
            for new in story:
                docs.arrive(new)
            docs.advance(10**9)
            outcomes, matches = told(Stepping(trigger), story)
            shown = "\n".join(f"{one.event.id} time={one.time} reached={one.reached}" for one in story)
            assert (outcomes, matches) == (docs.outcomes, docs.matches), f"{trigger}\n{shown}"
