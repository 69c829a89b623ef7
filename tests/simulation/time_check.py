"""That no timer ends before its time is safe, told by somebody who sees everything.

When a matcher's transaction puts a tick into the log, every event that truly came to Kafka before the tick's time must
have been routed already: the routers' committed offsets are behind it, and they show the definition as applied. And
once a condition is retired nothing of it comes any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.core.event import Micros
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.memory.log import MemoryBroker
from bridge.kafka.ownership import read_note
from bridge.kafka.records import ARRIVAL, TICK
from flowbridge_sdk.topics import topic_of
from simulation.history import History
from simulation.trigger_log import TriggerLog


class UnsafeTimeError(AssertionError):
    """A tick overtakes what came before it."""


class TimeCheck:
    """Holds ticks against what had come.

    Attributes:
        came: By topic id and partition, when each record truly came, by offset.

    """

    def __init__(
        self,
        broker: MemoryBroker,
        topics: InternalTopics,
        triggers: TriggerLog,
        read_on: Mapping[tuple[str, int], int],
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._triggers = triggers
        self._read_on = read_on  # see RoutingCheck
        self.came: dict[tuple[str, int], list[tuple[int, Micros]]] = {}

    def append(self, topic: str, partition: int, offset: int, now: Micros) -> None:
        """Note that a publisher's record came."""
        self.came.setdefault((self._broker.topics[topic].id, partition), []).append((offset, now))

    def tick(self, value: bytes, applied: int) -> None:
        """Check a tick that a matcher has just committed.

        Args:
            value: The tick.
            applied: Offset of ``triggers`` that the matcher knew when it planned the tick.

        Raises:
            UnsafeTimeError: It names a time that is not safe.

        """
        known = self._triggers.at(applied)
        for entry in TICK.decode(value)["safe"]:
            if known.is_in_force(entry["trigger"], entry["condition"]):
                definition = known.in_force[entry["trigger"]]
                for event in definition.trigger.events:
                    self._check(entry, topic_of(event), known.changed[entry["trigger"]])

    def _check(self, tick: dict[str, Any], topic: str, changed: int) -> None:
        committed = self._broker.group(f"{self._topics.prefix}router").committed
        found = self._broker.topics.get(topic)
        if found is None:
            return
        for log in found.logs:
            before = [at for at, when in self.came.get((found.id, log.partition.number), ()) if when <= tick["time"]]
            routed = committed.get(log.partition)
            reached = max(routed.offset if routed else 0, self._read_on.get((found.id, log.partition.number), 0))
            if before and reached <= max(before):
                raise UnsafeTimeError(
                    f"a tick of {tick['trigger']} says {tick['time']}, but {topic}/{log.partition.number}@{max(before)}"
                    f" came before that and routers are at {routed}"
                )
            if routed is not None and read_note(routed).triggers < changed:
                raise UnsafeTimeError(
                    f"a tick of {tick['trigger']} says {tick['time']}, but the router of "
                    f"{topic}/{log.partition.number} has not applied it: {routed}"
                )

    def retirements(self, history: History) -> None:
        """Check, at the end, that nothing of a condition came behind the tick that retired it.

        Raises:
            UnsafeTimeError: Something came.

        """
        retired: dict[tuple[int, str, str], int] = {}
        definitions = self._triggers.whole().definitions
        for record in history.records(self._topics.arrivals):
            value = record.value or b""
            if value.startswith(TICK.prefix):
                for entry in TICK.decode(value)["retired"]:
                    retired[record.partition, entry["trigger"], entry["condition"]] = record.offset
            else:
                fields = ARRIVAL.decode(value)
                place = record.partition, fields["trigger"], definitions[fields["definition"]].condition_hash
                if place in retired and not self._came_back(place[1], place[2]):
                    raise UnsafeTimeError(f"{fields['id']} came to {place} behind its retirement at {retired[place]}")

    def _came_back(self, trigger: str, condition: str) -> bool:
        """Tell whether a condition was in force more than once."""
        return self._triggers.times_in_force(trigger, condition) > 1


def ticks_of(records: list[tuple[str, int, bytes | None]]) -> list[bytes]:
    """Return the ticks among what a transaction wrote."""
    return [value for _, _, value in records if value is not None and value.startswith(TICK.prefix)]
