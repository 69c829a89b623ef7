"""When the garbage collector works, what it is spared, and that it works again afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from bridge.stages.shared.garbage import LARGE, BatchGarbageCollector, leave_alone


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def collector(now: list[float]) -> Iterator[BatchGarbageCollector]:
    collector = BatchGarbageCollector(lambda: now[0])
    collector.take_over()
    yield collector
    collector.hand_back()
    assert gc.isenabled()


def rounds() -> list[int]:
    """Return how often the collector has worked, by generation."""
    return [generation["collections"] for generation in gc.get_stats()]


def test_it_works_only_between_batches_and_only_when_much_was_made(collector: BatchGarbageCollector) -> None:
    before = rounds()
    batch = [[number] for number in range(100_000)]
    assert rounds() == before
    collector.between_batches()
    assert rounds() == [before[0] + 1, *before[1:]]
    del batch
    collector.between_batches()
    assert rounds() == [before[0] + 1, *before[1:]]


def test_now_and_then_it_looks_at_everything(collector: BatchGarbageCollector, now: list[float]) -> None:
    before = rounds()
    collector.between_batches()
    assert rounds()[2] == before[2]
    now[0] = 3_600.0
    collector.between_batches()
    collector.between_batches()
    assert rounds()[2] == before[2] + 1


def test_it_looks_at_everything_soon_after_the_start_and_more_and_more_seldom(
    collector: BatchGarbageCollector, now: list[float]
) -> None:
    before, looks, last = rounds()[2], list[float](), 0
    while now[0] < 2_000.0:
        now[0] += 1.0
        collector.between_batches()
        if rounds()[2] - before > last:
            last = rounds()[2] - before
            looks.append(now[0])
    assert looks == [15.0, 45.0, 105.0, 225.0, 465.0, 945.0, 1_545.0]


@pytest.mark.parametrize(("restored", "is_left_alone"), [(LARGE - 1, False), (LARGE, True)])
def test_only_large_state_is_left_alone(restored: int, is_left_alone: bool) -> None:  # noqa: FBT001 - a case of the test
    leave_alone(restored)
    try:
        assert (gc.get_freeze_count() > 0) == is_left_alone
    finally:
        gc.unfreeze()


def test_what_is_left_alone_is_visited_after_a_failure_and_once_a_minute_at_most(
    collector: BatchGarbageCollector, now: list[float]
) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    def failed_at(second: float) -> weakref.ref[Cycle]:
        lost = weakref.ref(Cycle())
        leave_alone(LARGE)
        now[0] = second
        collector.after_failure()
        return lost

    try:
        assert failed_at(1.0)() is None
        second = failed_at(30.0)
        assert second() is not None
        now[0] = 61.0
        collector.between_batches()
        assert second() is None
        assert gc.get_freeze_count() > 0  # what is alive stays left alone
    finally:
        gc.unfreeze()
