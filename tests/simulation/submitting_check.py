"""That each run that was asked for has exactly one Workflow, and no other has any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from bridge.core.decision import Reason, RunDecision, RunReason
from bridge.core.event import MINUTE, Micros
from bridge.core.runs.run import Run
from bridge.core.trigger import Trigger
from bridge.core.windows.kinds.calendar import fires_at_close
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.records import DEAD_LETTER, LEDGER_ENTRY
from bridge.stages.shared.run_records import decode_run
from simulation.cluster import LIFETIME, SHORT_LIFE, Cluster
from simulation.conditions import BRIEF, LOST_DIGIT
from simulation.effects import Written
from simulation.history import History
from simulation.routing_check import Asked
from simulation.script import Script
from simulation.trigger_log import TriggerLog

_CLOCKS_APART: Micros = 5 * MINUTE  # clocks are further apart only where a habit sets them


def asked_for(history: History, topics: InternalTopics) -> Counter[Asked]:
    """Return the runs in the log that the live bridge has asked for."""
    runs = (decode_run(record.value or b"") for record in history.records(topics.runs))
    return Counter(
        Asked(run.trigger, run.definition_hash if run.events else "", run.key, tuple(sorted(run.events)))
        for run in runs
        if not run.replay
    )


def wrong_workflows(
    history: History,
    topics: InternalTopics,
    cluster: Cluster,
    expired: Collection[str],
    unsure: Collection[str],
) -> Iterator[str]:
    """Say which runs have too few Workflows, or too many.

    Of a run that is asked for again after the ledger's retention has taken its final entry, nobody remembers the first.
    A run of ``unsure`` may have none, because its replay was cancelled.
    """
    runs: dict[str, list[Run]] = {}
    for record in history.records(topics.runs):
        runs.setdefault((record.key or b"").decode(), []).append(decode_run(record.value or b""))
    letters, skipped = _letters(history, topics), _skipped(history, topics)
    for run_key, (run, *_) in runs.items():
        count = len(cluster.created.get(run_key, ()))
        letter = letters.get(run_key)
        allowed = skipped.get(run_key, {1}) if letter is None else _allowed(letter, run, history, topics)
        if run_key in unsure:
            allowed = {*allowed, 0}
        if run_key in expired:
            allowed = {*allowed, *range(1, len(runs[run_key]) + 1)}
        if count not in allowed:
            why = f"; its dead letter: {letter['reason']}: {letter['text']}" if letter else ""
            yield f"run {run.name} of {run.trigger} for {run.events} has {count} Workflows, not {sorted(allowed)}{why}"
        for workflow in cluster.created.get(run_key, ())[:1]:
            given = workflow.manifest["spec"].get("arguments", {}).get("parameters", ())
            found = {parameter["name"]: parameter["value"] for parameter in given}
            if run.parameters is not None and found != dict(run.parameters):
                yield f"run {run.name} has parameters {found}, not {dict(run.parameters)}"
    for run_key in cluster.created.keys() - runs.keys():
        yield f"{cluster.created[run_key][0].name} was created, and nobody asked for it"


def undecided_runs(history: History, topics: InternalTopics, written: list[Written]) -> Iterator[str]:
    """Say which runs that were asked for have no final decision, or more than one: each repeat has its own."""
    asked = Counter((record.key or b"").decode() for record in history.records(topics.runs))
    final = Counter(
        decision.run_key
        for transaction in written
        for decision in transaction.decisions
        if isinstance(decision, RunDecision) and decision.reason not in (RunReason.WAITING, RunReason.RETRYING)
    )
    for run_key in asked.keys() | final.keys():
        if asked[run_key] != final[run_key]:
            yield f"run {run_key} was asked for {asked[run_key]} times and has {final[run_key]} final decisions"


def wrong_identities(history: History, topics: InternalTopics, triggers: TriggerLog, script: Script) -> Iterator[str]:
    """Say which matches of a trigger with ``run.id`` are one run and should not be, or the other way round."""
    digits = {act.detail[1]: act.detail[3] for act in script.acts if act.kind.startswith("publish")}
    keys: dict[tuple[str, str, int], str] = {}
    for record in history.records(topics.runs):
        run, run_key = decode_run(record.value or b""), (record.key or b"").decode()
        trigger = triggers.whole().definitions[run.definition_hash].trigger
        if trigger.run.id is not None:  # see simulation.random_triggers
            first = next(event for variable, event in run.events if variable == trigger.slots[0].variable)
            what = (run.trigger, run.key, digits.get(first.id, LOST_DIGIT) % 2)
            if keys.setdefault(what, run_key) != run_key:
                yield f"{first} of {what} has the run key {run_key}, and another one {keys[what]}"
    for run_key, count in Counter(keys.values()).items():
        if count > 1:
            yield f"the run key {run_key} stands for {[what for what, key in keys.items() if key == run_key]}"


def shared_keys(history: History, topics: InternalTopics, triggers: TriggerLog) -> Iterator[str]:
    """Say which run keys stand for more than one match: all but the first would end as ``already-ran``.

    Two kinds of trigger may do that: one with ``run.id``, and one whose calendar windows run when they are filled:
    these have no second run after an edit. So may any calendar window of which a replay has made the run, from events
    that were kept from the live bridge, while the live bridge held others.
    """
    events: dict[str, tuple[Any, ...]] = {}
    decoded = [decode_run(record.value or b"") for record in history.records(topics.runs)]
    replayed = {run.run_key for run in decoded if run.replay}
    for run in decoded:
        if not run.definition_hash:
            continue
        run_key, trigger = run.run_key, triggers.whole().definitions[run.definition_hash].trigger
        if not (_may_share(trigger) or (_is_calendar(trigger) and run_key in replayed)):
            what = tuple(sorted(run.events))
            if events.setdefault(run_key, what) != what:
                yield f"the run key {run_key} of {run.trigger} stands for {what}, and for {events[run_key]}"


def _may_share(trigger: Trigger) -> bool:
    return trigger.run.id is not None or (_is_calendar(trigger) and not fires_at_close(trigger))


def _is_calendar(trigger: Trigger) -> bool:
    return trigger.window is not None and trigger.window.kind in ("every", "until")


def _letters(history: History, topics: InternalTopics) -> dict[str, dict[str, Any]]:
    found = [
        {**DEAD_LETTER.decode(record.value or b""), "appended": record.timestamp * 1_000}
        for record in history.records(topics.dead_letters)
    ]
    return {letter["run_key"]: letter for letter in found if letter["run_key"]}


def _skipped(history: History, topics: InternalTopics) -> dict[str, set[int]]:
    """Return the runs that were too late to start, which have no Workflow, and never get one."""
    found = {}
    for record in history.records(topics.ledger):
        if record.value is not None:
            entry = LEDGER_ENTRY.decode(record.value)
            if entry["state"] == "done" and entry["reason"].startswith(RunReason.SKIPPED):
                found[(record.key or b"").decode()] = {0}
    return found


def _allowed(letter: dict[str, Any], run: Run, history: History, topics: InternalTopics) -> set[int]:
    """Return how many Workflows the run of a dead letter may have."""
    if letter["reason"] == "refused" and "is not this run's" in letter["text"]:
        return {0}
    if letter["reason"] == "refused" and "wait, and no more may" in letter["text"]:
        return {0}
    if letter["reason"] == "outcome-unknown":
        lifetime = SHORT_LIFE if run.template == BRIEF else LIFETIME
        if letter["at"] - letter["appended"] > lifetime // 2:
            return {0, 1}  # to a clock that is hours ahead, a Workflow that was made just now may have come and gone
        intents = [
            # what a clock noted that was hours ahead counts from when Kafka took it
            entry["at"] if entry["at"] <= record.timestamp * 1_000 + _CLOCKS_APART else record.timestamp * 1_000
            for record in history.records(topics.ledger)
            if record.key == letter["run_key"].encode() and record.value is not None
            if (entry := LEDGER_ENTRY.decode(record.value))["state"] == "intent"
        ]
        # Less than a lifetime after the intent that stands, a look tells whether a Workflow is there: nothing is
        # unknown yet. It is the last one in the log, and earlier than another one if a clock was put back.
        return {0, 1} if intents and letter["at"] - intents[-1] >= lifetime else set()
    return {1}


def other_letters(history: History, topics: InternalTopics) -> Iterator[str]:
    """Say which dead letters there are besides those of runs."""
    for record in history.records(topics.dead_letters):
        letter = DEAD_LETTER.decode(record.value or b"")
        if not letter["run_key"] and letter["reason"] != Reason.POISON:
            yield f"a dead letter of {letter['stage']}: {letter['reason']}: {letter['text']}"
