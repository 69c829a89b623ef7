"""Trace events through the past of a trigger: collect the decisions about the events that somebody asks about.

The past itself (:mod:`bridge.replay.past`) decides. A tracer only listens, and keeps what belongs to chosen events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from typing_extensions import override

from bridge.core.correlation_key import UnkeyedError, key_text
from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition, attributes
from bridge.core.duration import duration_text
from bridge.core.event import Event, EventIdentity, Micros, time_text
from bridge.core.evidence import REDACTED, ExpressionEvidence, match_reads_sensitive
from bridge.core.expressions.expression import ExpressionError
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.explain.sentences import About, event_sentence
from bridge.explain.story import EventStory, Field, Knowledge, Parameter, Part, Told, Waiting, WindowStory
from bridge.kafka.log import Record
from bridge.replay.past import OpenWindow, Past, PastDecision, PastMatch
from bridge.stages.shared.event_reader import DecodedEvent, EventReader, place_identity
from bridge.stages.shared.slot_index import SlotIndex
from flowbridge_sdk.errors import DecodeError

_PAYLOAD = "none in the trigger: each parameter of the template takes the payload field of its name"


class Place(NamedTuple):
    """The place of a record."""

    topic: str
    partition: int
    offset: int

    def text(self) -> str:
        """Return ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass
class Traced:
    """An event that is followed.

    Attributes:
        identity: Its identity; that of its place where it is no event.
        event: The event; None for a record that cannot be decoded.
        places: The places of its records.
        events: The event as each of them has it; None for a record that cannot be decoded.
        value: The value of such a record.
        time: When it happened; when it reached Kafka where that is not known.
        reached: When it reached Kafka.
        is_asked: The question is about it.
        is_out_of_force: No definition of the trigger was in force when it reached Kafka.
        decisions: The decisions about it.

    """

    identity: EventIdentity
    event: Event | None
    places: list[Place]
    time: Micros
    reached: Micros
    is_asked: bool
    is_out_of_force: bool = False
    decisions: list[PastDecision] = field(default_factory=list)
    events: list[Event | None] = field(default_factory=list)
    value: bytes | None = None


Choose = Callable[[EventIdentity, Place, Sequence[str]], bool | None]
"""Tells of an event, by its identity, its record and its correlation keys, whether the question is about it (True),
whether it only stands beside such events (False), or neither (None)."""


class RememberingReader(EventReader):
    """A reader of events that remembers the last one. Several pasts that read the same records decode each once."""

    _last: DecodedEvent | None = None
    _last_reached: Micros = 0

    @override
    def read(self, record: Record, timestamp: int, reached: Micros) -> DecodedEvent:
        last = self._last
        if last is None or last.record is not record or self._last_reached != reached:
            self._last = None
            last = self._last = super().read(record, timestamp, reached)
            self._last_reached = reached
        return last

    def identity_of(self, record: Record) -> EventIdentity:
        """Return the identity of the event of the record that was read last; that of its place if it is no event."""
        last = self._last
        return place_identity(record) if last is None or last.record is not record else last.event.identity


