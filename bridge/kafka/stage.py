"""The interface of a stage: the part of its life that differs from the other stages.

The loop (:mod:`bridge.kafka.loop`) owns the order in which these methods are called, and the transaction around them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping

from bridge.core.decision import Reason
from bridge.core.event import SECOND, Micros
from bridge.kafka.log import Committed, Partition, Record, UnreadableTopicError
from bridge.kafka.outbox import Discard, Outbox

BATCH_TIME: Micros = 2 * SECOND
"""After this time a batch ends and leaves its other records to the next batch: a transaction may last 10 s in all."""

BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of values that a batch sends before it ends: many triggers may read a few large events."""


class Stage(ABC):
    """One of controller, router, matcher, submitter.

    State in memory changes only in :meth:`take`, :meth:`drop` and :meth:`process`. A stage never undoes: after a
    transaction that failed the loop drops the partitions and takes them again from the log.
    """

    name: str
    by_partition = False
    """Whether the state of a partition changes only by records of that partition. If so, the state of a partition of
    which nothing was read since the last commit stays valid, also after a transaction that failed."""
    is_careful = False
    """Whether records are processed one by one after a process that ended without releasing its partitions; see
    :mod:`bridge.kafka.suspects`."""
    purges = False
    """Whether records below the committed offset may be deleted: the stage is their only reader."""

    @property
    def remark(self) -> str:
        """Return what a person who asks whether the stage is ready should know; empty for nothing."""
        return ""

    @abstractmethod
    def topics(self) -> frozenset[str]:
        """Return the topics to read now."""

    def applied(self) -> int:
        """Return the offset of ``triggers`` up to which definitions are applied; committed with each offset."""
        return 0

    def topic_id(self, topic: str) -> str:
        """Return Kafka's id of a topic as the stage knows it; committed with each offset."""
        del topic
        return ""

    def begin(
        self, partitions: Collection[Partition], committed: Mapping[Partition, Committed]
    ) -> dict[Partition, int]:
        """Return the offset at which each partition is begun: the group's committed offset, or 0 without one."""
        return {partition: committed[partition].offset if partition in committed else 0 for partition in partitions}

    @abstractmethod
    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Take partitions on: restore the state that belongs to these offsets."""

    @abstractmethod
    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget all state of partitions."""

    @abstractmethod
    def process(self, records: deque[Record], out: Outbox) -> None:
        """Take records from the left and send their effects. The transaction does not pass records that are left.

        Also called without records when :meth:`is_due`. ``out.at`` says what is processed: an exception rejects it.
        """

    def is_tried(self, partition: Partition) -> bool:
        """Return whether a former owner may have acted outside of Kafka on a partition's next record; it is noted."""
        del partition
        return False

    def may_kill(self, record: Record) -> bool:
        """Return whether a record may be set aside as poison, so that it is noted before it is processed alone."""
        del record
        return True

    def try_out(self, record: Record) -> None:
        """Process a record without keeping anything, in a child process, where no client of Kafka can be used."""
        self.process(deque([record]), Discard())

    def set_aside(self, record: Record, reason: Reason, text: str, out: Outbox) -> None:
        """Give up a record that cannot be processed: decide about it, and keep it as a dead letter.

        Each stage that reads records says how; the controller reads none.

        Args:
            record: The record, in a transaction of its own.
            reason: ``failed`` if its processing raised an exception, ``poison`` if it killed the process.
            text: What happened.
            out: Takes decisions and the dead letter.

        """
        del reason, out
        raise NotImplementedError(  # a bug: a stage that reads records has to keep what it gives up
            f"{self.name} cannot set {record.topic}/{record.partition} aside: {text}"
        )

    def record_failure(self, culprit: object, text: str) -> bool:
        """Learn that the processing of a culprit that is no record raised an exception; all of the batch is undone.

        Returns:
            Whether the stage gives the culprit up when it meets it again. If not, the exception stops the process.

        """
        del culprit, text
        return False

    def is_due(self, now: Micros) -> bool:
        """Return True if there is something to do without records."""
        del now
        return False

    def patience(self) -> float:
        """Return how many seconds to wait for records, at most."""
        return 0.5

    def waits(self) -> bool:
        """Return whether something waits here for its time or an answer: then the loop waits for :meth:`patience`."""
        return False

    def appetite(self) -> int:
        """Return how many more records the stage takes; at 0 reading pauses until it has room again.

        A batch takes the records that are there and never waits for more. So a large appetite costs no time under low
        load, and it makes few large transactions of a backlog.
        """
        return 5_000

    def committed(self) -> None:
        """Learn that the transaction is committed: actions that wait for it may follow."""
        return

    def measure(self) -> None:
        """Tell the observer what is worth a look now and then: called every ten seconds, outside of a transaction."""
        return

    def release(self, partitions: Collection[Partition], out: Outbox) -> None:
        """Finish the open work of partitions that are about to be released; bounded in time."""
        del partitions, out

    def unreadable(self, error: UnreadableTopicError) -> None:
        """Learn that a topic is missing or forbidden: raise the error, or leave the topic out of :meth:`topics`."""
        raise error

    def lost_offset(self, partition: Partition, offset: int) -> int | None:
        """Return the offset to go on at after one that is no longer in the log, or None to stand still."""
        del partition, offset
        return None
