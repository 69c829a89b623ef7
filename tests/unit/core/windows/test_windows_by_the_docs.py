"""Every kind of window decides as docs/triggers says: random stories against a reference written from the pages."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity
from bridge.core.trigger import Schedule, Trigger
from bridge.core.windows.window import Arrival
from kinds import KINDS
from kinds.draws import STEP
from kinds.kind import Kind
from kinds.pages import Choice, Outcome
from unit.core.seeds import seeded, seeds
from unit.core.stepping import Stepping, trigger_of


def any_trigger(chance: random.Random, kind: Kind) -> Trigger:
    """Draw a trigger with a window of that kind, and what goes with it.

    Durations are chosen so that no two ends fall on the same moment.
    """
    slots = chance.randint(1, 3)
    words = [name + chance.choice(["", "", "*2", "*3"]) for name in "abc"[:slots]]
    reset = Schedule(every=STEP * chance.choice([2, 4, 7]), offset=1) if chance.random() < 0.5 else None
    long = STEP * chance.randint(0, 4)
    order: Any = chance.choice(["any", "any", "sequence"]) if slots > 1 and kind.takes_order else "any"
    collects = ["latest", "first", "all"] if kind.takes_all and order == "any" else ["latest", "first"]
    return trigger_of(
        " ".join(words),
        require=slots if order == "sequence" else chance.randint(1, slots),
        window=kind.random_plan(chance, long, reset),
        grace=STEP * chance.randint(0, 3) + 2,
        dedupe=STEP * chance.randint(0, 8) + 6,
        order=order,
        collect=chance.choice(collects),
    )


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


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_story_is_decided_as_the_pages_say(kind: Kind) -> None:
    for seed in seeds(200):
        with seeded(seed) as chance:
            trigger = any_trigger(chance, kind)
            story = any_story(chance, trigger)
            pages = kind.pages(trigger)
            for new in story:
                pages.arrive(new)
            pages.advance(10**9)
            outcomes, matches = told(Stepping(trigger), story)
            shown = "\n".join(f"{new.event.id} time={new.time} reached={new.reached}" for new in story)
            assert (outcomes, matches) == (pages.outcomes, pages.matches), f"{trigger}\n{shown}"
