"""What the machine's cores do for a process that only computes: the yardstick of what more processes can bring."""

from __future__ import annotations

import time

from bench.cores import CLIENT, SERVERS, pin_self

_STEPS = 1_000


def spin(*, seconds: float) -> dict[str, float]:
    """Do the same small work for some seconds, on any core; return how often a second."""
    pin_self(CLIENT | SERVERS)
    began, used, done = time.time(), time.process_time(), 0
    while time.time() - began < seconds:
        table: dict[str, tuple[int, bytes]] = {}
        for number in range(_STEPS):
            table[str(number)] = (number, b"value")
        done += 1
    lasted = time.time() - began
    return {"rate": done / lasted, "per_core": done / (time.process_time() - used)}
