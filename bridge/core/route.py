"""Route an event: decide whether it passes a slot, and under which correlation key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.core.correlation_key import UnkeyedError, key_text
from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition, attributes
from bridge.core.event import Event
from bridge.core.evidence import ExpressionEvidence
from bridge.core.expressions.expression import ExpressionError


class Accepted(NamedTuple):
    """The event passes the slot, under this correlation key (empty for a trigger without one)."""

    key: str


_WITHOUT_KEY = Accepted("")


def route(definition: Definition, slot: CompiledSlot, event: Event) -> Accepted | Decision:
    """Return whether ``event`` passes ``slot``, or the decision that ends its way there."""
    routed = unless_filtered(definition, slot, event)
    if routed is not None:
        return routed
    if slot.where is None:
        raise TypeError("a slot without a filter filters nothing")
    filtered = ExpressionEvidence("where", slot.where, variables_of(slot, event), definition.trigger.sensitive)
    return _decide(definition, slot, event, Reason.FILTERED, filtered)


def unless_filtered(definition: Definition, slot: CompiledSlot, event: Event) -> Accepted | Decision | None:
    """Return what :func:`route` does, but None for ``filtered``, so that nothing has to be made for it."""
    trigger = definition.trigger
    if trigger.suspend:
        return _decide(definition, slot, event, Reason.SUSPENDED, {})
    if event.time - event.reached > trigger.future:
        ahead = (event.time - event.reached) // 1_000_000
        return _decide(definition, slot, event, Reason.FROM_THE_FUTURE, {"seconds_ahead": str(ahead)})
    if slot.where is None and slot.key is None:
        return _WITHOUT_KEY
    variables = variables_of(slot, event)
    if slot.where is not None:
        try:
            if not slot.where.holds(variables):
                return None
        except ExpressionError:
            return None
    return keyed(definition, slot, event, variables)


def keyed(
    definition: Definition, slot: CompiledSlot, event: Event, variables: Mapping[str, Any]
) -> Accepted | Decision:
    """Return the correlation key of an event that passes the filter of a slot, or the decision that it has none."""
    if slot.key is None:
        return _WITHOUT_KEY
    try:
        return Accepted(key_text(slot.key.evaluate(variables)))
    except (ExpressionError, UnkeyedError) as error:
        unkeyed = ExpressionEvidence("key", slot.key, variables, definition.trigger.sensitive, str(error))
        return _decide(definition, slot, event, Reason.UNKEYED, unkeyed)


def variables_of(slot: CompiledSlot, event: Event) -> dict[str, Any]:
    """Return the variables of the expressions of a slot."""
    if slot.needs_event:
        return {"payload": event.payload, "event": attributes(event)}
    return {"payload": event.payload}


def _decide(
    definition: Definition, slot: CompiledSlot, event: Event, reason: Reason, evidence: Mapping[str, str]
) -> Decision:
    return Decision(reason, definition.identity, slot.slot.variable, event.identity, "", evidence)
