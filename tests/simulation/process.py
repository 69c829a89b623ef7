"""One simulated bridge process: the real stages, each taking turns, and what may befall it.

As in a real process each stage has a thread of its own, and so has each create; here these are *units* that take turns.
A unit that comes to harm stands still in the middle of its work while the others go on:

- *kill*: all of the process ends there, as by SIGKILL; nothing is left properly.
- *pause*: all of it stands still, as under SIGSTOP: no heartbeats. It wakes as a zombie and goes on with its very next
  effect.
- *delay*: only that unit stands still, and heartbeats go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import LogError, Partition
from bridge.kafka.loop import StageLoop
from bridge.kafka.memory.log import CrashedError
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import RecordError
from bridge.kafka.stage import Stage
from bridge.kafka.suspects import IsolationLock
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.router.reached_time import EndOffsetLog
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.folder import FileSource, Reading
from simulation.coroutines import Coroutine, KilledError
from simulation.effects import STAGES, HarmedLog, HarmedProducer, Written
from simulation.versions import Format, is_newer, newer

if TYPE_CHECKING:
    from simulation.world import World

_PAUSE = SECOND  # before a stage starts over


@dataclass
class Trap:
    """Harm that awaits a process.

    Attributes:
        unit: Which unit.
        effect: Where.
        countdown: At which time that it comes there.
        harm: ``kill``, ``pause`` or ``delay``.
        lasts: For how long.

    """

    unit: str
    effect: str
    countdown: int
    harm: str
    lasts: Micros


class Unit:
    """Something in a process that takes turns: a stage, or a create."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.coroutine: Coroutine | None = None
        self.wake: Micros = 0
        self.was_harmed = False
        self.is_done = False


