"""Pair the matches of two definitions: those with the same events at the same slots are one pair.

A match waits until the other definition makes it, mostly at the same record. What is left at the end is new, or
removed. A match of which no run can be made waits like any other, so that an error counts only if it is new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bridge.explain.difference import Difference, EventExample, RunExample
from bridge.replay.past import PastMatch
from bridge.stages.shared.spill_file import DiskKeys, spill_file

UNRUNNABLE = b"unrunnable"
"""The signature of a match of which no run can be made."""

SIDES = ("before", "after")

_IN_MEMORY = 200_000  # keys, or matches that wait; more of them are in a file
_KEPT = 2_000  # matches of which it is known what is told of them
_NEWEST = 64  # matches of which that is not found out yet
_TABLE = "CREATE TABLE {} (digest BLOB PRIMARY KEY, signature BLOB) WITHOUT ROWID;"
_SPILLED = _TABLE.format("matches")
_BOTH = "".join(_TABLE.format(side) for side in SIDES)

Example = RunExample | EventExample
"""What is told of a match: its run, or why none can be made."""


class Seen:
    """Keys of runs that have come; more than some are in a file."""

    def __init__(self) -> None:
        self._recent: set[bytes] = set()
        self._older: DiskKeys | None = None

    def __contains__(self, key: bytes) -> bool:
        """Return whether a key has come."""
        return key in self._recent or (self._older is not None and key in self._older)

    def add(self, key: bytes) -> None:
        """Add a key."""
        self._recent.add(key)
        if len(self._recent) >= _IN_MEMORY:
            self._older = self._older or DiskKeys()
            self._older.add(0, self._recent)
            self._recent.clear()


@dataclass
class Left:
    """The matches of one side that the other has not made, at the end.

    Attributes:
        runs: How many have a run.
        failures: How many have none.
        told: Some of them by digest, in the order in which they were made.

    """

    runs: int = 0
    failures: int = 0
    told: dict[bytes, Example] = field(default_factory=dict)

    def add(self, other: Left) -> None:
        """Add what is left of another part."""
        self.runs += other.runs
        self.failures += other.failures
        self.told.update(other.told)

    def remove(self, digest: bytes, signature: bytes) -> Example | None:
        """Forget a match that has a partner in another part; return what is told of it."""
        if signature == UNRUNNABLE:
            self.failures -= 1
        else:
            self.runs -= 1
        return self.told.pop(digest, None)

    def examples(self) -> tuple[list[RunExample], list[EventExample]]:
        """Return what is told of those with a run, and of those without."""
        told = self.told.values()
        runs = [example for example in told if isinstance(example, RunExample)]
        return runs, [example for example in told if isinstance(example, EventExample)]


class Unpaired:
    """Matches of one side that the other has not made yet: digest and signature of each.

    What is told of a match is found out only when some further matches have come: mostly the other side has made it by
    then.

    Args:
        tell: Returns what is told of a match.

    """

    def __init__(self, tell: Callable[[PastMatch], Example]) -> None:
        self._tell = tell
        self._memory: dict[bytes, bytes] = {}
        self._newest: dict[bytes, PastMatch] = {}
        self._told: dict[bytes, Example] = {}
        self._file: sqlite3.Connection | None = None

    def add(self, digest: bytes, signature: bytes, match: PastMatch) -> None:
        """Keep a match."""
        self._memory[digest] = signature
        self._newest[digest] = match
        if len(self._newest) > _NEWEST:
            self._age()
        if len(self._memory) > _IN_MEMORY:
            self._file = self._file or spill_file(_SPILLED)
            old = [item for item in self._memory.items() if item[0] not in self._newest]
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO matches VALUES (?, ?)", old)
            self._file.execute("COMMIT")
            self._memory = {digest: self._memory[digest] for digest in self._newest}

    def _age(self) -> None:
        """Find out what is told of the oldest of the newest matches."""
        digest = next(iter(self._newest))
        example = self._tell(self._newest.pop(digest))
        if isinstance(example, EventExample):
            self._memory[digest] = UNRUNNABLE
        if len(self._told) < _KEPT:
            self._told[digest] = example

    def signature(self, digest: bytes) -> bytes | None:
        """Return the signature of a match; None if it does not wait."""
        signature = self._memory.get(digest)
        if signature is None and self._file is not None:
            row = self._file.execute("SELECT signature FROM matches WHERE digest = ?", (digest,)).fetchone()
            signature = None if row is None else row[0]
        return signature

    def example(self, digest: bytes) -> Example | None:
        """Return what is told of a match that waits; None if too many wait to tell it of this one."""
        match = self._newest.get(digest)
        return self._told.get(digest) if match is None else self._tell(match)

    def remove(self, digest: bytes) -> None:
        """Forget a match that waits."""
        self._newest.pop(digest, None)
        self._told.pop(digest, None)
        if self._memory.pop(digest, None) is None and self._file is not None:
            self._file.execute("DELETE FROM matches WHERE digest = ?", (digest,))

    def left(self) -> Left:
        """Return what is left, at the end."""
        while self._newest:
            self._age()
        left = Left(told=self._told)
        for _, signature in self._all():
            if signature == UNRUNNABLE:
                left.failures += 1
            else:
                left.runs += 1
        return left

    def save(self, database: sqlite3.Connection, side: str) -> None:
        """Write what is left to the table of its side."""
        database.executemany(f"INSERT INTO {side} VALUES (?, ?)", self._all())  # noqa: S608  (one of two words)

    def _all(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._memory.items()
        if self._file is not None:
            yield from self._file.execute("SELECT digest, signature FROM matches")

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()


class Part(NamedTuple):
    """What was found out about a part of the correlation keys.

    Attributes:
        difference: What differs, apart from matches that are left.
        before: The matches of the deployed trigger that are left.
        after: Those of the edited trigger.

    """

    difference: Difference
    before: Left
    after: Left


class Tally:
    """Counts pairs, and keeps examples of those that differ.

    Args:
        difference: Takes the counts and examples.
        examples: How many of each kind.
        compares_runs: Runs of the same events may differ. Else those of a pair are alike, and need not be made.

    """

    def __init__(self, difference: Difference, examples: int, *, compares_runs: bool) -> None:
        self._difference = difference
        self._examples = examples
        self._compares_runs = compares_runs

    def add(
        self,
        before: bytes,
        after: bytes,
        was: Callable[[], Example | None],
        now: Callable[[], Example | None],
    ) -> None:
        """Count a pair.

        Args:
            before: The signature of the deployed trigger's match.
            after: That of the edited trigger's match.
            was: Returns what is told of the first.
            now: Returns what is told of the second.

        """
        difference = self._difference
        if before == after or not self._compares_runs:
            difference.runs["same"] += UNRUNNABLE not in (before, after)
        elif before == UNRUNNABLE:
            self._count(difference.runs, "new", now)
        elif after == UNRUNNABLE:
            self._count(difference.runs, "removed", was)
            self._count(difference.events, "errors", now)
        else:
            difference.runs["changed"] += 1
            if len(difference.changed) < self._examples:
                pair = was(), now()
                if isinstance(pair[0], RunExample) and isinstance(pair[1], RunExample):
                    difference.changed.append((pair[0], pair[1]))

    def _count(self, counts: dict[str, int], kind: str, tell: Callable[[], Example | None]) -> None:
        counts[kind] += 1
        examples: list[Any] = getattr(self._difference, kind)
        if len(examples) < self._examples and (example := tell()) is not None:
            examples.append(example)

    def conclude(self, before: Left, after: Left) -> Difference:
        """Count what is left without a partner; return the difference."""
        difference = self._difference
        removed, _ = before.examples()
        new, errors = after.examples()
        difference.runs["removed"] += before.runs
        difference.runs["new"] += after.runs
        difference.events["errors"] += after.failures
        difference.removed += removed
        difference.new += new
        difference.errors += errors
        difference.cut(self._examples)
        return difference


def joined(parts: Sequence[Part], files: Sequence[Path], examples: int, *, compares_runs: bool) -> Difference:
    """Return the difference that the parts have together.

    If an edit changes the correlation key, the two matches of a pair may lie in two parts.

    Args:
        parts: The parts.
        files: The file of each, with the matches that are left (:func:`save`).
        examples: How many of each kind.
        compares_runs: Runs of the same events may differ.

    """
    difference, before, after = parts[0]
    for other in parts[1:]:
        difference.add(other.difference)
        before.add(other.before)
        after.add(other.after)
    tally = Tally(difference, examples, compares_runs=compares_runs)
    with closing(spill_file(_BOTH)) as database:
        for file in files:
            database.execute("ATTACH ? AS part", (str(file),))
            for side in SIDES:
                database.execute(f"INSERT INTO {side} SELECT * FROM part.{side}")  # noqa: S608  (one of two words)
            database.execute("DETACH part")
        pairs = "SELECT digest, before.signature, after.signature FROM before JOIN after USING (digest)"
        for digest, was, now in database.execute(pairs):
            told = before.remove(digest, was), after.remove(digest, now)
            tally.add(was, now, partial(_itself, told[0]), partial(_itself, told[1]))
    return tally.conclude(before, after)


def save(file: Path, before: Unpaired, after: Unpaired) -> None:
    """Write the matches that are left to a new file, for :func:`joined`."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_BOTH)
        database.execute("BEGIN")
        before.save(database, "before")
        after.save(database, "after")
        database.execute("COMMIT")


def _itself(example: Example | None) -> Example | None:
    return example
