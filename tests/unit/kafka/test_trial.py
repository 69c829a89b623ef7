"""A child process tells whether some work kills."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from bridge.kafka import child_trial
from bridge.kafka.child_trial import survives


def fail() -> None:
    raise KeyError("a bug")


def compute() -> None:
    while True:
        pass


def test_work_that_ends_survives_and_leaves_nothing() -> None:
    kept: list[int] = []
    assert survives(lambda: kept.append(1))
    assert kept == []


def test_an_exception_kills_nobody() -> None:
    assert survives(fail)


@pytest.mark.parametrize("work", [lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_work_that_ends_its_process_does_not_survive(work: object) -> None:
    assert callable(work)
    assert not survives(work)


def test_work_that_computes_for_ever_does_not_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_trial, "_SECONDS", 3.0)
    monkeypatch.setattr(child_trial, "_BUSY", 0.2)
    assert not survives(compute)


def test_work_that_waits_for_what_a_child_does_not_have_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_trial, "_SECONDS", 1.0)
    lock = threading.Lock()
    with lock:
        assert survives(lock.acquire)
