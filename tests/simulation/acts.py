"""What can happen to a simulated world: a method for each kind of act in a script."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bridge.core.event import Micros
from bridge.kafka.log import FencedError, LogError, Partition
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.memory.producer import MemoryProducer
from bridge.kafka.ownership import read_note
from bridge.stages.process import group_of
from simulation.conditions import LOST_DIGIT
from simulation.habits import HABITS
from simulation.process import Trap
from simulation.random_triggers import edited
from simulation.scenes import of_the_newer_version
from simulation.script import Act
from simulation.world import World

_MORE_SEATS = 4


class Acts:
    """Does acts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: list[tuple[Micros, MemoryProducer, bool]] = []
        self._transactions = 0
        self._lost = 0
        self._unanswered: list[tuple[Micros, tuple[Any, ...]]] = []
        self._habits: list[tuple[Micros, str, tuple[Any, ...]]] = []

    def do(self, act: Act) -> None:
        """Do one act."""
        self._world.said(f"{act.kind} {act.detail}")
        getattr(self, act.kind)(*act.detail)

    def publish(
        self, topic: str, id_: str, key: str, number: int, ago: Micros, wrong: Micros | None, partition: int
    ) -> None:
        """Publish an event; its record has the broker's timestamp, or one that is wrong by so much."""
        world = self._world
        if topic in world.cut_off:
            self._keep(topic, id_, key, number, ago, wrong, partition)
            return
        value, headers = world.record_of(topic, id_, key, number, ago)
        stamp = None if wrong is None else (world.now - wrong) // 1000
        try:
            world.broker.append(topic, partition, None, value, headers, stamp)
        except LogError:  # there is no leader: the publisher tries again
            self._keep(topic, id_, key, number, ago, wrong, partition)
        else:
            world.came(topic, partition, id_)

    def _keep(self, *detail: Any) -> None:
        """Keep what has no answer until a habit is over; a client then sends it with its first timestamp."""
        self._unanswered.append((self._world.now, detail))

    def publish_in_transaction(
        self,
        topic: str,
        id_: str,
        key: str,
        number: int,
        ago: Micros,
        wrong: Micros | None,
        partition: int,
        lasts: Micros,
        commits: bool,  # noqa: FBT001  (a plain value of the script)
    ) -> None:
        """Publish an event in a transaction that stays open for a while, and commits or aborts."""
        del wrong
        world = self._world
        self._transactions += 1
        producer = MemoryLog(world.broker).producer(f"publisher-{self._transactions}")
        producer.init()
        producer.begin()
        value, headers = world.record_of(topic, id_, key, number, ago)
        if Partition(topic, partition) in world.broker.leaderless:
            self._keep(topic, id_, key, number, ago, None, partition)
            return
        producer.send(topic, partition, None, value, headers)
        world.came(topic, partition, id_)
        self._open.append((world.now + lasts, producer, commits))

    def end_transactions(self, *, all_of_them: bool = False) -> None:
        """End the publishers' transactions whose time has come; Kafka has aborted those that took too long."""
        now, still = self._world.now, []
        for at, producer, commits in self._open:
            if at > now and not all_of_them:
                still.append((at, producer, commits))
            else:
                with suppress(FencedError):
                    (producer.commit if commits else producer.abort)()
        self._open = still

    def habit(self, name: str, lasts: Micros, *detail: Any) -> None:
        """Let a habit begin."""
        HABITS[name].begin(self._world, *detail)
        self._habits.append((self._world.now + lasts, name, detail))

    def end_habits(self, *, all_of_them: bool = False) -> None:
        """End the habits whose time has come, and publish what had no answer meanwhile."""
        over = [habit for habit in self._habits if all_of_them or habit[0] <= self._world.now]
        for habit in over:
            self._habits.remove(habit)
            _, name, detail = habit
            self._world.said(f"{name} {detail} is over")
            HABITS[name].end(self._world, *detail)
        if over:
            again, self._unanswered = self._unanswered, []
            for kept, (topic, id_, key, number, ago, wrong, partition) in again:
                delay = self._world.now - kept
                self.publish(topic, id_, key, number, ago + delay, (wrong or 0) + delay, partition)

    def trap(self, seat: int, unit: str, effect: str, countdown: int, harm: str, lasts: Micros) -> None:
        """Let harm await a process, or the next one in its seat."""
        process, trap = self._world.seats.get(seat), Trap(unit, effect, countdown, harm, lasts)
        if process is None or process.is_dead or process.is_stopping:
            self._world.traps.setdefault(seat, []).append(trap)
        else:
            process.traps.append(trap)

    def trouble(self, seat: int, trouble: str) -> None:
        """Let Kafka make trouble for a process."""
        process = self._world.seats.get(seat)
        if process is not None and not process.is_dead:
            process.troubles.append(trouble)

    def answer(self, answer: str) -> None:
        """Let a create meet an answer."""
        self._world.cluster.answer_next(answer)

    def stop(self, seat: int) -> None:
        """Stop a process in good order."""
        process = self._world.seats.get(seat)
        if process is not None:
            process.is_stopping = True

    def join(self) -> None:
        """Let one more process join."""
        seat = len(self._world.seats)
        if seat < _MORE_SEATS:
            self._world.start(seat)

    def edit(self, number: int, change: str) -> None:
        """Edit, delete or restore a trigger file."""
        files, first = self._world.files, self._world.script.triggers
        if number >= len(first):
            return
        if change == "delete":
            files.pop(number, None)
        elif change == "restore":
            files[number] = first[number]
        elif number in files:
            files[number] = edited(files[number], change)

    def mount(self, path: str) -> None:
        """Mount the trigger files elsewhere: every process is started again with the new path."""
        self._world.path = path
        for process in self._world.living():
            process.is_stopping = True

    def upgrade(self, seat: int) -> None:
        """Let the newer version run in a seat, or the older one again."""
        self._world.newer_seats ^= {seat}
        self.stop(seat)

    def deploy(self, number: int, which: str) -> None:
        """Write a trigger file that only the newer version can read."""
        self._world.files[number] = of_the_newer_version(which)

    def compact(self, topic: str) -> None:
        """Compact an internal topic."""
        self._world.history.note()
        self._world.broker.compact(self._world.topics.prefix + topic)

    def retain(self, topic: str) -> None:
        """Drop what routers have read of a topic."""
        found = self._world.broker.topics[topic]
        committed = self._world.broker.group(group_of(self._world.topics, "router")).committed
        for log in found.logs:
            note = committed.get(log.partition)
            if note is None or log.partition in self._world.broker.leaderless:
                continue
            if note.offset <= log.end and read_note(note).topic_id == found.id:
                self._world.broker.expire_below(log.partition, note.offset)

    def lose(self, topic: str) -> None:
        """Let retention take what nobody has read yet of a partition, two events that come just now among it."""
        world = self._world
        (log, *_) = world.broker.topics[topic].logs
        if log.partition in world.broker.leaderless:
            return
        for _ in range(2):
            self._lost += 1
            self.publish(topic, f"lost{self._lost}", "k0", LOST_DIGIT, 0, None, log.partition.number)
        if log.stable_end == log.end:  # else a publisher's transaction is open
            world.routing.lose(log)
            world.broker.expire_below(log.partition, log.end)

    def recreate(self, topic: str) -> None:
        """Delete a topic and create it again."""
        partitions = len(self._world.broker.topics[topic].logs)
        self._world.broker.delete(topic)
        self._world.routing.forget_topic(topic)
        self._world.broker.create(self._world.event_topic(topic, partitions))

    def grow(self, topic: str) -> None:
        """Add a partition to a topic."""
        self._world.broker.grow(topic, len(self._world.broker.topics[topic].logs) + 1)

    # -- replays -------------------------------------------------------------------------------------------------------

    def replay(self, name: str, number: int, ago: Micros | None, concurrency: int, rate: float | None) -> None:
        """Let somebody replay a trigger: what came since a moment, or all."""
        world, triggers = self._world, self._world.script.triggers
        if number < len(triggers):
            start = None if ago is None else world.now - ago
            world.replays.ask(name, triggers[number].identity, start, concurrency, rate)

    def replay_trap(self, name: str, effect: str, countdown: int, harm: str, lasts: Micros) -> None:
        """Let harm await the process of a replay, or its next one."""
        self._world.replays.trap(name, Trap("replay", effect, countdown, harm, lasts))

    def replay_change(self, name: str, what: str) -> None:
        """Let somebody pause, resume, cancel, kill a replay, or take it over."""
        getattr(self._world.replays, what.replace(" ", "_"))(name)
