"""Restore the ledger from Kafka.

Nearly all of it are runs that have ended, of which only the key matters. The first bytes of their records tell them,
and their age is the time at which Kafka appended these. Runs that have not ended go to the shelf, so restoring takes
little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from bridge.argo.doubt import Doubt
from bridge.core.decision import RunReason
from bridge.core.event import DAY, MINUTE, Micros
from bridge.kafka.log import Admin, Partition, Reader, Record
from bridge.kafka.observer import Observer
from bridge.kafka.records import LEDGER_ENTRY, NewerFormatError, RecordError, UnreadableRecordError
from bridge.stages.shared.run_records import RUNNING_MARK, decode_run, replay_of_facts
from bridge.stages.shared.unreadable_records import set_aside
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.ledger.spill_map import Spool
from bridge.stages.submitter.open_run import OpenRun, waiting_state
from bridge.stages.submitter.run_events import FOR_ROOM, FOR_TEMPLATE

_SYMBOLS = LEDGER_ENTRY.schema["fields"][0]["type"]["symbols"]
_FINAL = tuple(LEDGER_ENTRY.prefix + bytes([2 * _SYMBOLS.index(state)]) for state in ("done", "dead"))
NO_REFUSALS = ("rate", "storm", "hold", FOR_ROOM, FOR_TEMPLATE)
"""Reasons of parked runs that were not refused. 0.1.0 dates their entries as if they were."""

_SAME_AGE = 60_000  # milliseconds that make no difference to how long a key is remembered
_CLOCKS_APART = 5 * MINUTE  # as far as clocks may be apart by the setting `clock_skew`

LooksBack = Callable[[str], Micros]
"""How far back the limits of a trigger count; 0 for one without limits."""


def read_ledgers(
    reader: Reader,
    admin: Admin,
    partitions: Collection[Partition],
    horizon: Micros,
    now: Micros,
    looks_back: LooksBack,
    observer: Observer,
) -> dict[int, LedgerPartition]:
    """Return partitions of the ledger, by number, as they stand in Kafka; their former owners have been fenced.

    Args:
        reader: Reads them.
        admin: Knows their ends, and how long Kafka keeps their records.
        partitions: Which ones.
        horizon: How long keys of ended runs are remembered.
        now: The process's time.
        looks_back: Returns how far back limits count; the empty name asks for the longest of all triggers.
        observer: Counts entries that cannot be read. Their runs count as ended: none is created a second time.

    Raises:
        NewerFormatError: A newer version has written something that this one cannot read.
        LogError: Kafka did not answer, or an answer leaves a partition out. Its entries must not be forgotten.

    """
    ledgers = {}
    configs = [info.config for info in admin.describe({partition.topic for partition in partitions}).values()]
    kept = [int(config["retention.ms"]) for config in configs if config.get("retention.ms", "-1") != "-1"]
    retention = min(kept) * 1_000 if kept else 8 * DAY  # eight days where the broker does not say
    for partition, end in admin.all_ends(partitions).items():
        ledger = LedgerPartition(partition.number, horizon, retention)
        restoring = _Restoring(ledger, partition, now, looks_back, observer)
        for records in reader.read(partition, 0, end):
            restoring.apply(records)
        ledgers[partition.number] = restoring.ledger_at(now)
    return ledgers


def _true(moment: Micros, appended: Micros) -> Micros:
    """Return a moment in an entry, or the time of the entry's append if the former owner's clock was far ahead."""
    return moment if moment <= appended + _CLOCKS_APART else appended


class _Restoring:
    """One partition while it is read."""

    def __init__(
        self, ledger: LedgerPartition, partition: Partition, now: Micros, looks_back: LooksBack, observer: Observer
    ) -> None:
        self._ledger = ledger
        self._partition = partition
        self._observer = observer
        self._now = now
        self._looks_back = looks_back
        self._counts_since = (now - looks_back("")) // 1000 if looks_back("") else 2**62  # milliseconds, as Kafka's
        self._unfinished: dict[str, int] = {}  # when Kafka appended the last record of each, in milliseconds
        self._values = Spool()
        self._counted: set[bytes] = set()

    def apply(self, records: Sequence[Record]) -> None:
        """Apply records in their order.

        Raises:
            UnreadableRecordError: One has a format that only a newer version reads.

        """
        if not records:
            return
        ended: list[bytes] = []
        unfinished, counts_since, running = self._unfinished, self._counts_since, self._ledger.running
        age = records[0].timestamp
        same_age_until = age + _SAME_AGE
        for topic, partition, offset, timestamp, key, value, headers in records:
            if key is None:
                continue
            if timestamp > same_age_until:
                self._ledger.final.add_all(ended, age * 1000)
                ended, age, same_age_until = [], timestamp, timestamp + _SAME_AGE
            if unfinished and (run_key := key.decode(errors="replace")) in unfinished:
                del unfinished[run_key]
                self._values.discard(run_key)
            if running:
                running.pop(key.decode(errors="replace"), None)
            if value is None:
                continue
            if value.startswith(_FINAL):
                ended.append(key)
                if headers and RUNNING_MARK in value:  # its writer gave it a header, so few values are searched
                    running[key.decode(errors="replace")] = value
                if timestamp >= counts_since and (entry := self._read(key, value)) is not None:
                    self._count(key, entry, timestamp * 1000)
            else:
                try:
                    self._apply_other(key, value, timestamp, ended)
                except NewerFormatError as error:
                    raise UnreadableRecordError((topic, partition, offset), headers or (), error) from error
        self._ledger.final.add_all(ended, age * 1000)

    def _apply_other(self, key: bytes, value: bytes, timestamp: int, ended: list[bytes]) -> None:
        if not value.startswith(LEDGER_ENTRY.prefix):  # an older format
            entry = self._read(key, value)
            if entry is None or entry["state"] in ("done", "dead"):
                ended.append(key)
                if entry is not None and timestamp >= self._counts_since:
                    self._count(key, entry, timestamp * 1000)
                return
        run_key = key.decode(errors="replace")
        self._unfinished[run_key] = timestamp
        self._values.put(run_key, value)

    def _read(self, key: bytes, value: bytes) -> dict[str, Any] | None:
        """Return the fields of an entry; None for one that cannot be read."""
        try:
            return LEDGER_ENTRY.decode(value)
        except NewerFormatError:
            raise
        except RecordError as error:
            self._count_as_ended(key.decode(errors="replace"), error)
            return None

    def _count_as_ended(self, run_key: str, error: RecordError) -> None:
        """Report an entry that cannot be read. Its run counts as ended."""
        place = f"{self._partition.number}, run {run_key[:200]!r}"
        set_aside(
            self._observer, self._partition.topic, place, error, "The run counts as ended: it is not created again"
        )

    def _count(self, key: bytes, entry: dict[str, Any], appended: Micros) -> None:
        """Count a run that has ended for its trigger's limits, unless a replay asked for it."""
        if key in self._counted:  # its Workflow has ended since
            return
        self._counted.add(key)
        if entry["run"] is not None and replay_of_facts(entry["run"]):
            return
        trigger = entry["trigger"]
        oldest = self._now - self._looks_back(trigger)
        since, at = _true(entry["since"], appended), _true(entry["at"], appended)
        if since > oldest:
            self._ledger.asked[trigger].append(since)
        if at > oldest and entry["state"] == "done" and not entry["reason"].startswith(RunReason.SKIPPED):
            self._ledger.started[trigger].append(at)

    def ledger_at(self, now: Micros) -> LedgerPartition:
        """Return the ledger, all of it having been applied."""
        ledger = self._ledger
        ledger.final.forget(now)
        for run_key, timestamp in self._unfinished.items():
            try:
                fields = LEDGER_ENTRY.decode(self._values.take(run_key))
                run = _open_run(fields, self._partition.number, timestamp * 1_000, now)
            except NewerFormatError:
                raise
            except RecordError as error:
                self._count_as_ended(run_key, error)
                ledger.final.add(run_key, timestamp * 1_000)
                continue
            if run.intent is not None:
                ledger.started[run.run.lane].append(run.intent)
                run.due = 0  # at once: the former owner may have made its Workflow
            ledger.waiting_runs.put(run)
        return ledger


def _open_run(fields: dict[str, Any], partition: int, written: Micros, now: Micros) -> OpenRun:
    # Until it was fenced, its former owner may have sent the create of an intent.
    is_intent = fields["state"] == "intent"
    since, at = _true(fields["since"], written), _true(fields["at"], written)
    return OpenRun(
        run=decode_run(fields["run"]),
        partition=partition,
        since=since,
        body=fields["run"],
        state=waiting_state(at if is_intent else None, None),
        intent=at if is_intent else None,
        started=at if is_intent else None,
        doubt=Doubt(at, max(now, at)) if is_intent else None,
        attempts=fields["attempts"],
        refused=None if is_intent or fields["reason"] in NO_REFUSALS else at or None,
        written=written,
        reason=fields["reason"],
    )
