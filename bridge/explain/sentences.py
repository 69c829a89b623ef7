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


def event_sentence(reason: str, about: About) -> str:
    """Return what a decision about an event, or a state of it, means."""
    return _EVENTS[reason](about)


def _get(about: About, name: str, otherwise: str = "") -> str:
    return about.evidence.get(name, otherwise)


def _filtered(about: About) -> str:
    error = _get(about, "error")
    if error:
        return f"The filter (where) of slot {about.slot} has no value, which counts as false: {error}."
    return f"The filter (where) of slot {about.slot} is false for this event."


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


def _oversize(about: About) -> str:
    return (
        f"It is too large: {_ended(_get(about, 'error'))} Publish a reference to the data instead. A dead "
        "letter has the topic, the partition and the offset."
    )


def _from_the_future(about: About) -> str:
    ahead = _get(about, "seconds_ahead", "0")
    return (
        f"It says that it happened {duration_text(int(ahead) * SECOND)} after it reached Kafka. This trigger allows "
        f"{duration_text(about.trigger.future)}. The publisher's clock is ahead, or its time has the wrong zone."
    )


def _duplicate(about: About) -> str:
    first = _get(about, "which_is", "matched")
    return (
        f"An event with the same name, source and id came before, and an event counts once at a slot. The first of "
        f"them is {first}. If this is another event, its publisher has to give it another id."
    )


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


def _suspended(about: About) -> str:
    name = about.trigger.identity
    return (
        f"The trigger was suspended. `flowbridge replay --trigger {name} --from TIME --only suspended` starts the "
        "runs of such events."
    )


def _waiting(about: About) -> str:
    for_, until = _get(about, "for", "the other slots"), _get(about, "until")
    if not until:
        return f"It waits for {for_}."
    return f"It waits for {for_}, until {until}."


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


def _expired(about: About) -> str:
    because, missing, deadline = _get(about, "because"), _get(about, "missing"), _get(about, "deadline")
    if because:
        missed = f", and {missing} was missing" if missing else ""
        return f"Its wait ended because {because}{missed}."
    if missing:
        return f"It waited until {deadline}, and {missing} did not come." if deadline else f"{missing} did not come."
    return f"It waited until {deadline}, and nothing completed a match." if deadline else "Its wait is over."


def _cancelled(about: About) -> str:
    by, because = _get(about, "by"), _get(about, "because")
    if by:
        return f"{by} came. This trigger runs only if no such event comes."
    if because:
        return f"Its match was cancelled because {because}."
    return "An event came that must be absent."


def _reset(about: About) -> str:
    return (
        f"A boundary of `window.reset` passed at {_get(about, 'boundary', 'an unknown time')} before its match was "
        "complete. Events that wait at a boundary are forgotten."
    )


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


def _unkeyed(about: About) -> str:
    key, error = _get(about, "key"), _get(about, "error")
    return (
        f"Its correlation key ({key}) has no value: {_ended(error)} Without a key it belongs to no window. "
        "Correct the key of the trigger, or the publisher. It is a dead letter."
    )


def _failed(about: About) -> str:
    return (
        f"Flowbridge failed to process it, which is a bug: {_ended(_get(about, 'error'))} Report it. The event is a "
        "dead letter."
    )


def _poison(about: About) -> str:
    return f"Processes were killed while they worked at it: {_ended(_get(about, 'error'))} The event is a dead letter."


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


def _not_in_force(about: About) -> str:
    name = about.trigger.identity
    return (
        f"The trigger {name} was not in force when this event reached Kafka, so nothing was decided about it. "
        f"`flowbridge replay --trigger {name} --from TIME` starts the runs of events from before a trigger."
    )


def _not_begun(about: About) -> str:
    return (
        f"The bridge began to read its partition at offset {_get(about, 'offset')}, which is after this event "
        f"(`startFrom: {about.trigger.start_from}`). `flowbridge replay --trigger {about.trigger.identity} --from "
        "TIME` starts the runs of earlier events."
    )


def _not_read(about: About) -> str:
    behind = int(_get(about, "behind", "1"))
    records = "1 record" if behind == 1 else f"{behind} records"
    return (
        f"No router has read it yet. The routers still have to read {records} of its partition, this one included. "
        "They are behind, or no bridge runs."
    )


def _not_applied(about: About) -> str:
    return (
        f"It passed slot {about.slot}, and no matcher has applied it to its window yet: the matchers are behind, or no "
        "bridge runs."
    )


