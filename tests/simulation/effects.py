"""The effects of a process on Kafka, each with a place right before and right after it.

The in-memory clients do the work; here a process may come to harm at each place (:meth:`Victim.reach`), Kafka may give
it trouble (:meth:`Victim.meets`), and each commit is told to whoever watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from bridge.core.decision import Decision, RunDecision
from bridge.core.event import Micros
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import AbortableError, Committed, Headers, LogError, Partition, Record
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.broker import Client
from bridge.kafka.memory.consumer import MemoryConsumer, MemoryReader
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.memory.producer import MemoryProducer
from bridge.kafka.records import LEDGER_ENTRY, TICK
from flowbridge_sdk.codec import Decoder
from simulation.versions import Format

STAGES = ("controller", "router", "matcher", "submitter")
_ALWAYS = ("poll", "begin", "offsets", "commit", "commit", "abort", "ask", "fence", "restore")
_OF_STAGE = {
    "controller": ("produce",),
    "router": ("decode", "produce"),
    "matcher": ("decode", "produce", "changelog", "tick"),
    "submitter": ("intent", "outcome"),
    "create": ("create",),
}
EFFECTS = {
    stage: tuple(
        f"{moment} {effect}"
        for effect in (*own, *(() if stage == "create" else _ALWAYS))
        for moment in ("before", "after")
    )
    for stage, own in _OF_STAGE.items()
}
"""Where each unit of a process can come to harm; some more often than others."""

TROUBLES = ("answer lost", "answer late", "commit refused", "offsets refused", "send lost", "poll failed", "ask failed")
"""What Kafka does to one call: a commit whose outcome is asked for again, a record that was not acknowledged, …"""

_state = LEDGER_ENTRY.only("state")


class Written:
    """What one transaction holds beside its offsets.

    Attributes:
        stage: Who wrote it, by its transactional id.
        records: Topic, partition and value of each record.
        decisions: What was decided in it.
        applied: Offset of ``triggers`` that its stage had applied when it began.

    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.applied = 0
        self.records: list[tuple[str, int, bytes | None]] = []
        self.decisions: Sequence[Decision | RunDecision] = ()


class Victim(Protocol):
    """A process to which things happen."""

    def reach(self, effect: str) -> None:
        """Come to a place."""

    def meets(self, trouble: str) -> bool:
        """Tell whether a trouble happens here and now."""

    def wait(self, lasts: Micros) -> None:
        """Stand still in the middle of a create."""

    def purges(self) -> None:
        """Hear that records are about to be deleted."""

    def format(self) -> Format | None:
        """Return what other format the process's version writes and reads."""

    def committed(self, written: Written) -> None:
        """Have committed."""


class HarmedProducer(MemoryProducer):
    """A producer at whose calls a process may come to harm."""

    def __init__(self, broker: MemoryBroker, client: Client, name: str, victim: Victim, topics: InternalTopics) -> None:
        super().__init__(broker, client, name)
        self._name = name
        self._victim = victim
        self._topics = topics
        self._is_done = False
        self._is_spoiled = False
        self.written = Written(name)

    def begin(self) -> None:
        self._victim.reach("before begin")
        super().begin()
        self.written = Written(self._name)
        self._is_done = self._is_spoiled = False
        self._victim.reach("after begin")

    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        effect = self._effect(topic, value)
        self._victim.reach(f"before {effect}")
        if self._victim.meets("send lost"):
            self._is_spoiled = True
        else:
            format_ = self._victim.format()
            sent = value if format_ is None else format_.written(value)
            super().send(topic, partition, key, sent, headers)
            self.written.records.append((topic, partition, value))
        self._victim.reach(f"after {effect}")

    def _effect(self, topic: str, value: bytes | None) -> str:
        if topic == self._topics.windows:
            return "changelog"
        if topic == self._topics.arrivals and value is not None and value.startswith(TICK.prefix):
            return "tick"
        if topic == self._topics.ledger and value is not None:
            return "intent" if _state(value)[0] in ("intent", "parked") else "outcome"
        return "produce"

    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        self._victim.reach("before offsets")
        if self._victim.meets("offsets refused"):
            raise AbortableError("the coordinator has moved")
        super().send_offsets(offsets, metadata)
        self._victim.reach("after offsets")

    def commit(self) -> None:
        if self._is_done:  # it was committed, only nobody had heard of it
            return
        self._victim.reach("before commit")
        if self._is_spoiled or self._victim.meets("commit refused"):
            raise AbortableError("a record was not acknowledged")
        if self._victim.meets("answer late"):
            raise LogError("the commit takes longer than the client waits")
        super().commit()
        self._is_done = True
        self._victim.committed(self.written)
        self._victim.reach("after commit")
        if self._victim.meets("answer lost"):
            raise LogError("the commit was not answered")

    def abort(self) -> None:
        self._victim.reach("before abort")
        super().abort()
        self._victim.reach("after abort")


