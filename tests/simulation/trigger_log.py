"""What was in force at each offset of ``triggers``, read from the log by itself."""

from __future__ import annotations

from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.kafka.log import Record
from bridge.kafka.records import DEFINITION, IN_FORCE, START, kind_of
from flowbridge_sdk.topics import topic_of
from simulation.history import History
from simulation.versions import definition

END = 2**62


class Begin(NamedTuple):
    """Where a topic is begun, and the offset behind the record that says so."""

    topic_id: str
    offsets: tuple[int, ...]
    written: int


class Known(NamedTuple):
    """What somebody knows who has read ``triggers`` up to an offset.

    Attributes:
        definitions: By hash.
        in_force: By trigger.
        changed: By trigger, the offset behind the record that changed it last.
        starts: By topic.

    """

    definitions: dict[str, Definition]
    in_force: dict[str, Definition]
    changed: dict[str, int]
    starts: dict[str, Begin]

    def is_in_force(self, trigger: str, condition: str) -> bool:
        """Tell whether a trigger has this condition."""
        return trigger in self.in_force and self.in_force[trigger].condition_hash == condition

    def reading(self, topic: str) -> list[Definition]:
        """Return the definitions in force that read a topic."""
        return [sourced for sourced in self.in_force.values() if topic in map(topic_of, sourced.trigger.events)]


class TriggerLog:
    """All that ``triggers`` has held."""

    def __init__(self, history: History, topic: str) -> None:
        self._history = history
        self._topic = topic
        self._at: dict[int, Known] = {}
        self._count = 0

    def at(self, offset: int) -> Known:
        """Return what is known at an offset."""
        if offset not in self._at:
            known = Known({}, {}, {}, {})
            for record in self._history.records(self._topic):
                if record.offset < offset and record.key is not None:
                    _apply(known, record)
            self._at[offset] = known
        return self._at[offset]

    def condition(self, hash_: str) -> Definition:
        """Return a definition of a condition, whenever it was written."""
        return next(
            definition for definition in self.whole().definitions.values() if definition.condition_hash == hash_
        )

    def whole(self) -> Known:
        """Return what is known at the end so far."""
        count = len(self._history.records(self._topic))
        if count != self._count:
            self._count = count
            self._at.pop(END, None)
        return self.at(END)

    def times_in_force(self, trigger: str, condition: str) -> int:
        """Return how often a condition has come into force."""
        found, former = 0, False
        for record in self._history.records(self._topic):
            now = self.at(record.offset + 1).is_in_force(trigger, condition)
            found, former = found + (now and not former), now
        return found


def _apply(known: Known, record: Record) -> None:
    kind, _, name = (record.key or b"").decode().partition(":")
    if record.value is None:
        (known.starts if kind == "start" else known.definitions).pop(name, None)
        return
    written = kind_of(record.value)
    if written == "definition":
        known.definitions[name] = definition(DEFINITION.decode(record.value)["spec"])
    elif written == "start":
        fields = START.decode(record.value)
        offsets = tuple(offset for offset in fields["offsets"] if offset >= 0)  # the last tells of a topic made again
        known.starts[name] = Begin(fields["topic_id"], offsets, record.offset + 1)
    elif written == "in_force":
        known.changed[name] = record.offset + 1
        hash_ = IN_FORCE.decode(record.value)["definition"]
        if hash_ is None:
            known.in_force.pop(name, None)
        else:
            known.in_force[name] = known.definitions[hash_]
