"""Who gets a worker, and when a breaker lets requests through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from random import Random
from typing import Any

from bridge.core.event import MINUTE, SECOND
from bridge.stages.submitter.bulkheads import Bulkheads, Job, workers_for
from bridge.stages.submitter.open_run import OpenRun
from unit.stages.submitter.ledger.test_ledger_restoring import NOW, run


class Workers(Executor):
    """Workers that come back when the test says so."""

    def __init__(self) -> None:
        self.busy: list[Job] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del args, kwargs
        assert isinstance(fn, Job)
        self.busy.append(fn)
        return Future()

    def in_each(self) -> dict[str, int]:
        return dict(Counter(job.run.run.namespace for job in self.busy))

    def come_back(self, namespace: str, count: int = 1) -> None:
        for job in [job for job in self.busy if job.run.run.namespace == namespace][:count]:
            self.busy.remove(job)
            job()


class Bed:
    """Bulkheads of four quick requests, and what they need."""

    def __init__(self) -> None:
        self.now = NOW
        self.workers = Workers()
        self.bulkheads = Bulkheads(self.workers, 4, lambda: self.now, Random(1))
        self._number = 0

    def one(self, namespace: str, partition: int = 0) -> OpenRun:
        self._number += 1
        return OpenRun(run(self._number)._replace(namespace=namespace), partition, NOW)

    def submit(self, namespace: str, count: int, partition: int = 0) -> None:
        for _ in range(count):
            self.bulkheads.submit(self.one(namespace, partition), lambda: None)

    def fail(self, namespace: str, count: int = 1, *, was_reached: bool = True) -> None:
        for _ in range(count):
            self.bulkheads.failed(self.one(namespace), self.now, was_reached=was_reached)

    def after(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.bulkheads.look()


def test_there_are_twice_as_many_workers_as_quick_requests() -> None:
    assert workers_for(4) == 8


def test_a_namespace_that_is_alone_has_all_quick_requests() -> None:
    bed = Bed()
    bed.submit("a", 10)
    assert bed.workers.in_each() == {"a": 4}
    bed.workers.come_back("a", 4)
    assert bed.workers.in_each() == {"a": 4}


def test_namespaces_with_work_take_turns() -> None:
    bed = Bed()
    bed.submit("a", 10)
    bed.submit("b", 10)
    bed.workers.come_back("a", 4)
    assert bed.workers.in_each() == {"a": 2, "b": 2}


def test_requests_that_hang_take_no_place_of_quick_ones() -> None:
    bed = Bed()
    bed.submit("a", 10)
    bed.after(2)
    bed.submit("b", 10)
    assert bed.workers.in_each() == {"a": 4, "b": 4}


def test_a_slow_namespace_has_half_while_others_have_work() -> None:
    bed = Bed()
    bed.submit("a", 20)
    bed.after(2)
    bed.submit("b", 20)
    bed.workers.come_back("a", 4)
    bed.after(2)
    bed.workers.come_back("b", 4)
    assert bed.workers.in_each()["a"] == 2


def test_slow_namespaces_leave_workers_to_others() -> None:
    bed = Bed()
    for name in "abcde":
        bed.submit(name, 10)
        bed.after(2)
    for _ in range(5):
        for name in "abcde":
            bed.workers.come_back(name, 4)
            bed.after(2)
    assert len(bed.workers.busy) <= 6
    bed.submit("fine", 1)
    assert bed.workers.in_each()["fine"] == 1


def test_a_breaker_opens_after_failures_of_many_runs_and_lets_one_probe_through_at_a_time() -> None:
    bed = Bed()
    bed.fail("a", 3)
    assert bed.bulkheads.is_healthy("a")
    bed.fail("a")
    assert not bed.bulkheads.is_healthy("a")
    bed.submit("a", 5)
    bed.submit("b", 1)
    assert bed.workers.in_each() == {"b": 1}
    bed.after(6)
    assert bed.workers.in_each() == {"a": 1, "b": 1}
    bed.bulkheads.succeeded(bed.workers.busy[-1].run)
    bed.bulkheads.look()
    assert bed.workers.in_each() == {"a": 4, "b": 1}


def test_one_bad_run_never_opens_a_breaker() -> None:
    bed = Bed()
    bad = bed.one("a")
    for _ in range(100):
        bed.bulkheads.failed(bad, bed.now, was_reached=True)
    assert bed.bulkheads.is_healthy("a")


def test_pauses_between_probes_grow_to_seconds() -> None:
    bed = Bed()
    waited = []
    for _ in range(30):
        bed.fail("a", 4)
        before = bed.now
        while not bed.bulkheads.free_slots("a", bed.now):
            bed.now += SECOND // 100
        waited.append(bed.now - before)
    assert max(waited[:2]) <= 1.1 * SECOND
    assert 2 * SECOND < max(waited) <= 5.1 * SECOND


def test_an_open_breaker_lets_one_more_run_begin_and_only_when_a_probe_is_due() -> None:
    bed = Bed()
    assert bed.bulkheads.free_slots("a", bed.now) == 128
    bed.fail("a", 4)
    assert bed.bulkheads.free_slots("a", bed.now) == 0
    bed.after(6)
    assert bed.bulkheads.free_slots("a", bed.now) == 1
    bed.submit("a", 1)
    assert bed.bulkheads.free_slots("a", bed.now) == 0


def test_namespaces_share_what_is_begun_ahead() -> None:
    bed = Bed()
    for name in "abcd":
        bed.submit(name, 1)
    assert bed.bulkheads.free_slots("a", bed.now) == 31


def test_the_cluster_is_down_when_several_namespaces_fail_and_unreachable_when_nothing_gets_there() -> None:
    bed = Bed()
    bed.fail("a", 4)
    assert (bed.bulkheads.is_cluster_down(), bed.bulkheads.is_unreachable()) == (False, False)
    bed.fail("b", 4)
    assert (bed.bulkheads.is_cluster_down(), bed.bulkheads.is_unreachable()) == (True, False)
    bed.submit("c", 1)
    assert not bed.bulkheads.is_cluster_down()
    other = Bed()
    other.fail("a", 4, was_reached=False)
    assert (other.bulkheads.is_cluster_down(), other.bulkheads.is_unreachable()) == (True, True)
    other.after(MINUTE / SECOND)
    other.submit("a", 3)
    assert other.workers.in_each() == {"a": 1}


def test_only_work_that_no_worker_has_is_withdrawn() -> None:
    bed = Bed()
    bed.submit("a", 6, partition=1)
    bed.submit("a", 3, partition=2)
    assert bed.bulkheads.is_quick([1])
    assert len(bed.bulkheads.withdraw([1])) == 2
    assert not bed.bulkheads.is_quick([2])
    bed.after(2)
    assert not bed.bulkheads.is_quick([1])
    bed.workers.come_back("a", 4)
    assert bed.workers.in_each() == {"a": 3}