class SimulatedProcess:
    """One process.

    Attributes:
        name: Its name, in its transactional ids.
        seat: Where it runs.
        skew: How far its clock is off.
        traps: The harm that awaits it.
        troubles: What Kafka will do to its next calls.
        loops: The loop of each stage, while it is open.
        harmed: How often it came to harm.
        is_dead: It has ended.
        is_newer: It is of the newer version.
        is_too_old: It has met something that only the newer version can read.

    """

    def __init__(self, world: World, name: str, seat: int, skew: Micros) -> None:
        self._world = world
        self.name = name
        self.seat = seat
        self.skew = skew
        self.traps: list[Trap] = []
        self.troubles: list[str] = []
        self.loops: dict[str, StageLoop] = {}
        self.harmed = 0
        self.is_dead = False
        self.is_stopping = False
        self.is_too_old = False
        self._paused_until: Micros = 0
        self._running: Unit | None = None
        self._creates: deque[Callable[[], None]] = deque()
        self.is_newer = seat in world.newer_seats
        self._threads = 1
        self._stages = {stage: Unit(stage, lambda stage=stage: self._step(stage)) for stage in STAGES}  # type: ignore[misc]  # a lambda with a default has no inferable type
        self._workers: list[Unit] = []
        self.log = HarmedLog(world.broker, self, world.topics)
        self._around = world.dependencies(self)

    @property
    def looks(self) -> EndOffsetLog:
        """Return what its routers know of the ends of topics."""
        return self._around.looks

    def clock(self) -> Micros:
        """Return the process's time."""
        return self._world.now + self.skew + self._world.clock_errors.get(self.seat, 0)

    def pace(self) -> Micros:
        """Return the time of a clock that never steps."""
        return self._world.now

    # -- turns ---------------------------------------------------------------------------------------------------------

    def units(self) -> list[Unit]:
        """Return what may take a turn now."""
        if self.is_dead or self._world.now < self._paused_until:
            return []
        self._workers = [unit for unit in self._workers if not unit.is_done]
        if self._creates and len(self._workers) < self._threads:
            self._workers.append(Unit("create", self._creates.popleft()))
        return [*self._stages.values(), *self._workers]

    def turn(self, unit: Unit) -> None:
        """Let a unit take its turn: one batch, or on from where it stands still."""
        if self.is_dead or unit.is_done or self._world.now < max(unit.wake, self._paused_until):
            return
        former, self._running, self._world.turning = self._running, unit, self
        try:
            if unit.coroutine is not None:
                unit.coroutine.resume()
            elif self._may_stand_still(unit):
                unit.coroutine = Coroutine(unit.work)
                unit.coroutine.resume()
            else:  # without a stack of its own, which is quicker
                unit.work()
        except (KilledError, CrashedError):
            assert self.is_dead, "only a process that was killed ends so"
        finally:
            self._running = former
        if unit.coroutine is not None and unit.coroutine.is_over:
            unit.coroutine = None
        unit.is_done = unit.name == "create" and unit.coroutine is None
        if self.is_dead:
            self.bury()

    def _may_stand_still(self, unit: Unit) -> bool:
        if unit.name == "submitter" and any(worker.coroutine is not None for worker in self._workers):
            return True  # it may wait for a create that stands still
        if unit.name == "create" and self._world.cluster.hanging:
            return True
        return any(trap.unit == unit.name and trap.harm != "kill" for trap in self.traps)

    def bury(self) -> None:
        """End what stands still in a process that is dead."""
        for unit in (*self._stages.values(), *self._workers):
            if unit.coroutine is not None and not unit.coroutine.is_over:
                with suppress(KilledError, CrashedError, LogError):
                    unit.coroutine.kill()
            unit.coroutine = None

    def _step(self, stage: str) -> None:
        """Do what the thread of a stage does: step, and start over after trouble."""
        try:
            loop = self.loops.get(stage)
            if self.is_stopping:
                self._close(stage)
            elif loop is None:
                self._open(stage)
            else:
                loop.step()
        except LogError as error:
            self._world.said(f"{self.name} {stage} starts over: {type(error).__name__} {error}")
            self._stages[stage].wake = self._world.now + _PAUSE
            with suppress(LogError):
                self._close(stage)
        except RecordError as error:
            self._world.said(f"{self.name} {stage} stops the process: {type(error).__name__} {error}")
            self.is_stopping = self.is_too_old = True
            with suppress(LogError, RecordError):
                self._close(stage)
        if self.is_stopping and not self.loops:
            self.is_dead = True

    def _open(self, stage: str) -> None:
        loop = open_loop(stage, self._around)
        self.loops[stage] = loop
        _watch(loop)
        if stage == "matcher":
            self._watch_restoring(loop._stage)
        if stage == "submitter":
            loop._stage._attempts._results = Results(self)  # type: ignore[attr-defined]  # a submitter, put under the script's control
        loop.open()

    def _watch_restoring(self, matcher: Stage) -> None:
        take = matcher.take

        def watched(offsets: Mapping[Partition, int]) -> None:
            take(offsets)
            self._world.restored(self, offsets)

        matcher.take = watched  # type: ignore[method-assign]  # the same, watched

    def member_of(self, stage: str) -> str:
        """Return the transactional id of a stage."""
        return f"{self._world.topics.prefix}{stage}-{self.name}"

    def _close(self, stage: str) -> None:
        loop = self.loops.pop(stage, None)
        if loop is not None:
            loop.close()

    def stage(self, name: str) -> Any:
        """Return a stage that runs; None if it does not."""
        loop = self.loops.get(name)
        return None if loop is None else loop._stage

    def executor(self, workers: int) -> Executor:
        """Return where the submitter sends its creates."""
        self._threads = workers
        return _Turns(self._creates)

    def let_creates_go_on(self, seconds: float) -> None:
        """Let other threads of this process work while a stage waits."""
        unit = self._running
        if unit is None or unit.coroutine is None:  # nothing stands still, so all there is can be done at once
            for worker in [worker for worker in self._workers if not worker.is_done]:
                worker.is_done = True
                worker.work()
            while self._creates:
                self._creates.popleft()()
        else:
            unit.wake = self._world.now + round(seconds * SECOND)
            unit.coroutine.pause()

    # -- harm ----------------------------------------------------------------------------------------------------------

    def reach(self, effect: str) -> None:
        """Come to a place, and perhaps to harm."""
        if not self.traps or self._running is None:
            return
        for trap in self.traps:
            if trap.effect == effect and trap.unit == self._running.name:
                trap.countdown -= 1
                if trap.countdown <= 0:
                    self.traps.remove(trap)
                    self._spring(trap)
                    return

    def _spring(self, trap: Trap) -> None:
        unit = self._running
        assert unit is not None
        self.harmed += 1
        self._world.harms.append(self._world.now)
        self._world.said(f"{self.name} {unit.name}: {trap.harm} {trap.effect} for {trap.lasts / SECOND:.0f} s")
        if trap.harm == "kill":
            self.crash()
            raise KilledError
        if unit.coroutine is None or (unit.name == "create" and unit.was_harmed):
            return  # a create is held up once: what is longer is beyond what is assumed
        unit.was_harmed = True
        if trap.harm == "pause":
            self.log.stall()
            self._paused_until = self._world.now + trap.lasts
        else:
            unit.wake = self._world.now + trap.lasts
        unit.coroutine.pause()

    def wait(self, lasts: Micros) -> None:
        """Stand still in the middle of a create."""
        unit = self._running
        if unit is not None and unit.coroutine is not None:
            unit.wake = self._world.now + lasts
            unit.coroutine.pause()

    def purges(self) -> None:
        """Let the checks see records that are about to be deleted."""
        self._world.history.note()

    def format(self) -> Format | None:
        """Return what other format the process's version writes and reads."""
        return self._world.format if self.is_newer else None

    def meets(self, trouble: str) -> bool:
        """Tell whether a trouble happens here and now; it happens once."""
        if trouble not in self.troubles:
            return False
        self.troubles.remove(trouble)
        self._world.said(f"{self.name}: {trouble}")
        return True

    def committed(self, written: Written) -> None:
        """Tell the watchers of a commit."""
        self._world.committed(self, written)

    def crash(self) -> None:
        """End as by SIGKILL."""
        self.log.crash()
        self.is_dead = True

    def heal(self) -> None:
        """Come to no more harm."""
        self.traps.clear()
        self.troubles.clear()


