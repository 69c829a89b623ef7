"""Send an event that passed a slot: as an arrival if its trigger has a window, otherwise as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Event
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.stages.matcher.window_records import arrival_key, encode_arrival
from bridge.stages.shared.run_records import SENT_LIMIT
from bridge.stages.shared.run_sender import RunnableMatch, RunSender

TOGETHER = 64
"""How many are sent together: enough for the caches, few enough to fit into them."""


class DecodedEvent(NamedTuple):
    """An event, its record, and its value with all of its framing in front."""

    event: Event
    record: Record
    value: bytes


class RoutedEvent(NamedTuple):
    """An event that passes a slot, under a correlation key."""

    definition: Definition
    slot: CompiledSlot
    decoded: DecodedEvent
    key: str

    def decide(self, reason: Reason, evidence: dict[str, str]) -> Decision:
        """Return what became of the event at the slot."""
        key = self.definition.redacted_key(self.key)
        return Decision(
            reason, self.definition.identity, self.slot.slot.variable, self.decoded.event.identity, key, evidence
        )


class RouteWriter:
    """Sends arrivals and runs of events that passed a slot.

    Args:
        topics: The internal topics.
        write_dead_letter: Keeps a record as a dead letter; it takes the record, the decision, what is wrong, and the
            reason that the letter gives.

    """

    def __init__(self, topics: InternalTopics, write_dead_letter: Callable[[Record, Decision, str, str], None]) -> None:
        self._topics = topics
        self._write_dead_letter = write_dead_letter
        self._runs = RunSender(topics)

    def send(self, passed: Iterable[RoutedEvent], out: Outbox) -> None:
        """Send arrivals and runs; what can be neither is a dead letter."""
        at_once = []
        for routed in passed:
            if routed.definition.trigger.is_windowed:
                self._send_arrival(routed, out)
            else:
                at_once.append(routed)
        matches = [
            RunnableMatch(routed.definition, routed.key, ((routed.decoded.event,),), routed.decoded.record)
            for routed in at_once
        ]
        for routed, run in zip(at_once, self._runs.send(matches, out), strict=True):
            if isinstance(run, Run):
                out.decisions.append(routed.decide(Reason.MATCHED, {"run": run.name}))
            else:
                self._unrunnable(routed, run, out)

    def _send_arrival(self, routed: RoutedEvent, out: Outbox) -> None:
        definition, slot, (event, record, event_value), key = routed
        out.at = record
        value = encode_arrival(
            {
                "trigger": definition.identity,
                "definition": definition.hash,
                "slot": slot.index,
                "key": key,
                "source": event.source,
                "id": event.id,
                "time": event.time,
                "reached": event.reached,
                "event_key": event.key,
                "value": event_value,
            },
            event.name,
            slot.slot.event,
        )
        if len(value) > SENT_LIMIT:
            text = f"its arrival has {len(value)} bytes with key, source and id; at most {SENT_LIMIT} are sent"
            decision = routed.decide(Reason.OVERSIZE, {"error": text})
            out.decisions.append(decision)
            self._write_dead_letter(record, decision, text, "")
            return
        place = arrival_key(definition.identity, key)
        out.send(self._topics.arrivals, partition_of(place, self._topics.partitions), place, value)

    def _unrunnable(self, event: RoutedEvent, error: UnrunnableError, out: Outbox) -> None:
        out.at = event.decoded.record
        text = error.redacted_text(event.definition.trigger.sensitive)
        decision = event.decide(Reason.MATCHED, {"error": text})
        out.decisions.append(decision)
        self._write_dead_letter(event.decoded.record, decision, text, "unrunnable")
