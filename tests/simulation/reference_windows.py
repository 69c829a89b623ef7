"""The reference matcher's windows of one partition, condition by condition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.core.definition import Definition
from bridge.core.windows.window import Arrival
from bridge.settings.groups import WindowSettings
from kinds import reference_of
from kinds.reference import Happened, Matched, Reference
from simulation.routing_check import Asked, Decided
from simulation.trigger_log import TriggerLog

Condition = tuple[str, str]


class ReferenceWindows:
    """A :class:`~kinds.reference.Reference` for each condition.

    Attributes:
        decided: What was decided.
        asked: The runs of what matched.

    """

    def __init__(self, triggers: TriggerLog, settings: WindowSettings) -> None:
        self._triggers = triggers
        self._settings = settings
        self._references: dict[Condition, Reference] = {}
        self.decided: list[Decided] = []
        self.asked: list[Asked] = []

    def arrive(self, definition: Definition, key: str, arrival: Arrival) -> None:
        """Decide an arrival."""
        reference = self._of((definition.identity, definition.condition_hash), definition)
        self._collect(definition, reference.arrive(key, arrival), arrival)

    def tick(self, tick: dict[str, Any], retired: Iterable[Condition]) -> None:
        """Let time come; ``retired``: the conditions that it ends for good."""
        for entry in tick["safe"]:
            definition = self._triggers.condition(entry["condition"])
            reference = self._of((entry["trigger"], entry["condition"]), definition)
            self._collect(definition, reference.tick(entry["time"]))
        for condition in retired:
            if condition in self._references:
                definition = self._triggers.condition(condition[1])
                self._collect(definition, self._references.pop(condition).retire())

    def _of(self, condition: Condition, definition: Definition) -> Reference:
        if condition not in self._references:
            self._references[condition] = reference_of(
                definition.trigger, self._settings.window_bound, self._settings.remembered_bound
            )
        return self._references[condition]

    def _collect(self, definition: Definition, happened: Happened, completing: Arrival | None = None) -> None:
        slots = definition.trigger.slots
        self.decided += [
            Decided(definition.identity, slots[slot].variable, event, reason)
            for reason, slot, event in happened.decided
        ]
        self.asked += [_asked(definition, match, completing) for match in happened.matches]


def _asked(definition: Definition, match: Matched, completing: Arrival | None) -> Asked:
    """Return the run of a match; ``completing``, which decides by what it is made, need not be of the match itself."""
    used = [arrival for slot in match.choice for arrival in slot]
    last = completing or max(used, key=lambda arrival: arrival.offset, default=None)
    events = [(definition.trigger.slots[arrival.slot].variable, arrival.event) for arrival in used]
    by = last.definition if last is not None else ""
    return Asked(definition.identity, by, match.key, tuple(sorted(events)))
