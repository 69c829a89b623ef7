"""The story of events, windows and runs: what ``flowbridge explain`` and ``flowbridge test`` tell, as plain values.

Everything here is text, numbers, lists and mappings, so that ``-o json`` prints it as it is. Times are RFC 3339 in UTC.
A sensitive value is redacted before it comes here.

Each decision says how it is known:

- ``recorded``: the live bridge wrote it down (a decision, a window, a run, a dead letter).
- ``recomputed``: the rules say it, applied again to the records of the topics.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Knowledge = Literal["recorded", "recomputed"]
"""How a decision is known."""

NOT_IN_FORCE = "not-in-force"
"""State of an event: the trigger was not in force when the event reached Kafka."""

NOT_BEGUN = "not-begun"
"""State of an event: reading of its topic began behind it (``startFrom``)."""

NOT_READ = "not-read"
"""State of an event: no router has read it yet."""

NOT_APPLIED = "not-applied"
"""State of an event: it passed the slot, and no matcher has applied it to its window yet."""

UNKNOWN = "unknown"
"""State of an event: it passed the slot, and nothing else is known about it any more."""


@dataclass
class Field:
    """A field of the event that an expression reads.

    Attributes:
        path: The field, as the expression spells it.
        value: Its value as JSON text; empty if the event has no such field.
        type: Its type as CEL calls it; empty if the event has no such field.

    """

    path: str
    value: str
    type: str


@dataclass
class Part:
    """A part of a condition that must be true.

    Attributes:
        source: Its text.
        value: True, false, or null where it has no value.
        error: Why it has no value; empty if it has.
        hint: What a person may have overlooked; empty for nothing.

    """

    source: str
    value: bool | None
    error: str
    hint: str


@dataclass
class Told:
    """A decision about an event at a slot.

    Attributes:
        slot: The slot's variable.
        reason: A reason of the closed set, or a state of this module.
        at: When it was made; empty if that is not known.
        known: How it is known.
        text: What it means, in plain English.
        evidence: The values that it rests on, by name.
        fields: Of a ``where`` or a ``key``: the fields that it reads.
        parts: Of a ``where``: its conjuncts.
        key: Correlation key; empty without one, or where it is redacted.
        run: Name of the run's Workflow, of a matched event; empty if it is not known.

    """

    slot: str
    reason: str
    at: str
    known: Knowledge
    text: str
    evidence: dict[str, str] = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    key: str = ""
    run: str = ""


@dataclass
class EventStory:
    """An event and the decisions about it.

    Attributes:
        name: Its name.
        source: Its source.
        id: Its id.
        time: When it happened, by its publisher.
        reached: When it reached Kafka.
        places: Its records, as ``topic/partition/offset``; several if it was published again.
        is_asked: The question was about it; if not, it stands here because it shares a window with one that was.
        decisions: What was decided, slot by slot, in order.

    """

    name: str
    source: str
    id: str
    time: str
    reached: str
    places: list[str]
    is_asked: bool = True
    decisions: list[Told] = field(default_factory=list)


@dataclass
class Waiting:
    """Events that wait at a slot of an open window."""

    slot: str
    events: list[str]


@dataclass
class WindowStory:
    """A window in which something waits now.

    Attributes:
        key: Its correlation key; empty without one, or where it is redacted.
        filled: Slots that are filled.
        required: Slots that a match fills.
        waiting: The events that wait, by slot.
        missing: The slots that are not filled, for people.
        closes: When the next thing in it ends; empty if nothing ends by itself.
        known: How it is known.
        text: What it waits for, in plain English.

    """

    key: str
    filled: int
    required: int
    waiting: list[Waiting]
    missing: str
    closes: str
    known: Knowledge
    text: str


@dataclass
class Parameter:
    """A parameter of a Workflow, with the place that its value came from."""

    name: str
    value: str
    origin: str


@dataclass
class Moment:
    """A step in the life of a run."""

    at: str
    text: str


@dataclass
class RunStory:
    """A run.

    Attributes:
        run_key: Its identity.
        workflow: ``namespace/name`` of its Workflow.
        outcome: ``missing``, ``ran``, ``waiting``, ``skipped``, ``dead`` or ``failed``.
        reason: The reason in the ledger; empty if the ledger has none.
        phase: Phase of the Workflow; empty if it is not known.
        attempts: Creates that were sent.
        key: Correlation key; empty without one, or where it is redacted.
        replay: Name of the replay that asked for it; empty for the live bridge.
        events: The events of the match: slot, name, id, source.
        parameters: Its parameters, recomputed by the definition that made it; empty if they are not known.
        moments: Its life in order.
        known: How it is known.
        text: What became of it, in plain English.

    """

    run_key: str
    workflow: str
    outcome: str
    reason: str
    phase: str
    attempts: int
    key: str
    replay: str
    events: list[dict[str, str]]
    parameters: list[Parameter]
    moments: list[Moment]
    known: Knowledge
    text: str


@dataclass
class TriggerStory:
    """A trigger as it is now.

    Attributes:
        name: ``namespace/name``.
        definition: Hash of the definition in force; empty if none is.
        origin: Where it was read from.
        since: When it was put in force; empty if that is not known.
        is_applied: Every router has applied it.
        is_suspended: Its events are decided ``suspended``.
        text: The same in plain English.

    """

    name: str
    definition: str
    origin: str
    since: str
    is_applied: bool
    is_suspended: bool
    text: str


@dataclass
class Story:
    """The answer to a question about a trigger.

    Attributes:
        trigger: The trigger.
        answer: The answer in a few sentences.
        begin: From when on events were read.
        end: Up to when.
        records: How many records were read.
        decisions: How many decisions about events there were in the range, by reason, recomputed.
        events: The events that the question is about, and those that share a window with them.
        windows: The windows that are open now.
        runs: The runs.
        unshown: How many events are left out, by the limit.
        notes: What a person should know about the answer.

    """

    trigger: TriggerStory
    answer: list[str]
    begin: str = ""
    end: str = ""
    records: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    events: list[EventStory] = field(default_factory=list)
    windows: list[WindowStory] = field(default_factory=list)
    runs: list[RunStory] = field(default_factory=list)
    unshown: int = 0
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return the story as plain values, for JSON."""
        return asdict(self)
