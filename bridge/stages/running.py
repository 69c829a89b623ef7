"""A stage on a thread of its own: opened, stepped, and opened anew after trouble, until it is told to stop.

Trouble with Kafka (fenced, no answer, an offset that the log lost) is met by starting over from the log after a pause.
An error that nobody foresaw stops the whole process: a supervisor restarts it, and its state is in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.core.event import Micros
from bridge.errors import FlowbridgeError
from bridge.kafka.log import LogError
from bridge.kafka.loop import StageLoop
from bridge.kafka.records import RecordError
from bridge.stages.collecting import Collector

logger = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before a stage starts over


def wall_clock() -> Micros:
    """Return the process's time."""
    return time.time_ns() // 1000


class StageHealth(Protocol):
    """Whom a stage tells how it is."""

    def beat(self) -> None:
        """Hear that the loop has turned."""

    def ready(self, ready: bool, /) -> None:  # noqa: FBT001  (the value is what is said)
        """Hear whether the stage has joined and restored."""


@dataclass
class Running:
    """One stage of this process.

    Args:
        name: The stage.
        make: Opens a loop of it: all clients new, nothing kept from the one before.
        stop: Set when the process is to end.
        health: Hears each turn of the loop, and whether the stage has joined and restored.
        collector: The process's garbage collector.

    """

    name: str
    make: Callable[[], StageLoop]
    stop: threading.Event
    health: StageHealth
    collector: Collector
    failure: BaseException | None = None

    def run(self) -> None:
        """Live until told to stop."""
        while not self.stop.is_set():
            try:
                self._live()
            except LogError as error:
                logger.warning("%s starts over: %s", self.name, error)
                self.collector.look_at_everything()
                self.stop.wait(_PAUSE)
            except Exception as error:
                is_bug = not isinstance(error, FlowbridgeError | RecordError)
                logger.log(logging.ERROR, "%s stops the process: %s", self.name, error, exc_info=is_bug)
                self.failure = error
                self.stop.set()

    def _live(self) -> None:
        loop = self.make()
        try:
            loop.open()
            while not self.stop.is_set():
                loop.step()
                self.collector.between_batches()
                self.health.beat()
                self.health.ready(loop.restored)
        finally:
            self.health.ready(False)  # noqa: FBT003  (as above)
            loop.close()


class Process:
    """All stages of one process."""

    def __init__(self, stages: Mapping[str, Callable[[], StageLoop]], health: Callable[[str], StageHealth]) -> None:
        self.stop = threading.Event()
        self._collector = Collector()
        self.stages = [Running(name, make, self.stop, health(name), self._collector) for name, make in stages.items()]
        self._threads = [threading.Thread(target=one.run, name=one.name) for one in self.stages]

    def start(self) -> None:
        """Start every stage."""
        self._collector.take_over()
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until all stages have ended.

        Raises:
            BaseException: What stopped the process, if it was not told to.

        """
        for thread in self._threads:
            while thread.is_alive():  # joining in pieces lets signals through
                thread.join(0.2)
        self._collector.hand_back()
        for one in self.stages:
            if one.failure is not None:
                raise one.failure