class HarmedConsumer(MemoryConsumer):
    """A consumer at whose polls a process may come to harm."""

    def __init__(self, broker: MemoryBroker, client: Client, group: str, victim: Victim) -> None:
        super().__init__(broker, client, group, None)
        self._victim = victim

    def poll(self, seconds: float, limit: int = 500) -> list[Record]:
        self._victim.reach("before poll")
        if self._victim.meets("poll failed"):
            raise LogError("all brokers are down")
        records = super().poll(seconds, limit)
        self._victim.reach("after poll")
        format_ = self._victim.format()
        return records if format_ is None else [format_.read(record) for record in records]


class HarmedAdmin(MemoryAdmin):
    """An admin client at whose questions about owners a process may come to harm."""

    def __init__(self, broker: MemoryBroker, client: Client, victim: Victim) -> None:
        super().__init__(broker, client)
        self._victim = victim

    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        self._victim.reach("before ask")
        if self._victim.meets("ask failed"):
            raise LogError("the coordinator does not answer")
        found = super().committed(group, partitions, stable=stable)
        self._victim.reach("after ask")
        return found

    def purge(self, offsets: Mapping[Partition, int]) -> None:
        self._victim.purges()
        super().purge(offsets)

    def fence(self, transactional_id: str) -> None:
        self._victim.reach("before fence")
        super().fence(transactional_id)
        self._victim.reach("after fence")


class HarmedReader(MemoryReader):
    """A reader during whose reading a process may come to harm."""

    def __init__(self, broker: MemoryBroker, client: Client, victim: Victim, *, hidden: bool) -> None:
        super().__init__(broker, client, hidden=hidden)
        self._victim = victim

    def read(self, partition: Partition, start: int, end: int) -> Iterator[list[Record]]:
        self._victim.reach("before restore")
        format_ = self._victim.format()
        for records in super().read(partition, start, end):
            yield records if format_ is None else [format_.read(record) for record in records]
        self._victim.reach("after restore")


class HarmedLog(MemoryLog):
    """One process's connection to Kafka."""

    def __init__(self, broker: MemoryBroker, victim: Victim, topics: InternalTopics) -> None:
        super().__init__(broker)
        self._victim = victim
        self._topics = topics

    def consumer(self, group: str, *, instance: str | None = None) -> HarmedConsumer:
        del instance
        return HarmedConsumer(self.broker, self._client, group, self._victim)

    def producer(self, transactional_id: str) -> HarmedProducer:
        return HarmedProducer(self.broker, self._client, transactional_id, self._victim, self._topics)

    def reader(self, *, hidden: bool = False) -> HarmedReader:
        return HarmedReader(self.broker, self._client, self._victim, hidden=hidden)

    def admin(self) -> HarmedAdmin:
        return HarmedAdmin(self.broker, self._client, self._victim)


class HarmedDecoder:
    """A decoder of events at whose work a process may come to harm."""

    def __init__(self, victim: Victim) -> None:
        self._inner = Decoder()
        self._victim = victim
        self.fingerprints = self._inner.fingerprints

    def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> Mapping[str, Any]:
        """Return the payload of an event."""
        self._victim.reach("before decode")
        payload = self._inner.decode(topic, value, headers)
        self._victim.reach("after decode")
        return payload
