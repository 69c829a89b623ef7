"""The replays of a simulated world: people who plan them, stop and resume them, and the processes that carry them out.

A process of a replay is one piece of work with a stack of its own. It lets the live processes go on whenever it waits,
and it can come to harm at each of its effects on Kafka, as they can. If it dies, a person starts it once more: it
resumes what ``replays`` says, or plans again if there is nothing yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bridge.core.event import SECOND, Event, EventIdentity, Micros
from bridge.kafka.log import FencedError, LogError, Partition, Record
from bridge.kafka.memory.consumer import MemoryRangeReader
from bridge.kafka.memory.log import CrashedError, MemoryLog
from bridge.replay.execution import Execution
from bridge.replay.planner import Draft, Planner, ReplayDependencies
from bridge.replay.replays import CANCELLED, PAUSED, Replay, ReplayLog, ReplayOwner, new_replay
from bridge.replay.request import Bound, ReplayError, Request
from bridge.settings.groups import SubmitterSettings
from bridge.stages.process import group_of
from bridge.stages.shared.definitions import Definitions
from simulation.conditions import TOPICS
from simulation.coroutines import Coroutine, KilledError
from simulation.effects import HarmedDecoder, HarmedLog, Written
from simulation.history import committed_records
from simulation.process import Trap
from simulation.replay_check import check_plan
from simulation.versions import Format

if TYPE_CHECKING:
    from simulation.world import World

SENDING = tuple(f"{moment} {effect}" for effect in ("begin", "produce", "commit") for moment in ("before", "after"))
EFFECTS = (
    *(f"{moment} {effect}" for effect in ("ask", "restore", "read", "decode") for moment in ("before", "after")),
    *SENDING,
)
"""Where the process of a replay can come to harm."""

NOTHING = "no record lies between"
"""The error of a range without records."""

_STEP: Micros = SECOND // 4
_AGAIN: Micros = 2 * SECOND  # until a person starts a replay once more whose process has ended
_TRIES = 12  # before a person gives up


class Drafted(NamedTuple):
    """A plan, and what was true when it was made.

    Attributes:
        name: Name of the replay; empty if nobody carries it out.
        request: What was asked for.
        draft: The plan.
        events: The events of its runs, with their run keys.
        committed: Where the live routers were when it was made.
        had_runs: Runs of the trigger were recorded before.

    """

    name: str
    request: Request
    draft: Draft
    events: Mapping[str, tuple[str, ...]]
    committed: Mapping[Partition, int]
    had_runs: bool


@dataclass
class Asked:
    """A replay that a person wants.

    Attributes:
        request: What was asked for.
        is_wanted: It is to go on: nobody has paused or cancelled it.
        is_over: Nothing is left to do.
        again_at: When a person starts it once more.
        tries: How often it was started.
        process: Who carries it out now.
        traps: The harm that awaits its next process.
        cancelled: The ends of the partitions of ``runs`` and the time at which it was cancelled.
        failed: Why it could not be done, if so.

    """

    request: Request
    is_wanted: bool = True
    is_over: bool = False
    again_at: Micros = 0
    tries: int = 0
    process: ReplayProcess | None = None
    traps: list[Trap] = field(default_factory=list)
    cancelled: tuple[Mapping[int, int], Micros] | None = None
    failed: str = ""


class _Ranges(MemoryRangeReader):
    """A reader of ranges that lets the world go on while there is nothing to read."""

    victim: ReplayProcess

    def poll(self, seconds: float) -> list[Record]:
        self.victim.reach("before read")
        records = super().poll(seconds)
        self.victim.reach("after read")
        if not records and seconds:
            self.victim.wait(round(seconds * SECOND))
        return records


class _ReplayLog(HarmedLog):
    """The connection of a replay's process to Kafka."""

    def ranges(self, starts: Mapping[Partition, int]) -> MemoryRangeReader:
        reader = _Ranges(self.broker, self._client, starts)
        reader.victim = self._victim  # type: ignore[assignment]  # only such a process makes one
        return reader


