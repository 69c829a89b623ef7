"""The runs of matches: made of what the arrivals carry, and sent; or a dead letter where none can be made."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.core.definition import Definition
from bridge.core.event import Event, Micros
from bridge.core.fate import Step, with_evidence
from bridge.core.matched import UnrunnableError, make_run
from bridge.core.window import Arrival
from bridge.kafka.log import Partition, Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.topics import InternalTopics, partition_of
from bridge.stages.decoding import EventDecoder
from bridge.stages.run_records import dead_letter, run_record
from bridge.stages.window_records import WindowKey
from bridge.triggers.topics import slot_topic
from flowbridge_sdk.errors import DecodeError

logger = logging.getLogger(__name__)

_REGISTRY_PAUSE = 2.0  # seconds until a partition is read again whose schema could not be asked for


class MatchRuns:
    """Sends the runs of matches.

    Args:
        topics: The internal topics.
        decoder: Reads the events of a match.
        clock: The process's clock.

    """

    def __init__(self, topics: InternalTopics, decoder: EventDecoder, clock: Callable[[], Micros]) -> None:
        self._topics = topics
        self._decoder = decoder
        self._clock = clock

    def send(self, definition: Definition, key: WindowKey, came: Step, record: Record, out: Outbox) -> Step | None:
        """Send the run of a match, or its dead letter; return the step with that as evidence.

        Returns:
            None if the match has to wait for a schema.

        """
        try:
            events = [[self._event(definition, arrival) for arrival in slot] for slot in came.match or ()]
            run = make_run(definition, self._topics.prefix, key.key, events, came.frame)
            value = run_record(run)
        except (DecodeError, UnrunnableError) as error:
            if isinstance(error, DecodeError) and not error.permanent:
                out.hold(Partition(record.topic, record.partition), record.offset, _REGISTRY_PAUSE)
                return None
            self.bury(record, key.trigger, f"the match has no run: {error}", out)
            return with_evidence(came, {"error": str(error)})
        place = partition_of(run.trigger.encode(), self._topics.partitions)
        out.send(self._topics.runs, place, run.run_key.encode(), value)
        return with_evidence(came, {"run": run.name})

    def _event(self, definition: Definition, arrival: Arrival) -> Event:
        key, value = arrival.body
        identity = arrival.event
        topic = slot_topic(definition.slots[arrival.slot].slot)
        payload = self._decoder.decode(topic, value) if definition.run_needs_payload else {}
        return Event(identity.name, identity.source, identity.id, arrival.time, arrival.reached, key, payload)

    def bury(self, record: Record, trigger: str, text: str, out: Outbox) -> None:
        """Keep a record that no run can be made of as a dead letter, and say so."""
        logger.error("%s/%d@%d: %s", record.topic, record.partition, record.offset, text)
        letter = dead_letter(record, stage="matcher", reason="unrunnable", text=text, at=self._clock(), trigger=trigger)
        place = trigger.encode()
        out.send(self._topics.dead_letters, partition_of(place, self._topics.partitions), place, letter)
