"""The news of ``flowbridge dev`` apart from decisions: triggers in force, wrong files, events without a reader."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bridge.cli.output import Output
from bridge.core.trigger import Slot, Trigger
from bridge.kafka.log import Admin, Partition
from bridge.stages.shared.definitions import Definitions

_FIELD = re.compile(r"\bpayload\.([A-Za-z_][A-Za-z0-9_]*)")
_FIELDS = 4  # payload fields that a suggested command shows


class _Told(NamedTuple):
    """The state that was last reported, so that only changes are reported."""

    triggers: Mapping[str, str]
    errors: Mapping[str, Sequence[Any]]
    unread: Mapping[str, int]


class Watch:
    """Compares the triggers in force, and the contents of topics, with the last report, and prints the changes.

    Args:
        definitions: The topic ``triggers``, which no other thread reads through this object.
        admin: Questions to the broker.
        internal_prefix: The beginning of the names of the bridge's own topics.
        output: Where the news goes.
        sees_all_topics: Report events that no trigger reads. On a Kafka of others there are too many of them.

    """

    def __init__(
        self, definitions: Definitions, admin: Admin, internal_prefix: str, output: Output, *, sees_all_topics: bool
    ) -> None:
        self._definitions = definitions
        self._admin = admin
        self._prefix = internal_prefix
        self._output = output
        self._sees_all_topics = sees_all_topics
        self._told = _Told({}, {}, {})
        self.is_ready = False

    def look(self) -> None:
        """Print the changes since the last call.

        Raises:
            LogError: Kafka did not answer.

        """
        self._definitions.refresh()
        told = self._told
        triggers = {name: definition.hash for name, definition in self._definitions.in_force.items()}
        errors = {place: tuple(errors) for place, errors in self._definitions.errors.items() if errors}
        self._told = told._replace(triggers=triggers, errors=errors)
        for name in sorted(told.triggers.keys() | triggers.keys()):
            if told.triggers.get(name) == triggers.get(name):
                continue
            change = "changed, in force" if name in told.triggers else "in force"
            if name not in triggers:
                change = "removed"
            origin = self._definitions.origins.get(triggers.get(name, ""), "")
            text = f"trigger {name}: {change}" + (f" ({origin})" if origin else "")
            self._output.result(text, {"kind": "trigger", "trigger": name, "change": change, "origin": origin})
        for place, current in errors.items():
            for error in current:
                if error not in told.errors.get(place, ()):
                    self._output.record({"kind": "error", "error": str(error)})  # people read it in the log
        for place in told.errors.keys() - errors.keys():
            self._output.result(f"put right: {place}", {"kind": "put right", "place": place})
        topics = self._definitions.topics()
        if topics and topics <= self._definitions.starts.keys() and not self.is_ready:
            self.is_ready = True
            text = f"ready: events published from now on are seen. Try: {suggestion(self._triggers())}"
            self._output.result(text, {"kind": "ready", "triggers": sorted(self._definitions.in_force)})
        if self._sees_all_topics:
            self._tell_unread(topics)

    def _triggers(self) -> list[Trigger]:
        return [definition.trigger for _, definition in sorted(self._definitions.in_force.items())]

    def _tell_unread(self, read: frozenset[str]) -> None:
        topics = {
            name: count
            for name, count in self._admin.topics().items()
            if name not in read and not name.startswith((self._prefix, "__"))
        }
        ends = self._admin.end_offsets(
            Partition(name, number) for name, count in topics.items() for number in range(count)
        )
        counts = dict.fromkeys(topics, 0)
        for partition, end in ends.items():
            counts[partition.topic] += end
        before, self._told = self._told.unread, self._told._replace(unread=counts)
        names = [event for trigger in self._triggers() for event in trigger.events]
        for name, count in counts.items():
            if count > before.get(name, 0):
                text = f"no trigger reads {name} ({count} {'event' if count == 1 else 'events'}){closest(name, names)}"
                self._output.result(text, {"kind": "unread", "event": name, "events": count})


def closest(name: str, names: Iterable[str]) -> str:
    """Return a question with the most similar name, or all names that triggers read."""
    known = sorted(set(names))
    similar = difflib.get_close_matches(name, known, 1, 0.6)
    if similar:
        return f"; did you mean {similar[0]}?"
    return f"; triggers read {', '.join(known)}" if known else ""


def suggestion(triggers: Sequence[Trigger]) -> str:
    """Return a command that publishes an event that the first of the triggers reads."""
    slot = next((slot for trigger in triggers for slot in trigger.slots if not slot.absent), None)
    if slot is None:
        return "write a trigger into the files that --triggers names"
    trigger = next(trigger for trigger in triggers if slot in trigger.slots)
    where = slot.where or ""
    numbers = [
        field for field in _fields(trigger, slot) if re.search(rf"\b{re.escape(field)}\s*[<>=!]=?\s*-?\d", where)
    ]
    fields = " ".join(f"{field}:=1" if field in numbers else f"{field}=…" for field in _fields(trigger, slot))
    return f"flowbridge publish {slot.event} {fields}".rstrip()


def _fields(trigger: Trigger, slot: Slot) -> list[str]:
    """Return some payload fields that the trigger takes of a slot's events, those of its key first."""
    texts = [slot.key or "", slot.where or "", *(f"payload.{path}" for _, path in slot.parameters)]
    fields = [field for text in texts for field in _FIELD.findall(text)]
    of_slot = re.compile(rf"\b{re.escape(slot.variable)}\.{_FIELD.pattern[2:]}")
    fields += [field for _, text in trigger.run.parameters for field in of_slot.findall(text)]
    return list(dict.fromkeys(fields))[:_FIELDS]
