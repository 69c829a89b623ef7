"""Values by key while a log is read: in memory up to a bound of bytes, beyond it on disk.

Nothing in it has to survive its process: it holds what the log in Kafka holds.
"""

from __future__ import annotations

import sqlite3

MEMORY_BOUND = 4 * 1024 * 1024
"""Bytes of values in memory."""


class Spool:
    """Values by key: the first ones in memory, those beyond the bound in a temporary file.

    Args:
        bound: Bytes of values in memory.

    """

    def __init__(self, bound: int = MEMORY_BOUND) -> None:
        self._bound = bound
        self._memory: dict[str, bytes] = {}
        self._used = 0
        self._disk: sqlite3.Connection | None = None

    def put(self, key: str, value: bytes) -> None:
        """Lay a value down, in place of an older one."""
        self.discard(key)
        if self._used + len(value) <= self._bound:
            self._memory[key] = value
            self._used += len(value)
        else:
            self._file().execute("INSERT OR REPLACE INTO spool VALUES (?, ?)", (key, value))

    def take(self, key: str) -> bytes:
        """Take a value away.

        Raises:
            KeyError: There is none.

        """
        value = self._memory.pop(key, None)
        if value is not None:
            self._used -= len(value)
            return value
        found = self._file().execute("SELECT value FROM spool WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        self._file().execute("DELETE FROM spool WHERE key = ?", (key,))
        return bytes(found[0])

    def discard(self, key: str) -> None:
        """Let a value go, if it is there."""
        value = self._memory.pop(key, None)
        if value is not None:
            self._used -= len(value)
        elif self._disk is not None:
            self._disk.execute("DELETE FROM spool WHERE key = ?", (key,))

    @property
    def in_memory(self) -> int:
        """Return how many bytes of values are held in memory."""
        return self._used

    def _file(self) -> sqlite3.Connection:
        if self._disk is None:
            # An empty name is a private database on disk; its pages stay in memory up to the cache's size (2 MiB).
            self._disk = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._disk.execute("PRAGMA journal_mode = OFF")
            self._disk.execute("PRAGMA synchronous = OFF")
            self._disk.execute("CREATE TABLE spool (key TEXT PRIMARY KEY, value BLOB)")
        return self._disk
