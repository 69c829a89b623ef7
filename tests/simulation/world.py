"""A simulated world: Kafka, a cluster, publishers and bridge processes on one clock, and those who watch them.

Nothing runs by itself. The world goes on in small steps of time; in each, what the script says for that time happens,
and every unit of every process (a stage, a create) may take a turn, in an order that follows from the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random

from bridge.core.decision import Reason
from bridge.core.event import DAY, SECOND, Micros, moment
from bridge.core.runs.run import Run
from bridge.core.trigger import Trigger
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition, TopicSpec
from bridge.kafka.memory.log import MemoryBroker
from bridge.kafka.ownership import read_note
from bridge.kafka.records import DEAD_LETTER
from bridge.settings.groups import ControllerSettings, RouterSettings, SubmitterSettings, WindowSettings
from bridge.stages.process import ProcessDependencies, group_of
from bridge.stages.shared.run_records import decode_run
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.headers import write_headers
from simulation.cluster import APPLIED_WITHIN, LIFETIME, Cluster, HarmedApi
from simulation.conditions import TOPICS
from simulation.effects import HarmedDecoder, Written
from simulation.history import History, committed_records, stable_end
from simulation.matching_check import MatchingCheck
from simulation.process import SimulatedProcess, Trap, surroundings_of
from simulation.reached_check import ReachedCheck
from simulation.replays import Replays
from simulation.routing_check import RoutingCheck
from simulation.scenes import SCENES
from simulation.script import Script
from simulation.time_check import TimeCheck, ticks_of
from simulation.trigger_log import TriggerLog
from simulation.versions import Format

BEGIN: Micros = 1_700_000_000 * SECOND
SKEW: Micros = SECOND
"""Bound on the difference between any two clocks of bridge and brokers."""

_RETAINS_EVERY: Micros = 5 * SECOND
_SILENCE: Micros = 2 * SECOND  # until a process that died is replaced


class World:
    """All there is.

    Attributes:
        script: What happens.
        now: The true time, which is the brokers'.
        files: The trigger files, by number.
        seats: Processes that run at once.
        all_processes: All that there ever were.
        expired: Run keys of which Kafka has deleted entries by their age.
        traps: Harm that awaits the next process in a seat.
        clock_errors: How far the clock of a seat's machine is off, beyond what is bounded.
        prompt_runs: The setting of the submitters.
        stamping: Who sets the timestamps of events' records: the setting ``message.timestamp.type`` of their topics.
        cut_off: Topics whose publishers do not reach Kafka.
        path: Where the trigger files are mounted.
        source_is: ``silent`` or ``half read`` while they are not read as they stand; else empty.
        newer_seats: Where the newer version runs.
        turning: The process that had its turn last.
        told: What happened, for people.
        written: Every transaction that was committed.
        harms: When processes came to harm.
        poison: How many records were set aside because processes were killed at them.
        replays: The replays, and the processes that carry them out.
        explained: What explain was held against, by how it is known.

    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.now = BEGIN
        self.told: list[str] = []
        self.broker = MemoryBroker(clock=lambda: self.now // 1000)
        self._scene = SCENES.get(script.scene)
        kept_for = self._scene.retention if self._scene else 0
        self.topics = InternalTopics("fb.", script.partitions, ledger_retention=(kept_for or 8 * DAY) // 1000)
        self.path = "/triggers"
        self.source_is = ""
        self.newer_seats: set[int] = set()
        self.format = Format(script.format)
        self.turning: SimulatedProcess | None = None
        self.expired: set[str] = set()
        self._retains_at: Micros = 0
        self.cluster = Cluster(lambda: self.now)
        self.files: dict[int, Trigger] = dict(enumerate(script.triggers))
        self.seats: dict[int, SimulatedProcess | None] = dict.fromkeys(range(script.seats))
        self.all_processes: list[SimulatedProcess] = []
        self.traps: dict[int, list[Trap]] = {}
        self.clock_errors: dict[int, Micros] = {}
        self._replaced_at: dict[int, Micros] = {}
        self._born = 0
        self._encoder = Encoder()
        self.stamping = "LogAppendTime" if Random(f"stamps of {script.seed}").random() < 0.4 else "CreateTime"
        self.cut_off: set[str] = set()
        # In half of the worlds all creates wait for the commits of their intents.
        self.prompt_runs = 8 if Random(f"prompt runs of {script.seed}").random() < 0.5 else 0
        for spec in (*self.topics.specs(), *(self.event_topic(topic) for topic in TOPICS)):
            self.broker.create(spec)
        for topic in (self.topics.windows, self.topics.ledger, self.topics.triggers):
            self.broker.topics[topic].config["delete.retention.ms"] = "20000"
        kept = (self.topics.triggers, self.topics.arrivals, self.topics.runs, self.topics.ledger)
        self.history = History(self.broker, (*kept, self.topics.dead_letters), self.format if script.format else None)
        self.triggers = TriggerLog(self.history, self.topics.triggers)
        self.routing = RoutingCheck(self.broker, self.triggers, script.lost_offsets, self.stamping)
        self.reached = ReachedCheck(self.topics.arrivals, SKEW)
        self.windows = WindowSettings(script.bound, script.remembered, clock_skew=2 * SKEW)
        # In a third of the worlds each partition has memory for one or two windows, and all others are on disk.
        memory = 1_500 * script.partitions if script.seed % 3 == 1 else self.windows.window_bytes
        self.windows_of_processes = replace(self.windows, window_bytes=memory)
        self.matching = MatchingCheck(self.topics, self.history, self.triggers, self.windows)
        self.time = TimeCheck(self.broker, self.topics, self.triggers, self.routing.read_on)
        self.written: list[Written] = []
        self.harms: list[Micros] = []
        self.poison = 0
        self.replays = Replays(self)
        self.explained: Counter[str] = Counter()
        self._fill_seats()

    def dependencies(self, process: SimulatedProcess) -> ProcessDependencies:
        """Return what the stages of a process meet."""
        return surroundings_of(
            process,
            api=HarmedApi(self.cluster, process),
            topics=self.topics,
            decoder=lambda: HarmedDecoder(process),
            sink=lambda _, __: None,
            controller=ControllerSettings(hold_off=3 * SECOND),
            router=RouterSettings(self.routing.lost_offsets),
            windows=self.windows_of_processes,
            submitter=SubmitterSettings(
                concurrency=self.script.concurrency,
                waiting_runs=self.script.parked,
                workflow_lifetime=LIFETIME,
                outcome_pace=0,
                prompt_runs=self.prompt_runs,
            ),
            applied_within=APPLIED_WITHIN,
            random=Random(self.script.seed),
        )

    def said(self, text: str) -> None:
        """Tell people what happened."""
        self.told.append(f"{(self.now - BEGIN) / SECOND:7.2f} {text}")

    # -- publishers ----------------------------------------------------------------------------------------------------

    def event_topic(self, name: str, partitions: int = 2) -> TopicSpec:
        """Return the spec of an event topic."""
        return TopicSpec(name, partitions, config={"message.timestamp.type": self.stamping})

    def record_of(
        self, topic: str, id_: str, key: str, number: int, ago: Micros
    ) -> tuple[bytes, list[tuple[str, bytes]]]:
        """Return value and headers of an event."""
        written = write_headers(topic, id_, "publisher", moment(self.now - ago))
        headers = [(name, value.encode() if isinstance(value, str) else value or b"") for name, value in written]
        return self._encoder.encode(topic, {"k": key, "n": number, "id": id_}), headers

    def came(self, topic: str, partition: int, id_: str) -> None:
        """Note that the last record of a partition, an event with this id, came just now."""
        offset = self.broker.topics[topic].logs[partition].end - 1
        self.time.append(topic, partition, offset, self.now)
        self.reached.came(Partition(topic, partition), offset, id_, self.now, self.living())

    # -- processes -----------------------------------------------------------------------------------------------------

    def living(self) -> list[SimulatedProcess]:
        """Return the processes that have not ended."""
        return [process for process in self.seats.values() if process is not None and not process.is_dead]

    def start(self, seat: int) -> None:
        """Start a process."""
        self._born += 1
        name = f"p{seat}" if self.script.keeps_names else f"p{seat}-{self._born}"
        random = Random(self.script.seed * 1000 + self._born)
        process = SimulatedProcess(self, name, seat, random.randrange(-SKEW, SKEW))
        self.seats[seat] = process
        self.all_processes.append(process)
        process.traps += self.traps.pop(seat, [])
        self.said(f"{name} starts")

    def _fill_seats(self) -> None:
        for seat, process in self.seats.items():
            if process is None:
                self.start(seat)
            elif process.is_dead and self.now >= self._replaced_at.setdefault(seat, self.now + _SILENCE):
                del self._replaced_at[seat]
                self.start(seat)

    def go_on(self, seconds: float, random: Random) -> None:
        """Let time go on, and everybody take turns."""
        self.now += round(seconds * SECOND)
        self.cluster.pass_time()
        self._retain()
        self._fill_seats()
        self.replays.fill()
        turns: list[Callable[[], None]] = [
            partial(process.turn, unit) for process in self.living() for unit in process.units()
        ]
        turns += [process.turn for process in self.replays.living()]
        random.shuffle(turns)
        for turn in turns:
            turn()

    def _retain(self) -> None:
        """Let Kafka delete entries of the ledger by their age, where a scene has that."""
        if self._scene is None or not self._scene.retention or self.now < self._retains_at:
            return
        self._retains_at = self.now + _RETAINS_EVERY
        self.history.note()
        for log in self.broker.topics[self.topics.ledger].logs:
            end = min(log.offset_at((self.now - self._scene.retention) // 1000), stable_end(log))
            gone = committed_records(log, log.start, end)
            self.expired |= {(record.key or b"").decode() for record in gone}
            self.broker.expire_below(log.partition, end)

    def end(self) -> None:
        """End all processes, and what stands still in them."""
        self.replays.end()
        for process in self.seats.values():
            if process is not None:
                process.crash()
                process.bury()

    def runs(self) -> list[Run]:
        """Return all runs that were ever asked for, by the live bridge and by replays."""
        return [decode_run(record.value or b"") for record in self.history.records(self.topics.runs)]

    # -- watching ------------------------------------------------------------------------------------------------------

    def committed(self, process: SimulatedProcess, written: Written) -> None:
        """Follow a commit."""
        self.written.append(written)
        stage = written.stage.removeprefix(self.topics.prefix).partition("-")[0]
        committed = self.broker.group(group_of(self.topics, stage)).committed
        if stage == "router":
            self.routing.follow(committed, self._poison_of(written))
            if self.clock_errors.get(process.seat, 0) >= 0 and self.stamping == "CreateTime":
                self.reached.routed(process, written.records)
        elif stage == "matcher":
            running = process.stage("matcher")
            definitions = running._definitions if running is not None else None
            self.matching.follow(committed, definitions, written.records, self._poison_of(written))
            for tick in ticks_of(written.records):
                self.time.tick(tick, written.applied)
            if running is not None:
                self._hold(process, running)

    def _poison_of(self, written: Written) -> set[tuple[str, int, int]]:
        """Return the records that a transaction sets aside, because processes were killed at them."""
        letters = [
            DEAD_LETTER.decode(value or b"") for topic, _, value in written.records if topic == self.topics.dead_letters
        ]
        found = {
            (letter["topic"], letter["partition"], letter["offset"])
            for letter in letters
            if letter["reason"] == Reason.POISON
        }
        self.poison += len(found)
        return found

    def _hold(self, process: SimulatedProcess, matcher: object) -> None:
        owned = {place.number for place in process.loops["matcher"].owned}
        windows = {number: window for number, window in matcher.windows.items() if number in owned}  # type: ignore[attr-defined]  # it is a matcher
        self.matching.compare(process.name, windows)

    def restored(self, process: SimulatedProcess, offsets: Mapping[Partition, int]) -> None:
        """Look at windows that were just restored, unless somebody else has them by now."""
        committed = self.broker.group(group_of(self.topics, "matcher")).committed
        windows = process.stage("matcher").windows
        found = {
            place.number: windows[place.number]
            for place, offset in offsets.items()
            if committed[place].offset == offset and read_note(committed[place]).owner == process.member_of("matcher")
        }
        self.matching.compare(f"{process.name}, restored,", found)
