"""Judge a dead letter: what it holds, and whether it would pass now, by the live rules and the triggers in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Event, Micros
from bridge.core.evidence import REDACTED, is_sensitive
from bridge.core.route import Accepted
from bridge.core.runs.parameters import ParameterError
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Record
from bridge.letters.letter import Letter
from bridge.letters.letter_log import Sending
from bridge.letters.way_back import Stays
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.event_reader import EventReader, excess_of
from bridge.stages.shared.run_records import run_record
from bridge.stages.submitter.templates import Templates, TemplateUnread
from flowbridge_sdk.codec import SCHEMA_ID_HEADER, fingerprint_in
from flowbridge_sdk.errors import DecodeError

_REGISTRY_ID = 5  # bytes: the magic and the number of a schema


class Outcome(StrEnum):
    """What would happen to a letter that is sent back now."""

    PASSES = "passes"
    """It would start a run, or wait in a window."""
    NOTHING = "nothing"
    """No trigger would use it, and it would be no dead letter again."""
    FAILS = "fails"
    """It would be a dead letter again."""
    UNKNOWN = "unknown"
    """That cannot be told from here."""
    STAYS = "stays"
    """It cannot be sent back."""


class Verdict(NamedTuple):
    """What would happen to a letter, and why.

    Attributes:
        outcome: What would happen.
        text: Why.
        field: The part of the trigger or of the record that fails; empty for none.
        evidence: The values that the failing part reads; sensitive ones are redacted.

    """

    outcome: Outcome
    text: str
    field: str = ""
    evidence: Mapping[str, str] = {}


class Judge:
    """Judges letters.

    Args:
        topics: The internal topics.
        definitions: The triggers.
        decoder: Reads events.
        templates: Reads WorkflowTemplates; None if no cluster can be asked.
        now: The time at which the letters would be sent back.

    """

    def __init__(
        self,
        topics: InternalTopics,
        definitions: Definitions,
        decoder: EventDecoder,
        templates: Templates | None,
        now: Callable[[], Micros],
    ) -> None:
        self._topics = topics
        self._definitions = definitions
        self._events = EventReader(decoder, definitions)
        self._templates = templates
        self._read: dict[tuple[str, str], object] = {}  # WorkflowTemplates; each is asked for once
        self._now = now

    def verdict(self, letter: Letter, sending: Sending | Stays) -> Verdict:
        """Return what would happen to a letter that is sent back now."""
        if isinstance(sending, Stays):
            return Verdict(Outcome.STAYS, sending.why)
        if sending.topic == self._topics.runs:
            run = letter.run()
            return Verdict(Outcome.FAILS, "its run cannot be read") if run is None else self._of_run(run)
        if sending.topic == self._topics.arrivals:
            return Verdict(Outcome.UNKNOWN, "the matcher applies it to its window as it is then")
        return self._of_event(letter, sending)

    def event(self, letter: Letter) -> Event | DecodeError:
        """Return the event of a letter, as it would be read now; or why it cannot be read."""
        try:
            record = letter.record
            return self._events.read(record, record.timestamp, self._now()).event
        except DecodeError as error:
            return error

    def sensitive(self, letter: Letter) -> tuple[str, ...]:
        """Return the fields that may not be shown of a letter, by the triggers that it concerns or that read it."""
        concerned = [self._definitions.in_force[name] for name in letter.triggers if name in self._definitions.in_force]
        reading = [definition for definition, _ in self._definitions.reading(letter.record)]
        return tuple(dict.fromkeys(field for each in (*concerned, *reading) for field in each.trigger.sensitive))

    def _of_event(self, letter: Letter, sending: Sending) -> Verdict:
        now = self._now()
        record = Record(
            sending.topic, sending.partition, letter.record.offset, now // 1000, *sending[2:4], sending.headers
        )
        excess = excess_of(record)
        if excess is not None:
            return Verdict(Outcome.FAILS, excess, "size")
        reading = self._definitions.reading(record)
        if not reading:
            return Verdict(Outcome.NOTHING, f"no trigger in force reads {record.topic}")
        try:
            decoded = self._events.read(record, record.timestamp, now)
        except DecodeError as error:
            return Verdict(Outcome.FAILS if error.permanent else Outcome.UNKNOWN, str(error), "value")
        event = decoded.event
        reading = self._definitions.reading_named(record.topic, event.name, reading)
        found: list[Verdict] = []
        for number, routed in reading.filters.routed(event):
            definition, slot = reading.filters.places[number]
            if letter.triggers and definition.identity not in letter.triggers:
                continue
            found.append(self._at_slot(definition, slot, event, routed))
        for outcome in (Outcome.FAILS, Outcome.PASSES, Outcome.NOTHING):
            for verdict in found:
                if verdict.outcome is outcome:
                    return verdict
        about = ", ".join(letter.triggers) or f"each trigger that reads {record.topic}"
        return Verdict(Outcome.NOTHING, f"{about} filters it out")

    def _at_slot(
        self, definition: Definition, slot: CompiledSlot, event: Event, routed: Accepted | Decision
    ) -> Verdict:
        name, variable = definition.identity, slot.slot.variable
        if isinstance(routed, Decision):
            if routed.reason is Reason.UNKEYED:
                evidence = dict(routed.evidence)
                return Verdict(
                    Outcome.FAILS, f"{name} has no key for it: {evidence.pop('error')}", f"{variable}.key", evidence
                )
            return Verdict(Outcome.NOTHING, f"{name} decides {routed.reason}")
        if definition.trigger.is_windowed:
            return Verdict(Outcome.PASSES, f"it fills the slot {variable} of {name}")
        try:
            run = make_run(definition, self._topics.prefix, routed.key, ((event,),))
            run_record(run)
        except UnrunnableError as error:
            text = error.redacted_text(definition.trigger.sensitive)
            return Verdict(Outcome.FAILS, f"{name} makes no run of it: {text}", text.partition(" ")[0].rstrip(":"))
        verdict = self._of_run(run)
        is_known = verdict.outcome is Outcome.FAILS
        return verdict if is_known else Verdict(Outcome.PASSES, f"{name} starts a run of it")

    def _of_run(self, run: Run) -> Verdict:
        """Return what the WorkflowTemplate of a run says; the API server itself is not asked to create anything."""
        if self._templates is None:
            return Verdict(Outcome.UNKNOWN, "no cluster is asked; the API server decides")
        place = run.namespace, run.template
        found = self._read[place] = self._read.get(place) or self._templates.read(run)
        if isinstance(found, TemplateUnread):
            if found.is_absent:
                return Verdict(Outcome.FAILS, found.reason, "run.workflowTemplate")
            return Verdict(Outcome.UNKNOWN, found.reason)
        try:
            resolved = self._templates.resolve_now(run)
        except ParameterError as error:
            return Verdict(Outcome.FAILS, str(error), "run.parameters")
        lacking = self._templates.lacking(resolved if resolved is not None else run)
        if lacking:
            return Verdict(Outcome.FAILS, lacking, "run.parameters")
        name = f"{run.namespace}/{run.template}"
        return Verdict(
            Outcome.PASSES, f"its WorkflowTemplate {name} is there and takes its parameters; the API server decides"
        )


def schema_id(record: Record) -> str:
    """Return which schema a record names: a fingerprint, a number or GUID of the registry; empty for none."""
    framing = next((value for name, value in record.headers if name == SCHEMA_ID_HEADER and value), None)
    framed = framing or record.value or b""
    fingerprint = fingerprint_in(record.value)
    if fingerprint is not None and framing is None:
        return f"fingerprint {fingerprint.hex()}"
    if framed[:1] == b"\0" and len(framed) >= _REGISTRY_ID:
        return f"registry id {int.from_bytes(framed[1:_REGISTRY_ID], 'big')}"
    return f"registry GUID {framed[1:17].hex()}" if framed[:1] == b"\x01" and framing is not None else ""


def shown(value: Any, sensitive: Sequence[str], path: str = "payload") -> Any:
    """Return a payload as it may be shown: sensitive fields are redacted."""
    if not sensitive or not is_sensitive(path, sensitive):
        return value
    field = path.partition(".")[2]
    is_all = bool(field) and any(f"{field}.".startswith(f"{hidden}.") for hidden in sensitive)
    if isinstance(value, Mapping) and not is_all:
        return {name: shown(member, sensitive, f"{path}.{name}") for name, member in value.items()}
    return REDACTED
