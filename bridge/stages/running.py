"""A stage on a thread of its own: opened, stepped, and opened anew after trouble, until it is told to stop.

Trouble with Kafka (fenced, no answer, an offset that the log lost) is met by starting over from the log after a pause.
An error that nobody foresaw stops the whole process: a supervisor restarts it, and its state is in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import LogError
from bridge.kafka.loop import StageLoop

logger = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before a stage starts over
_PATIENCE = 30 * SECOND  # a loop that has not polled for so long is stuck


def wall_clock() -> Micros:
    """Return the process's time."""
    return time.time_ns() // 1000


@dataclass
class Running:
    """One stage of this process.

    Args:
        name: The stage.
        make: Opens a loop of it: all clients new, nothing kept from the one before.
        stop: Set when the process is to end.

    """

    name: str
    make: Callable[[], StageLoop]
    stop: threading.Event
    failure: BaseException | None = None
    loop: StageLoop | None = None

    def run(self) -> None:
        """Live until told to stop."""
        while not self.stop.is_set():
            try:
                self._live()
            except LogError as error:
                logger.warning("%s starts over: %s", self.name, error)
                self.stop.wait(_PAUSE)
            except Exception as error:
                logger.exception("%s stops the process", self.name)
                self.failure = error
                self.stop.set()

    def _live(self) -> None:
        loop = self.make()
        try:
            loop.open()
            self.loop = loop
            while not self.stop.is_set():
                loop.step()
        finally:
            self.loop = None
            loop.close()

    def is_alive(self, now: Micros) -> bool:
        """Tell whether the loop still polls, or is starting over in order."""
        loop = self.loop
        return self.failure is None and (loop is None or now - loop.last_poll < _PATIENCE)

    def is_ready(self) -> bool:
        """Tell whether the stage has joined, and restored what it was assigned."""
        loop = self.loop
        return loop is not None and loop.restored


class Process:
    """All stages of one process."""

    def __init__(self, stages: dict[str, Callable[[], StageLoop]]) -> None:
        self.stop = threading.Event()
        self.stages = [Running(name, make, self.stop) for name, make in stages.items()]
        self._threads = [threading.Thread(target=one.run, name=one.name) for one in self.stages]

    def start(self) -> None:
        """Start every stage."""
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
        for one in self.stages:
            if one.failure is not None:
                raise one.failure
