"""The stage loop: a member of a consumer group that processes each batch in one transaction.

The loop fences its own former self and joins the group. For each assigned partition it fences the former owner, reads
the committed offset, commits its own name with that offset, and restores the state. Then it repeats: poll, process,
send the offsets under the group metadata of the last rebalance, commit. After a batch that fails, the loop aborts the
transaction and takes the state again from the log. Before a revoked partition goes, the loop finishes its work and
commits its offset without an owner, so the next owner does not fence a process that left in good order.

The loop polls only between transactions, so a revocation never finds one open. It drops the polled records of a
partition that goes. It takes the metadata after a poll that served a rebalance, when these records have been dropped,
and keeps it until the next rebalance. So a process that was paused for long enough to be expelled cannot commit its
batch under a later generation.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bridge.core.decision import Decision, RunDecision
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.spans import Span
from bridge.kafka.careful_reading import CarefulReading, Work
from bridge.kafka.lag import LagMeter
from bridge.kafka.log import (
    FETCHED_BYTES,
    AbortableError,
    Committed,
    FencedError,
    Log,
    LogError,
    OffsetLostError,
    Partition,
    Record,
    UnfetchableError,
    UnreadableTopicError,
)
from bridge.kafka.observer import Observer, Unobserved
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import Member, Note, disown, read_note, take_over
from bridge.kafka.stage import Stage
from bridge.kafka.suspects import IsolationLock

logger = logging.getLogger(__name__)

Sink = Callable[[str, Sequence[Decision | RunDecision]], None]
"""Takes the decisions of a committed batch, and the name of the stage that made them."""

Trace = Callable[[Sequence[Span]], None]
"""Takes the spans of a committed batch. It does not wait."""

_PURGE_PACE = MINUTE
_SET_ASIDE = MINUTE
_COMMIT_TRIES = 5  # each waits in the client for as long as a transaction may take
_NEVER: Micros = 2**63
_QUIET_AFTER = 10 * SECOND  # without records and transactions
_QUIET_PATIENCE = 1.0  # seconds to wait for records then: each look at what could be done costs a millisecond
_MARKERS_AFTER = SECOND  # a position that moved over markers only is worth a transaction this late


class StageLoop:
    """One stage of one process.

    Args:
        log: The Kafka cluster.
        stage: Processes the records.
        member: The names under which the loop takes part in the group.
        clock: The process's clock, for the times at which a stage is due.
        pace: A steady clock, for intervals.
        sink: Takes the decisions of committed batches.
        observer: Counts transactions and shows the lag.
        sample: Sends a sample of the decisions in a stage's outbox; None sends none.
        closing: Close what the stage has open; called when the loop closes.
        isolation: The lock that the stages of the process share when they read carefully.

    Attributes:
        trace: Exports the spans of committed batches, without waiting; None if events are not traced.
        ahead: The marks of runs that the process's submitter may send ahead, by partition (:class:`Outbox`).

    """

    def __init__(
        self,
        log: Log,
        stage: Stage,
        member: Member,
        *,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        sink: Sink,
        observer: Observer | None = None,
        sample: Callable[[str, Outbox], None] | None = None,
        closing: Sequence[Callable[[], object]] = (),
        isolation: IsolationLock | None = None,
    ) -> None:
        self.trace: Trace | None = None
        self.ahead: Mapping[int, bytes] = {}
        self._closing = closing
        self._stage = stage
        self._group = member.group
        self._id = member.transactional_id
        self._clock = clock
        self._pace = pace
        self._sink = sink
        self._observer = observer or Unobserved()
        self._sample = sample
        self._admin = log.admin()
        self._producer = log.producer(member.transactional_id)
        self._consumer = log.consumer(member.group, instance=member.instance)
        self._lag = LagMeter(self._admin, self._observer, clock, pace)
        self._topics: frozenset[str] = frozenset()
        self._queue: deque[Record] = deque()
        self._committed: dict[Partition, Committed] = {}
        self._careful = CarefulReading(
            stage,
            member.transactional_id,
            isolation or IsolationLock(),
            pace,
            queue=self._queue,
            committed=self._committed,
            transact=self._transact,
        )
        self._held: dict[Partition, Micros] = {}
        self._full = False
        self._metadata: Any = None
        self._rebalanced = False
        self._spoiled = False
        self._is_sound = True  # until a batch fails in a way that only starting over mends
        self._last_commit: Micros = pace() - _MARKERS_AFTER
        self._last_work: Micros = pace()
        self._noted = -1  # all committed offsets have this offset of `triggers` in their notes
        self._last_purge: Micros = pace()
        self.last_poll: Micros = pace()
        self.restored = False

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Fence the former process of the same name and join the group."""
        self._producer.init()
        self._subscribe()

    def step(self) -> None:
        """Do one batch.

        Raises:
            FencedError: Another owner took over; close this loop and open another.
            LogError: Kafka could not do it; the same.

        """
        self._subscribe()
        self._poll()
        if not self._queue:
            self._careful.rest()
        if self._spoiled:
            self._take_again()
        elif self._queue and self._careful.is_on:
            self._careful.transact()
        elif self._queue or self._stage.is_due(self._clock()) or self._owes():
            self._transact(self._stage.process)
        if self._lag.measure(self._committed, self._queue):
            self._stage.measure()

    def close(self) -> None:
        """Finish, release all partitions, and leave the group at once."""
        try:
            self._consumer.close()
        finally:
            self._careful.rest()
            self._producer.close()
            self._admin.close()
            for close in self._closing:
                close()

    @property
    def remark(self) -> str:
        """Return the stage's remark for people who ask whether it is ready."""
        return self._stage.remark

    @property
    def owned(self) -> frozenset[Partition]:
        """Return the partitions that this loop owns."""
        return frozenset(self._committed)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        topics = self._stage.topics()
        self.restored = self.restored or not topics
        if topics != self._topics:
            self._consumer.subscribe(topics, self)
            self._topics = topics

    def _poll(self) -> None:
        """Resume and pause partitions as the stage has room, then read."""
        now = self._pace()
        due = [partition for partition, until in self._held.items() if until <= now]
        for partition in due:
            del self._held[partition]
        if due and not self._full:
            self._consumer.resume(due)
        room = self._stage.appetite() - len(self._queue)
        if room > 1 and self._queue and sum(len(record.value or b"") for record in self._queue) > FETCHED_BYTES:
            room = 1  # not paused: that would throw away what the client has fetched
        if (room <= 0) != self._full:
            self._full = not self._full
            (self._consumer.pause if self._full else self._consumer.resume)(self._not_held())
        if self._queue or self._stage.is_due(self._clock()):
            patience = self._careful.patience()
        else:
            patience = self._stage.patience()
            if now - max(self._last_work, self._last_commit) >= _QUIET_AFTER and not self._stage.waits():
                patience = max(patience, _QUIET_PATIENCE)
        try:
            polled = self._consumer.poll(patience, max(room, 1))
            if polled:
                self._last_work = self._pace()
            self._queue.extend(polled)
            self._lag.hear(polled)
        except (OffsetLostError, UnfetchableError) as error:
            self._hold_unreadable(error)
        except UnreadableTopicError as error:
            self._stage.unreadable(error)
        self.last_poll = self._pace()
        if self._rebalanced:
            self._rebalanced = False
            self._metadata = self._consumer.metadata()
            if self._full:  # partitions that were assigned by this poll are not paused yet
                self._consumer.pause(self._not_held())

    def _not_held(self) -> list[Partition]:
        return [partition for partition in self._committed if partition not in self._held]

    def _hold_unreadable(self, error: OffsetLostError | UnfetchableError) -> None:
        """Let a partition that cannot be read stand still, unless it can go on elsewhere; the others go on."""
        if isinstance(error, UnfetchableError):
            self._held[error.partition] = self._pace() + _SET_ASIDE
            logger.error(
                "%s. The partition stands still and is tried again every %d s; the others go on",
                error,
                _SET_ASIDE // SECOND,
            )
            return
        go_on = self._stage.lost_offset(error.partition, error.offset)
        if go_on is None:
            self._held[error.partition] = _NEVER
            logger.error("%s. The partition waits until you decide: set lost_offsets", error)
            return
        logger.error("%s. Reading resumes at %d: the records before it are lost", error, go_on)
        self._consumer.seek(error.partition, go_on)
        self._consumer.resume([error.partition])

    # -- writing -------------------------------------------------------------------------------------------------------

    def _transact(self, work: Work) -> bool:
        """Do a transaction; return whether it was committed."""
        out = Outbox(self._producer, self._clock if self.trace is not None else None, self.ahead)
        self._producer.begin()
        try:
            work(self._queue, out)
            out.flush()
            self._send_sample(out)
            offsets = self._offsets(out)
            if offsets:
                self._producer.send_offsets(offsets, self._metadata)
            self._commit()
        except AbortableError as error:
            logger.warning("%s: batch aborted, it is read again: %s", self._stage.name, error, extra=ABOUT_KAFKA)
        except Exception as error:
            self._is_sound = False
            if not self._careful.record_failure(out.at, error):
                with suppress(LogError):  # an abort may fail for the same reason; the next owner ends the transaction
                    self._producer.abort()
                raise
        else:
            self._committed.update(offsets)
            now = self._last_commit = self._pace()
            self._observer.committed(self._stage.name)
            if self._stage.purges and now - self._last_purge >= _PURGE_PACE:  # no other group reads these topics
                self._last_purge = now
                with suppress(LogError):  # it only costs disk, and is tried again
                    self._admin.purge({partition: committed.offset for partition, committed in self._committed.items()})
            for partition, (offset, seconds) in out.held.items():
                self._unqueue([partition])
                self._consumer.seek(partition, offset)
                self._consumer.pause([partition])
                self._held[partition] = self._pace() + round(seconds * SECOND)
            self._stage.committed()
            if out.decisions:
                self._sink(self._stage.name, out.decisions)
            if out.spans and self.trace is not None:
                self.trace(out.spans)
            return True
        self._is_sound = False
        self._producer.abort()
        self._observer.aborted(self._stage.name)
        self._take_again()
        self._is_sound = True
        return False

    def _send_sample(self, out: Outbox) -> None:
        if self._sample is not None and out.decisions:
            self._sample(self._stage.name, out)

    def _commit(self) -> None:
        """Commit; ask again while the outcome is not known."""
        for _ in range(_COMMIT_TRIES):
            try:
                self._producer.commit()
            except (AbortableError, FencedError):
                raise
            except LogError as error:
                logger.warning("%s: retrying a commit: %s", self._stage.name, error, extra=ABOUT_KAFKA)
            else:
                return
        raise LogError("the outcome of a commit is unknown")

    def _offsets(self, out: Outbox) -> dict[Partition, Committed]:
        """Return what the batch's transaction commits: each offset that has changed, or whose note has."""
        offsets = self._consumer.positions()
        for record in reversed(self._queue):
            offsets[Partition(record.topic, record.partition)] = record.offset
        for partition, (offset, _) in out.held.items():
            offsets[partition] = offset
        new = {p: self._owned(p, offset) for p, offset in offsets.items() if p in self._committed}
        return {partition: committed for partition, committed in new.items() if self._committed[partition] != committed}

    def _owned(self, partition: Partition, offset: int) -> Committed:
        """Return an offset with the note of this owner beside it."""
        topic_id, alone = self._stage.topic_id(partition.topic), self._careful.kills_noted(partition)
        note = Note(self._id, self._stage.applied(), topic_id, alone, self._stage.is_tried(partition))
        return Committed(offset, note.text())

    def _owes(self) -> bool:
        """Return True if a commit without records is due: definitions were applied, or positions moved over markers."""
        if not self._committed:
            return False
        applied = self._stage.applied()
        if applied != self._noted:
            if any(read_note(committed).triggers != applied for committed in self._committed.values()):
                return True
            self._noted = applied
        if self._pace() - self._last_commit < _MARKERS_AFTER:
            return False
        return any(
            offset != self._committed[partition].offset
            for partition, offset in self._consumer.positions().items()
            if partition in self._committed
        )

    def _take_again(self) -> None:
        """Forget the state of the failed batch, and go on from the log."""
        self._queue.clear()
        self._spoiled = False
        self._rebalanced = True  # perhaps, and the next poll serves it: the metadata is taken after that
        # A partition of which nothing was read since the last commit is not taken again.
        positions = self._consumer.positions() if self._stage.by_partition else {}
        unread = {
            partition: committed.offset
            for partition, committed in self._committed.items()
            if positions.get(partition) == committed.offset
        }
        self._committed.update(self._admin.committed(self._group, self._committed, stable=True))
        self._noted = -1
        offsets = {
            partition: committed.offset
            for partition, committed in self._committed.items()
            if unread.get(partition) != committed.offset
        }
        self._stage.drop(offsets)
        self._stage.take(offsets)
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)

    # -- rebalances ----------------------------------------------------------------------------------------------------

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Take partitions on: fence, read the offset, claim, restore. Only in this order is their state true."""
        self._rebalanced = True
        self.restored = True
        if not partitions:
            return {}
        # Taken first: a process that is paused after this for longer than its session cannot claim another's partition.
        self._metadata = self._consumer.metadata()
        committed = take_over(self._admin, self._group, partitions, self._id)
        self._admin.rest()
        offsets = self._stage.begin(partitions, committed)
        if self._stage.is_careful:
            self._careful.suspect(committed, offsets, self._admin)
        claim = {partition: self._owned(partition, offset) for partition, offset in offsets.items()}
        self._commit_alone(claim)
        self._committed.update(claim)
        self._careful.claimed(claim)
        self._stage.take(offsets)
        logger.info("%s: took over %d partitions", self._stage.name, len(offsets), extra=ABOUT_KAFKA)
        return offsets

    def _commit_alone(self, offsets: Mapping[Partition, Committed]) -> None:
        self._producer.begin()
        try:
            self._producer.send_offsets(offsets, self._metadata)
            self._producer.commit()
        except AbortableError as error:
            self._producer.abort()
            raise LogError(f"the group moved on meanwhile: {error}") from error

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish the open batch and release partitions, so that their next owner need not fence this one."""
        going = [partition for partition in partitions if partition in self._committed]
        self._discard(going)
        if not going:
            return
        out = Outbox(self._producer, self._clock if self.trace is not None else None)
        try:
            self._metadata = self._consumer.metadata()
            self._producer.begin()
            try:
                if self._is_sound:
                    self._stage.release(going, out)
                    out.flush()
                    self._send_sample(out)
                released = {
                    place: disown(self._committed[place], is_tried=not self._is_sound or self._stage.is_tried(place))
                    for place in going
                }
                self._producer.send_offsets(released, self._metadata)
                self._producer.commit()
            except AbortableError:
                self._producer.abort()
                raise
            if out.decisions:
                self._sink(self._stage.name, out.decisions)
            if out.spans and self.trace is not None:
                self.trace(out.spans)
        except LogError as error:
            self._spoiled = True  # what the stage finished is not in the log: partitions that stay are taken again
            logger.warning(
                "%s: left without releasing its partitions, so their next owner will fence this process: %s",
                self._stage.name,
                error,
                extra=ABOUT_KAFKA,
            )
        self._forget(going)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions that another member may own already."""
        logger.warning("%s: lost %d partitions", self._stage.name, len(partitions), extra=ABOUT_KAFKA)
        self._discard(partitions)
        self._forget(partitions)

    def _discard(self, partitions: Collection[Partition]) -> None:
        self._rebalanced = True
        self._unqueue(partitions)

    def _unqueue(self, partitions: Collection[Partition]) -> None:
        """Drop the polled records of partitions. The queue stays the same object: careful reading has it, too."""
        gone = set(partitions)
        kept = [record for record in self._queue if Partition(record.topic, record.partition) not in gone]
        self._queue.clear()
        self._queue.extend(kept)

    def _forget(self, partitions: Collection[Partition]) -> None:
        self._stage.drop(partitions)
        for partition in partitions:
            self._committed.pop(partition, None)
            self._careful.forget(partition)
            self._held.pop(partition, None)
            self._lag.forget(partition)
