"""Waiting runs on disk, in the order of their turns, each with the moment of its next try.

A waiting run costs no memory, however many wait and however large they are. SQLite keeps the first pages of a private
database in memory and writes a temporary file only when these overflow. The shelf is a cache of what the ledger in
Kafka holds and is filled again at each start, so nothing in it has to survive.

This database is the *shelf* of a partition of the ledger. A run on it either waits for its turn (``due`` is empty), or
is put off until ``due``. ``wake`` is the moment at which it must be looked at: when it is due or too late to start. The
database orders these moments, so no timer outlives its run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from bridge.argo.doubt import Doubt
from bridge.core.event import Micros
from bridge.stages.shared.run_records import decode_run, encode_run
from bridge.stages.shared.spill_file import spill_file
from bridge.stages.submitter.open_run import OpenRun, waiting_state

_CREATE = """
CREATE TABLE runs (
    key TEXT PRIMARY KEY, lane TEXT, definition TEXT, place INTEGER, wake INTEGER, due INTEGER, since INTEGER,
    attempts INTEGER, refused INTEGER, intent INTEGER, started INTEGER, absent_until INTEGER, last_sent INTEGER,
    lifetime INTEGER, written INTEGER, reason TEXT, body BLOB
);
CREATE INDEX by_turn ON runs (lane, place) WHERE due IS NULL;
CREATE INDEX by_wake ON runs (wake) WHERE wake IS NOT NULL;
CREATE INDEX by_written ON runs (written);
"""
_INSERT = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = (
    "SELECT body, since, attempts, refused, intent, started, absent_until, last_sent, lifetime, written, reason, due "
    "FROM runs"
)
_TURN = _SELECT + " WHERE lane = ? AND due IS NULL ORDER BY place, rowid LIMIT ?"
_WAKE = _SELECT + " WHERE wake <= ? ORDER BY wake, rowid LIMIT ?"
_STALE = _SELECT + " WHERE written < ? ORDER BY written LIMIT ?"
_ALL = _SELECT + " ORDER BY place, rowid"
_CACHE_KIB = 1_024
_NEVER: Micros = 2**62


class Waiting(NamedTuple):
    """How many runs of a lane are on a shelf.

    Attributes:
        lane: The lane's name.
        definition: Hash of a definition that made one of its runs.
        queued: Runs that wait for their turn.
        put_off: Runs that are put off.
        size: Bytes of all of them.

    """

    lane: str
    definition: str
    queued: int
    put_off: int
    size: int


class WaitingRuns:
    """The waiting runs of one partition of the ledger.

    Args:
        partition: The number of the partition.

    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._database: sqlite3.Connection | None = None
        self._count = 0
        self._next_wake: Micros | None = _NEVER  # None when it has to be looked up

    def __len__(self) -> int:
        """Return how many runs are here."""
        return self._count

    def __contains__(self, run_key: str) -> bool:
        """Return whether a run is here."""
        if not self._count or self._database is None:
            return False
        return self._database.execute("SELECT 1 FROM runs WHERE key = ?", (run_key,)).fetchone() is not None

    def put(self, open_run: OpenRun, *, first: bool = False) -> int:
        """Add a run that is not here yet; ``first``: before all others of its trigger. Return its bytes."""
        run, body = open_run.run, open_run.body or encode_run(open_run.run)
        moments = [
            moment for moment in (open_run.due, run.start_by if open_run.intent is None else None) if moment is not None
        ]
        wake = min(moments, default=None)
        place = 0 if first else open_run.since
        values = (
            run.run_key,
            run.lane,
            run.definition_hash,
            place,
            wake,
            open_run.due,
            open_run.since,
            open_run.attempts,
        )
        doubt = (
            (open_run.doubt.absent_until, open_run.doubt.last_sent, open_run.doubt.lifetime)
            if open_run.doubt
            else (None,) * 3
        )
        more = (open_run.refused, open_run.intent, open_run.started, *doubt, open_run.written, open_run.reason, body)
        self._open().execute(_INSERT, values + more)
        self._count += 1
        if wake is not None and self._next_wake is not None:
            self._next_wake = min(self._next_wake, wake)
        return len(body)

    def take_next(self, lane: str, count: int, size: int) -> list[OpenRun]:
        """Take the runs of a lane whose turn is next: at most ``count``, about ``size`` bytes, at least one."""
        runs: list[OpenRun] = []
        for row in self._rows(_TURN, lane, count):
            runs.append(self._run(row))
            size -= len(row[0])
            if size <= 0:
                break
        self._remove(runs)
        return runs

    def take_due(self, now: Micros, limit: int) -> list[OpenRun]:
        """Take runs that must be looked at now, the earliest first."""
        runs = [self._run(row) for row in self._rows(_WAKE, now, limit)]
        self._remove(runs)
        return runs

    def hasten(self, lane: str) -> None:
        """Have the runs of a lane that are put off looked at now, since their replay is cancelled."""
        if self._count:
            self._open().execute("UPDATE runs SET wake = 0 WHERE lane = ? AND due IS NOT NULL", (lane,))
            self._next_wake = None

    def next_wake(self) -> Micros:
        """Return when the next run must be looked at; far in the future if none has to be."""
        if not self._count:
            return _NEVER
        if self._next_wake is None:
            (wake,) = next(self._rows("SELECT min(wake) FROM runs WHERE wake IS NOT NULL"))
            self._next_wake = _NEVER if wake is None else wake
        return self._next_wake

    def stale(self, before: Micros, limit: int) -> list[OpenRun]:
        """Return runs whose entries were last written before a moment, the oldest first. They stay here."""
        return [self._run(row) for row in self._rows(_STALE, before, limit)] if self._count else []

    def rewritten(self, run_keys: Iterable[str], now: Micros) -> None:
        """Note that entries of runs were written again."""
        self._open().executemany("UPDATE runs SET written = ? WHERE key = ?", [(now, key) for key in run_keys])

    def waiting(self) -> list[Waiting]:
        """Return how many runs wait, by lane."""
        if not self._count:
            return []
        select = "SELECT lane, max(definition), sum(due IS NULL), sum(due IS NOT NULL), sum(length(body)) FROM runs"
        return [Waiting(*row) for row in self._rows(f"{select} GROUP BY lane")]

    def latest(self, lane: str, definition: str, limit: int) -> list[Micros]:
        """Return when the latest runs of a lane that a definition made were taken up."""
        select = "SELECT since FROM runs WHERE lane = ? AND definition = ? ORDER BY since DESC LIMIT ?"
        return [since for (since,) in self._rows(select, lane, definition, limit)] if self._count else []

    def runs(self) -> Iterator[OpenRun]:
        """Yield all runs in the order of their turns. They stay here."""
        for row in self._rows(_ALL) if self._count else ():
            yield self._run(row)

    def _rows(self, select: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._open().execute(select, values)) if self._count else iter(())

    def _run(self, row: tuple[Any, ...]) -> OpenRun:
        body, since, attempts, refused, intent, started, *doubt, written, reason, due = row
        return OpenRun(
            run=decode_run(bytes(body)),
            partition=self._partition,
            since=since,
            body=bytes(body),
            state=waiting_state(intent, due),
            intent=intent,
            started=started,
            doubt=None if doubt[0] is None else Doubt(*doubt),
            attempts=attempts,
            refused=refused,
            due=due,
            written=written,
            reason=reason,
        )

    def _remove(self, runs: Collection[OpenRun]) -> None:
        if runs:
            self._open().executemany("DELETE FROM runs WHERE key = ?", [(run.run.run_key,) for run in runs])
            self._count -= len(runs)
            self._next_wake = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = spill_file(_CREATE, _CACHE_KIB)
        return self._database
