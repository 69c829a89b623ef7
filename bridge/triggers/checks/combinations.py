"""The combinations of a condition's parts that make no sense. Each is refused when a trigger is loaded, with a reason.

The rules stand in one table, :data:`RULES`. A trigger that no rule refuses has a defined meaning and a defined
identity of its matches: the frame (start, end) for calendar windows, the identities of its events for all others.
``docs/triggers/combinations.md`` shows the same table for people, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bridge.core.trigger import Collect
from bridge.core.windows.kinds.kind import Kind
from bridge.triggers.errors import FieldPath, Misfit
from bridge.triggers.model import SpecPart
from bridge.triggers.windows import default_collect, window_kind
from flowbridge_sdk.avro.misfit import MisfitError

SHARED_LIMIT = 50
"""Events of a condition in which one event name stands at two slots. Sharing out 100 of them takes a good part of a
second, and twice as many take ten times as long."""


@dataclass(frozen=True)
class Condition:
    """A condition as the rules see it.

    Attributes:
        spec: The whole resource as it was written.
        kind: Kind of its window; None for a trigger without a window, for which each event is a match.
        counts: The counts of the slots that are not absent, in slot order.
        absent: How many slots are absent.
        required: How many slots a match fills.
        collect: Which arrivals a match takes.

    """

    spec: SpecPart
    kind: Kind | None
    counts: tuple[int, ...]
    absent: int
    required: int
    collect: Collect

    @property
    def is_switch(self) -> bool:
        """Return True if all slots are absent."""
        return not self.counts

    @property
    def least(self) -> int:
        """Return the least number of events that can fill it."""
        return sum(sorted(self.counts)[: self.required])


class Rule(NamedTuple):
    """A combination that makes no sense.

    Attributes:
        path: The field that gets the error.
        is_met: Returns True if a condition is such a combination.
        found: What was found.
        expected: What is expected.

    """

    path: FieldPath
    is_met: Callable[[Condition], bool]
    found: str
    expected: str


def condition_of(spec: SpecPart) -> Condition:
    """Return the condition as the rules see it. Its window must have no misfit of its own."""
    counts = tuple(slot.count for slot in spec.events if not slot.absent)
    return Condition(
        spec=spec,
        kind=window_kind(spec.window),
        counts=counts,
        absent=len(spec.events) - len(counts),
        required=required_slots(spec),
        collect=spec.collect or default_collect(spec),
    )


def required_slots(spec: SpecPart) -> int:
    """Return how many of the slots that are not absent a match fills."""
    if spec.require is None or spec.require == "all":
        return sum(not slot.absent for slot in spec.events)
    return 1 if spec.require == "any" else spec.require


def combination_misfits(condition: Condition) -> Iterator[Misfit]:
    """Yield a misfit for each combination that makes no sense."""
    spec = condition.spec
    for rule in RULES:
        if rule.is_met(condition):
            yield rule.path, MisfitError(rule.found, rule.expected)
    if condition.required > len(condition.counts) and not condition.is_switch:
        slots = len(condition.counts)
        expected = f"there are {slots} events{' that are not absent' * bool(condition.absent)}: write at most {slots}"
        yield ("spec", "require"), MisfitError(f"found {spec.require}", expected)
    size = spec.window.batch.size if spec.window is not None and spec.window.batch is not None else None
    if size is not None and size < condition.least:
        found = f"found {size}, but a match needs {condition.least} events"
        yield ("spec", "window", "batch", "size"), MisfitError(found, f"write {condition.least} at least")
    for index, slot in enumerate(spec.events):
        place: FieldPath = ("spec", "events", index)
        if not slot.absent:
            continue
        if slot.count > 1:
            yield (*place, "count"), MisfitError("count for an absent event, of which one is too many", "leave it out")
        if slot.parameters:
            found = "parameters of an absent event, which is never there"
            yield (*place, "parameters"), MisfitError(found, "take them from the other events")
        if any(
            not other.absent
            and other.name == slot.name
            and (slot.where is None or other.where is None or slot.where == other.where)
            for other in spec.events
        ):
            found = f"the same event {slot.name!r} would fill another slot and cancel the match"
            expected = "give both a `where` of which only one holds; that it stops coming is what settle is for"
            yield (*place, "absent"), MisfitError(found, expected)
    # An event at two slots is refused if both need more events than can be shared out between them in good time.
    total, seen = sum(condition.counts), set[str]()
    for index, slot in enumerate(spec.events):
        if not slot.absent and slot.name in seen and total > SHARED_LIMIT:
            found = f"{slot.name!r} at two slots, in a condition of {total} events: which fills which is a search"
            expected = f"let all counts together be {SHARED_LIMIT} at most, or write a trigger for each slot"
            yield ("spec", "events", index, "count"), MisfitError(found, expected)
            break
        seen.update([] if slot.absent else [slot.name])


def _has(condition: Condition, name: str) -> bool:
    """Return True if ``spec.NAME`` is written. ``order: any`` counts as not written."""
    written = getattr(condition.spec, name)
    return written is not None and (name != "order" or written == "sequence")


def _of(is_kind: Callable[[Kind], bool], also: Callable[[Condition], bool]) -> Callable[[Condition], bool]:
    """Return the test for a condition whose window is of certain kinds, and that passes another test."""
    return lambda condition: condition.kind is not None and is_kind(condition.kind) and also(condition)


def _without_window(name: str) -> Rule:
    """Return the rule that a trigger of a single event and no window has no ``name``."""
    return Rule(
        ("spec", name),
        lambda c: c.kind is None and len(c.spec.events) == 1 and not c.absent and _has(c, name),
        f"{name} for a single event, which never waits",
        "leave it out",
    )


def _of_switch(name: str, reason: str) -> Rule:
    """Return the rule that a trigger of nothing but absent events has no ``name``."""
    found = f"{name}, and nothing but absent events: {reason}"
    return Rule(("spec", name), lambda c: c.is_switch and _has(c, name), found, "leave it out")


_WINDOW: FieldPath = ("spec", "window")
_ANY_WITHIN = "write within, session or settle"

RULES: tuple[Rule, ...] = (
    # Without a window each event is a match.
    Rule(
        _WINDOW,
        lambda c: c.kind is None and len(c.spec.events) > 1,
        "several events and no window",
        "write window: {within: 1h} (how far apart they may have happened)",
    ),
    Rule(
        _WINDOW,
        lambda c: c.kind is None and len(c.spec.events) == 1 and c.counts not in ((), (1,)),
        "count and no window",
        "write window: {within: 1h} (how far apart they may have happened)",
    ),
    Rule(
        _WINDOW,
        lambda c: c.kind is None and len(c.spec.events) == 1 and c.is_switch,
        "an absent event and no window",
        "write a calendar window: {every: 1d, timezone: Europe/Berlin}; what it is absent in",
    ),
    *(_without_window(name) for name in ("grace", "dedupe", "collect")),
    Rule(
        _WINDOW,
        _of(lambda kind: kind.needs_partners, lambda c: not c.absent and c.counts == (1,)),
        "window for a single event, which never waits",
        "leave it out, or write count",
    ),
    # An order.
    Rule(
        ("spec", "order"),
        lambda c: c.spec.order == "sequence" and not c.is_switch and min(len(c.counts), c.required) < 2,  # noqa: PLR2004 - one has no order
        "a sequence of one event",
        "leave it out; a sequence needs two events that are not absent, and a match that holds two",
    ),
    Rule(
        ("spec", "order"),
        _of(lambda kind: not kind.keeps_order, lambda c: c.spec.order == "sequence"),
        "a sequence in a batch, which goes by when events reach us",
        f"leave it out, or {_ANY_WITHIN}",
    ),
    Rule(
        ("spec", "order"),
        _of(
            lambda kind: kind.closes and kind.keeps_order,
            lambda c: c.spec.order == "sequence" and c.collect == "all",
        ),
        "a sequence and collect: all, which takes all events in any order",
        "write collect: latest or first",
    ),
    # Absent events.
    Rule(
        _WINDOW,
        _of(lambda kind: not kind.takes_absent, lambda c: bool(c.absent)),
        "an absent event in a window whose end is not known beforehand",
        "write within, every or until",
    ),
    Rule(
        _WINDOW,
        _of(lambda kind: kind.takes_absent and not kind.takes_only_absent, lambda c: c.is_switch),
        "nothing but absent events, and within, which begins with an event",
        "write a calendar window: {every: 1d, timezone: Europe/Berlin}; what they are absent in",
    ),
    _of_switch("require", "none can be there"),
    _of_switch("order", "none can be there"),
    _of_switch("collect", "none can be there"),
    Rule(
        ("spec", "key"),
        lambda c: c.is_switch and (c.spec.key is not None or any(slot.key for slot in c.spec.events)),
        "a key, and nothing but absent events: it is not known which keys there should be",
        "leave it out, or write a trigger a key with `where`",
    ),
    Rule(
        ("spec", "run", "id"),
        lambda c: c.is_switch and c.spec.run.id is not None,
        "an id, and nothing but absent events: it would always be the same",
        "leave it out; a window's start and end make its run",
    ),
    # What a window can hold and forget.
    Rule(
        ("spec", "collect"),
        _of(lambda kind: not kind.closes, lambda c: c.collect == "all"),
        "collect: all and within, which never closes",
        "write latest or first, or another window",
    ),
    Rule(
        (*_WINDOW, "reset"),
        _of(lambda kind: not kind.resets, lambda c: c.spec.window is not None and c.spec.window.reset is not None),
        "reset in a calendar window, which starts again by itself",
        "leave it out",
    ),
    Rule(
        (*_WINDOW, "maxWait"),
        _of(
            lambda kind: not kind.takes_max_wait,
            lambda c: c.spec.window is not None and c.spec.window.max_wait is not None,
        ),
        "maxWait, which is for session and settle",
        "leave it out; a batch has wait, and the others end by themselves",
    ),
    Rule(
        ("spec", "grace"),
        _of(
            lambda kind: not kind.uses_grace,
            lambda c: c.spec.grace is not None and c.spec.window is not None and c.spec.window.reset is None,
        ),
        "grace in a window that goes by when events reach us: nothing is late there",
        "leave it out; it counts only with reset",
    ),
)
"""All combinations that make no sense, except numbers that are too large and fields that absent slots may not have."""
