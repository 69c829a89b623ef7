"""Tell the life of a run: when its events came, when it was taken up, what it waited for, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bridge.core.decision import RunReason
from bridge.core.definition import Definition
from bridge.core.event import SECOND, Micros, time_text
from bridge.core.runs.run import Run
from bridge.explain.live_records import (
    LedgerRun,
    LiveRecords,
    run_reason,
)
from bridge.explain.sentences import AboutRun, apart, run_sentence, skipped_text, step_text
from bridge.explain.story import (
    Moment,
    RunStory,
    Story,
)
from bridge.explain.tracing import (
    match_events,
    run_events,
    run_parameters,
)
from bridge.replay.past import PastMatch
from bridge.replay.recorded import Outcome

_LATE: Micros = 60 * SECOND  # a step in the life of a run that took longer is named

_WAITS = {
    "rate": "for the rate of its trigger (`run.limits.rate`)",
    "storm": "for the end of a storm of its trigger (`run.limits.storm`)",
}
"""What a run waits for, for people, by the reason in the ledger."""

PhaseOf = Callable[[str, str], str]
"""Returns the phase of a Workflow by namespace and name; ``GONE``, ``NOT_BEGUN_BY_ARGO``, or empty for not known."""


def run_story(
    known: Mapping[str, Definition],
    phase_of: PhaseOf,
    definition: Definition,
    run: LedgerRun,
    match: PastMatch | None,
    live: LiveRecords,
) -> RunStory:
    """Return the story of a run that the ledger has, or that was asked for.

    Args:
        known: All definitions, by hash.
        phase_of: Returns the phase of its Workflow.
        definition: The definition that is asked about.
        run: The run.
        match: Its match as the rules make it again; None if that is not known.
        live: What is recorded.

    """
    facts, reason = run.facts, run_reason(run)
    namespace, _, name = run.workflow.partition("/")
    phase = phase_of(namespace, name) if run.state == "done" else ""
    outcome = {"done": Outcome.RAN, "dead": Outcome.DEAD}.get(run.state, Outcome.WAITING)
    if reason is RunReason.SKIPPED:
        outcome = Outcome.SKIPPED
    if phase in ("Failed", "Error"):
        outcome = Outcome.FAILED
    steps = live.steps.get(run.run_key, ())
    if reason is RunReason.SKIPPED and steps:
        text = skipped_text(steps[-1].evidence)
    elif run.state in ("done", "dead"):
        text = run.reason.partition(": ")[2]
    elif run.state == "asked":
        text = "for a submitter: none has taken it up"
    else:
        text = _WAITS.get(run.reason.removeprefix("waits for "), run.reason)
        last = steps[-1].evidence if steps else {}
        text = text or last.get("because", "")
        if text.startswith("for ") and "until" in last:
            text += f" until {last['until']}"
    made_by = known.get(facts.definition_hash, definition) if facts is not None else definition
    return RunStory(
        run_key=run.run_key,
        workflow=run.workflow,
        outcome=outcome.value,
        reason=run.reason,
        phase=phase,
        attempts=run.attempts,
        key=definition.redacted_key(facts.key) if facts is not None else "",
        replay=facts.replay if facts is not None else "",
        events=run_events(facts.events) if facts is not None else [],
        parameters=run_parameters(made_by, match.run if match is not None else None),
        moments=list(_moments(run, match, live)),
        known="recorded",
        text=run_sentence(reason, AboutRun(definition.identity, run.workflow, text.removeprefix("waits "), phase)),
    )


def missing_run(definition: Definition, match: PastMatch, others: Sequence[str]) -> RunStory:
    """Return the story of a match that has no run in the ledger; ``others``: what else became of its events."""
    why = ", ".join(others) or "the bridge met the events in another order, or lost the run"
    first = "Remove the cause first. Then `" if others else "`"
    text = (
        f"By the rules this match has a run, and the ledger has none: {why}. "
        f"{first}flowbridge replay --trigger {definition.identity} --from TIME` makes it."
    )
    return computed_run(definition, match, Outcome.MISSING.value, text)


def computed_run(definition: Definition, match: PastMatch, outcome: str, text: str) -> RunStory:
    """Return the story of a run that the rules make of a match, and that is recorded nowhere.

    Args:
        definition: The definition that decides.
        match: The match.
        outcome: What becomes of its run; ``unrunnable`` stands instead where no run can be made.
        text: What that means; the fault stands instead where no run can be made.

    """
    run = match.run
    if not isinstance(run, Run):
        fault = run.redacted_text(definition.trigger.sensitive) if run is not None else "it is not known why"
        outcome, text = "unrunnable", f"No run can be made of this match: {fault}"
    return RunStory(
        run_key=run.run_key if isinstance(run, Run) else "",
        workflow=f"{run.namespace}/{run.name}" if isinstance(run, Run) else "",
        outcome=outcome,
        reason="",
        phase="",
        attempts=0,
        key=definition.redacted_key(run.key) if isinstance(run, Run) else "",
        replay="",
        events=run_events(match_events(definition, match)),
        parameters=run_parameters(definition, run),
        moments=[Moment(time_text(match.complete), "its match was complete")],
        known="recomputed",
        text=text,
    )


def run_keys(match: PastMatch) -> list[str]:
    """Return the keys under which the run of a match may be recorded."""
    keys = [match.recorded.run_key] if match.recorded is not None else []
    return [*keys, match.run.run_key] if isinstance(match.run, Run) else keys


def _moments(run: LedgerRun, match: PastMatch | None, live: LiveRecords) -> Iterator[Moment]:
    """Yield the steps in the life of a run, in order."""
    facts = run.facts
    if facts is not None:
        yield Moment(time_text(facts.event_time), "the newest of its events happened")
        late = facts.reached - facts.event_time
        behind = f", {apart(late)} after it happened" if late >= _LATE else ""
        yield Moment(time_text(facts.reached), f"the last of its events reached Kafka{behind}")
        if match is not None and match.complete > facts.reached:
            yield Moment(time_text(match.complete), "its match was complete")
    if run.since:
        waited = run.since - (facts.reached if facts is not None else run.since)
        behind = f", {apart(waited)} after its last event" if waited >= _LATE else ""
        yield Moment(time_text(run.since), f"a submitter took it up{behind}")
    for step in live.steps.get(run.run_key, ()):
        yield Moment(time_text(step.at), step_text(step.reason, step.evidence))
    if run.state in ("done", "dead") and not any(
        step.reason == run_reason(run).value for step in live.steps.get(run.run_key, ())
    ):
        yield Moment(time_text(run.at), run.reason)


def lateness(run: LedgerRun, *, is_windowed: bool) -> Iterator[str]:
    """Yield where a run lost time."""
    facts = run.facts
    if facts is None:
        return
    if facts.reached - facts.event_time >= _LATE:
        yield (
            f"The last of its events reached Kafka {apart(facts.reached - facts.event_time)} after it happened: the "
            "publisher was late, or the times of its events are wrong."
        )
    if run.since and run.since - facts.reached >= _LATE:
        window = "its window ended later, or " if is_windowed else ""
        yield (
            f"A submitter took it up {apart(run.since - facts.reached)} after its last event reached Kafka: "
            f"{window}the bridge was down or behind."
        )
    if run.state == "done" and run.since and run.at - run.since >= _LATE:
        yield (
            f"It then took {apart(run.at - run.since)} until its Workflow was created: it waited for its limits, its "
            "template or the API server."
        )


def told_apart(story: Story) -> list[str]:
    """Return what several runs of one key have in common, and what not."""
    runs = [run for run in story.runs if run.known == "recorded"]
    answer: list[str] = []
    for number, run in enumerate(runs):
        for other in runs[:number]:
            if run.key != other.key or run.run_key == other.run_key:
                continue
            if run.replay or other.replay:
                replayed = run if run.replay else other
                answer.append(f"{replayed.workflow} was made by the replay {replayed.replay}.")
                continue
            differing = [
                f"{mine['slot']}: {theirs['id']} and {mine['id']}"
                for mine in run.events
                for theirs in other.events
                if mine["slot"] == theirs["slot"] and mine["id"] != theirs["id"]
            ]
            if differing:
                answer.append(
                    f"{other.workflow} and {run.workflow} are runs of different events ({'; '.join(differing[:3])}). A "
                    "publisher that repeats an event under a new id makes a new event: give the repeat the same id, "
                    "or say with `run.id` which matches are the same run."
                )
    return list(dict.fromkeys(answer))[:3]
