"""The port to Kafka: only what the stages need of a log.

Two packages implement it: :mod:`bridge.kafka.confluent.log` on real brokers (and librdkafka's mock cluster), and
:mod:`bridge.kafka.memory.log` for tests and simulation. One contract suite (``tests/contract/test_log.py``) holds both.

Everything read through this port is read-committed, except where a person asks what an open transaction hides.
Everything written is written in transactions.
Timestamps are milliseconds since the epoch, as in Kafka.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]

_COMMIT_TRIES = 5  # each waits in the client for as long as a transaction may take

LARGEST_RECORD = 4 * 1024 * 1024
"""Bytes: an event's payload of 1 MiB in the largest envelope, several times over."""

FETCHED_BYTES = 16 * 1024 * 1024
"""Most bytes of records that a consumer buffers and that a poll returns; a poll may exceed it by one batch."""

MISSING = "it does not exist"
DENIED = "we may not read it"
HIDDEN = "we may not even describe it"
LEADERLESS = "it has no leader"


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record that was read. ``timestamp`` is in milliseconds; the broker's on topics with LogAppendTime."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Committed(NamedTuple):
    """A group's committed offset of a partition, and the text that was committed with it."""

    offset: int
    metadata: str


@dataclass(frozen=True)
class TopicSpec:
    """A topic to be created. ``config`` holds Kafka's topic settings by their names."""

    name: str
    partitions: int
    replication: int = -1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicInfo:
    """A topic as it is. ``id`` is empty where the broker has none to tell (the mock cluster)."""

    name: str
    id: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class LogError(Exception):
    """Kafka could not do it now; the same call may succeed later."""


class AbortableError(LogError):
    """The open transaction cannot be committed: abort it, forget its effects, seek back."""


class FencedError(LogError):
    """Another owner of the same transactional id, or of the group's generation, has taken over: reopen the stage."""


class UnansweredError(LogError):
    """Some partitions cannot be asked now: they have no leader, or we may not ask.

    A caller that needs every answer lets it pass as the error that it is. A caller that can go on with the others
    takes what was answered.

    Attributes:
        answered: What is known, as the question would have returned it.
        unanswered: Why each of the other partitions cannot be asked.

    """

    def __init__(self, answered: Mapping[Partition, Any], unanswered: Mapping[Partition, str]) -> None:
        reasons = ", ".join(f"{topic}/{number} ({why})" for (topic, number), why in sorted(unanswered.items()))
        super().__init__(f"no answer from Kafka about {reasons}")
        self.answered = dict(answered)
        self.unanswered = dict(unanswered)


class UnreadableTopicError(LogError):
    """A topic cannot be read: it does not exist, or we may not read it. The other topics go on."""

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"topic {topic} cannot be read: {why}")
        self.topic = topic
        self.why = why


class UnfetchableError(LogError):
    """A batch at this offset cannot be fetched, and another try cannot help; the partition is paused."""

    def __init__(self, partition: Partition, offset: int, why: str) -> None:
        super().__init__(f"{partition.topic}/{partition.number} cannot be read at offset {offset}: {why}")
        self.partition = partition
        self.offset = offset


class OffsetLostError(LogError):
    """The log no longer holds the offset to be read next."""

    def __init__(self, partition: Partition, offset: int) -> None:
        super().__init__(f"offset {offset} of {partition.topic}/{partition.number} is no longer in the log")
        self.partition = partition
        self.offset = offset


class Rebalance(Protocol):
    """What a member is told of its partitions. All are called from inside :meth:`GroupConsumer.poll` or ``close``."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Take partitions on; return the offset at which each is begun. Their former owner has let them go.

        A member for which nothing is left is told of no partitions once it has joined.
        """

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish and release the partitions; committing is still allowed."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget the partitions: another member may own them already. Committing is not allowed."""


