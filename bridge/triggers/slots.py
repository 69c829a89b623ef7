"""The slots of a condition compared with each other: their names in CEL, their keys, and their parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from bridge.core.expressions.expression import RESERVED_WORDS, TYPE_NAMES
from bridge.triggers.errors import FieldPath, Misfit
from bridge.triggers.model import SlotPart, SpecPart
from flowbridge_sdk.avro.misfit import MisfitError

_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]")


def variable_of(slot: SlotPart) -> str:
    """Return the slot's name in CEL: its ``as``, or the event's name with ``_`` for other characters."""
    if slot.variable is not None:
        return slot.variable
    name = _NO_IDENTIFIER.sub("_", slot.name)
    return f"_{name}" if name[0].isdigit() else name


def is_list(slot: SlotPart, *, collects_all: bool) -> bool:
    """Return True if the slot's variable is a list of events, and not one event."""
    return not slot.absent and (slot.count > 1 or collects_all)


def variable_misfits(spec: SpecPart) -> Iterator[Misfit]:
    """Yield a misfit for each slot whose variable another slot has, or CEL does not allow."""
    variables = [variable_of(slot) for slot in spec.events]
    for index, variable in enumerate(variables):
        place: FieldPath = ("spec", "events", index)
        if variable in variables[:index]:
            found = f"the variable {variable!r} is already that of events[{variables.index(variable)}]"
            yield (*place, "name"), MisfitError(found, "give this one another name with `as`")
        elif variable in RESERVED_WORDS | TYPE_NAMES:
            yield (*place, "name"), MisfitError(f"{variable!r} is a word of CEL", "give it another name with `as`")


def key_misfits(spec: SpecPart) -> Iterator[Misfit]:
    """Yield a misfit for each slot whose events could never meet the events of other slots."""
    keyed = [slot for slot in spec.events if slot.key]
    if keyed and spec.key is None and len(keyed) < len(spec.events):
        index = next(index for index, slot in enumerate(spec.events) if not slot.key)
        found = "no key, although other events have one"
        yield ("spec", "events", index, "key"), MisfitError(found, "write one here, or spec.key for all")
    for (_, event), (index, other) in combinations(enumerate(spec.events), 2):
        if event.name == other.name and (event.key or spec.key) != (other.key or spec.key):
            found = f"another key for {other.name!r} than its other slot has"
            expected = (
                "give both slots the same key: an event is used in one match at most, so its slots share a window"
            )
            yield ("spec", "events", index, "key"), MisfitError(found, expected)


def parameter_misfits(spec: SpecPart) -> Iterator[Misfit]:
    """Yield a misfit for each parameter that is filled twice."""
    filled = {name: "run.parameters" for name, _ in spec.run.parameters}
    for index, slot in enumerate(spec.events):
        for name, _ in slot.parameters:
            if name in filled:
                found = f"the parameter {name!r} is already filled by {filled[name]}"
                yield ("spec", "events", index, "parameters", name), MisfitError(found, "fill it once")
            filled.setdefault(name, f"events[{index}]")
