"""What each decision means, in plain English: one sentence or two for each reason of the closed set.

A sentence names what was found, and what a person can do where something can be done. It is made of the decision's
evidence alone, so that it is the same for a decision that the live bridge recorded and for one that is recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.core.decision import Reason, RunReason
from bridge.core.duration import duration_text
from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros
from bridge.core.trigger import Trigger
from bridge.explain.story import NOT_APPLIED, NOT_BEGUN, NOT_IN_FORCE, NOT_READ, UNKNOWN

GONE = "gone"
"""Stands for the phase of a Workflow that is not in the cluster any more."""

NOT_BEGUN_BY_ARGO = "not begun"
"""Stands for the phase of a Workflow that has none yet."""


class About(NamedTuple):
    """The decision that a sentence is about.

    Attributes:
        trigger: The trigger that decided.
        slot: The slot's variable.
        evidence: The evidence.
        key: Correlation key as it may be shown; empty without one.
        run: Name of the run's Workflow; empty if it is not known.

    """

    trigger: Trigger
    slot: str
    evidence: Mapping[str, str]
    key: str = ""
    run: str = ""


_Sentence = Callable[[About], str]

_EVENTS: dict[str, _Sentence] = {}
"""The sentence of each reason and of each state, as the decorator below fills it."""


def event_sentence(reason: str, about: About) -> str:
    """Return what a decision about an event, or a state of it, means."""
    return _EVENTS[reason](about)


def _sentence_of(reason: str) -> Callable[[_Sentence], _Sentence]:
    """Return the decorator of the function that makes the sentence of a reason, or of a state."""

    def register(sentence: _Sentence) -> _Sentence:
        _EVENTS[reason] = sentence
        return sentence

    return register


def _get(about: About, name: str, otherwise: str = "") -> str:
    return about.evidence.get(name, otherwise)


@_sentence_of(Reason.FILTERED)
def _filtered(about: About) -> str:
    error = _get(about, "error")
    if error:
        return f"The filter (where) of slot {about.slot} has no value, which counts as false: {error}."
    return f"The filter (where) of slot {about.slot} is false for this event."


@_sentence_of(Reason.UNDECODABLE)
def _undecodable(about: About) -> str:
    if about.evidence.get("sent_back"):
        return f"Its schema was not known. It waited as a dead letter and was sent back at {_get(about, 'sent_back')}."
    if about.evidence.get("waits_for"):
        return (
            f"It waits for its schema: {_ended(_get(about, 'error'))} It is a dead letter meanwhile, and is sent back "
            "when the bridge has the schema."
        )
    return (
        f"Its value cannot be decoded: {_ended(_get(about, 'error'))} Correct the publisher. A dead letter has the "
        "topic, the partition, the offset and the value."
    )


@_sentence_of(Reason.OVERSIZE)
def _oversize(about: About) -> str:
    return (
        f"It is too large: {_ended(_get(about, 'error'))} Publish a reference to the data instead. A dead "
        "letter has the topic, the partition and the offset."
    )


@_sentence_of(Reason.FROM_THE_FUTURE)
def _from_the_future(about: About) -> str:
    ahead = _get(about, "seconds_ahead", "0")
    return (
        f"It says that it happened {duration_text(int(ahead) * SECOND)} after it reached Kafka. This trigger allows "
        f"{duration_text(about.trigger.future)}. The publisher's clock is ahead, or its time has the wrong zone."
    )


@_sentence_of(Reason.DUPLICATE)
def _duplicate(about: About) -> str:
    first = _get(about, "which_is", "matched")
    return (
        f"An event with the same name, source and id came before, and an event counts once at a slot. The first of "
        f"them is {first}. If this is another event, its publisher has to give it another id."
    )


@_sentence_of(Reason.LATE)
def _late(about: About) -> str:
    window, closed = _get(about, "window"), _get(about, "closed")
    if window:
        return (
            f"Its calendar window ({window.replace('/', ' to ')}) was closed at {closed}, and the event reached Kafka "
            f"after that. The grace of the trigger is {duration_text(about.trigger.grace)}."
        )
    group, time = next(((name, text) for name, text in about.evidence.items() if name.endswith("_closed")), ("", ""))
    kind = group.removesuffix("_closed") or "window"
    return f"It belongs to a {kind} that was closed at {time}, and the event reached Kafka after that."


@_sentence_of(Reason.SUSPENDED)
def _suspended(about: About) -> str:
    name = about.trigger.identity
    return (
        f"The trigger was suspended. `flowbridge replay --trigger {name} --from TIME --only suspended` starts the "
        "runs of such events."
    )


@_sentence_of(Reason.WAITING)
def _waiting(about: About) -> str:
    for_, until = _get(about, "for", "the other slots"), _get(about, "until")
    if not until:
        return f"It waits for {for_}."
    return f"It waits for {for_}, until {until}."


@_sentence_of(Reason.SUPERSEDED)
def _superseded(about: About) -> str:
    evidence = about.evidence
    if "used_at" in evidence:
        return f"It is used at slot {evidence['used_at']} of the same trigger, and an event fills one slot of a match."
    if "older_than" in evidence:
        return (
            f"A match has taken a newer event of slot {about.slot} (of {evidence['older_than']}), and `collect: "
            "latest` uses no older event after that."
        )
    if "window" in evidence:
        window = evidence["window"].replace("/", " to ")
        return f"Its calendar window ({window}) has matched already, and a calendar window matches once."
    if "by" in evidence:
        return f"A match took {evidence['by']} in its place (`collect: {about.trigger.collect}`)."
    return f"Another event took its place (`collect: {about.trigger.collect}`)."


@_sentence_of(Reason.EXPIRED)
def _expired(about: About) -> str:
    because, missing, deadline = _get(about, "because"), _get(about, "missing"), _get(about, "deadline")
    if because:
        missed = f", and {missing} was missing" if missing else ""
        return f"Its wait ended because {because}{missed}."
    if missing:
        return f"It waited until {deadline}, and {missing} did not come." if deadline else f"{missing} did not come."
    return f"It waited until {deadline}, and nothing completed a match." if deadline else "Its wait is over."


@_sentence_of(Reason.CANCELLED)
def _cancelled(about: About) -> str:
    by, because = _get(about, "by"), _get(about, "because")
    if by:
        return f"{by} came. This trigger runs only if no such event comes."
    if because:
        return f"Its match was cancelled because {because}."
    return "An event came that must be absent."


@_sentence_of(Reason.RESET)
def _reset(about: About) -> str:
    return (
        f"A boundary of `window.reset` passed at {_get(about, 'boundary', 'an unknown time')} before its match was "
        "complete. Events that wait at a boundary are forgotten."
    )


@_sentence_of(Reason.OVER_BOUND)
def _over_bound(about: About) -> str:
    bound = _get(about, "bound")
    if "held_by_trigger" in about.evidence:
        return (
            f"The windows of this partition are full: they hold at most {bound} (its share of "
            f"FLOWBRIDGE_WINDOW_BYTES), and this trigger holds {_get(about, 'held_by_trigger')} of them. The event did "
            "not wait, so it is in no later match."
        )
    return (
        f"Its window, or the memory of its trigger, is full: it holds {bound} events. The event did not wait, so it is "
        "in no later match. A key that separates the events better makes windows smaller."
    )


@_sentence_of(Reason.UNKEYED)
def _unkeyed(about: About) -> str:
    key, error = _get(about, "key"), _get(about, "error")
    return (
        f"Its correlation key ({key}) has no value: {_ended(error)} Without a key it belongs to no window. "
        "Correct the key of the trigger, or the publisher. It is a dead letter."
    )


@_sentence_of(Reason.FAILED)
def _failed(about: About) -> str:
    return (
        f"Flowbridge failed to process it, which is a bug: {_ended(_get(about, 'error'))} Report it. The event is a "
        "dead letter."
    )


@_sentence_of(Reason.POISON)
def _poison(about: About) -> str:
    return f"Processes were killed while they worked at it: {_ended(_get(about, 'error'))} The event is a dead letter."


@_sentence_of(Reason.MATCHED)
def _matched(about: About) -> str:
    evidence, error = about.evidence, _get(about, "error")
    if error:
        return (
            f"No run can be made of the match that it completed: {_ended(error)} Correct the trigger or the publisher. "
            "The event is a dead letter."
        )
    if evidence.get("cancelled"):
        return f"It must be absent, and it came: it cancelled {evidence['cancelled']}."
    if "cancelled" in evidence:
        return "It must be absent, and it came. Nothing waited for its absence."
    run = f", whose run is Workflow {about.run}" if about.run else ""
    if evidence.get("replay"):
        run += f", made by replay {evidence['replay']}"
    if "absent" in evidence:
        return f"It is part of a match{run}: {evidence['absent']} did not come."
    return f"It is part of a match{run}."


@_sentence_of(NOT_IN_FORCE)
def _not_in_force(about: About) -> str:
    name = about.trigger.identity
    return (
        f"The trigger {name} was not in force when this event reached Kafka, so nothing was decided about it. "
        f"`flowbridge replay --trigger {name} --from TIME` starts the runs of events from before a trigger."
    )


@_sentence_of(NOT_BEGUN)
def _not_begun(about: About) -> str:
    return (
        f"The bridge began to read its partition at offset {_get(about, 'offset')}, which is after this event "
        f"(`startFrom: {about.trigger.start_from}`). `flowbridge replay --trigger {about.trigger.identity} --from "
        "TIME` starts the runs of earlier events."
    )


@_sentence_of(NOT_READ)
def _not_read(about: About) -> str:
    behind = int(_get(about, "behind", "1"))
    records = "1 record" if behind == 1 else f"{behind} records"
    return (
        f"No router has read it yet. The routers still have to read {records} of its partition, this one included. "
        "They are behind, or no bridge runs."
    )


@_sentence_of(NOT_APPLIED)
def _not_applied(about: About) -> str:
    return (
        f"It passed slot {about.slot}, and no matcher has applied it to its window yet: the matchers are behind, no "
        "bridge runs, or Kafka still waits for the end of a transaction."
    )


@_sentence_of(UNKNOWN)
def _unknown(about: About) -> str:
    return (
        f"It passed slot {about.slot}. What became of it in its window is not recorded any more, and the records that "
        "are left do not tell it."
    )


class AboutRun(NamedTuple):
    """The run that a sentence is about.

    Attributes:
        trigger: ``namespace/name`` of its trigger.
        workflow: ``namespace/name`` of its Workflow.
        text: What its outcome rests on, for people; empty for nothing.
        phase: Phase of the Workflow; empty if it is not known.

    """

    trigger: str
    workflow: str
    text: str = ""
    phase: str = ""

    @property
    def replay(self) -> str:
        """Return the command that makes it in place of one that was given up."""
        return f"`flowbridge replay --trigger {self.trigger} --from TIME --mode missing+failed`"


def run_sentence(reason: str, about: AboutRun) -> str:
    """Return what became of a run, by its reason of the closed set."""
    workflow, text = about.workflow, about.text
    match RunReason(reason):
        case RunReason.CREATED:
            return f"Workflow {workflow} was created.{_phase_text(about)}"
        case RunReason.ALREADY_RAN:
            return (
                f"Workflow {workflow} existed before this match was submitted, so no second one was created. A "
                "repeated event, a replay, or `run.id` asks for the same run again." + _phase_text(about)
            )
        case RunReason.WAITING:
            why = f" {_ended(text)}" if text.startswith("for ") else f": {_ended(text)}" if text else "."
            return f"Workflow {workflow} is not created yet. It waits{why}"
        case RunReason.RETRYING:
            why = f": {_ended(text)}" if text else "."
            return f"Workflow {workflow} is not created yet. The last attempt failed, and the bridge tries again{why}"
        case RunReason.SKIPPED:
            why = _ended(text or "it was skipped")
            return f"The bridge does not create Workflow {workflow}: {why} {about.replay} makes the run."
        case RunReason.OUTCOME_UNKNOWN:
            return (
                f"It is not known whether Workflow {workflow} was created: {_ended(text)} Look for it in the cluster, "
                "in the logs, in what it writes, and in Argo's archive. A dead letter has the run."
            )
        case RunReason.FAILED:
            return (
                f"Flowbridge failed to submit Workflow {workflow}, which is a bug: {_ended(text)} Report it. When it "
                f"is mended, {about.replay} makes the run. A dead letter has the run."
            )
        case RunReason.REFUSED:
            return (
                f"The cluster refused Workflow {workflow} for good: {_ended(text)} Correct that. Then {about.replay} "
                "makes the run."
            )


def _phase_text(about: AboutRun) -> str:
    """Return the phase of a run's Workflow as a sentence that follows another."""
    if about.phase == GONE:
        return " It is not in the cluster any more."
    if about.phase == NOT_BEGUN_BY_ARGO:
        return " Argo has not begun it yet."
    return f" Its phase is {about.phase}." if about.phase else " Its phase is not known: the cluster was not asked."


