"""The way back of a dead letter: what is sent for it, and where; or why it cannot be sent back.

==============================  ======================================================================================
what the letter keeps           what is sent
==============================  ======================================================================================
an event                        the same bytes, to the same partition of its topic. Headers say the identity that its
                                place gave it, where the event has none of its own: so it stays the same event
an arrival that failed          the arrival, as one that reaches the bridge now
a run                           a run in place of it, with a key of its own, as ``flowbridge replay`` makes it
==============================  ======================================================================================

All of this goes the usual way from there. A trigger that has used the event already decides ``duplicate`` or
``already-ran``, so a retry starts no run twice. That holds for as long as the trigger remembers the event (``dedupe``)
or the ledger remembers the run: a windowed trigger takes an event that it used before that as a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.core.event import DAY, Micros, time_text
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Record
from bridge.kafka.records import RecordError, headers_of
from bridge.letters.letter import Letter
from bridge.letters.letter_log import Sending
from bridge.replay.plan import repeated
from bridge.replay.recorded import Outcome, Recorded
from bridge.stages.router.reached_time import TRUSTED_AHEAD, TRUSTED_FROM
from bridge.stages.shared.arrival_records import decode_arrival, encode_arrival
from bridge.stages.shared.dead_letters import UNKNOWN_SCHEMA
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.run_records import encode_run
from flowbridge_sdk.payloads.cloudevents import structured_type

LETTER = "flowbridge-letter"
"""Header of an event that a person sent back, or sent in place of another one: the name of the letter."""

PARENT = "ce_parentid"
"""Header of an event that an edit made: the id of the event that it corrects, as an attribute of CloudEvents."""

BY_NAME = {
    "outcome-unknown": "its Workflow may have been created. Look for its traces first",
    "poison": "it has ended the processes that read it. Find out why first",
}
"""Reasons of letters that are sent back only if a person asks for them by name, and why."""

_AGAIN = frozenset({Outcome.DEAD, Outcome.SKIPPED, Outcome.FAILED})
_STAYING = {
    UNKNOWN_SCHEMA: "the bridge sends it back by itself when its schema appears in the folder of schemas",
    "oversize": "it is as large as before; edit it to make it smaller",
    "unreadable": "it is no record of Flowbridge; find out which program writes to its topic, and discard it",
}


class Stays(NamedTuple):
    """A letter that cannot be sent back.

    Attributes:
        why: The reason, and what to do.

    """

    why: str


class WayBack:
    """Finds the way back of letters.

    Args:
        topics: The internal topics.
        partitions: The partition counts of all topics.
        definitions: The triggers.
        recorded: Returns what the ledger says about the runs of a trigger.
        now: When the letters are sent back.
        is_named: Whether the letters were asked for by name, or by their reason.

    """

    def __init__(
        self,
        topics: InternalTopics,
        partitions: Mapping[str, int],
        definitions: Definitions,
        recorded: Callable[[str], Recorded],
        now: Callable[[], Micros],
        *,
        is_named: bool = False,
    ) -> None:
        self._topics = topics
        self._partitions = partitions
        self._definitions = definitions
        self._recorded = recorded
        self._now = now
        self._is_named = is_named

    def of(self, letter: Letter) -> Sending | Stays:
        """Return what is sent for a letter, or why nothing can be sent."""
        if letter.reason in _STAYING:
            return Stays(_STAYING[letter.reason])
        if letter.reason in BY_NAME and not self._is_named:
            return Stays(f"{BY_NAME[letter.reason]}. Then name the letters, or use --reason {letter.reason}")
        if letter.run_key or letter.record.topic in ("", self._topics.runs):
            return self._run(letter)
        if letter.record.topic == self._topics.arrivals:
            return self._arrival(letter)
        return self.event(letter)

    def event(self, letter: Letter) -> Sending | Stays:
        """Return the event of a letter as it is sent back."""
        record = letter.record
        if record.partition >= self._partitions.get(record.topic, 0):
            return Stays(f"there is no partition {record.partition} of topic {record.topic} any more")
        headers = [(name, value) for name, value in record.headers if name != LETTER]
        headers += [*identifying_headers(record, self._definitions, self._now()), (LETTER, letter.name.encode())]
        return Sending(record.topic, record.partition, record.key, record.value, headers)

    def _arrival(self, letter: Letter) -> Sending | Stays:
        record = letter.record
        try:
            arrival = decode_arrival(record.value or b"")
        except RecordError:
            arrival = None
        if letter.reason == "unrunnable" or arrival is None:
            trigger = letter.triggers[0] if letter.triggers else arrival.trigger if arrival is not None else "NAME"
            return Stays(
                f"its match has used its events. Make its run with: flowbridge replay --trigger {trigger} --from "
                f"{time_text(letter.at - DAY)}"
            )
        # it reaches us when it is appended, which bounds this time
        value = encode_arrival(arrival._replace(reached=self._now() + DAY))
        return Sending(self._topics.arrivals, record.partition, record.key, value, headers_of(value) or ())

    def _run(self, letter: Letter) -> Sending | Stays:
        run = letter.run()
        if run is None:
            return Stays("it keeps no run that can be read")
        base = run.repeats or run.run_key
        stands = self._recorded(run.trigger).find(base)
        if stands is not None and stands.outcome not in _AGAIN:
            return Stays(f"its run is there by now: {stands.outcome} ({stands.workflow})")
        again = repeated(run, base, (stands.attempt if stands is not None else 0) + 1, self._topics.prefix)
        definition = self._definitions.known.get(run.definition_hash)
        deadline = definition.trigger.run.start_deadline if definition is not None else None
        if again.start_by is not None:
            again = again._replace(start_by=None if deadline is None else self._now() + deadline)
        value = encode_run(again._replace(replay=""))
        number = partition_of(run.trigger, self._topics.partitions)
        return Sending(self._topics.runs, number, again.run_key.encode(), value, headers_of(value) or (), again.run_key)


def identifying_headers(record: Record, definitions: Definitions, now: Micros) -> list[tuple[str, bytes]]:
    """Return the headers that an event needs to stay the same event in another place: those that it has not.

    A whole CloudEvent in the value says all of it there. An event's time is left out where its record's timestamp
    cannot be true.
    """
    own = {name for name, _ in record.headers}
    value = record.value or b""
    is_whole = structured_type(record.headers) is not None or (
        "ce_id" not in own and value[:1] == b"{" and b'"specversion"' in value
    )
    if is_whole:
        return []
    place = f"{record.topic}/{record.partition}/{record.offset}"
    wanted = {
        "ce_id": definitions.id_of(record, place).encode(),
        "ce_source": record.topic.encode(),
    }
    moment = record.timestamp * 1000
    if TRUSTED_FROM <= moment <= now + TRUSTED_AHEAD:
        wanted["ce_time"] = time_text(moment).encode()
    return [(name, content) for name, content in wanted.items() if name not in own]
