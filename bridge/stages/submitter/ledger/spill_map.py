"""Values by key while a log is read: in memory up to a bound of bytes, beyond it in a spill file."""

from __future__ import annotations

import sqlite3

from bridge.stages.shared.spill_file import spill_file

MEMORY_BOUND = 4 * 1024 * 1024
"""Bytes of values in memory."""


class Spool:
    """Values by key: the first ones in memory, those beyond the bound in a spill file.

    Args:
        bound: Bytes of values in memory.

    """

    def __init__(self, bound: int = MEMORY_BOUND) -> None:
        self._bound = bound
        self._memory: dict[str, bytes] = {}
        self._used = 0
        self._disk: sqlite3.Connection | None = None

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, in place of an older one."""
        self.discard(key)
        if self._used + len(value) <= self._bound:
            self._memory[key] = value
            self._used += len(value)
        else:
            self._file().execute("INSERT OR REPLACE INTO spool VALUES (?, ?)", (key, value))

    def take(self, key: str) -> bytes:
        """Return a value and remove it.

        Raises:
            KeyError: There is none.

        """
        value = self._memory.pop(key, None)
        if value is not None:
            self._used -= len(value)
            return value
        row = self._file().execute("SELECT value FROM spool WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        self._file().execute("DELETE FROM spool WHERE key = ?", (key,))
        return bytes(row[0])

    def discard(self, key: str) -> None:
        """Remove a value, if it is there."""
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
            self._disk = spill_file("CREATE TABLE spool (key TEXT PRIMARY KEY, value BLOB)")
        return self._disk