class GroupConsumer(ABC):
    """A member of a consumer group: cooperative, read-committed, committing only through a transaction."""

    @abstractmethod
    def subscribe(self, topics: Iterable[str], rebalance: Rebalance) -> None:
        """Join with these topics, or replace the topics of a member that has joined; without any it gives all up."""

    @abstractmethod
    def poll(self, seconds: float, limit: int = 500) -> list[Record]:
        """Return up to ``limit`` records, waiting at most ``seconds`` for the first.

        Where records are large, :data:`FETCHED_BYTES` make it fewer.

        Rebalance calls are served in here; a partition that was revoked or lost meanwhile has no record in the answer.

        Raises:
            OffsetLostError: A partition's next offset is not in the log; that partition stands still (paused), and the
                next poll goes on with the others.
            UnfetchableError: What a partition holds next cannot be fetched; the same.
            UnreadableTopicError: A topic is missing or forbidden; the next poll goes on with the others.
            LogError: Anything else that Kafka reported; poll again.

        """

    @abstractmethod
    def positions(self) -> dict[Partition, int]:
        """Return the next offset of each assigned partition: behind what was polled, and behind markers."""

    @abstractmethod
    def seek(self, partition: Partition, offset: int) -> None:
        """Go on at ``offset``."""

    @abstractmethod
    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no more of these partitions until they are resumed; polling goes on."""

    @abstractmethod
    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return these partitions again."""

    @abstractmethod
    def metadata(self) -> Any:
        """Return the group metadata of this moment, for :meth:`TransactionalProducer.send_offsets`."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group at once; ``revoked`` is called for what is still owned."""


class TransactionalProducer(ABC):
    """A producer with a transactional id. Not for use by several threads."""

    @abstractmethod
    def init(self) -> None:
        """Fence the former producer of the transactional id, and end its open transaction.

        Raises:
            LogError: Kafka did not answer in time.

        """

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction."""

    @abstractmethod
    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Add a record to the open transaction; waits while the buffer is full."""

    @abstractmethod
    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        """Add the group's offsets to the open transaction, under the metadata taken when the batch began.

        Raises:
            FencedError: As for :meth:`commit`.
            AbortableError: The group has moved on to another generation, or the transaction is broken.

        """

    @abstractmethod
    def commit(self) -> None:
        """Commit the open transaction.

        Raises:
            FencedError: Another owner took over; this producer is of no use any more.
            AbortableError: Nothing of it was committed; abort.
            LogError: The outcome is not known yet; call again.

        """

    @abstractmethod
    def abort(self) -> None:
        """Abort the open transaction. Raises FencedError as :meth:`commit` does."""

    @abstractmethod
    def close(self) -> None:
        """Close the client; an open transaction is aborted if that can be done at once."""


def transact(
    producer: TransactionalProducer,
    records: Sequence[tuple[str, int, bytes | None, bytes | None, Headers | None]],
) -> None:
    """Send records in one transaction, again if it is aborted.

    Args:
        producer: The producer.
        records: Topic, partition, key, value and headers of each.

    Raises:
        FencedError: Another process has the transactional id now.
        LogError: Kafka did not answer, or refuses. It is not known whether the records were sent.

    """
    for tries in range(_COMMIT_TRIES):
        producer.begin()
        try:
            for record in records:
                producer.send(*record)
            _commit(producer)
        except AbortableError:
            producer.abort()
            if tries == _COMMIT_TRIES - 1:
                raise
        else:
            return


def _commit(producer: TransactionalProducer) -> None:
    for tries in range(_COMMIT_TRIES):
        try:
            producer.commit()
        except AbortableError:
            raise
        except LogError as error:
            if type(error) is not LogError or tries == _COMMIT_TRIES - 1:
                raise
        else:
            return


class Reader(ABC):
    """Reads partitions without a group: changelogs, the ledger, ``triggers``."""

    @abstractmethod
    def read(self, partition: Partition, start: int, end: int) -> Iterator[list[Record]]:
        """Yield the committed records in [start, end), in order, until the *position* has reached ``end``.

        A reader of hidden records yields all records, also those of transactions that are open or were aborted.

        If ``start`` is below the first offset that the log still holds, reading begins at that offset. If all records
        before ``end`` have expired, the call yields nothing and returns at once.

        Raises:
            LogError: No record came for longer than the reader's patience, or Kafka does not say where the log begins.

        """

    def rest(self) -> None:  # noqa: B027  (a reader without connections has none to close)
        """Close the connections until the next call of :meth:`read`, which may be long after this one."""

    @abstractmethod
    def close(self) -> None:
        """Close the client."""


