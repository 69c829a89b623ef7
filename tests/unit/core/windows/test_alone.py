"""The shortcut for a window with one arrival alone makes the step that the rules make: all of it, evidence included."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from bridge.core.event import EventIdentity
from bridge.core.trigger import Trigger
from bridge.core.windows.apply import apply_arrival
from bridge.core.windows.kinds.within import step_alone
from bridge.core.windows.window import Arrival, empty_window
from bridge.core.windows.window_step import Step
from unit.core.stepping import trigger_of

_CASES = 4_000


def _arrival(random: Random, trigger: Trigger, offset: int) -> Arrival:
    slot = random.randrange(len(trigger.slots))
    event = EventIdentity(random.choice(("a", "b")), "s", random.choice(("1", "1", "2")))
    time, reached = 100 + random.randrange(14), 200 + random.randrange(20)
    return Arrival(time, offset, slot, event, reached, "d", random.choice((None, "k")), b"v")


def _parts(step: Step) -> tuple[object, ...]:
    """Return all of a step, with evidence that is made on demand."""
    decisions = [(*decision[:5], dict(decision.evidence)) for decision in step.decisions]
    return (*step._replace(decisions=()), decisions)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_step_of_the_rules_or_leaves_it_to_them(seed: int) -> None:
    random = Random(seed)
    found: Counter[str] = Counter()
    for _ in range(_CASES):
        slots, is_first = random.choice(("a", "a b", "a b c")), random.random() < 0.5
        trigger = trigger_of(slots, first=is_first, require=random.randint(1, len(slots.split())))
        trigger = replace(trigger, dedupe=random.choice((0, 7, 30)), collect=random.choice(("first", "latest", "all")))
        lone = _arrival(random, trigger, 5) if random.random() < 0.8 else None
        new = _arrival(random, trigger, 6)
        known = {lone.slot: lone} if lone is not None and lone.event == new.event else {}
        if known:
            continue  # what is known of an event is looked at before
        step = step_alone(trigger, lone, "key", new)
        if step is None:
            found["left to the rules"] += 1
            continue
        empty = empty_window(len(trigger.slots))
        window = empty if lone is None else empty.with_arrival(lone)
        assert _parts(step) == _parts(apply_arrival(trigger, window, "key", new, known)), (trigger, lone, new)
        found["matches" if step.match else "waits"] += 1
    assert min(found["matches"], found["waits"], found["left to the rules"]) > _CASES // 50, found
