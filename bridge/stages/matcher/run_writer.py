"""Make and send the runs of matches. A match of which no run can be made becomes a dead letter.

Reading the events of a match comes first, since it may have to wait for a schema. The rest is done for several matches
together, step by step (:mod:`bridge.stages.shared.run_sender` says why).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bridge.core.decision import Decision
from bridge.core.definition import Definition
from bridge.core.event import Event, Micros
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.core.windows.window_step import Step, with_evidence
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import TICK
from bridge.log_fields import about
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.shared.dead_letters import DeadLetters
from bridge.stages.shared.decoding import EventDecoder, hold_for_schema
from bridge.stages.shared.run_sender import RunnableMatch, RunSender
from bridge.triggers.topic_mapping import slot_topic
from flowbridge_sdk.errors import DecodeError

logger = logging.getLogger(__name__)

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


class ReadMatch(NamedTuple):
    """A match whose events are read.

    Attributes:
        definition: The definition that makes its run.
        key: Its window.
        step: The step that completed it.
        record: The record that was applied in that step.
        events: Its events by slot, or why they cannot be read.

    """

    definition: Definition
    key: WindowKey
    step: Step
    record: Record
    events: list[list[Event]] | DecodeError


class RunWriter:
    """Sends the runs of matches, and decides about their events.

    Args:
        topics: The internal topics.
        decoder: Reads the events of a match.
        clock: The process's clock.
        current: Returns the newest definition of a window's condition, which decides what may be shown.

    """

    def __init__(
        self,
        topics: InternalTopics,
        decoder: EventDecoder,
        clock: Callable[[], Micros],
        current: Callable[[WindowKey], Definition],
    ) -> None:
        self._letters = DeadLetters(topics, "matcher")
        self._sender = RunSender(topics)
        self._decoder = decoder
        self._clock = clock
        self._current = current

    def read(self, definition: Definition, key: WindowKey, step: Step, record: Record, out: Outbox) -> ReadMatch | None:
        """Read the events of a match; return None if it has to wait for a schema."""
        events: list[list[Event]] = []
        try:
            for arrivals in step.match or ():
                slot: list[Event] = []
                for arrival in arrivals:
                    topic, event = slot_topic(definition.slots[arrival.slot].slot), arrival.event
                    payload = self._decoder.decode(topic, arrival.value) if definition.run_needs_payload else {}
                    fields = (*event, arrival.time, arrival.reached, arrival.key, payload, arrival.traceparent)
                    slot.append(_new_tuple(Event, fields))
                events.append(slot)
        except DecodeError as error:
            return None if hold_for_schema(record, error, out) else ReadMatch(definition, key, step, record, error)
        return _new_tuple(ReadMatch, (definition, key, step, record, events))

    def send(self, matches: Sequence[ReadMatch], out: Outbox) -> None:
        """Send the run of each match, or its dead letter, and make the decisions of its step."""
        runnable = [
            _new_tuple(
                RunnableMatch,
                (
                    match.definition,
                    match.key.key,
                    match.events,
                    match.record,
                    match.step.frame,
                    match.step.ended_early,
                    (match.record.value or b"").startswith(TICK.prefix),
                ),
            )
            for match in matches
            if not isinstance(match.events, DecodeError)
        ]
        runs = iter(self._sender.send(runnable, out))
        for match in matches:
            run = match.events if isinstance(match.events, DecodeError) else next(runs)
            out.at = match.record
            current = self._current(match.key)
            if isinstance(run, Run):
                evidence = {"run": run.name}
            else:
                # The newest definition says what may be shown of the error, not the one that the run is made by.
                text = run.redacted_text(current.trigger.sensitive) if isinstance(run, UnrunnableError) else str(run)
                self.bury(match.record, match.key.trigger, f"the match has no run: {text}", out)
                evidence = {"error": text}
            out.decisions.extend(redact_keys(current, with_evidence(match.step, evidence)))

    def bury(self, record: Record, trigger: str, text: str, out: Outbox, reason: str = "unrunnable") -> None:
        """Keep a record of which no run can be made as a dead letter, and log that."""
        fields = about(trigger=trigger)
        logger.error("%s/%d@%d: %s", record.topic, record.partition, record.offset, text, extra=fields)
        triggers = [trigger] if trigger else []
        now = self._clock()
        self._letters.send(out, record, place=trigger, reason=reason, text=text, at=now, triggers=triggers)


def redact_keys(definition: Definition, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Return decisions as they may be shown: without a key that is made of a sensitive field."""
    if not definition.hides_key:
        return decisions
    return tuple([decision._replace(key=definition.redacted_key(decision.key)) for decision in decisions])
