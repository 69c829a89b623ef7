"""Which core runs what: each measured client has one for itself, the servers have the others."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SETTING = "FLOWBRIDGE_BENCH_CORES"
"""The environment variable that names the cores of the bench as it began.

The bench keeps itself to those of the servers, and its children begin there. So they cannot find out which others there
are.
"""
_ALLOWED = [
    int(core) for core in os.environ.setdefault(SETTING, ",".join(map(str, sorted(os.sched_getaffinity(0))))).split(",")
]
CLIENT = {_ALLOWED[-1]}
SERVERS = set(_ALLOWED[:-1]) or CLIENT


def pin(pid: int, cores: set[int]) -> None:
    """Keep a running process, all threads that it has and will have, to ``cores``."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread may end meanwhile
            os.sched_setaffinity(int(task.name), cores)


def pin_self(cores: set[int]) -> None:
    """Keep this process to ``cores``; threads that it starts later stay there, too."""
    os.sched_setaffinity(0, cores)


def on_cores(cores: set[int]) -> list[str]:
    """Return what a command begins with that runs on ``cores``."""
    return ["taskset", "-c", ",".join(map(str, sorted(cores)))]
