"""The end of a process whose stages cannot end."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from typing import Any

import pytest

from bridge.console.health import Health
from bridge.kafka.log import LogError
from bridge.stages import stage_thread
from bridge.stages.stage_thread import Process


class _Loop:
    """A loop whose second step never comes back."""

    restored = True
    remark = ""

    def __init__(self, standing: threading.Event, over: threading.Event) -> None:
        self._standing = standing
        self._over = over

    def open(self) -> None:
        """Join."""

    def step(self) -> None:
        self._standing.set()
        self._over.wait(30)

    def close(self) -> None:
        """Leave."""


def test_a_stage_that_kafka_does_not_answer_is_left_once_it_has_had_its_time() -> None:
    standing, over = threading.Event(), threading.Event()
    make: Any = lambda: _Loop(standing, over)  # noqa: E731  (a loop but for its type)
    process = Process({"router": make}, Health(["router"]).stage, drain=0.1)
    process.start()
    assert standing.wait(10)
    process.stop.set()
    assert process.wait() == ["router"]
    over.set()
    process._threads[0].join(10)
    assert process.wait() == []


def test_a_loop_that_failed_is_freed_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_thread, "_PAUSE", 0.01)
    monkeypatch.setattr(stage_thread.logger, "disabled", True)  # pytest would keep the error, and with it the loop
    made: list[weakref.ref[_Loop]] = []
    alive: list[bool] = []

    class Failing(_Loop):
        def step(self) -> None:
            self.itself = self  # as loops refer to themselves by their parts
            raise LogError("Kafka is away")

    def make() -> Any:
        alive.extend(reference() is not None for reference in made)
        if made:
            process.stop.set()
        loop = Failing(threading.Event(), threading.Event())
        made.append(weakref.ref(loop))
        gc.freeze()  # as after its state is restored
        return loop

    process = Process({"router": make}, Health(["router"]).stage)
    try:
        process.start()
        process._threads[0].join(10)
        assert process.wait() == []
    finally:
        gc.unfreeze()
    assert alive == [False]


def test_whoever_waits_for_stages_leaves_the_lock_of_stop_to_the_handlers_of_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standing, over = threading.Event(), threading.Event()
    over.set()  # each step comes back at once
    make: Any = lambda: _Loop(standing, over)  # noqa: E731  (a loop but for its type)
    process = Process({"router": make}, Health(["router"]).stage)

    def told(_number: int, _frame: object) -> None:
        process.stop.set()

    def refuse(timeout: float | None = None) -> bool:
        raise AssertionError(f"the thread of the handlers waits for stop ({timeout})")

    before = signal.signal(signal.SIGUSR1, told)
    try:
        process.start()
        assert standing.wait(10)
        monkeypatch.setattr(process.stop, "wait", refuse)
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        assert process.wait() == []
    finally:
        signal.signal(signal.SIGUSR1, before)
