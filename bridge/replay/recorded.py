"""What was recorded about the runs of one trigger, and which of its events the live bridge still holds.

A replay reads this once, when it is planned: the ledger, the runs that no submitter has taken up yet, the changelog of
the windows, and the arrivals that no matcher has applied yet. It is kept in a spill file and takes little memory,
however many runs there are. A sieve in front of the file answers for nearly all events of which nothing is recorded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bridge.core.event import EventIdentity, Micros
from bridge.core.runs.run import RunFacts
from bridge.stages.shared.run_records import decode_facts
from bridge.stages.shared.spill_file import spill_file

_CREATE = """
CREATE TABLE runs (
    run_key TEXT PRIMARY KEY, base TEXT, outcome TEXT, reason TEXT, workflow TEXT, at INTEGER, facts BLOB
) WITHOUT ROWID;
CREATE INDEX by_base ON runs (base);
CREATE INDEX by_workflow ON runs (workflow);
CREATE TABLE events (digest BLOB PRIMARY KEY, run_key TEXT, slot TEXT) WITHOUT ROWID;
CREATE TABLE held (digest BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_CACHE_KIB = 16 * 1024
_DIGEST = 16  # bytes
_SIEVE_BYTES = 8 * 1024 * 1024


class Outcome(StrEnum):
    """What is known about the run of a match."""

    MISSING = "missing"
    RAN = "ran"
    WAITING = "waiting"
    SKIPPED = "skipped"
    DEAD = "dead"
    FAILED = "failed"


class RecordedRun(NamedTuple):
    """A run that the live bridge, or an earlier replay, was asked for.

    Attributes:
        run_key: Its identity.
        outcome: What became of it.
        reason: The reason in the ledger, for people.
        workflow: ``namespace/name`` of its Workflow.
        at: When the entry was written.
        attempt: How many runs were made in place of it, one after the other; the outcome is that of the last.

    """

    run_key: str
    outcome: Outcome
    reason: str
    workflow: str
    at: Micros
    attempt: int = 0


class RecordedMatch(NamedTuple):
    """The use of an event by a recorded run: the key of the run, and the slot that the event filled."""

    run_key: str
    slot: str


class Records(Protocol):
    """What a past asks about runs that are recorded."""

    def find(self, run_key: str) -> RecordedRun | None:
        """Return the run of a key; None if nothing is recorded."""

    def use_of(self, event: EventIdentity) -> RecordedMatch | None:
        """Return the recorded run that has used an event; None if none has."""

    def facts(self, run_key: str) -> RunFacts | None:
        """Return the facts about a recorded run."""

    def is_held(self, event: EventIdentity) -> bool:
        """Return whether the live bridge holds an event."""


class NothingRecorded:
    """The records of a past that is read as if the live bridge had done nothing."""

    def find(self, run_key: str, /) -> None:
        """Return None: no run is recorded."""

    def use_of(self, event: EventIdentity, /) -> None:
        """Return None: no event is used."""

    def facts(self, run_key: str, /) -> None:
        """Return None: nothing is known."""

    def is_held(self, _event: EventIdentity, /) -> bool:
        """Return False: no event is held."""
        return False


class _Sieve:
    """Tells of most keys that were never added that they were not, without a look into the file.

    One bit stands for each key. Of a million keys, they let through one in 67 that was not added.

    Args:
        is_full: It lets everything through.

    """

    def __init__(self, *, is_full: bool = False) -> None:
        self._bits = bytearray(b"\xff" if is_full else b"\0") * _SIEVE_BYTES
        self._is_empty = not is_full

    def add(self, key: object) -> None:
        """Add a key."""
        self._is_empty = False
        place = hash(key)
        self._bits[(place >> 3) % _SIEVE_BYTES] |= 1 << (place & 7)

    def lets_through(self, key: object) -> bool:
        """Return False if a key was not added; True if it was, and rarely if it was not."""
        if self._is_empty:  # as for a trigger that was added afterwards; a look at the bits is slow: few are in a cache
            return False
        place = hash(key)
        return bool(self._bits[(place >> 3) % _SIEVE_BYTES] & 1 << (place & 7))


class Recorded:
    """The recorded runs of one trigger, by key and by event.

    Args:
        trigger: ``namespace/name``.
        file: A file that :meth:`save` wrote, to be read only; None to begin with nothing.

    """

    def __init__(self, trigger: str, file: Path | None = None) -> None:
        self.trigger = trigger
        self._runs, self._events = _Sieve(), _Sieve()
        if file is None:
            self._database = spill_file(_CREATE, _CACHE_KIB)
            self._database.execute("BEGIN")
        else:
            self._database = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)
            for (base,) in self._database.execute("SELECT base FROM runs"):
                self._runs.add(base)
            events = self._database.execute("SELECT 1 FROM events UNION ALL SELECT 1 FROM held LIMIT 1").fetchone()
            self._events = _Sieve(is_full=events is not None)  # the file has their digests alone

    def __len__(self) -> int:
        """Return how many runs are recorded."""
        row: tuple[int] = self._database.execute("SELECT count(*) FROM runs").fetchone()
        return row[0]

    def put(
        self, run_key: str, outcome: Outcome, reason: str, workflow: str, at: Micros, encoded: bytes | None
    ) -> None:
        """Record a run, in place of an older state of it.

        Args:
            run_key: Its key.
            outcome: What became of it.
            reason: The reason in the ledger.
            workflow: ``namespace/name`` of its Workflow.
            at: When that was written.
            encoded: The record of the facts about it; None if there is none, as in entries of 0.1.0.

        Raises:
            RecordError: The facts cannot be read.

        """
        facts = decode_facts(encoded)
        base = facts.repeats if facts is not None else ""
        row = (run_key, base or run_key, outcome.value, reason, workflow, at, encoded)
        self._database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._runs.add(base or run_key)
        if facts is not None and not base and not facts.replay_id:
            rows = [(self._sifted(event), run_key, slot) for slot, event in facts.events]
            self._database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", rows)

    def forget(self, run_key: str) -> None:
        """Forget a run whose entry is gone from the ledger. Its events are free again."""
        facts = self.facts(run_key)
        if facts is not None:
            rows = [(_digest(event), run_key) for _, event in facts.events]
            self._database.executemany("DELETE FROM events WHERE digest = ? AND run_key = ?", rows)
        self._database.execute("DELETE FROM runs WHERE run_key = ?", (run_key,))

    def hold(self, events: Iterable[EventIdentity]) -> None:
        """Note events that the live bridge holds. They may still match, and no replay uses them."""
        rows = [(self._sifted(event),) for event in events]
        self._database.executemany("INSERT OR IGNORE INTO held VALUES (?)", rows)

    def _sifted(self, event: EventIdentity) -> bytes:
        """Add an event to the sieve; return its digest."""
        self._events.add(event)
        return _digest(event)

    def find(self, run_key: str) -> RecordedRun | None:
        """Return the run of a key as it stands; None if nothing is recorded. Runs made in its place count as it."""
        if not self._runs.lets_through(run_key):
            return None
        select = (
            "SELECT outcome, reason, workflow, at, run_key FROM runs WHERE base = ? ORDER BY at, run_key = base DESC"
        )
        rows: list[Any] = self._database.execute(select, (run_key,)).fetchall()
        if not rows:
            return None
        outcome, reason, workflow, at, _ = rows[-1]
        attempts = sum(row[-1] != run_key for row in rows)
        return RecordedRun(run_key, Outcome(outcome), reason, workflow, at, attempts)

    def state(self, run_key: str) -> tuple[Outcome, str]:
        """Return the outcome of the run of this very key, and the name of the replay that asked for it."""
        row = self._database.execute("SELECT outcome, facts FROM runs WHERE run_key = ?", (run_key,)).fetchone()
        if row is None:
            return Outcome.MISSING, ""
        facts = decode_facts(row[1])
        return Outcome(row[0]), "" if facts is None else facts.replay

    def use_of(self, event: EventIdentity) -> RecordedMatch | None:
        """Return the recorded run that has used an event; None if none has."""
        if not self._events.lets_through(event):
            return None
        row = self._database.execute("SELECT run_key, slot FROM events WHERE digest = ?", (_digest(event),)).fetchone()
        return None if row is None else RecordedMatch(*row)

    def facts(self, run_key: str) -> RunFacts | None:
        """Return the facts about a recorded run."""
        row = self._database.execute("SELECT facts FROM runs WHERE run_key = ?", (run_key,)).fetchone()
        return None if row is None else decode_facts(row[0])

    def is_held(self, event: EventIdentity) -> bool:
        """Return whether the live bridge holds an event."""
        if not self._events.lets_through(event):
            return False
        return self._database.execute("SELECT 1 FROM held WHERE digest = ?", (_digest(event),)).fetchone() is not None

    def fail(self, workflows: Iterable[str]) -> None:
        """Note that the Workflows of these names (``namespace/name``) exist and have failed."""
        update = "UPDATE runs SET outcome = ? WHERE workflow = ? AND outcome = ?"
        rows = [(Outcome.FAILED.value, workflow, Outcome.RAN.value) for workflow in workflows]
        self._database.executemany(update, rows)

    def save(self, file: Path) -> None:
        """Write everything to a new file, which other processes can read."""
        self._database.execute("COMMIT")
        self._database.execute("VACUUM INTO ?", (str(file),))
        self._database.execute("BEGIN")

    def close(self) -> None:
        """Remove the file."""
        self._database.close()


def _digest(event: EventIdentity) -> bytes:
    name, source, id_ = event
    text = f"{len(name)}\0{len(source)}\0{name}{source}{id_}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
