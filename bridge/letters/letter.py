"""A dead letter as a value, what became of it, and which letters a person asks for.

==============  ==========================================================================================
state           meaning
==============  ==========================================================================================
``open``        nothing was done with it
``sent``        its event or run was sent back: by a person, or by the bridge when its schema appeared
``edited``      a person sent a corrected event in its place
``discarded``   a person gave it up
==============  ==========================================================================================

The marks of a letter say its state. A mark that sends stands before one that gives up, since what was sent is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.core.event import Micros
from bridge.kafka.log import Record
from bridge.kafka.records import DEAD_LETTER, RecordError
from bridge.stages.shared.dead_letters import Cause

if TYPE_CHECKING:
    from bridge.core.runs.run import Run

Place = tuple[int, int]
"""Partition and offset of a letter in ``dead-letters``."""


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    SENT = "sent"
    EDITED = "edited"
    DISCARDED = "discarded"


class Mark(NamedTuple):
    """What was done with a dead letter.

    Attributes:
        cause: What, and why.
        by: The person; empty for the bridge.
        at: When.
        why: The reason that the person gave.
        successor: The id of the event, or the key of the run, that was sent in place of the letter's own.

    """

    cause: Cause
    by: str
    at: Micros
    why: str
    successor: str

    @property
    def state(self) -> LetterState:
        """Return the state that it gives a letter."""
        return _STATES[self.cause]


_STATES = {
    Cause.SCHEMA: LetterState.SENT,
    Cause.RETRY: LetterState.SENT,
    Cause.EDIT: LetterState.EDITED,
    Cause.DISCARD: LetterState.DISCARDED,
}
_RANK = (LetterState.SENT, LetterState.EDITED, LetterState.DISCARDED)


@dataclass(frozen=True)
class Letter:
    """A dead letter.

    Attributes:
        place: Where it is in ``dead-letters``.
        stage: The stage that has written it.
        reason: Why.
        text: What is wrong.
        triggers: The triggers that it concerns; none where it concerns all that read the topic.
        run_key: The run that it is about; empty for a record.
        at: When it was written.
        record: The record that was given up. Its topic is empty, and its partition -1, for a run that is only in the
            ledger: its value is the run then.
        marks: What was done with it, in order.

    """

    place: Place
    stage: str
    reason: str
    text: str
    triggers: tuple[str, ...]
    run_key: str
    at: Micros
    record: Record
    marks: tuple[Mark, ...] = ()

    @property
    def name(self) -> str:
        """Return the name by which people call it: PARTITION/OFFSET."""
        return "{}/{}".format(*self.place)

    @property
    def state(self) -> LetterState:
        """Return what became of it."""
        states = {mark.state for mark in self.marks}
        return next((state for state in _RANK if state in states), LetterState.OPEN)

    @property
    def identity(self) -> tuple[str, int, int, str, str, Micros]:
        """Return what tells it from all other letters, wherever it is kept."""
        record = self.record
        return record.topic, record.partition, record.offset, self.reason, self.run_key, self.at

    def run(self) -> Run | None:
        """Return the run that it keeps; None if it keeps none that can be read."""
        from bridge.stages.shared.run_records import decode_run  # noqa: PLC0415 - 0.2 s that a list need not wait

        with suppress(RecordError):
            return decode_run(self.record.value or b"")
        return None

    def key(self) -> str:
        """Return the key of its event, or the correlation key of its run, as text; empty for none."""
        if self.record.key is not None:
            return self.record.key.decode(errors="replace")
        run = self.run() if self.run_key else None
        return run.key if run is not None else ""

    def encode(self) -> bytes:
        """Return its record in ``dead-letters``."""
        record = self.record
        return DEAD_LETTER.encode(
            {
                "stage": self.stage,
                "reason": self.reason,
                "text": self.text,
                "trigger": self.triggers[0] if len(self.triggers) == 1 else "",
                "triggers": list(self.triggers),
                "run_key": self.run_key,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "key": record.key,
                "value": record.value,
                "headers": [{"name": name, "value": value or b""} for name, value in record.headers],
                "at": self.at,
            }
        )


def letter_of(record: Record, marks: tuple[Mark, ...] = ()) -> Letter:
    """Return the letter in a record of ``dead-letters``.

    Raises:
        RecordError: It is none that this version can read.

    """
    fields: dict[str, Any] = DEAD_LETTER.decode(record.value or b"")
    headers = [(header["name"], header["value"]) for header in fields["headers"]]
    kept = Record(
        fields["topic"],
        fields["partition"],
        fields["offset"],
        fields["timestamp"],
        fields["key"],
        fields["value"],
        headers,
    )
    return Letter(
        (record.partition, record.offset),
        fields["stage"],
        fields["reason"],
        fields["text"],
        tuple(fields["triggers"] or filter(None, [fields["trigger"]])),
        fields["run_key"],
        fields["at"],
        kept,
        marks,
    )


@dataclass(frozen=True)
class Choice:
    """Which letters are asked for: those that fit all that is given.

    Attributes:
        places: These alone; None for all.
        trigger: Those that name this trigger.
        reason: Those with this reason.
        topic: Those about records of this topic.
        key: Those whose event has this key, or whose run has this correlation key.
        since: Those written at this time or later.
        until: Those written before this time.
        states: Those in one of these states.

    """

    places: frozenset[Place] | None = None
    trigger: str | None = None
    reason: str | None = None
    topic: str | None = None
    key: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    states: frozenset[LetterState] = field(default=frozenset({LetterState.OPEN}))

    def fits(self, letter: Letter) -> bool:
        """Return whether a letter is asked for."""
        return (
            (self.places is None or letter.place in self.places)
            and letter.state in self.states
            and (self.trigger is None or self.trigger in letter.triggers)
            and self.reason in (None, letter.reason)
            and self.topic in (None, letter.record.topic)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
            and (self.key is None or letter.key() == self.key)
        )


@dataclass
class Group:
    """Letters with one reason about one trigger, or about all triggers that read one topic.

    Attributes:
        reason: Their reason.
        stage: The stage that wrote them.
        triggers: The triggers that they concern; none for all that read the topic.
        topic: The topic of their records; empty for runs.
        first: When the first of them was written.
        last: When the last of them was written.
        count: How many there are.
        sample: The last of them.

    """

    reason: str
    stage: str
    triggers: tuple[str, ...]
    topic: str
    first: Micros
    last: Micros
    count: int
    sample: Letter

    @property
    def about(self) -> str:
        """Return the triggers that they concern, for people."""
        return ", ".join(self.triggers) or f"all that read {self.topic}"


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """Return letters by reason and trigger, the group with the newest letter first."""
    groups: dict[tuple[str, ...], Group] = {}
    for letter in letters:
        topic = letter.record.topic
        key = (letter.reason, letter.stage, topic, *letter.triggers)
        group = groups.get(key)
        if group is None:
            groups[key] = Group(letter.reason, letter.stage, letter.triggers, topic, letter.at, letter.at, 1, letter)
            continue
        group.count += 1
        group.first = min(group.first, letter.at)
        if letter.at >= group.last:
            group.last, group.sample = letter.at, letter
    return sorted(groups.values(), key=lambda group: -group.last)
