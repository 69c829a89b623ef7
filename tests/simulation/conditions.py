"""The words of random conditions: topics, slots and windows of a simulated world. Each kind makes its own of them.

All conditions read the same few topics, whose events carry ``k`` (the key) and ``n`` (a digit). Windows are short, so
that what waits also ends while things happen.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bridge.core.event import SECOND
from bridge.core.trigger import Collect, RunPlan, Slot, Trigger, WindowPlan

TOPICS = ("order", "paid", "sent")
TEMPLATE = "work"
BRIEF = "brief"
"""A template whose finished Workflows are soon deleted."""
OTHER = "other"
"""The namespace beside ``default``."""
LOST_DIGIT = 5
"""What events carry that retention takes."""

_COLLECTS: tuple[Collect, ...] = ("latest", "first", "all")


class Condition(NamedTuple):
    """A random condition.

    Attributes:
        weight: How often it is chosen.
        make: Makes it.

    """

    weight: int
    make: Callable[[Random], Trigger]


def slot_of(event: str, variable: str = "", *, keyed: bool = True, where: str | None = None) -> Slot:
    """Return a slot that reads an event; its variable is the event's name unless given."""
    return Slot(event, variable or event, where=where, key="payload.k" if keyed else None)


def some_slots(random: Random) -> tuple[Slot, ...]:
    """Return one or two slots."""
    return tuple(slot_of(topic) for topic in random.sample(TOPICS, random.choice((1, 2))))


def sliding(random: Random, slots: tuple[Slot, ...], require: int | None = None) -> Trigger:
    """Return a trigger with a sliding window."""
    within, grace = random.choice((6, 12)) * SECOND, random.choice((1, 3)) * SECOND
    return Trigger(
        "default",
        "t",
        slots,
        RunPlan(TEMPLATE, "default", (("key", '"fixed"'),)),
        require=len(slots) if require is None else require,
        window=WindowPlan("within", within),
        grace=grace,
        dedupe=random.choice((within + grace, 3 * SECOND)),
        collect=random.choice(("latest", "first")),
    )


def closing(random: Random, slots: tuple[Slot, ...], plan: WindowPlan, *, collect: Collect | None = None) -> Trigger:
    """Return a trigger with a window that closes as a whole."""
    grace = random.choice((1, 3)) * SECOND
    chosen: Collect = random.choice(_COLLECTS) if collect is None else collect
    required = len([slot for slot in slots if not slot.absent])
    return Trigger(
        "default",
        "t",
        slots,
        RunPlan(TEMPLATE, "default"),
        require=random.choice((required, 1)) if required > 1 else required,
        window=plan,
        grace=grace,
        dedupe=random.choice((20, 5)) * SECOND,
        collect=chosen,
    )
