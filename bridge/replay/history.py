"""Which definition of a trigger was in force when, by the records of ``triggers``.

Compaction leaves the records of the last eight days alone (``min.compaction.lag.ms`` of the topic), so changes of that
time are known. A router applies a change within some seconds, so a moment near a change may count to either side.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import bridge
from bridge.core.definition import Definition
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Trigger
from bridge.kafka.log import Log, Partition
from bridge.kafka.records import DEFINITION, IN_FORCE, RecordError, kind_of
from bridge.replay.request import ReplayError


class Change(NamedTuple):
    """A change of what is in force.

    Attributes:
        at: When it was written.
        definition: The definition from then on; None if the trigger was gone.

    """

    at: Micros
    definition: Definition | None


class History:
    """The changes of one trigger.

    Args:
        trigger: ``namespace/name``.
        changes: Its changes, in order.

    """

    def __init__(self, trigger: str, changes: tuple[Change, ...]) -> None:
        self.trigger = trigger
        self.changes = changes

    @classmethod
    def read(cls, log: Log, topic: str, trigger: str) -> History:
        """Read the history of a trigger.

        Raises:
            LogError: Kafka did not answer.
            RecordError: A newer version has written something that this one cannot read.

        """
        specs: dict[str, str] = {}
        in_force: list[tuple[Micros, str | None]] = []
        partition = Partition(topic, 0)
        with closing(log.admin()) as admin, closing(log.reader()) as reader:
            end = admin.stable_ends([partition])[partition]
            for records in reader.read(partition, 0, end):
                for record in records:
                    if record.key is None or record.value is None:
                        continue
                    kind, _, name = record.key.decode().partition(":")
                    if kind == "definition" and kind_of(record.value) == "definition":
                        specs[name] = DEFINITION.decode(record.value)["spec"]
                    elif kind == "trigger" and name == trigger:
                        in_force.append((record.timestamp * 1000, IN_FORCE.decode(record.value)["definition"]))
        known: dict[str, Definition] = {}
        for name in specs.keys() & {name for _, name in in_force}:
            try:
                known[name] = Definition(Trigger.from_json(json.loads(specs[name])))
            except (KeyError, TypeError, ValueError) as error:
                raise RecordError(
                    f"a definition of {trigger} cannot be read by version {bridge.__version__}: {error}. A newer "
                    "version has written it"
                ) from error
        changes = [Change(at, None if name is None else known.get(name)) for at, name in in_force]
        return cls(trigger, tuple(changes))

    def at(self, time: Micros) -> Definition | None:
        """Return the definition that was in force at a time; None if the trigger was not there, as far as is known."""
        place = bisect_right(self.changes, time, key=lambda change: change.at)
        return self.changes[place - 1].definition if place else None

    def governing(self, begin: Micros, end: Micros) -> Definition:
        """Return the definition that was in force in the whole range, suspended or not.

        Raises:
            ReplayError: There was none, or it was edited in the range.

        """
        first = self.at(begin)
        if first is None:
            known = f"it is known since {time_text(self.changes[0].at)}" if self.changes else "nothing is known of it"
            raise ReplayError(
                f"trigger {self.trigger} was not in force at {time_text(begin)}: {known}",
                "begin later, or decide by the definition of now (--definition now)",
            )
        for change in self.changes:
            if begin < change.at < end and (change.definition is None or plain(change.definition) != plain(first)):
                raise ReplayError(
                    f"trigger {self.trigger} was edited at {time_text(change.at)}, within the range",
                    "replay what lies before and what lies behind it one after the other, or use --definition now",
                )
        return first


def plain(definition: Definition) -> Trigger:
    """Return the trigger of a definition as if it were not suspended."""
    return replace(definition.trigger, suspend=False)


def awake(definition: Definition) -> Definition:
    """Return a definition as if it were not suspended. Its hash stays: it names the definition that people know."""
    if not definition.trigger.suspend:
        return definition
    other = Definition(plain(definition))
    other.hash = definition.hash
    return other
