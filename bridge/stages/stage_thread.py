"""Run a stage on its own thread: open it, step it, and open it again after an error, until it is told to stop.

After trouble with Kafka (fenced, no answer, a lost offset) a stage pauses and starts over from the log.
An unforeseen error stops the whole process. A supervisor restarts it, and its state is in the log.
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
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.kafka.records import RecordError
from bridge.stages.shared.garbage import BatchGarbageCollector

logger = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before a stage starts over
_LOOK = 1.0  # seconds between looks whether the time of stages is over

DRAIN = 50.0
"""Seconds that stages have to finish once they are told to stop. The grace is 60, for all that has to end."""


def wall_clock() -> Micros:
    """Return the process's time."""
    return time.time_ns() // 1000


def steady_clock() -> Micros:
    """Return a time that only goes forward, for pauses and intervals. Its zero means nothing."""
    return time.monotonic_ns() // 1000


class StageHealth(Protocol):
    """Receives the health of a stage."""

    def beat(self) -> None:
        """Hear that the loop has turned."""

    def ready(self, ready: bool, /, *, remark: str = "") -> None:  # noqa: FBT001  (the value is the message)
        """Hear whether the stage has joined and restored, and what a person should know then."""


@dataclass
class Running:
    """One stage of this process.

    Args:
        name: The stage.
        make: Makes a new loop of it, with new clients and no state of the one before.
        stop: Set when the process is to end.
        health: Hears each turn of the loop, and whether the stage has joined and restored.
        collector: The process's garbage collector.

    """

    name: str
    make: Callable[[], StageLoop]
    stop: threading.Event
    health: StageHealth
    collector: BatchGarbageCollector
    failure: BaseException | None = None

    def run(self) -> None:
        """Open a loop and step it until told to stop; after trouble with Kafka, open another."""
        while not self.stop.is_set():
            try:
                self._run_one()
            except LogError as error:
                logger.warning("%s restarts: %s", self.name, error, extra=ABOUT_KAFKA)
            except Exception as error:
                is_bug = not isinstance(error, FlowbridgeError | RecordError)
                logger.log(logging.ERROR, "%s stops the process: %s", self.name, error, exc_info=is_bug)
                self.failure = error
                self.stop.set()
            if not self.stop.is_set():  # nothing refers to the loop that failed any more, but its own parts
                self.collector.after_failure()
                self.stop.wait(_PAUSE)

    def _run_one(self) -> None:
        """Open a loop and step it until told to stop."""
        loop = self.make()
        try:
            loop.open()
            while not self.stop.is_set():
                loop.step()
                self.collector.between_batches()
                self.health.beat()
                self.health.ready(loop.restored, remark=loop.remark)
        finally:
            self.health.ready(False)  # noqa: FBT003  (the value is the message)
            loop.close()


class Stop(threading.Event):
    """Tells stages to stop, and knows since when."""

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0

    def set(self) -> None:
        """Tell them."""
        if not self.is_set():
            self._since = time.monotonic()
        super().set()

    def lasts(self) -> float:
        """Return for how many seconds they have been told."""
        return time.monotonic() - self._since if self.is_set() else 0.0


class Process:
    """All stages of one process.

    Args:
        stages: Opens the loop of each stage, by its name.
        health: Returns where a stage reports its health.
        drain: Seconds that they have to finish once they are told to stop.

    """

    def __init__(
        self,
        stages: Mapping[str, Callable[[], StageLoop]],
        health: Callable[[str], StageHealth],
        drain: float = DRAIN,
    ) -> None:
        self.stop = Stop()
        self._drain = drain
        self._collector = BatchGarbageCollector()
        self.stages = [Running(name, make, self.stop, health(name), self._collector) for name, make in stages.items()]
        # Daemons, since one that Kafka does not answer could keep the process from ending.
        self._threads = [threading.Thread(target=stage.run, name=stage.name, daemon=True) for stage in self.stages]

    def start(self) -> None:
        """Start every stage."""
        self._collector.take_over()
        for thread in self._threads:
            thread.start()

    def wait(self) -> list[str]:
        """Wait until all stages have ended or their time is over; return those that have not ended.

        These stand in calls that Kafka does not answer. They are left as by a kill, which only costs time: the next
        owner aborts their transactions.

        Raises:
            BaseException: The error that stopped the process, if it was not told to stop.

        """
        for thread in self._threads:
            while thread.is_alive() and self.stop.lasts() < self._drain:
                # Not a wait for `stop`: a signal handler of this thread sets it, and must find its lock free.
                thread.join(min(_LOOK, self._drain - self.stop.lasts()))
        self._collector.hand_back()
        for stage in self.stages:
            if stage.failure is not None:
                raise stage.failure
        left = [thread.name for thread in self._threads if thread.is_alive()]
        if left:
            names = ", ".join(left)
            logger.warning("%s ended without an answer from Kafka: the next owner aborts what is open", names)
        return left