class Tracer:
    """Follows chosen events through a past.

    Args:
        definition: The definition that decides first.
        reader: The reader of the past.
        choose: Chooses the events that are followed.
        limit: Events that are followed at most.
        wants: Chooses further matches than those of the events that are followed.

    Attributes:
        traced: The events that are followed, by identity.
        matches: The matches of these events, and those that are wanted.
        unshown: Events that would have been followed, and are not because of the limit.

    """

    def __init__(
        self,
        definition: Definition,
        reader: RememberingReader,
        choose: Choose,
        limit: int,
        wants: Callable[[PastMatch], bool] = lambda _match: False,
    ) -> None:
        self._slots = SlotIndex([definition])
        self._is_in_force = True
        self._wants = wants
        self._reader = reader
        self._choose = choose
        self._limit = limit
        self._decided: list[PastDecision] = []
        self.traced: dict[EventIdentity, Traced] = {}
        self.matches: list[PastMatch] = []
        self.unshown = 0

    def hear(self, decision: PastDecision) -> None:
        """Hear of a decision that the past makes."""
        self._decided.append(decision)

    def follow(self, past: Past, definition: Definition | None, at: Micros) -> None:
        """Go on by another definition, which was in force from a time on; None where none was."""
        self._end(past.follow(definition, at))
        self._is_in_force = definition is not None
        if definition is not None:
            self._slots = SlotIndex([definition])

    def feed(self, past: Past, record: Record, time: Micros, *, is_inside: bool = True) -> None:
        """Feed a record to the past, and keep what concerns the events that are followed.

        Raises:
            DecodeError: A schema cannot be looked up now. The record can be fed again.

        """
        matches = past.feed(record, time, is_inside=is_inside)
        if is_inside:
            traced = self._see(record, time)
            if traced is not None and not self._is_in_force:
                traced.is_out_of_force = True
        self._keep(matches)

    def see_unread(self, record: Record, time: Micros) -> None:
        """See a record that no router has read; the past does not know of it yet.

        Raises:
            DecodeError: A schema cannot be looked up now. The record can be seen again.

        """
        self._see(record, time)

    def advance(self, past: Past, time: Micros) -> None:
        """Let time go on to ``time``."""
        self._end(past.advance(time))

    def _end(self, matches: Iterable[PastMatch]) -> None:
        self._keep(list(matches))

    def _see(self, record: Record, time: Micros) -> Traced | None:
        """Follow the event of a record if it is chosen; return it if this is its first record."""
        reading = self._slots.own.get(record.topic) or self._slots.of_shared(record.topic, record.headers)
        if not reading:
            return None
        try:
            event = self._reader.read(record, record.timestamp, min(time, record.timestamp * 1000)).event
        except DecodeError as error:
            if not error.permanent:
                raise
            event = None
        if event is not None:
            reading = self._slots.named(record.topic, event.name, reading)
            if not reading:
                return None
        identity = place_identity(record) if event is None else event.identity
        place = Place(record.topic, record.partition, record.offset)
        known = self.traced.get(identity)
        if known is not None:
            known.places.append(place)
            known.events.append(event)
            return None
        slots = [slot for _, slots in reading for slot in slots]
        chosen = self._choose(identity, place, () if event is None else keys_of(event, slots))
        if chosen is None:
            return None
        if len(self.traced) >= self._limit:
            self.unshown += 1
            return None
        reached = min(time, record.timestamp * 1000) if event is None else event.reached
        happened = reached if event is None else event.time
        traced = self.traced[identity] = Traced(identity, event, [place], happened, reached, chosen, events=[event])
        traced.value = record.value if event is None else None
        return traced

    def _keep(self, matches: Sequence[PastMatch]) -> None:
        for decision in self._decided:
            traced = self.traced.get(decision.decision.event)
            if traced is not None:
                traced.decisions.append(decision)
        self._decided.clear()
        for match in matches:
            if self._wants(match) or any(event in self.traced for slot in match.used for event in slot):
                self.matches.append(match)


def keys_of(event: Event, slots: Iterable[CompiledSlot]) -> list[str]:
    """Return the correlation keys that an event has at some slots, whether or not it passes their filters."""
    keys: dict[str, None] = {}
    for slot in slots:
        if slot.key is None:
            keys[""] = None
            continue
        try:
            keys[key_text(slot.key.evaluate({"payload": event.payload, "event": attributes(event)}))] = None
        except (ExpressionError, UnkeyedError):
            continue
    return list(keys)


# -- what was traced, as a story ---------------------------------------------------------------------------------------


def event_story(traced: Traced, decisions: list[Told]) -> EventStory:
    """Return the story of an event."""
    name, source, id_ = traced.identity
    return EventStory(
        name=name,
        source=source,
        id=id_,
        time=time_text(traced.time),
        reached=time_text(traced.reached),
        places=[place.text() for place in traced.places],
        is_asked=traced.is_asked,
        decisions=decisions,
    )


