"""The ledger's index: what it remembers, for how long, and where."""

import base64
import hashlib

from bridge.core.event import DAY, HOUR
from bridge.stages.submitter.ledger.ended_runs import FinalKeys


def run_key(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def test_a_run_is_remembered_for_the_horizon_and_then_forgotten() -> None:
    keys = FinalKeys(7 * DAY)
    keys.add(run_key(1), at=10 * DAY)
    keys.forget(17 * DAY)
    assert run_key(1) in keys
    keys.forget(18 * DAY)
    assert run_key(1) not in keys
    assert len(keys) == 0


def test_what_outgrows_memory_is_remembered_on_disk_and_forgotten_there_too() -> None:
    keys = FinalKeys(7 * DAY, bound=100)
    for number in range(500):
        keys.add(run_key(number), at=10 * DAY + number * HOUR // 4)
    assert len(keys) == 500
    assert keys.in_memory <= 100
    assert all(run_key(number) in keys for number in range(500))
    assert run_key(501) not in keys
    keys.forget(25 * DAY)
    assert len(keys) == 0
    assert run_key(3) not in keys
