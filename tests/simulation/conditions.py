"""The triggers of a simulated world: a table of random ones, an entry a kind.

All read the same few topics, whose events carry ``k`` (the key) and ``n`` (a digit). Windows are short, so that what
waits also ends while things happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from bridge.core.event import SECOND
from bridge.core.trigger import Collect, RunLimits, RunPlan, Schedule, Slot, Trigger, WindowPlan

TOPICS = ("order", "paid", "sent")
TEMPLATE = "work"
BRIEF = "brief"
"""A template whose finished Workflows are soon deleted."""
OTHER = "other"
"""The namespace beside ``default``."""
LOST_DIGIT = 5
"""What events carry that retention takes."""

_COLLECTS: tuple[Collect, ...] = ("latest", "first", "all")


def random_triggers(random: Random) -> tuple[Trigger, ...]:
    """Return two or three triggers."""
    count = random.choice((2, 3))
    kinds = random.choices(list(TABLE), [weight for weight, _ in TABLE.values()], k=count)
    return tuple(_named(TABLE[kind][1](random), number, random) for number, kind in enumerate(kinds))


def _named(trigger: Trigger, number: int, random: Random) -> Trigger:
    deadline = random.choice((2, 8)) * SECOND if random.random() < 0.1 else None
    plan = replace(trigger.run, limits=_limits(trigger, random), start_deadline=deadline, id=_run_id(trigger, random))
    named = replace(trigger, name=f"t{number}", run=plan)
    return replace(named, start_from="now") if random.random() < 0.3 else replace(named, start_from="earliest")


def _limits(trigger: Trigger, random: Random) -> RunLimits:
    is_rated, is_watched = random.random() < 0.15, random.random() < 0.15
    if trigger.is_switch:  # it asks for runs for ever: what waits for its limits would never have had its turn
        return RunLimits()
    return RunLimits(
        rate=random.choice((1, 2)) if is_rated else None,
        per=random.choice((1, 3, 12)) * SECOND if is_rated else 0,
        storm=random.choice((1, 2)) if is_watched else None,
        storm_within=random.choice((3, 15)) * SECOND if is_watched else 0,
    )


def _run_id(trigger: Trigger, random: Random) -> str | None:
    """Return an identity that several matches share, now and then."""
    first, window = trigger.slots[0], trigger.window
    is_there = (
        not first.absent and first.count == 1 and trigger.require == len(trigger.slots) - len(trigger.absent_slots)
    )
    if not is_there or (window is not None and window.kind != "within") or random.random() < 0.8:
        return None
    return f"string({first.variable}.payload.n % 2)"


def edited(trigger: Trigger, change: str) -> Trigger:
    """Return a trigger after somebody's edit."""
    if change == "window" and trigger.window is not None:
        return replace(trigger, grace=trigger.grace + SECOND)
    if change == "run":
        return replace(trigger, run=replace(trigger.run, labels=(*trigger.run.labels, ("edited", "yes"))))
    if change == "where":
        first = replace(trigger.slots[0], where="payload.n != 3")
        return replace(trigger, slots=(first, *trigger.slots[1:]))
    return replace(trigger, suspend=change == "suspend")


def _slot(event: str, variable: str = "", *, keyed: bool = True, where: str | None = None) -> Slot:
    return Slot(event, variable or event, where=where, key="payload.k" if keyed else None)


def _within(random: Random, slots: tuple[Slot, ...], require: int | None = None) -> Trigger:
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


def _single(random: Random) -> Trigger:
    where = random.choice((None, "payload.n > 2"))
    return Trigger("default", "t", (Slot(random.choice(TOPICS), "it", where=where),), RunPlan(TEMPLATE, "default"), 1)


def _mapped(random: Random) -> Trigger:
    plan = RunPlan(TEMPLATE, "default", (("key", "it.payload.k"),))
    return Trigger("default", "t", (Slot(random.choice(TOPICS), "it"),), plan, 1)


def _pair(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return _within(random, (_slot(first), _slot(second)))


def _unkeyed(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return _within(random, (_slot(first, keyed=False, where="payload.n < 8"), _slot(second, keyed=False)))


def _two_of_three(random: Random) -> Trigger:
    return _within(random, tuple(_slot(topic) for topic in TOPICS), 2)


def _same_event(random: Random) -> Trigger:
    topic = random.choice(TOPICS)
    return _within(random, (_slot(topic, "low", where="payload.n < 7"), _slot(topic, "high", where="payload.n > 3")))


def _plan(random: Random, slots: tuple[Slot, ...], plan: WindowPlan, *, collect: Collect | None = None) -> Trigger:
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


def _slots(random: Random) -> tuple[Slot, ...]:
    return tuple(_slot(topic) for topic in random.sample(TOPICS, random.choice((1, 2))))


def _count(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    return _within(random, (replace(_slot(first), count=2), _slot(second)))


def _sequence(random: Random) -> Trigger:
    return replace(_within(random, tuple(_slot(topic) for topic in random.sample(TOPICS, 2))), order="sequence")


def _reset(random: Random) -> Trigger:
    trigger = _pair(random)
    reset = Schedule(every=random.choice((10, 20)) * SECOND)
    return replace(trigger, window=replace(trigger.window, reset=reset))  # type: ignore[type-var]  # it has a window


def _absent(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    trigger = _within(random, (_slot(first), replace(_slot(second), absent=True)))
    return replace(trigger, require=1, dedupe=2 * trigger.span)


def _every(random: Random) -> Trigger:
    return _plan(random, _slots(random), WindowPlan("every", schedule=Schedule(every=random.choice((5, 10)) * SECOND)))


def _until(random: Random) -> Trigger:
    return _plan(random, _slots(random), WindowPlan("until", schedule=Schedule(cron="* * * * *")))


def _absent_every(random: Random) -> Trigger:
    first, second = random.sample(TOPICS, 2)
    slots = (_slot(first), replace(_slot(second), absent=True))
    return _plan(random, slots, WindowPlan("every", schedule=Schedule(every=10 * SECOND)), collect="latest")


def _switch(random: Random) -> Trigger:
    slot = replace(_slot(random.choice(TOPICS), keyed=False), absent=True)
    return _plan(random, (slot,), WindowPlan("every", schedule=Schedule(every=10 * SECOND)), collect="latest")


def _session(random: Random) -> Trigger:
    longest = random.choice((None, 12 * SECOND))
    return _plan(random, _slots(random), WindowPlan("session", random.choice((2, 5)) * SECOND, max_wait=longest))


def _batch(random: Random) -> Trigger:
    size = random.choice((None, 2, 3))
    return _plan(random, _slots(random), WindowPlan("batch", random.choice((4, 10)) * SECOND, size=size))


def _settle(random: Random) -> Trigger:
    longest = random.choice((None, 12 * SECOND))
    return _plan(random, _slots(random), WindowPlan("settle", random.choice((2, 5)) * SECOND, max_wait=longest))


TABLE: Mapping[str, tuple[int, Callable[[Random], Trigger]]] = {
    "single": (3, _single),
    "mapped": (1, _mapped),
    "pair": (6, _pair),
    "unkeyed": (1, _unkeyed),
    "two of three": (2, _two_of_three),
    "same event": (1, _same_event),
    "count": (1, _count),
    "sequence": (1, _sequence),
    "reset": (1, _reset),
    "absent": (2, _absent),
    "every": (1, _every),
    "until": (1, _until),
    "absent every": (1, _absent_every),
    "switch": (1, _switch),
    "session": (1, _session),
    "batch": (1, _batch),
    "settle": (1, _settle),
}
"""By kind: how often it is chosen, and how it is made."""