def told(definition: Definition, decision: Decision, at: Micros | None, known: Knowledge, run: str = "") -> Told:
    """Return a decision as people read it.

    Args:
        definition: The definition that decided.
        decision: The decision.
        at: When it was made; None if that is not known.
        known: How it is known.
        run: Name of the run's Workflow; empty if it has none, or it is not known.

    """
    evidence = decision.evidence
    fields: list[Field] = []
    parts: list[Part] = []
    if isinstance(evidence, ExpressionEvidence):
        fields = [Field(*operand) for operand in evidence.operands()]
        if decision.reason is Reason.FILTERED:
            parts = [Part(*part) for part in evidence.conjuncts()]
    run = run or evidence.get("run", "")
    key = definition.redacted_key(decision.key)
    about = About(definition.trigger, decision.slot, evidence, key, run)
    return Told(
        slot=decision.slot,
        reason=decision.reason.value,
        at="" if at is None else time_text(at),
        known=known,
        text=event_sentence(decision.reason, about),
        evidence=dict(evidence),
        fields=fields,
        parts=parts,
        key=key,
        run=run if decision.reason is Reason.MATCHED else "",
    )


def window_story(definition: Definition, open_: OpenWindow, known: Knowledge) -> WindowStory:
    """Return the story of an open window."""
    trigger, window = definition.trigger, open_.window
    waiting: list[Waiting] = []
    missing: list[str] = []
    filled = 0
    for slot, arrivals in zip(trigger.slots, window.waiting, strict=True):
        if arrivals:
            waiting.append(Waiting(slot.variable, [f"{arrival.event.name} {arrival.event.id}" for arrival in arrivals]))
        if slot.absent:
            continue
        if len(arrivals) >= slot.count:
            filled += 1
        else:
            missing.append(slot.variable if slot.count == 1 else f"{slot.variable} ({len(arrivals)} of {slot.count})")
    for pending in window.pending:
        names = [f"{arrival.event.name} {arrival.event.id}" for arrival in pending.arrivals]
        waiting.append(Waiting("(complete)", names))
    closes = time_text(open_.due) if open_.due is not None else ""
    key = definition.redacted_key(open_.key)
    subject = f"The window of key {key!r}" if open_.key else "The window"
    if window.pending:
        absent = ", ".join(trigger.slots[index].variable for index in trigger.absent_slots)
        what = f"has a match that is complete if {absent} does not come"
    elif filled >= trigger.require and trigger.within is not None:
        together = f"within {duration_text(trigger.within)}"
        what = f"has events at {filled} slots, but they did not happen {together} of each other"
    elif filled >= trigger.require:
        what = "is filled"
    else:
        what = f"has {filled} of {trigger.require} slots filled and waits for {', '.join(missing)}"
    end = ""
    if closes:
        end = f" until {closes}" if not window.pending and filled < trigger.require else f"; it ends at {closes}"
    text = f"{subject} {what}{end}."
    return WindowStory(key, filled, trigger.require, waiting, ", ".join(missing), closes, known, text)


def match_events(definition: Definition, match: PastMatch) -> list[tuple[str, EventIdentity]]:
    """Return the events of a match, each with its slot's variable."""
    return [
        (slot.slot.variable, event)
        for slot, filled in zip(definition.slots, match.used, strict=True)
        for event in filled
    ]


def run_events(events: Iterable[tuple[str, EventIdentity]]) -> list[dict[str, str]]:
    """Return the events of a run: slot, name, id and source of each."""
    return [{"slot": slot, "name": event.name, "id": event.id, "source": event.source} for slot, event in events]


def run_parameters(definition: Definition, run: Run | UnrunnableError | None) -> list[Parameter]:
    """Return the parameters of a run with the places that their values come from; sensitive values are redacted."""
    if not isinstance(run, Run):
        return []
    trigger, sensitive = definition.trigger, definition.trigger.sensitive
    if run.parameters is None:
        return [Parameter("(default mapping)", "", _PAYLOAD)]
    origins: dict[str, tuple[str, bool]] = {}
    for index, name, path in definition.mapped:
        origins[name] = (f"{trigger.slots[index].variable}.payload.{path}", _hides(path, sensitive))
    for name, expression in definition.parameters:
        origins[name] = (expression.source, match_reads_sensitive(expression, sensitive))
    for own in trigger.run.fields:
        path = own.field or "payload"
        origins[own.parameter] = (
            f"{own.slot}.{path}",
            bool(sensitive) if own.field is None else _hides(path, sensitive),
        )
    parameters = []
    for name, value in run.parameters:
        origin, is_hidden = origins.get(name, ("the trigger's own text", False))
        parameters.append(Parameter(name, REDACTED if is_hidden else value, origin))
    return parameters


def _hides(path: str, sensitive: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{hidden}.") or hidden.startswith(f"{path}.") for hidden in sensitive)
