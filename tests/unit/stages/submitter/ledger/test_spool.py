"""Values that wait while a log is read."""

from __future__ import annotations

import pytest

from bridge.stages.submitter.ledger.spill_map import Spool


@pytest.mark.parametrize("bound", [0, 25, 1_000])
def test_what_was_laid_down_is_there_once_whatever_the_bound_of_memory(bound: int) -> None:
    spool = Spool(bound)
    for number in range(10):
        spool.put(f"key-{number}", b"old")
        spool.put(f"key-{number}", b"value-%d" % number)
        assert spool.in_memory <= bound
    assert [spool.take(f"key-{number}") for number in range(10)] == [b"value-%d" % number for number in range(10)]
    assert spool.in_memory == 0
    with pytest.raises(KeyError):
        spool.take("key-3")


@pytest.mark.parametrize("bound", [0, 1_000])
def test_what_is_let_go_is_gone(bound: int) -> None:
    spool = Spool(bound)
    spool.put("key", b"value")
    spool.discard("key")
    spool.discard("never")
    with pytest.raises(KeyError):
        spool.take("key")
