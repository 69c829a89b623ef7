"""Runs as the ledger has them: read from Kafka, filtered, and shown without what must not be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import EventIdentity, Micros, time_text
from bridge.core.evidence import REDACTED
from bridge.core.runs.run import RunFacts, RunPhase
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Log, Partition, Record
from bridge.kafka.records import LEDGER_ENTRY, NewerFormatError, RecordError
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.run_records import decode_facts, decode_run

WAITING, STARTING, SKIPPED, DEAD = "waiting", "starting", "skipped", "dead"
"""Phases of runs without a Workflow; ``starting``: a create may have been sent."""


class LedgerRun(NamedTuple):
    """A run as its entry in the ledger has it.

    Attributes:
        run_key: Its key.
        trigger: ``namespace/name`` of its trigger.
        workflow: ``namespace/name`` of its Workflow.
        phase: A phase of this module, or of :class:`RunPhase`.
        reason: The outcome, or why it waits, for people.
        attempts: How many creates were sent.
        since: When a submitter took it up.
        decided: When its outcome was written; None before.
        ended: When the end of its Workflow was seen; None before, and where it is not known.
        definition_hash: The definition that made it; empty where it is not known.
        key: Correlation key; empty without one.
        events: Identities of the events of the match, by slot.
        event_time: Newest event time of the match; None where it is not known.
        parameters: Parameters of its Workflow; None where they are not kept.
        replay: Name of the replay that asked for it; empty for none.
        replay_id: Id of the second set of runs that it belongs to; empty for the live set.
        repeats: Run key of the run that it was made in place of; empty for none.

    """

    run_key: str
    trigger: str
    workflow: str
    phase: str
    reason: str
    attempts: int
    since: Micros
    decided: Micros | None
    ended: Micros | None
    definition_hash: str = ""
    key: str = ""
    events: tuple[tuple[str, EventIdentity], ...] = ()
    event_time: Micros | None = None
    parameters: tuple[tuple[str, str], ...] | None = None
    replay: str = ""
    replay_id: str = ""
    repeats: str = ""

    def plain(self, definition: Definition | None, argo_url: str) -> dict[str, Any]:
        """Return it as a JSON object. Without its definition, or if that has sensitive fields, values are hidden."""
        is_hidden = definition is None or bool(definition.trigger.sensitive)
        shown = None if self.parameters is None else dict(self.parameters)
        if shown is not None and is_hidden:
            shown = dict.fromkeys(shown, REDACTED)
        key = definition.redacted_key(self.key) if definition is not None else self.key and REDACTED
        return {
            "kind": "run",
            "run_key": self.run_key,
            "trigger": self.trigger,
            "workflow": self.workflow,
            "phase": self.phase,
            "reason": self.reason,
            "key": key,
            "attempts": self.attempts,
            "since": time_text(self.since),
            "decided": None if self.decided is None else time_text(self.decided),
            "ended": None if self.ended is None else time_text(self.ended),
            "events": [{"slot": slot, **event._asdict()} for slot, event in self.events],
            "event_time": None if self.event_time is None else time_text(self.event_time),
            "parameters": shown,
            "definition": self.definition_hash,
            "replay": self.replay,
            "repeats": self.repeats,
            "url": url_of(self, argo_url),
        }


@dataclass(frozen=True)
class Filter:
    """Which runs are wanted. What is None or empty selects nothing out.

    Attributes:
        trigger: ``namespace/name``.
        phases: Phases.
        start: Runs that were taken up since.
        end: Runs that were taken up before.
        key: Correlation key.
        parameters: Parameters of the Workflow.

    """

    trigger: str | None = None
    phases: frozenset[str] = frozenset()
    start: Micros | None = None
    end: Micros | None = None
    key: str | None = None
    parameters: Mapping[str, str] | None = None

    def takes(self, run: LedgerRun) -> bool:
        """Return whether a run is wanted."""
        if self.trigger not in (None, run.trigger) or self.key not in (None, run.key):
            return False
        if self.phases and run.phase not in self.phases:
            return False
        if (self.start is not None and run.since < self.start) or (self.end is not None and run.since >= self.end):
            return False
        return not self.parameters or self.parameters.items() <= dict(run.parameters or ()).items()


def url_of(run: LedgerRun, argo_url: str) -> str:
    """Return the address of a run's Workflow in Argo's UI; empty without a template for it, and without a Workflow."""
    if not argo_url or run.phase in (WAITING, SKIPPED, DEAD):
        return ""
    namespace, _, name = run.workflow.partition("/")
    return argo_url.replace("{namespace}", namespace).replace("{name}", name)


def run_of_record(record: Record) -> LedgerRun | None:
    """Return the run of a record of the ledger; None for one that cannot be read, as of a removed entry.

    Raises:
        NewerFormatError: A newer version has written it.

    """
    if record.key is None or record.value is None:
        return None
    try:
        entry = LEDGER_ENTRY.decode(record.value)
        is_open = entry["state"] in ("parked", "intent")
        run = decode_run(entry["run"]) if is_open else None
        facts = None if is_open else decode_facts(entry["run"])
    except NewerFormatError:
        raise
    except RecordError:
        return None
    if run is not None:
        known: dict[str, Any] = {
            name: getattr(run, name)
            for name in ("definition_hash", "key", "events", "event_time", "replay", "replay_id", "repeats")
        }
        known["parameters"] = run.parameters
    else:
        known = facts._asdict() if facts is not None else {}  # 0.1.0 kept none
        for name in ("reached", "frame", "phase", "ended"):
            known.pop(name, None)
    return LedgerRun(
        record.key.decode(errors="replace"),
        entry["trigger"],
        entry["workflow"],
        _phase(entry, facts),
        entry["reason"],
        entry["attempts"],
        entry["since"],
        None if is_open else entry["at"],
        facts.ended if facts is not None else None,
        **known,
    )


def _phase(entry: Mapping[str, Any], facts: RunFacts | None) -> str:
    if entry["state"] == "parked":
        return WAITING
    if entry["state"] == "intent":
        return STARTING
    if entry["state"] == "dead":
        return DEAD
    if entry["reason"].startswith("skipped"):
        return SKIPPED
    return (facts.phase if facts is not None and facts.phase is not None else RunPhase.UNKNOWN).value


class LedgerRuns:
    """The runs of an installation.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        pace: A steady clock.

    Attributes:
        definitions: All definitions that made runs.

    """

    def __init__(self, log: Log, topics: InternalTopics, pace: Callable[[], Micros]) -> None:
        self._log = log
        self._topics = topics
        self.definitions = Definitions(log, topics.triggers, pace)
        self.definitions.refresh()

    def newest(self, wanted: Filter, limit: int) -> tuple[list[LedgerRun], int]:
        """Return the newest runs that are wanted, the oldest of them first, and how many there are in all.

        Memory holds twice the limit, and the keys of the runs that are wanted.
        """
        kept: dict[str, LedgerRun] = {}
        keys: set[str] = set()
        for run_key, run in self._records(wanted.trigger):
            kept.pop(run_key, None)
            if run is None or not wanted.takes(run):
                keys.discard(run_key)
                continue
            keys.add(run_key)
            kept[run_key] = run
            if len(kept) > 2 * limit:
                kept = {each.run_key: each for each in sorted(kept.values(), key=_age)[-limit:]}
        return sorted(kept.values(), key=_age)[-limit:], len(keys)

    def find(self, name: str) -> tuple[LedgerRun | None, list[LedgerRun]]:
        """Return the run of a key or of a Workflow, and the runs that were made in its place, the oldest first.

        Args:
            name: A run key, ``namespace/name`` of a Workflow, or its name alone.

        """
        found: LedgerRun | None = None
        repeats: dict[str, LedgerRun] = {}
        for run_key, run in self._records(None):
            if run is None:
                found = None if found is not None and found.run_key == run_key else found
                repeats.pop(run_key, None)
                continue
            if name in (run_key, run.workflow, run.workflow.partition("/")[2]):
                found = run
            if run.repeats:
                repeats[run_key] = run
        if found is None:
            return None, []
        return found, sorted((run for run in repeats.values() if run.repeats == found.run_key), key=_age)

    def close(self) -> None:
        """Close the clients."""
        self.definitions.close()

    def _records(self, trigger: str | None) -> Iterator[tuple[str, LedgerRun | None]]:
        """Yield the entries of a trigger's partition, or of all, as they were written: the last one of a key counts."""
        numbers = range(self._topics.partitions)
        if trigger is not None:
            numbers = range(number := partition_of(trigger, self._topics.partitions), number + 1)
        with closing(self._log.admin()) as admin, closing(self._log.reader()) as reader:
            ends = admin.stable_ends([Partition(self._topics.ledger, number) for number in numbers])
            for place, end in ends.items():
                for records in reader.read(place, 0, end):
                    for record in records:
                        if record.key is not None:
                            yield record.key.decode(errors="replace"), run_of_record(record)


def _age(run: LedgerRun) -> tuple[Micros, str]:
    return run.since, run.run_key