class ReplayProcess:
    """A process that plans a replay, and carries it out, or goes on with one.

    Args:
        world: The world.
        name: Name of the replay; a plan that nobody carries out has none.
        work: What it does.

    """

    def __init__(self, world: World, name: str, work: Callable[[ReplayProcess], None], skew: Micros) -> None:
        self._world = world
        self.name = name
        self.skew = skew
        self.traps: list[Trap] = []
        self.is_dead = False
        self.error = ""
        self._wake: Micros = 0
        self.log = _ReplayLog(world.broker, self, world.topics)
        self._coroutine = Coroutine(lambda: work(self))
        self._is_running = False

    def clock(self) -> Micros:
        """Return the process's time."""
        return self._world.now + self.skew

    def pace(self) -> Micros:
        """Return the time of a clock that never steps."""
        return self._world.now

    def turn(self) -> None:
        """Go on from where it stands still; it is dead at the end of its work."""
        if self.is_dead or self._world.now < self._wake:
            return
        self._is_running = True
        try:
            self._coroutine.resume()
        except (KilledError, CrashedError):
            assert self.is_dead, "only a process that was killed ends so"
        except FencedError:
            self._world.said(f"replay {self.name}: another process has it")
        except LogError as error:
            self._world.said(f"replay {self.name} ends: {type(error).__name__} {error}")
        except ReplayError as error:
            self.error = str(error)
            self._world.said(f"replay {self.name} ends: {error}")
        finally:
            self._is_running = False
        self.is_dead = self.is_dead or self._coroutine.is_over
        if self.is_dead:
            self.bury()

    def kill(self) -> None:
        """End it as by SIGKILL, wherever it stands."""
        self.log.crash()
        self.is_dead = True

    def bury(self) -> None:
        """End what stands still in it."""
        if not self._coroutine.is_over:
            with suppress(KilledError, CrashedError, LogError):
                self._coroutine.kill()

    # -- harm ----------------------------------------------------------------------------------------------------------

    def reach(self, effect: str) -> None:
        """Come to a place, and perhaps to harm."""
        if self.is_dead or not self._is_running:
            return
        for trap in self.traps:
            if trap.effect == effect:
                trap.countdown -= 1
                if trap.countdown <= 0:
                    self.traps.remove(trap)
                    self._spring(trap)
                    return

    def _spring(self, trap: Trap) -> None:
        self._world.replays.harmed += 1
        self._world.said(f"replay {self.name}: {trap.harm} {trap.effect} for {trap.lasts / SECOND:.0f} s")
        if trap.harm == "kill":
            self.kill()
            raise KilledError
        if trap.harm == "pause":
            self.log.stall()
        self.wait(trap.lasts)

    def wait(self, lasts: Micros) -> None:
        """Stand still for a while."""
        self._wake = self._world.now + lasts
        self._coroutine.pause()

    def meets(self, trouble: str) -> bool:
        """Return False: what befalls a replay are traps."""
        del trouble
        return False

    def purges(self) -> None:
        """Ignore it: a replay deletes nothing."""

    def format(self) -> Format | None:
        """Return None: it is of the older version."""

    def committed(self, written: Written) -> None:
        """Ignore it: what a replay has written is looked at in the end."""


