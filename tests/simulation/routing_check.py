"""What routers have to write: each event at each slot exactly once, by the definitions that its batch was routed under.

The offsets that the routers' group commits say what was routed, and the note beside each says by which definitions.
So this computes, commit by commit, every arrival, run and decision that has to be; the logs are held against it at the
end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from bridge.core.decision import Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Event, EventIdentity, Micros
from bridge.core.route import Accepted, route
from bridge.kafka.log import Committed, Partition, Record
from bridge.kafka.memory.log import MemoryBroker
from bridge.kafka.memory.partition import PartitionLog
from bridge.kafka.ownership import Note, read_note
from bridge.kafka.records import ARRIVAL, TICK
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import read_headers
from simulation.history import committed_records
from simulation.trigger_log import TriggerLog

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class _Lost(NamedTuple):
    """What retention took before everybody had read it."""

    up_to: int
    records: list[Record]


UNTOLD: Micros = 0
"""When an event reached us, where that is not told by its record; see :mod:`simulation.reached_check`."""


class Arrived(NamedTuple):
    """An arrival, as it has to be in the log."""

    trigger: str
    definition: str
    slot: int
    key: str
    source: str
    id: str
    time: Micros
    reached: Micros


class Decided(NamedTuple):
    """A decision on an event without its evidence."""

    trigger: str
    slot: str
    event: EventIdentity
    reason: Reason


class Asked(NamedTuple):
    """A run that has to be asked for: the events of a match, by slot."""

    trigger: str
    definition: str
    key: str
    events: tuple[tuple[str, EventIdentity], ...]


class PassedGapError(AssertionError):
    """A router went on behind what was lost, and nobody had decided that."""


class RoutingCheck:
    """Follows the commits of the routers.

    Attributes:
        arrivals: Each arrival that has to be.
        runs: Each run that has to be asked for by a router.
        decisions: Each decision that has to be made by a router.
        is_uncertain: A topic that was created again was read on before anybody knew: what was routed of it by then is
            routed once more from its beginning.
        read_on: How far such a topic was read then, by its id and partition.
        lost_offsets: What routers do about an offset that the log no longer holds.

    """

    def __init__(
        self,
        broker: MemoryBroker,
        triggers: TriggerLog,
        lost_offsets: Literal["hold", "continue"],
        stamping: str,
    ) -> None:
        self._broker = broker
        self._triggers = triggers
        self._decoder = Decoder()
        self._poison: Collection[Place] = ()
        self._committed: dict[Partition, Committed] = {}
        self.arrivals: Counter[Arrived] = Counter()
        self.runs: Counter[Asked] = Counter()
        self.decisions: Counter[Decided] = Counter()
        self.is_uncertain = False
        self.read_on: dict[tuple[str, int], int] = {}
        self.lost_offsets = lost_offsets
        self._lost: dict[tuple[str, int], list[_Lost]] = {}
        self._is_told = stamping == "LogAppendTime"

    def follow(self, committed: dict[Partition, Committed], poison: Collection[Place]) -> None:
        """Take note of what the routers' group has committed now, and of the records that were set aside with it."""
        self._poison = poison
        for place, note in committed.items():
            before = self._committed.get(place)
            if note != before:
                self._committed[place] = note
                self._routed(place, before, note)

    def forget_topic(self, topic: str) -> None:
        """A topic is gone, and its offsets with it."""
        self._committed = {place: note for place, note in self._committed.items() if place.topic != topic}

    def _routed(self, place: Partition, before: Committed | None, now: Committed) -> None:
        topic, note = self._broker.topics[place.topic], read_note(now)
        if note.topic_id and note.topic_id != topic.id:
            self.is_uncertain = True
            self.read_on[topic.id, place.number] = max(now.offset, self.read_on.get((topic.id, place.number), 0))
            return
        begin = self._begin(place, before, note)
        for record in self._read(topic.logs[place.number], begin, now.offset):
            event = self._event(record)
            is_poison = (record.topic, record.partition, record.offset) in self._poison
            for definition in self._triggers.at(note.triggers).reading(place.topic):
                for slot in definition.slots_for(event.name):
                    if is_poison:
                        identity = EventIdentity(
                            topic.name, topic.name, f"{place.topic}/{place.number}/{record.offset}"
                        )
                        variable = slot.slot.variable
                        self.decisions[Decided(definition.identity, variable, identity, Reason.POISON)] += 1
                    else:
                        self._expect(definition, slot, event)

    @property
    def has_lost(self) -> bool:
        """Tell whether anything was ever lost."""
        return bool(self._lost)

    def lose(self, log: PartitionLog) -> None:
        """All of a partition is about to be lost; nobody stands at its end, since its last record came just now."""
        key = (self._broker.topics[log.partition.topic].id, log.partition.number)
        self._lost.setdefault(key, []).append(_Lost(log.end, committed_records(log, 0, log.end)))

    def _read(self, log: PartitionLog, begin: int, end: int) -> Iterator[Record]:
        """Yield what was routed between two offsets: what was lost, if it was polled before, and what was not."""
        key = (self._broker.topics[log.partition.topic].id, log.partition.number)
        lost = self._lost.get(key, ())
        passed = max((loss.up_to for loss in lost if begin < loss.up_to <= end), default=begin)
        if passed > begin and self.lost_offsets == "hold":
            raise PassedGapError(f"routers are at {end} of {log.partition}, and nobody decided to pass {passed}")
        for loss in lost:
            yield from (record for record in loss.records if passed <= record.offset < end)
        yield from committed_records(log, passed, end)

    def _begin(self, place: Partition, before: Committed | None, note: Note) -> int:
        start = self._triggers.at(note.triggers).starts.get(place.topic)
        if before is not None:
            former = read_note(before)
            if start is None or (former.triggers >= start.written and former.topic_id == start.topic_id):
                return before.offset
        return start.offsets[place.number] if start is not None and place.number < len(start.offsets) else 0

    def _event(self, record: Record) -> Event:
        topic, partition, offset, timestamp, _, value, headers = record
        name, id_, source, time = read_headers(headers, topic, partition, offset, timestamp)
        return Event(name, source, id_, time, timestamp * 1000, None, self._decoder.decode(topic, value, headers))

    def _expect(self, definition: Definition, slot: CompiledSlot, event: Event) -> None:
        routed = route(definition, slot, event)
        trigger, variable = definition.identity, slot.slot.variable
        if not isinstance(routed, Accepted):
            self.decisions[Decided(trigger, variable, event.identity, routed.reason)] += 1
        elif definition.trigger.is_windowed:
            place = (trigger, definition.hash, slot.index, routed.key)
            whole = Arrived(*place, event.source, event.id, event.time, event.reached if self._is_told else UNTOLD)
            self.arrivals[whole] += 1
        else:
            self.decisions[Decided(trigger, variable, event.identity, Reason.MATCHED)] += 1
            self.runs[Asked(trigger, definition.hash, routed.key, ((variable, event.identity),))] += 1


def arrived(records: list[Record], stamping: str) -> Counter[Arrived]:
    """Return the arrivals among records."""
    found: Counter[Arrived] = Counter()
    for record in records:
        if record.value is not None and not record.value.startswith(TICK.prefix):
            arrival = ARRIVAL.decode(record.value)
            place = (arrival["trigger"], arrival["definition"], arrival["slot"], arrival["key"])
            reached = arrival["reached"] if stamping == "LogAppendTime" else UNTOLD
            found[Arrived(*place, arrival["source"], arrival["id"], arrival["time"], reached)] += 1
    return found