def _unknown(about: About) -> str:
    return (
        f"It passed slot {about.slot}. What became of it in its window is not recorded any more, and the records that "
        "are left do not tell it."
    )


_EVENTS: Mapping[str, Callable[[About], str]] = {
    Reason.FILTERED: _filtered,
    Reason.UNDECODABLE: _undecodable,
    Reason.OVERSIZE: _oversize,
    Reason.FROM_THE_FUTURE: _from_the_future,
    Reason.DUPLICATE: _duplicate,
    Reason.LATE: _late,
    Reason.SUSPENDED: _suspended,
    Reason.WAITING: _waiting,
    Reason.SUPERSEDED: _superseded,
    Reason.EXPIRED: _expired,
    Reason.CANCELLED: _cancelled,
    Reason.RESET: _reset,
    Reason.OVER_BOUND: _over_bound,
    Reason.UNKEYED: _unkeyed,
    Reason.FAILED: _failed,
    Reason.POISON: _poison,
    Reason.MATCHED: _matched,
    NOT_IN_FORCE: _not_in_force,
    NOT_BEGUN: _not_begun,
    NOT_READ: _not_read,
    NOT_APPLIED: _not_applied,
    UNKNOWN: _unknown,
}


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
    return _RUNS[RunReason(reason)](about)


def _phase_text(about: AboutRun) -> str:
    if about.phase == GONE:
        return " It is not in the cluster any more."
    if about.phase == NOT_BEGUN_BY_ARGO:
        return " Argo has not begun it yet."
    return f" Its phase is {about.phase}." if about.phase else " Its phase is not known: the cluster was not asked."


def _created(about: AboutRun) -> str:
    return f"Workflow {about.workflow} was created.{_phase_text(about)}"


def _already_ran(about: AboutRun) -> str:
    return (
        f"Workflow {about.workflow} existed before this match was submitted, so no second one was created. A repeated "
        f"event, a replay, or `run.id` asks for the same run again.{_phase_text(about)}"
    )


def _run_waiting(about: AboutRun) -> str:
    text = about.text
    why = f" {_ended(text)}" if text.startswith("for ") else f": {_ended(text)}" if text else "."
    return f"Workflow {about.workflow} is not created yet. It waits{why}"


def _retrying(about: AboutRun) -> str:
    why = f": {_ended(about.text)}" if about.text else "."
    return f"Workflow {about.workflow} is not created yet. The last attempt failed, and the bridge tries again{why}"


def _skipped(about: AboutRun) -> str:
    why = _ended(about.text or "it was skipped")
    return f"The bridge does not create Workflow {about.workflow}: {why} {about.replay} makes the run."


def _outcome_unknown(about: AboutRun) -> str:
    return (
        f"It is not known whether Workflow {about.workflow} was created: {_ended(about.text)} Look for it in the "
        "cluster, in the logs, in what it writes, and in Argo's archive. A dead letter has the run."
    )


def _run_failed(about: AboutRun) -> str:
    return (
        f"Flowbridge failed to submit Workflow {about.workflow}, which is a bug: {_ended(about.text)} Report it. When "
        f"it is mended, {about.replay} makes the run. A dead letter has the run."
    )


def _refused(about: AboutRun) -> str:
    return (
        f"The cluster refused Workflow {about.workflow} for good: {_ended(about.text)} Correct that. Then "
        f"{about.replay} makes the run."
    )


_RUNS: Mapping[RunReason, Callable[[AboutRun], str]] = {
    RunReason.CREATED: _created,
    RunReason.ALREADY_RAN: _already_ran,
    RunReason.WAITING: _run_waiting,
    RunReason.RETRYING: _retrying,
    RunReason.SKIPPED: _skipped,
    RunReason.OUTCOME_UNKNOWN: _outcome_unknown,
    RunReason.FAILED: _run_failed,
    RunReason.REFUSED: _refused,
}


def step_text(reason: str, evidence: Mapping[str, str]) -> str:
    """Return a step in the life of a run, in a few words."""
    because = evidence.get("because", "").removeprefix(f"{reason}: ")
    if reason == RunReason.RETRYING:
        seconds = evidence.get("seconds", "0.0")
        return f"an attempt failed: {because}; the next one {'at once' if seconds == '0.0' else f'{seconds} s later'}"
    if reason == RunReason.WAITING:
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
