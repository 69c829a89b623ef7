"""The end of a process whose stages cannot end."""

from __future__ import annotations

import threading
from typing import Any

from bridge.console.health import Health
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