class RangeReader(ABC):
    """Reads several partitions at once, without a group: the past that a replay reads."""

    @abstractmethod
    def poll(self, seconds: float) -> list[Record]:
        """Return committed records, those of a partition in order, waiting at most ``seconds`` for the first.

        Raises:
            LogError: Kafka reported trouble. Poll again, unless the trouble stays.

        """

    @abstractmethod
    def positions(self) -> dict[Partition, int]:
        """Return the next offset of each partition: behind what was polled, and behind markers."""

    @abstractmethod
    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no more of these partitions until they are resumed."""

    @abstractmethod
    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return these partitions again."""

    @abstractmethod
    def close(self) -> None:
        """Close the client."""


class Admin(ABC):
    """Requests to the brokers. Safe for several threads.

    A request about partitions returns true offsets only. It leaves out a partition that does not exist, as far as the
    answering broker knows. If a partition cannot be asked now (its leader is away, or we may not ask), the call raises
    :class:`UnansweredError`, which carries the answers about the other partitions.
    """

    @abstractmethod
    def topics(self) -> dict[str, int]:
        """Return the partition count of each topic that we may describe; a stale broker may leave a topic out."""

    @abstractmethod
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        """Return those of the named topics that exist.

        Raises:
            LogError: Also where we may not describe one of them; :meth:`unreadable` tells which.

        """

    @abstractmethod
    def unreadable(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of the named topics cannot be read now, and why: they do not exist, or we may not read them."""

    @abstractmethod
    def create(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics; a topic that exists already stays as it is."""

    @abstractmethod
    def start_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the first offset that each partition still holds."""

    @abstractmethod
    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the true end (high watermark), open transactions included."""

    def all_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the true end of each of these partitions; no answer about one is an error, never an empty partition.

        Raises:
            UnansweredError: Some partitions have no answer, because they do not exist or cannot be asked.

        """
        asked = list(partitions)
        ends = self.end_offsets(asked)
        unknown = {partition: "the broker does not know it" for partition in asked if ends.get(partition, -1) < 0}
        if unknown:
            raise UnansweredError(ends, unknown)
        return ends

    @abstractmethod
    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the last stable offsets: where readers stop while a transaction is open."""

    @abstractmethod
    def offsets_at(self, partitions: Iterable[Partition], timestamp: int) -> dict[Partition, int]:
        """Return the first offset at or after ``timestamp`` (ms); the end where there is none."""

    @abstractmethod
    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        """Return the group's committed offsets; partitions without one are left out.

        Args:
            group: The consumer group.
            partitions: The partitions asked for.
            stable: Wait until no transaction on them is pending. Otherwise answer at once, with the older offset.

        """

    @abstractmethod
    def fence(self, transactional_id: str) -> None:
        """End the open transaction of that id, and refuse its producer from now on."""

    @abstractmethod
    def purge(self, offsets: Mapping[Partition, int]) -> None:
        """Delete the records below these offsets."""

    def rest(self) -> None:  # noqa: B027  (an admin without connections has none to close)
        """Close the connections that :meth:`committed` has opened, until its next call, which may be much later."""

    @abstractmethod
    def close(self) -> None:
        """Close the client."""


class Log(ABC):
    """A connection to one Kafka cluster. It makes the clients that stages and replays use."""

    @abstractmethod
    def consumer(self, group: str, *, instance: str | None = None) -> GroupConsumer:
        """Return a member of ``group``; static under ``instance`` when one is given."""

    @abstractmethod
    def producer(self, transactional_id: str) -> TransactionalProducer:
        """Return a producer; call ``init`` before its first transaction."""

    @abstractmethod
    def reader(self, *, hidden: bool = False) -> Reader:
        """Return a reader.

        Args:
            hidden: It reads the records of open and aborted transactions, too. No stage may decide by them.

        """

    @abstractmethod
    def ranges(self, starts: Mapping[Partition, int]) -> RangeReader:
        """Return a reader of partitions from these offsets on.

        Args:
            starts: The first offset of each partition; the log still holds it, or it is the partition's end.

        """

    @abstractmethod
    def admin(self) -> Admin:
        """Return an admin client."""