def _watch(loop: StageLoop) -> None:
    """Note with each transaction what was decided in it: after a crash no sink would tell."""
    stage, producer = loop._stage, loop._producer
    assert isinstance(producer, HarmedProducer)
    for name in ("process", "release", "set_aside"):
        setattr(stage, name, _noted(getattr(stage, name), stage, producer))


def _noted(work: Callable[..., None], stage: Stage, producer: HarmedProducer) -> Callable[..., None]:
    def noted(*arguments: Any) -> None:
        out: Outbox = arguments[-1]
        producer.written.decisions, producer.written.applied = out.decisions, stage.applied()
        work(*arguments)

    return noted


class _Turns(Executor):
    """Keeps work until its turn comes."""

    def __init__(self, queue: deque[Callable[[], None]]) -> None:
        self._queue = queue

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._queue.append(lambda: fn(*args, **kwargs))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  (as its base)
        """Leave what is queued: as in a real pool, it still runs."""


class Results:
    """The queue between creates and their stage, for one thread."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Add an item."""
        self._items.append(item)

    def qsize(self) -> int:
        """Return how many there are."""
        return len(self._items)

    def empty(self) -> bool:
        """Tell whether there is none."""
        return not self._items

    def get_nowait(self) -> Any:
        """Return the first item.

        Raises:
            Empty: There is none.

        """
        if not self._items:
            raise Empty
        return self._items.popleft()

    def get(self, timeout: float) -> Any:
        """Return the first item, letting others go on until there is one, or the time is over.

        Raises:
            Empty: There is none.

        """
        if not self._items:
            self._process.let_creates_go_on(timeout)
        return self.get_nowait()


class _Files:
    """The trigger files of the process's world, as the process's version reads them."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process
        self._world = process._world
        self._path = self._world.path

    def read(self) -> Reading:
        world, path = self._world, self._path
        if world.source_is == "silent" or path != world.path or not world.files:
            return Reading(complete=True, silent=frozenset({path}))
        loaded, errors = [], []
        for number, trigger in world.files.items():
            file = f"{path}/{number}.yaml"
            if world.source_is == "half read" and number:
                errors.append(TriggerError(Origin(file, 1), "", "cannot be read: stale file handle", "let us read it"))
            elif is_newer(trigger) and not self._process.is_newer:
                errors.append(TriggerError(Origin(file, 1), "atMost", "there is no such field", "", trigger.identity))
            else:
                loaded.append(
                    LoadedTrigger(
                        newer(trigger) if self._process.is_newer and not is_newer(trigger) else trigger,
                        Origin(file, 1),
                        path,
                    )
                )
        return Reading(tuple(loaded), (), tuple(errors), complete=all(error.trigger for error in errors))


def _source(process: SimulatedProcess) -> FileSource:
    """Return the real source of files, which reads those of the process's world."""
    source = FileSource([process._world.path], "default")
    source._folder = _Files(process)  # type: ignore[assignment]  # it reads as a folder does
    return source


def surroundings_of(process: SimulatedProcess, **fields: Any) -> ProcessDependencies:
    """Return what the stages of a process meet."""
    return ProcessDependencies(
        log=process.log,
        source=_source(process),
        member=process.name,
        clock=process.clock,
        pace=process.pace,
        executor=process.executor,
        isolation=IsolationLock(lambda _: True),  # no child process: what two processes died of is poison to the third
        **fields,
    )