def step_text(reason: str, evidence: Mapping[str, str]) -> str:
    """Return a step in the life of a run, in a few words."""
    because = evidence.get("because", "").removeprefix(f"{reason}: ")
    if reason == RunReason.RETRYING:
        seconds = evidence.get("seconds", "0.0")
        return f"an attempt failed: {because}; the next one {'at once' if seconds == '0.0' else f'{seconds} s later'}"
    if reason == RunReason.WAITING:
        if evidence.get("waits_for") == "hold":
            return f"it is held by {because}"
        until = evidence.get("until")
        return f"it waits for {evidence.get('waits_for', 'its turn')}{f' until {until}' if until else ''}"
    if reason == RunReason.SKIPPED:
        return f"skipped: {skipped_text(evidence)}"
    if reason == RunReason.OUTCOME_UNKNOWN:
        return f"{reason}: the create had no usable answer"
    return f"{reason}: {because}" if because else reason


def skipped_text(evidence: Mapping[str, str]) -> str:
    """Return why a run was skipped."""
    if "deadline" in evidence:
        return (
            f"its start deadline (`run.startDeadline`) passed at {evidence['deadline']}; its match was complete at "
            f"{evidence.get('reached', 'an unknown time')}"
        )
    return evidence.get("storm") or evidence.get("because") or "it was skipped"


def _ended(text: str) -> str:
    """Return a text as the end of a sentence."""
    return text if not text or text[-1] in ".!?" else f"{text}."


def apart(length: Micros) -> str:
    """Return a length of time for people who read how late something was: its two largest units."""
    if length < SECOND:
        return f"{max(0, length) // 1000} ms"
    parts: list[str] = []
    for name, size in (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", SECOND)):
        number, length = divmod(length, size)
        if number:
            parts.append(f"{number} {name}{'' if number == 1 else 's'}")
    return " ".join(parts[:2])
