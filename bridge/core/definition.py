"""A definition: a trigger as compiled, its expressions ready to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.event import Event, moment
from bridge.core.evidence import REDACTED, reads_sensitive
from bridge.core.expressions.expression import recorded
from bridge.core.trigger import Slot, Trigger


class CompiledSlot:
    """A slot with its expressions.

    Attributes:
        slot: The slot.
        index: Its index in the trigger.
        where: Its filter, or None.
        key: Its correlation key, or None.
        needs_event: Whether an expression of it names ``event``.

    """

    def __init__(self, slot: Slot, index: int) -> None:
        self.slot = slot
        self.index = index
        self.where = recorded(slot.where) if slot.where is not None else None
        self.key = recorded(slot.key) if slot.key is not None else None
        self.needs_event = any(
            "event" in expression.names for expression in (self.where, self.key) if expression is not None
        )


class Definition:
    """A trigger as compiled.

    Attributes:
        trigger: The trigger.
        identity: ``namespace/name`` of the trigger.
        hash: The definition hash.
        condition_hash: The condition hash.
        slots: Its slots, compiled.
        mapped: Index of a slot, Workflow parameter, and path of the payload field that fills it.
        parameters: Workflow parameter and expression.
        id: Expression for the identity of a match, or None.
        is_default_mapped: Whether the template's parameters take the payload fields of the same names.
        hides_key: Whether its correlation key is made of a sensitive field, and must not be shown.
        names_trace: Whether an expression of its run names the trace context of an event.
        run_needs_payload: Whether the run of a match takes anything from its events' payloads.

    """

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.identity = trigger.identity
        self.hash = trigger.definition_hash
        self.condition_hash = trigger.condition_hash
        self.slots = tuple(CompiledSlot(slot, index) for index, slot in enumerate(trigger.slots))
        keys = [slot.key for slot in self.slots if slot.key is not None]
        self.hides_key = any(reads_sensitive(key, trigger.sensitive) for key in keys)
        self.mapped = tuple(
            (index, name, path) for index, slot in enumerate(trigger.slots) for name, path in slot.parameters
        )
        self.parameters = tuple((name, recorded(source)) for name, source in trigger.run.parameters)
        self.id = recorded(trigger.run.id) if trigger.run.id is not None else None
        self.is_default_mapped = trigger.is_default_mapped
        sources = [source for _, source in trigger.run.parameters] + [trigger.run.id or ""]
        self.names_trace = any("traceparent" in source for source in sources)
        takes_fields = bool(self.mapped) or self.is_default_mapped or bool(trigger.run.fields)
        self.run_needs_payload = takes_fields or bool(self.parameters) or self.id is not None

    def redacted_key(self, key: str) -> str:
        """Return a correlation key as decisions show it."""
        return REDACTED if key and self.hides_key else key

    def slots_for(self, event: str) -> tuple[CompiledSlot, ...]:
        """Return the slots that events of this name may fill."""
        return tuple(slot for slot in self.slots if slot.slot.event == event)


def attributes(event: Event) -> dict[str, Any]:
    """Return the value of ``event`` in CEL: name, id, source, time (a timestamp), key."""
    return {
        "name": event.name,
        "id": event.id,
        "source": event.source,
        "time": moment(event.time),
        "key": event.key,
    }


def filled_slot(
    events: Sequence[Event], *, is_list: bool, has_trace: bool = False
) -> Mapping[str, Any] | list[Mapping[str, Any]] | None:
    """Return the value of a slot's variable in expressions over a match.

    Args:
        events: The slot's events, the oldest first; none where the match leaves it out.
        is_list: Whether the slot may hold several, and is therefore a list even of one.
        has_trace: Whether each event has its ``traceparent``. Definitions that do not name it have none, so that the
            JSON text of a whole event is as before.

    """
    filled = [{**attributes(event), "payload": event.payload} for event in events]
    if has_trace:
        filled = [{**each, "traceparent": event.traceparent} for each, event in zip(filled, events, strict=True)]
    if is_list:
        return list(filled)
    return filled[-1] if filled else None