class Replays:
    """All replays of a world.

    Attributes:
        asked: By name.
        drafts: The plans that were made.
        processes: The processes that have not ended.
        unions: How often the union of live and replayed runs could be held against the reference.
        harmed: How often the process of a replay came to harm.
        seen: The events that were in their topics when plans were made, with their times in the merged order.

    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen: dict[EventIdentity, tuple[int, Event]] = {}
        self._random = Random(f"replays in {world.script.seed}")
        self.asked: dict[str, Asked] = {}
        self.unions: Counter[str] = Counter()
        self.harmed = 0
        self.drafts: list[Drafted] = []
        self.processes: list[ReplayProcess] = []

    # -- what people do ------------------------------------------------------------------------------------------------

    def ask(self, name: str, trigger: str, start: Micros | None, concurrency: int, rate: float | None) -> None:
        """Plan a replay of a trigger, and let it be carried out."""
        bound = Bound(text="earliest") if start is None else Bound(start)
        self.asked[name] = Asked(Request(trigger, bound, concurrency=concurrency, rate=rate, reason="simulated"))

    def trap(self, name: str, trap: Trap) -> None:
        """Let harm await the process of a replay, or its next one."""
        asked = self.asked.get(name)
        if asked is not None:
            traps = asked.process.traps if asked.process is not None and self._is_running(asked) else asked.traps
            traps.append(trap)

    def kill(self, name: str) -> None:
        """End the process of a replay between two of its turns."""
        asked = self.asked.get(name)
        if asked is not None and asked.process is not None:
            asked.process.kill()
            asked.process.bury()

    def take_over(self, name: str) -> None:
        """Let another process go on with a replay, though one is there that stands still, or works."""
        asked = self.asked.get(name)
        if asked is not None and asked.is_wanted and not asked.is_over:
            self._start(name, asked)

    def pause(self, name: str) -> None:
        """Pause a replay."""
        self._change(name, PAUSED)

    def cancel(self, name: str) -> None:
        """Cancel a replay."""
        self._change(name, CANCELLED)

    def resume(self, name: str) -> None:
        """Let a replay go on."""
        asked = self.asked.get(name)
        if asked is not None and asked.cancelled is None:
            asked.is_wanted = True

    def _change(self, name: str, state: str) -> None:
        """Write a state as another process does that takes the replay over."""
        asked, log = self.asked.get(name), MemoryLog(self._world.broker)
        if asked is None or asked.is_over:
            return
        try:
            owner = ReplayOwner(log, self._world.topics, name)
            stands = ReplayLog(log, self._world.topics).find(name)
            if stands is None or stands.is_over:
                return
            owner.write(replace(stands, state=state))
        except LogError as error:
            self._world.said(f"replay {name} is not {state}: {error}")
            return
        asked.is_wanted = False
        if state == CANCELLED:
            ends = {log.partition.number: log.end for log in self._world.broker.topics[self._world.topics.runs].logs}
            asked.cancelled, asked.is_over = (ends, self._world.now), True

    # -- their processes -----------------------------------------------------------------------------------------------

    @staticmethod
    def _is_running(asked: Asked) -> bool:
        return asked.process is not None and not asked.process.is_dead

    def living(self) -> list[ReplayProcess]:
        """Return the processes that have not ended."""
        self.processes = [process for process in self.processes if not process.is_dead]
        return self.processes

    def fill(self) -> None:
        """Let people start what has ended before it was over."""
        for name, asked in self.asked.items():
            if asked.is_over or not asked.is_wanted or self._is_running(asked):
                continue
            process = asked.process
            if process is not None:
                if NOTHING in process.error or (process.error and asked.tries >= _TRIES):
                    asked.is_over, asked.failed = True, "" if NOTHING in process.error else process.error
                    continue
                if not asked.again_at:
                    asked.again_at = self._world.now + _AGAIN
            if self._world.now >= asked.again_at:
                asked.again_at = 0
                self._start(name, asked)

    def _start(self, name: str, asked: Asked) -> None:
        asked.tries += 1
        skew = self._random.randrange(-SECOND, SECOND)
        process = ReplayProcess(self._world, name, lambda process: self._work(process, asked), skew)
        process.traps, asked.traps = asked.traps, []
        asked.process = process
        self.processes.append(process)
        self._world.said(f"replay {name} is carried out, for the {asked.tries}. time")

    def heal(self) -> None:
        """Come to no more harm, and let all go on."""
        for name, asked in self.asked.items():
            asked.traps.clear()
            self.resume(name)
        for process in self.living():
            process.traps.clear()

    def request_for_all(self, trigger: str) -> Request:
        """Return a request for all that is missing of a trigger."""
        return Request(trigger, Bound(text="earliest"), rate=None, reason="the rest")

    def look(self, trigger: str) -> ReplayProcess:
        """Let somebody plan a replay of a trigger that nobody carries out; return the process."""
        process = ReplayProcess(self._world, "", lambda process: self._look(process, self.request_for_all(trigger)), 0)
        self.processes.append(process)
        return process

    def _look(self, process: ReplayProcess, request: Request) -> None:
        self.draft(process, "", request)

    def left(self) -> Iterator[str]:
        """Yield what is not done yet."""
        yield from (f"replay {name} is not over" for name, asked in self.asked.items() if not asked.is_over)

    def end(self) -> None:
        """End all processes."""
        for process in self.living():
            process.kill()
            process.bury()

    # -- what they do --------------------------------------------------------------------------------------------------

    def _work(self, process: ReplayProcess, asked: Asked) -> None:
        log, topics, name = process.log, self._world.topics, process.name
        stands = ReplayLog(log, topics).find(name)
        if stands is not None and (stands.is_over or (stands.state == PAUSED and not asked.is_wanted)):
            asked.is_over = stands.is_over
            return
        owner: ReplayOwner | None = None
        if stands is None:
            draft = self.draft(process, name, asked.request)
            owner = ReplayOwner(log, topics, name)
            if ReplayLog(log, topics).find(name) is not None:  # another process was quicker
                return
            replay = new_replay(name, asked.request, draft, process.clock())
            stands = owner.write_plan(replay, (planned.run for planned in draft.plan.runs()))
        else:
            owner = ReplayOwner(log, topics, name)
            stands = ReplayLog(log, topics).find(name) or stands
            if stands.is_over or not asked.is_wanted:
                return
        self._carry_out(process, asked, owner, stands)

    def _carry_out(self, process: ReplayProcess, asked: Asked, owner: ReplayOwner, replay: Replay) -> None:
        execution = Execution(
            process.log, self._world.topics, owner, replay, process.clock, process.pace, lambda _: None
        )
        try:
            execution.begin()
            while execution.step():
                process.wait(_STEP)
        finally:
            execution._since.close()
        asked.is_over = asked.is_over or execution.replay.is_over
        self._world.said(f"replay {process.name} is {execution.replay.state}: {execution.replay.counts}")

    def draft(self, process: ReplayProcess, name: str, request: Request) -> Draft:
        """Return the plan of a replay, and keep it for the check."""
        world = self._world
        around = ReplayDependencies(
            log=process.log,
            topics=world.topics,
            decoder=lambda: HarmedDecoder(process),  # type: ignore[arg-type, return-value]  # it decodes as one does
            windows=world.windows_of_processes,
            horizon=SubmitterSettings().ledger_horizon,
            clock=process.clock,
            pace=process.pace,
            wait=lambda seconds: process.wait(round(seconds * SECOND)),
        )
        definitions = Definitions(process.log, world.topics.triggers, process.pace)
        definitions.refresh()
        had_runs = self._has_runs(request.trigger)
        made = Planner(around, definitions).draft(name, request)
        events = {
            planned.run.run_key: tuple(sorted(f"{variable} {event.id}" for variable, event in planned.run.events))
            for planned in made.plan.runs()
        }
        had_runs = had_runs or self._has_runs(request.trigger)
        world.said(f"replay {name} of {request.trigger} is planned: {dict(made.plan.outcomes())}, {made.held} held")
        self.drafts.append(Drafted(name, request, made, events, self._committed(), had_runs))
        self._see()
        check_plan(world, self.drafts[-1])
        return made

    def _committed(self) -> dict[Partition, int]:
        committed = self._world.broker.group(group_of(self._world.topics, "router")).committed
        return {place: note.offset for place, note in committed.items()}

    def _see(self) -> None:
        for topic in TOPICS:
            for log in self._world.broker.topics[topic].logs:
                newest = 0
                for record in committed_records(log, log.start, log.end):
                    newest = max(newest, record.timestamp)
                    event = self._world.routing._event(record)
                    self.seen.setdefault(event.identity, (newest, event))

    def _has_runs(self, trigger: str) -> bool:
        return any(trigger == run.trigger for run in self._world.runs())
