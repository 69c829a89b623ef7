"""That runs start no faster than their triggers' limits allow, none too late, and none is called late too early.

Told by the ledger at the end: it says when each run was asked for (``since``) and under which intent it was begun, both
by the clock of the process that wrote it. The limits count exactly these moments, so they hold by the numbers alone,
however wrong the clocks are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from bridge.core.decision import RunReason
from bridge.core.event import Micros
from bridge.core.trigger import RunLimits
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Record
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import decode_facts, decode_run
from simulation.history import History
from simulation.replay_check import is_of_a_replay
from simulation.trigger_log import TriggerLog


class _Begun(NamedTuple):
    """A run that was begun: when, and what its trigger had been asked for and had begun by then."""

    run_key: str
    at: Micros
    asked: list[Micros]
    started: list[Micros]


def wrong_starts(
    history: History, topics: InternalTopics, triggers: TriggerLog, expired: Collection[str]
) -> Iterator[str]:
    """Say which runs started too soon or too late; ``expired`` are those of which Kafka deleted entries by age."""
    asked_for = _asked_for(history, topics)
    records = [
        record
        for record in history.records(topics.ledger)
        if record.value is not None and not _is_of_an_end(LEDGER_ENTRY.decode(record.value))
    ]
    intents: set[str] = set()
    ended: dict[str, int] = {}
    for record in records:
        entry, run_key = LEDGER_ENTRY.decode(record.value or b""), (record.key or b"").decode()
        if run_key not in intents and not is_of_a_replay(
            entry
        ):  # an intent that is written again says what looks have shown since
            deadlines = _deadlines(asked_for[run_key], ended.get(run_key))
            wrong = [list(_wrong_by_deadline(entry, start_by)) for start_by in deadlines]
            yield from wrong[0] if all(wrong) else ()
        (intents.add if entry["state"] == "intent" else intents.discard)(run_key)
        if entry["state"] in ("done", "dead"):
            ended[run_key] = record.timestamp
    for trigger in {LEDGER_ENTRY.decode(record.value or b"")["trigger"] for record in records}:
        limits = _limits(trigger, triggers)
        if limits is not None:
            for begun in _begun(records, trigger, expired):
                yield from _wrong_by_limits(trigger, limits, begun)


def _is_of_an_end(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry was written again since its Workflow has ended, which is no start."""
    facts = decode_facts(entry["run"]) if entry["state"] == "done" else None
    return facts is not None and facts.ended is not None


def _asked_for(history: History, topics: InternalTopics) -> dict[str, list[tuple[int, Micros | None]]]:
    """Return, by run key, when its run was asked for (milliseconds), and until when it may start."""
    found: dict[str, list[tuple[int, Micros | None]]] = {}
    for record in history.records(topics.runs):
        start_by = decode_run(record.value or b"").start_by  # a replay's runs have none
        found.setdefault((record.key or b"").decode(), []).append((record.timestamp, start_by))
    return found


def _deadlines(asked_for: list[tuple[int, Micros | None]], ended: int | None) -> list[Micros | None]:
    """Return until when a run may start: of several records that ask for it the first one counts.

    If an event comes again after its run ended (``ended``, in milliseconds), it asks for another run as soon as the
    ledger has forgotten the first. Which of the records since then asked for it depends on when that was.
    """
    later = [start_by for at, start_by in asked_for if ended is not None and at >= ended]
    return later or [asked_for[0][1]]


def _wrong_by_deadline(entry: dict[str, Any], start_by: Micros | None) -> Iterator[str]:
    what = f"run {entry['workflow']} of {entry['trigger']}, to be started by {start_by},"
    if entry["state"] == "intent" and start_by is not None and entry["at"] >= start_by:
        yield f"{what} was begun at {entry['at']}"
    is_late = entry["state"] == "done" and entry["reason"].startswith(f"{RunReason.SKIPPED}: deadline")
    if is_late and (start_by is None or entry["at"] < start_by):
        yield f"{what} was called late at {entry['at']}"


def _limits(trigger: str, triggers: TriggerLog) -> RunLimits | None:
    """Return the limits of a trigger that was never edited, which is what its runs have to keep."""
    written = {
        definition.hash: definition
        for definition in triggers.whole().definitions.values()
        if definition.identity == trigger
    }
    if len(written) != 1 or triggers.times_in_force(trigger, next(iter(written.values())).condition_hash) != 1:
        return None
    (definition,) = written.values()
    return definition.trigger.run.limits if trigger in triggers.whole().in_force else None


def _begun(records: list[Record], trigger: str, expired: Collection[str]) -> Iterator[_Begun]:
    """Yield the runs of a trigger as they were begun, each with what had been counted by then."""
    entries = [((record.key or b"").decode(), LEDGER_ENTRY.decode(record.value or b""), record) for record in records]
    mine = [
        (key, entry, record)
        for key, entry, record in entries
        if entry["trigger"] == trigger and not is_of_a_replay(entry)  # which counts for no limit
    ]
    since = {key: entry["since"] for key, entry, _ in mine}
    seen: set[str] = set()
    standing: dict[str, Micros] = {}
    for key, entry, record in mine:
        seen.add(key)
        if entry["state"] == "intent" and key in standing:
            continue  # it is written again while it is in doubt
        if entry["state"] == "intent":
            # Those that were taken up in the same batch count, too; their records may come behind.
            asked = [at for run_key, at in since.items() if run_key in seen or at == entry["at"]]
            yield _Begun(
                key,
                entry["at"],
                sorted(asked),
                sorted(at for run_key, at in standing.items() if run_key not in expired),
            )
            # A new owner counts a start from the time at which Kafka took it, if the former clock was ahead of that.
            standing[key] = min(entry["at"], (record.timestamp + 1) * 1000)
        elif entry["state"] != "done" or entry["reason"].startswith(RunReason.SKIPPED):
            standing.pop(key, None)  # nothing was made of it


def _wrong_by_limits(trigger: str, limits: RunLimits, begun: _Begun) -> Iterator[str]:
    if limits.rate is not None:
        newest = begun.started[-limits.rate :]
        if len(newest) == limits.rate and newest[0] + limits.per > begun.at:
            yield f"{trigger} began {begun.run_key} at {begun.at}, and {limits.rate} were begun since {newest[0]}"
    if limits.storm is not None:
        newest = begun.asked[-limits.storm - 1 :]
        # what was begun before the storm, and is in doubt, is written again in it
        if len(newest) > limits.storm and newest[0] <= begun.at < newest[0] + limits.storm_within:
            yield f"{trigger} began {begun.run_key} at {begun.at} in a storm that began at {newest[0]}"
