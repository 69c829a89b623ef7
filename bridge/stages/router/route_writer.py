"""Write what the router sends.

An event that passed a slot is an arrival if its trigger has a window, otherwise a run. A record that can be neither is
a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Micros
from bridge.core.runs.run import Run
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import SENT_LIMIT
from bridge.stages.shared.arrival_records import ArrivalRecord, arrival_key, encode_arrival
from bridge.stages.shared.dead_letters import DeadLetters
from bridge.stages.shared.event_reader import DecodedEvent
from bridge.stages.shared.run_sender import RunnableMatch, RunSender

_LETTER_TEXT = 4_000  # characters of a dead letter's text


_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class RoutedEvent(NamedTuple):
    """An event that passes a slot, under a correlation key."""

    definition: Definition
    slot: CompiledSlot
    decoded: DecodedEvent
    key: str

    def arrival(self) -> bytes:
        """Return the record of the event's arrival."""
        definition, slot, (event, _, value), key = self
        name, source, id_, time, reached, event_key, _, traceparent = event
        other_name = "" if name == slot.slot.event else name
        fields = (definition.identity, definition.hash, slot.index, key, source, id_, time, reached, event_key, value)
        return encode_arrival(_new_tuple(ArrivalRecord, (*fields, other_name, traceparent)))

    def decide(self, reason: Reason, evidence: dict[str, str]) -> Decision:
        """Return a decision about the event at the slot."""
        definition, slot, (event, _, _), key = self
        shown = definition.redacted_key(key) if key else ""
        fields = (reason, definition.identity, slot.slot.variable, event.identity, shown, evidence)
        return _new_tuple(Decision, fields)


@dataclass
class _Letter:
    """A dead letter that is not sent yet. A record has one for each reason, shared by all triggers that it concerns.

    Attributes:
        record: The record.
        texts: The error, by trigger; the empty name stands for all triggers.

    """

    record: Record
    texts: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the error, once where it is the same for all."""
        different = set(self.texts.values())
        if len(different) == 1:
            return different.pop()
        text = "; ".join(f"{trigger}: {text}" for trigger, text in self.texts.items())
        return text if len(text) <= _LETTER_TEXT else text[:_LETTER_TEXT] + " …"


class RouteWriter:
    """Sends arrivals, runs and dead letters.

    Args:
        topics: The internal topics.
        stage: The name of the stage, for its dead letters.

    """

    def __init__(self, topics: InternalTopics, stage: str) -> None:
        self._topics = topics
        self._runs = RunSender(topics)
        self._dead_letters = DeadLetters(topics, stage)
        self._letters: dict[tuple[str, int, int, str], _Letter] = {}  # those that are not sent yet

    def begin(self) -> None:
        """Forget the dead letters of a batch that failed."""
        self._letters.clear()

    def send(self, passed: Iterable[RoutedEvent], out: Outbox) -> None:
        """Send arrivals and runs. The record is a dead letter if its arrival is too large or its run cannot be made."""
        at_once = []
        for routed in passed:
            if not routed.definition.trigger.is_windowed:
                at_once.append(routed)
                continue
            out.at = record = routed.decoded.record
            arrival = routed.arrival()
            if len(arrival) > SENT_LIMIT:
                text = f"its arrival has {len(arrival)} bytes with key, source and id; at most {SENT_LIMIT} are sent"
                decision = routed.decide(Reason.OVERSIZE, {"error": text})
                out.decisions.append(decision)
                self.keep(record, decision, text)
                continue
            place = arrival_key(routed.definition.identity, routed.key)
            out.send(self._topics.arrivals, partition_of(place, self._topics.partitions), place, arrival)
        matches = [
            _new_tuple(RunnableMatch, (definition, key, ((event,),), record, None, False, False))
            for definition, _, (event, record, _), key in at_once
        ]
        for routed, run in zip(at_once, self._runs.send(matches, out), strict=True):
            if isinstance(run, Run):
                out.decisions.append(routed.decide(Reason.MATCHED, {"run": run.name}))
            else:
                out.at = routed.decoded.record
                text = run.redacted_text(routed.definition.trigger.sensitive)
                decision = routed.decide(Reason.MATCHED, {"error": text})
                out.decisions.append(decision)
                self.keep(routed.decoded.record, decision, text, "unrunnable")

    def keep(self, record: Record, decision: Decision, text: str, reason: str = "") -> None:
        """Keep a record as a dead letter of a trigger, or of all, until :meth:`send_letters` sends it.

        Args:
            record: The record.
            decision: The decision about it; without a trigger it is about all of them.
            text: What is wrong.
            reason: The reason that the letter gives, if it is not the decision's.

        """
        place = (record.topic, record.partition, record.offset, reason or decision.reason)
        letter = self._letters.setdefault(place, _Letter(record))
        letter.texts.setdefault(decision.trigger, text)

    def send_letters(self, now: Micros, out: Outbox) -> None:
        """Send the dead letters that were kept since the last call."""
        for (topic, _, _, reason), letter in self._letters.items():
            triggers = [trigger for trigger in letter.texts if trigger]
            text = letter.text()
            self._dead_letters.send(
                out, letter.record, place=topic, reason=reason, text=text, at=now, triggers=triggers
            )
        self._letters.clear()
