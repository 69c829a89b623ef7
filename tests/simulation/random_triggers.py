"""The triggers of a simulated world: random ones, of the conditions of every kind of window and of none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from bridge.core.event import SECOND
from bridge.core.trigger import RunLimits, RunPlan, Slot, Trigger
from kinds import KINDS
from simulation.conditions import TEMPLATE, TOPICS, Condition


def random_triggers(random: Random) -> tuple[Trigger, ...]:
    """Return two or three triggers."""
    count = random.choice((2, 3))
    names = random.choices(list(TABLE), [condition.weight for condition in TABLE.values()], k=count)
    return tuple(_named(TABLE[name].make(random), number, random) for number, name in enumerate(names))


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


def _single(random: Random) -> Trigger:
    where = random.choice((None, "payload.n > 2"))
    return Trigger("default", "t", (Slot(random.choice(TOPICS), "it", where=where),), RunPlan(TEMPLATE, "default"), 1)


def _mapped(random: Random) -> Trigger:
    plan = RunPlan(TEMPLATE, "default", (("key", "it.payload.k"),))
    return Trigger("default", "t", (Slot(random.choice(TOPICS), "it"),), plan, 1)


_ALL: Mapping[str, Condition] = {
    "single": Condition(3, _single),
    "mapped": Condition(1, _mapped),
    **{name: condition for kind in KINDS.values() for name, condition in kind.conditions.items()},
}
_FIRST = (
    *("single", "mapped", "pair", "unkeyed", "two of three", "same event", "count", "sequence", "reset", "absent"),
    *("every", "until", "absent every", "switch", "session", "batch", "settle"),
)
TABLE: Mapping[str, Condition] = {name: _ALL[name] for name in dict.fromkeys((*_FIRST, *_ALL))}
"""By name. A seed chooses by place: new conditions come last, so that seeds keep their stories."""
