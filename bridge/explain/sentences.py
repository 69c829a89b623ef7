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
    return f"Its value cannot be decoded: {_ended(_get(about, 'error'))} A dead letter has its place and its value."


def _oversize(about: About) -> str:
    return f"It is too large: {_ended(_get(about, 'error'))} A dead letter has its place."


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
        f"them is {first}. A publisher that repeats an id says that it is the same event."
    )


def _late(about: About) -> str:
    window, closed = _get(about, "window"), _get(about, "closed")
    if window:
        return (
            f"Its calendar window ({window.replace('/', ' to ')}) was closed at {closed}, and it reached us after "
            f"that. The grace of the trigger is {duration_text(about.trigger.grace)}."
        )
    group, time = next(((name, text) for name, text in about.evidence.items() if name.endswith("_closed")), ("", ""))
    kind = group.removesuffix("_closed") or "window"
    return f"It belongs to a {kind} that was closed at {time}, and it reached us after that."


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
        return f"{by} came, and this trigger runs only if that is absent."
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
            f"The windows of this partition hold as many bytes as they may (the setting window_bytes): {bound}; this "
            f"trigger holds {_get(about, 'held_by_trigger')} bytes of them. The event cannot wait."
        )
    return (
        f"Its window, or the memory of its trigger, holds as many events as it may ({bound}), so the event cannot "
        "wait. A key that separates the events better makes windows smaller."
    )


def _unkeyed(about: About) -> str:
    key, error = _get(about, "key"), _get(about, "error")
    return (
        f"Its correlation key ({key}) has no value: {_ended(error)} Without a key it belongs to no window. A dead "
        "letter has it."
    )


def _failed(about: About) -> str:
    return f"Flowbridge failed to process it, which is a bug: {_ended(_get(about, 'error'))} A dead letter has it."


def _poison(about: About) -> str:
    return (
        f"Processes were killed while they worked at it, so it was set aside: {_ended(_get(about, 'error'))} A dead "
        "letter has it."
    )


def _matched(about: About) -> str:
    evidence, error = about.evidence, _get(about, "error")
    if error:
        return f"It completed a match of which no run can be made: {_ended(error)} A dead letter has it."
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
        f"The bridge began to read this topic behind it: at offset {_get(about, 'offset')} (`startFrom: "
        f"{about.trigger.start_from}`). `flowbridge replay` reads what lies before."
    )


def _not_read(about: About) -> str:
    behind = int(_get(about, "behind", "1"))
    records = "1 record" if behind == 1 else f"{behind} records"
    return (
        f"No router has read it yet. The routers have {records} of its partition in front of them, this one included: "
        "they are behind, or no bridge runs."
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


def run_sentence(reason: str, text: str, workflow: str, phase: str = "") -> str:
    """Return what became of a run.

    Args:
        reason: The reason of the closed set.
        text: What it rests on, for people; empty for nothing.
        workflow: ``namespace/name`` of its Workflow.
        phase: Phase of the Workflow; empty if it is not known.

    """
    return _RUNS[RunReason(reason)](workflow, text, phase)


def _created(workflow: str, text: str, phase: str) -> str:
    del text
    if phase == GONE:
        return f"Workflow {workflow} was created. It is not in the cluster any more."
    if phase == NOT_BEGUN_BY_ARGO:
        return f"Workflow {workflow} was created. Argo has not begun it yet."
    return f"Workflow {workflow} was created" + (f", and its phase is {phase}." if phase else ".")


def _already_ran(workflow: str, text: str, phase: str) -> str:
    del text, phase
    return f"Workflow {workflow} was there already: the same match asks for the same run, and it is made once."


def _run_waiting(workflow: str, text: str, phase: str) -> str:
    del phase
    why = f" {_ended(text)}" if text.startswith("for ") else f": {_ended(text)}" if text else "."
    return f"Workflow {workflow} is not created yet. It waits{why}"


def _retrying(workflow: str, text: str, phase: str) -> str:
    del phase
    why = f": {_ended(text)}" if text else "."
    return f"Workflow {workflow} is not created yet. The last attempt failed, and it is tried again{why}"


def _skipped(workflow: str, text: str, phase: str) -> str:
    del phase
    return f"Workflow {workflow} was not created, and will not be: {_ended(text or 'it was skipped')}"


def _outcome_unknown(workflow: str, text: str, phase: str) -> str:
    del phase
    return (
        f"It is not known whether Workflow {workflow} was created: {_ended(text)} Look for it in the cluster. A dead "
        "letter has the run."
    )


def _run_failed(workflow: str, text: str, phase: str) -> str:
    del phase
    return f"Flowbridge failed to submit Workflow {workflow}, which is a bug: {_ended(text)} A dead letter has the run."


def _refused(workflow: str, text: str, phase: str) -> str:
    del phase
    return (
        f"The cluster refused Workflow {workflow} for good: {_ended(text)} Correct that. Then `flowbridge replay "
        "--mode missing+failed` makes the run."
    )


_RUNS: Mapping[RunReason, Callable[[str, str, str], str]] = {
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
        return f"an attempt failed: {because}; the next one {evidence.get('seconds', '0')} s later"
    if reason == RunReason.WAITING:
        until = evidence.get("until")
        return f"it waits for {evidence.get('waits_for', 'its turn')}{f' until {until}' if until else ''}"
    if reason == RunReason.SKIPPED:
        return f"skipped: {skipped_text(evidence)}"
    return f"{reason}: {because}" if because else reason


def skipped_text(evidence: Mapping[str, str]) -> str:
    """Return why a run was skipped."""
    if "deadline" in evidence:
        return (
            f"it was too late at {evidence['deadline']} (`run.startDeadline`); its match was complete at "
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
