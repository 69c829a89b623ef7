"""Spill files: they take state that outgrows its bound of memory.

They need not survive their process. All of their contents are also in a log in Kafka, and are written again at each
start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bridge.errors import SpillFileError


def spill_file(schema: str, cache_kib: int = 2_048) -> sqlite3.Connection:
    """Open a spill file: a temporary SQLite database without journal or syncs, which ends with its connection.

    Args:
        schema: SQL statements that create its tables.
        cache_kib: KiB of its pages that stay in memory. The file exists once they are more.

    """
    # An empty name is a private database on disk.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA cache_size = -{cache_kib}")
    database.executescript(schema)
    return database


@contextmanager
def explained_spill_errors() -> Iterator[None]:
    """Raise what SQLite raises as an error that says what a person can do.

    Raises:
        SpillFileError: A spill file cannot be written or read.

    """
    try:
        yield
    except sqlite3.Error as error:
        raise SpillFileError(f"a temporary file cannot be written or read: {error}") from error


class DiskKeys:
    """Sets of keys by generation, in a spill file."""

    def __init__(self) -> None:
        self._database = spill_file("CREATE TABLE keys (key BLOB PRIMARY KEY, generation INTEGER) WITHOUT ROWID")

    def __contains__(self, key: bytes) -> bool:
        """Return True if a key is kept."""
        return self._database.execute("SELECT 1 FROM keys WHERE key = ?", (key,)).fetchone() is not None

    def __len__(self) -> int:
        """Return how many keys are kept."""
        row: tuple[int] = self._database.execute("SELECT count(*) FROM keys").fetchone()
        return row[0]

    def add(self, generation: int, keys: Iterable[bytes]) -> None:
        """Keep the keys of a generation."""
        self._database.execute("BEGIN")
        rows = ((key, generation) for key in keys)
        self._database.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def forget_before(self, generation: int) -> None:
        """Forget all older generations."""
        self._database.execute("DELETE FROM keys WHERE generation < ?", (generation,))
