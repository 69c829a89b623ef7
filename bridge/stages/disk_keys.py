"""Keys on disk: where the ledger's index goes when it outgrows its bound of memory.

A temporary SQLite database without journal or syncs: it is a cache of what the ledger in Kafka holds, made anew at each
start, so nothing in it has to survive.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


class DiskKeys:
    """Sets of keys by generation, in a temporary file that ends with its connection."""

    def __init__(self) -> None:
        # An empty name is a private database on disk; its pages stay in memory only up to the cache's size (2 MiB).
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE keys (key BLOB PRIMARY KEY, generation INTEGER) WITHOUT ROWID")

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a key is kept."""
        return self._database.execute("SELECT 1 FROM keys WHERE key = ?", (key,)).fetchone() is not None

    def __len__(self) -> int:
        """Return how many keys are kept."""
        found: tuple[int] = self._database.execute("SELECT count(*) FROM keys").fetchone()
        return found[0]

    def add(self, generation: int, keys: Iterable[bytes]) -> None:
        """Keep the keys of a generation."""
        self._database.execute("BEGIN")
        rows = ((key, generation) for key in keys)
        self._database.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def forget_before(self, generation: int) -> None:
        """Forget all older generations."""
        self._database.execute("DELETE FROM keys WHERE generation < ?", (generation,))
