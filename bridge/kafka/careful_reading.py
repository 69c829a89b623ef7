"""Reading carefully: what the loop does differently after an exception, or after a kill.

A healthy loop processes whole batches and only asks this module whether it is on. It is on while a record of the loop
is rejected, or while records are suspected of having killed a former owner (:mod:`bridge.kafka.suspects`). Then it
decides what the next transactions take: the records before a rejected record, that record by itself, or suspected
records one at a time, each with a note beside its committed offset.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.kafka.log import Admin, Committed, Partition, Record, UnansweredError
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import read_note
from bridge.kafka.stage import Stage
from bridge.kafka.suspects import (
    NOT_OF_A_RECORD,
    POISON_TEXT,
    IsolationLock,
    RejectedRecord,
    SuspectRecords,
    failure_text,
)

logger = logging.getLogger(__name__)

Work = Callable[[deque[Record], Outbox], None]
"""Processes records of the loop's queue."""

_BARRED = 0.02  # seconds between looks whether another stage of the process has finished its careful reading


class CarefulReading:
    """The only owner of a loop's rejected and suspected records.

    Args:
        stage: The stage of the loop.
        member: Its transactional id.
        isolation: What the stages of the process share.
        pace: A steady clock.
        queue: The records that the loop has polled; the loop and this object change the same queue.
        committed: What the loop has committed, by partition; only the loop changes it.
        transact: Does some work as a transaction of the loop; returns whether it was committed.

    """

    def __init__(
        self,
        stage: Stage,
        member: str,
        isolation: IsolationLock,
        pace: Callable[[], Micros],
        *,
        queue: deque[Record],
        committed: Mapping[Partition, Committed],
        transact: Callable[[Work], bool],
    ) -> None:
        self._stage = stage
        self._member = member
        self._isolation = isolation
        self._queue = queue
        self._committed = committed
        self._do = transact
        self._suspects = SuspectRecords(pace)
        self._is_first_life = isolation.is_new(member)
        self._claimed: set[Partition] = set()
        self._alone: tuple[Partition, int] | None = None  # whose next record the open transaction notes, and how
        self._is_barred = False

    # -- what the loop asks and tells ----------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Return whether the next transaction differs from a healthy one."""
        return self._suspects.is_on

    def patience(self) -> float:
        """Return the seconds to wait for more records while some are in the queue."""
        is_barred, self._is_barred = self._is_barred, False
        return _BARRED if is_barred else 0

    def rest(self) -> None:
        """Let other stages of the process handle records alone: this stage has none to handle, or ends."""
        self._isolation.give(self._member)

    def kills_noted(self, partition: Partition) -> int:
        """Return what the next commit notes of a partition: how many kills its next record is suspected of."""
        if self._alone is not None and self._alone[0] == partition:
            return self._alone[1]
        rejected = self._suspects.rejected.get(partition)
        return rejected.kills if rejected is not None else 0

    def claimed(self, partitions: Iterable[Partition]) -> None:
        """Note that this loop has committed its name for partitions."""
        self._claimed.update(partitions)

    def forget(self, partition: Partition) -> None:
        """Forget a partition that the loop no longer owns."""
        self._suspects.rejected.pop(partition, None)
        self._suspects.ends.pop(partition, None)

    def suspect(self, former: Mapping[Partition, Committed], offsets: Mapping[Partition, int], admin: Admin) -> None:
        """Suspect the unread records of partitions that their owner did not release; reject what it processed alone.

        Args:
            former: What the former owners had committed.
            offsets: Where this owner begins.
            admin: For the ends of these partitions.

        """
        unread = []
        for place, committed in former.items():
            note = read_note(committed)
            if not note.owner or (note.owner == self._member and (place in self._claimed or not self._is_first_life)):
                continue  # it was released, or an earlier life of this process had it, which was not killed
            unread.append(place)
            if note.alone and offsets.get(place) == committed.offset:
                rejected = RejectedRecord(committed.offset, Reason.POISON, POISON_TEXT, note.alone)
                self._suspects.rejected[place] = rejected
        if not unread:
            return
        try:
            ends = admin.end_offsets(unread)
        except UnansweredError as error:
            ends = error.answered
        self._suspects.suspect({place: end for place, end in ends.items() if end > offsets.get(place, end)})

    def record_failure(self, culprit: object, error: Exception) -> bool:
        """Attribute an exception to what was processed; return False if it has to stop the process."""
        if culprit is None or isinstance(error, NOT_OF_A_RECORD):
            return False
        if isinstance(culprit, Record):
            return self._suspects.record_failure(culprit, error, self._stage.name)
        is_recorded = self._stage.record_failure(culprit, failure_text(error))
        if is_recorded:
            self._suspects.tell(f"{self._stage.name}: what was processed is given up", error)
        return is_recorded

    # -- transactions --------------------------------------------------------------------------------------------------

    def transact(self) -> None:
        """Reject the first rejected record, or process the records before it; one record at a time after a kill."""
        while self._queue:
            rejected, before = self._suspects.find(self._queue)
            if rejected is not None and before == 0:
                if rejected.kills == 1:
                    self._try_out(rejected)
                else:
                    self._reject(rejected)
                self.rest()
                return
            place = self._noted_place()
            if place is not None:
                self._is_barred = not self._isolation.take(self._member)
                if self._is_barred:
                    self._suspects.wait(self._isolation.turns)
                    return
                if not self._note(place, self._queue[0].offset, 1):
                    return
            size = min(before, self._suspects.portion(self._queue))
            is_committed = self._transact(partial(self._process_some, size))
            self._suspects.passed(self._committed)
            if not (is_committed and self._queue and self._noted_place() is not None):
                self.rest()
                return

    def _transact(self, work: Work) -> bool:
        try:
            return self._do(work)
        finally:
            self._alone = None

    def _process_some(self, size: int, queue: deque[Record], out: Outbox) -> None:
        """Process some records; the transaction notes the next one if that is processed alone."""
        is_suspected = self._suspects.size > 1 or self._suspects.is_alone(queue[0])
        portion = deque(queue.popleft() for _ in range(min(size, len(queue))))
        self._stage.process(portion, out)
        queue.extendleft(reversed(portion))
        if is_suspected:
            self._suspects.advance()
        place = self._noted_place()
        self._alone = (place, 1) if place is not None and place not in out.held else None

    def _noted_place(self) -> Partition | None:
        """Return the partition of the first record if that is processed alone, with a note."""
        record = self._queue[0] if self._queue else None
        if record is None or not self._suspects.is_alone(record) or not self._stage.may_kill(record):
            return None
        return Partition(record.topic, record.partition)

    def _note(self, place: Partition, offset: int, kills: int) -> bool:
        """Note that a record is processed alone, unless the last transaction did; return whether it is noted."""
        notes = [(known, committed.offset, read_note(committed).alone) for known, committed in self._committed.items()]
        if [note for note in notes if note[2]] == [(place, offset, kills)]:
            return True
        self._alone = (place, kills)
        return self._transact(lambda _, __: None)

    def _try_out(self, rejected: RejectedRecord) -> None:
        """Find out whether the first record kills: if so reject it, otherwise process it alone."""
        record = self._queue[0]
        place = Partition(record.topic, record.partition)
        self._is_barred = not self._isolation.take(self._member)
        if self._is_barred and self._suspects.size:
            self._suspects.wait(self._isolation.turns)
            return
        if not self._note(place, record.offset, 2):
            return
        if not self._isolation.survives(lambda: self._stage.try_out(record)):
            self._reject(rejected)
            return
        del self._suspects.rejected[place]
        self._transact(partial(self._process_some, 1))
        self._suspects.passed(self._committed)

    def _reject(self, rejected: RejectedRecord) -> None:
        """Set the first record aside in a transaction of its own."""
        record = self._queue[0]
        place = Partition(record.topic, record.partition)

        def work(queue: deque[Record], out: Outbox) -> None:
            queue.popleft()
            self._stage.set_aside(record, rejected.reason, rejected.text, out)

        del self._suspects.rejected[place]
        if not self._transact(work):
            self._suspects.rejected[place] = rejected
            return
        if rejected.reason is Reason.POISON:
            logger.error("%s: %s/%d@%d is poison: %s", self._stage.name, *place, record.offset, rejected.text)
