"""Notice when files have changed that are read again while the process runs: tokens and certificates."""

from __future__ import annotations

import os
from pathlib import Path

FileState = tuple[tuple[int, int, int], ...]
"""Inode, time of the last change in nanoseconds, and size of each file. Empty if a file cannot be examined."""


def file_state(*paths: Path) -> FileState:
    """Return the state of files; it differs once one of them was replaced or written in place."""
    try:
        statuses = [os.stat(path) for path in paths]  # noqa: PTH116 - once a second, or with each request
    except OSError:
        return ()
    return tuple([(status.st_ino, status.st_mtime_ns, status.st_size) for status in statuses])
