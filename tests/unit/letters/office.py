"""A world with dead letters, and a person who deals with them as the commands do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

from bridge.core.trigger import Slot, Trigger
from bridge.kafka.log import Log, Record
from bridge.kafka.memory.log import MemoryLog
from bridge.letters.dealing import Dealing, Progress
from bridge.letters.judging import Judge, Verdict
from bridge.letters.letter import Choice, Letter, LetterState
from bridge.letters.letter_log import LetterLog, LetterOwner
from bridge.letters.way_back import WayBack
from bridge.replay.frozen import read_recorded
from bridge.replay.recorded import Recorded
from bridge.stages.shared.dead_letters import Cause
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.submitter.templates import Templates
from unit.stages.world import World, one_slot

TOPIC = "order.created"
EVERY = Choice(states=frozenset(LetterState))
OPEN = Choice()


def keyed(key: str) -> Trigger:
    """Return a trigger of one slot with a key; each of its events without the field is a dead letter."""
    return replace(one_slot(), slots=(Slot(TOPIC, "order_created", key=key),))


class Office:
    """What a person's process has."""

    def __init__(self, world: World, log: Log | None = None) -> None:
        self.world = world
        self.log = log or MemoryLog(world.broker)
        self.letters = LetterLog(self.log, world.topics)
        self.definitions = Definitions(self.log, world.topics.triggers, lambda: world.now)
        self.definitions.refresh()

        @cache
        def recorded(trigger: str) -> Recorded:
            runs = Recorded(trigger)
            read_recorded(self.log, world.topics, runs)
            return runs

        self._recorded = recorded

    def read(self, choice: Choice = OPEN) -> list[Letter]:
        return list(self.letters.read(choice))

    def way(self, *, is_named: bool = False) -> WayBack:
        topics = self.log.admin().topics()
        clock = lambda: self.world.now  # noqa: E731
        return WayBack(self.world.topics, topics, self.definitions, self._recorded, clock, is_named=is_named)

    def judge(self) -> Judge:
        clock = lambda: self.world.now  # noqa: E731
        templates = Templates(self.world.api, clock, Random(1))
        decoder = EventDecoder(self.world.decoder, clock)
        return Judge(self.world.topics, self.definitions, decoder, templates, clock)

    def verdict(self, letter: Letter) -> Verdict:
        return self.judge().verdict(letter, self.way().of(letter))

    def retry(
        self,
        choice: Choice = OPEN,
        *,
        rate: float | None = None,
        limit: int | None = None,
        is_named: bool = False,
        wait: Callable[[float], bool] = lambda _: False,
    ) -> Progress:
        owner = LetterOwner(self.log, self.world.topics, "ann@host")
        clock = lambda: self.world.now  # noqa: E731
        dealing = Dealing(owner, Cause.RETRY, "mended", clock, clock, wait, lambda _: None)
        letters = self.letters.read(choice, is_current=True)
        progress = dealing.all(letters, self.way(is_named=is_named).of, rate=rate, limit=limit)
        owner.close()
        return progress

    def discard(self, choice: Choice = OPEN) -> Progress:
        owner = LetterOwner(self.log, self.world.topics, "ann@host")
        clock = lambda: self.world.now  # noqa: E731
        dealing = Dealing(owner, Cause.DISCARD, "a test", clock, clock, lambda _: False, lambda _: None)
        progress = dealing.all(self.letters.read(choice, is_current=True), lambda _: None)
        owner.close()
        return progress


def with_letters(count: int = 5, *, trigger: Trigger | None = None) -> World:
    """Return a world in which a bridge has written that many dead letters, because its trigger has a wrong key."""
    world = World(trigger or keyed("payload.none"))
    world.start()
    world.run(3)
    for number in range(count):
        world.publish(TOPIC, {"order": str(number)}, id=f"e{number}", partition=number % 2)
    world.run(3)
    return world


def mend(world: World) -> None:
    """Correct the trigger."""
    world.triggers = [keyed("payload.order")]
    world.run(5)


def sent(world: World, topic: str = TOPIC) -> Counter[str]:
    """Return how often the event of each letter is in its topic, by the letter's name."""
    records: list[Record] = list(world.records(topic))
    found: list[bytes] = [dict(record.headers)["flowbridge-letter"] for record in records if is_sent(record)]
    return Counter(name.decode() for name in found)


def is_sent(record: Record) -> bool:
    return "flowbridge-letter" in dict(record.headers)
