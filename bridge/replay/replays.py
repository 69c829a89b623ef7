"""Replays on Kafka: each is a record of ``replays``, and its plan is in ``replay-plans``.

A replay has one owner, a process with the transactional id of the replay. A process that takes it over, to go on with
it, to pause or to cancel it, fences the former owner first: that process can send nothing more. So the runs that a
replay has sent, its position and its state cannot disagree.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bridge.core.definition import Definition
from bridge.core.event import SECOND, Micros
from bridge.core.runs.run import Run
from bridge.core.trigger import Trigger
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Log, Partition, Record, transact
from bridge.kafka.records import REPLAY, headers_of
from bridge.replay.frozen import ReadRange
from bridge.replay.planner import Draft
from bridge.replay.request import Bound, ReplayError, Request
from bridge.stages.shared.run_records import decode_run, encode_run

PLANNED, RUNNING, PAUSED = "planned", "running", "paused"
CANCELLING, CANCELLED, COMPLETED, FAILED = "cancelling", "cancelled", "completed", "failed"
OVER = frozenset({CANCELLING, CANCELLED, COMPLETED, FAILED})
"""The states of a replay that does not go on any more."""

STALE: Micros = 15 * SECOND
"""A replay that runs writes its progress at least as often, if it makes any."""

_PLANNED_AT_ONCE = 500  # runs of a plan that are written in one transaction, and
_PLANNED_BYTES = 8 * 1024 * 1024  # their bytes


@dataclass(frozen=True)
class Replay:
    """A replay.

    Attributes:
        name: Its name.
        trigger: ``namespace/name`` of the trigger.
        definition: Hash of the definition that its runs are made by.
        spec: That definition, as JSON.
        request: What was asked for, as JSON.
        reads: The offsets that it reads, as JSON.
        who: The user and the machine that began it.
        why: The reason that was given.
        created_at: When it was planned.
        advanced_at: When it last made progress, or changed its state.
        state: One of the states above.
        text: Why it is in that state; empty for none.
        partition: Partition of ``replay-plans`` that has its plan.
        plan_start: Offset of the first run of its plan there.
        plan_end: Offset behind the last one.
        position: Offset behind the last run of the plan that was dealt with.
        ledger_from: Offset of the trigger's partition of the ledger at which the plan was made.
        planned: Runs in the plan.
        found: Matches that the plan found, by outcome.
        counts: What happened to the runs so far, by outcome.
        rate: Runs in 1,000 seconds that it sends, at most; 0 for no bound.
        concurrency: Runs on their way to a Workflow at a time, at most.

    """

    name: str
    trigger: str
    definition: str
    spec: str
    request: str
    reads: str
    who: str
    why: str
    created_at: Micros
    advanced_at: Micros
    state: str = PLANNED
    text: str = ""
    partition: int = 0
    plan_start: int = 0
    plan_end: int = 0
    position: int = 0
    ledger_from: int = 0
    planned: int = 0
    found: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    rate: int = 0
    concurrency: int = 1

    @property
    def is_over(self) -> bool:
        """Return whether it does not go on any more."""
        return self.state in OVER

    def encode(self) -> bytes:
        """Return its record."""
        return REPLAY.encode(asdict(self))

    @classmethod
    def decode(cls, value: bytes) -> Replay:
        """Return the replay of a record.

        Raises:
            RecordError: It is none that this version can read.

        """
        return cls(**REPLAY.decode(value))


def user_and_machine() -> str:
    """Return who runs this process, and where."""
    user = "unknown"
    with suppress(OSError, KeyError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def new_replay(name: str, request: Request, draft: Draft, now: Micros) -> Replay:
    """Return the replay of a draft, before its plan is written."""
    definition = draft.definition
    return Replay(
        name=name,
        trigger=request.trigger,
        definition=definition.hash,
        spec=json.dumps(definition.trigger.to_json()),
        request=request_json(request),
        reads=reads_json(draft.frozen.reads),
        who=user_and_machine(),
        why=request.reason,
        created_at=now,
        advanced_at=now,
        ledger_from=draft.frozen.ledger_end,
        planned=draft.plan.count(request.limit),
        found=dict(draft.plan.outcomes()),
        rate=0 if request.rate is None else round(request.rate * 1000),
        concurrency=request.concurrency,
    )


def request_json(request: Request) -> str:
    """Return what was asked for as JSON text."""
    return json.dumps({**asdict(request), "start": _bound_json(request.start), "end": _bound_json(request.end)})


def reads_json(reads: Mapping[Partition, ReadRange]) -> str:
    """Return the offsets of a replay as JSON text."""
    return json.dumps(
        [{"topic": place.topic, "partition": place.number, **part._asdict()} for place, part in sorted(reads.items())]
    )


def definition_of(replay: Replay) -> Definition:
    """Return the definition that the runs of a replay are made by."""
    definition = Definition(Trigger.from_json(json.loads(replay.spec)))
    definition.hash = replay.definition
    return definition


def _bound_json(bound: Bound) -> dict[str, Any]:
    offsets = {f"{topic}/{number}": offset for (topic, number), offset in bound.offsets.items()}
    return {"time": bound.time, "offsets": offsets, "text": bound.text}


class ReplayLog:
    """Reads replays and their plans.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.

    """

    def __init__(self, log: Log, topics: InternalTopics) -> None:
        self._log = log
        self._topics = topics
        self._read: dict[str, Replay] = {}  # up to
        self._offset = 0
        self._running_since: dict[str, int] = {}  # by the offset at which each began to run

    def all(self, *, is_current: bool = False) -> dict[str, Replay]:
        """Return all replays by name, the oldest first.

        Args:
            is_current: Wait for transactions that are open. A process of any other replay that stands still in the
                middle of one hides all that was written behind it.

        Raises:
            LogError: Kafka did not answer.
            RecordError: A newer version has written something that this one cannot read.

        """
        place = Partition(self._topics.replays, 0)
        with closing(self._log.admin()) as admin:
            end = (admin.all_ends([place]) if is_current else admin.stable_ends([place]))[place]
        for record in self._records(place, self._offset, end):
            if record.key is not None:
                name = record.key.decode(errors="replace")
                former = self._read.pop(name, None)
                if record.value is not None:
                    replay = self._read[name] = Replay.decode(record.value)
                    if replay.state != RUNNING:
                        self._running_since.pop(name, None)
                    elif former is None or former.state != RUNNING:
                        self._running_since[name] = record.offset
        self._offset = max(self._offset, end)
        return dict(sorted(self._read.items(), key=lambda item: item[1].created_at))

    def find(self, name: str, *, is_current: bool = True) -> Replay | None:
        """Return a replay, None if there is none of that name.

        A process that takes a replay over needs it as it is: with an older position it would send runs twice, and with
        an older state it would go on with a replay that is cancelled.

        Args:
            name: Its name.
            is_current: Wait for transactions that are open. If one stays open for too long, that is a LogError.

        """
        return self.all(is_current=is_current).get(name)

    def ahead_of(self, name: str, now: Micros) -> str:
        """Return the name of a replay of the same trigger that began to run before this one; empty for none.

        Two replays that were planned side by side may use the same events for other matches. So they take turns. One
        that has not advanced for :data:`STALE` is not waited for.
        """
        replays = self.all(is_current=True)
        own, since = replays.get(name), self._running_since.get(name)
        if own is None or since is None:
            return ""
        for other, began in self._running_since.items():
            stands = replays[other]
            if began < since and stands.trigger == own.trigger and now - stands.advanced_at < STALE:
                return other
        return ""

    def plan(self, replay: Replay, start: int, end: int | None = None) -> Iterator[tuple[int, Run]]:
        """Yield the runs of a replay's plan and their offsets, from an offset on.

        Raises:
            ReplayError: Retention has removed a part of the plan.
            LogError: Kafka did not answer.

        """
        place = Partition(self._topics.replay_plans, replay.partition)
        with closing(self._log.admin()) as admin:
            kept = admin.start_offsets([place])[place]
        if kept > start and start < (replay.plan_end if end is None else end):
            raise ReplayError(
                f"the plan of replay {replay.name} is gone: {place.topic} keeps plans for a week",
                "cancel it, and plan another one: it finds what is still missing",
            )
        for record in self._records(place, start, replay.plan_end if end is None else end):
            if record.key == replay.name.encode() and record.value is not None:
                yield record.offset, decode_run(record.value)

    def _records(self, place: Partition, start: int, end: int) -> Iterator[Record]:
        with closing(self._log.reader()) as reader:
            for records in reader.read(place, start, end) if start < end else ():
                yield from records


class ReplayOwner:
    """The one owner of a replay: writes it, its plan and its runs, each change in one transaction.

    Args:
        log: The Kafka cluster.
        topics: The internal topics.
        name: Name of the replay.

    """

    def __init__(self, log: Log, topics: InternalTopics, name: str) -> None:
        self._log = log
        self._topics = topics
        self._name = name
        self._producer = log.producer(f"{topics.prefix}replay-{name}")
        self._producer.init()  # fences the former owner

    def write_plan(self, replay: Replay, runs: Iterator[Run]) -> Replay:
        """Write the plan of a replay, and then the replay; return it with the offsets of its plan."""
        partition = partition_of(replay.name, self._topics.partitions)
        place = Partition(self._topics.replay_plans, partition)
        with closing(self._log.admin()) as admin:
            start = admin.all_ends([place])[place]
            batch: list[bytes] = []
            size = 0
            for run in runs:
                batch.append(encode_run(run))
                size += len(batch[-1])
                if len(batch) >= _PLANNED_AT_ONCE or size >= _PLANNED_BYTES:
                    self._send([(place.topic, partition, replay.name.encode(), value) for value in batch])
                    batch, size = [], 0
            if batch:
                self._send([(place.topic, partition, replay.name.encode(), value) for value in batch])
            end = admin.all_ends([place])[place]
        planned = replace(replay, partition=partition, plan_start=start, plan_end=end, position=start)
        self.write(planned)
        return planned

    def write(self, replay: Replay, runs: list[Run] | None = None) -> None:
        """Write the state of a replay, and send runs, in one transaction.

        Raises:
            FencedError: Another process has taken the replay over.
            LogError: Kafka did not answer.

        """
        number = 0
        if runs:
            number = partition_of(runs[0].trigger, self._topics.partitions)
        sent = [(self._topics.runs, number, run.run_key.encode(), encode_run(run)) for run in runs or ()]
        self._send([*sent, (self._topics.replays, 0, replay.name.encode(), replay.encode())])

    def _send(self, records: list[tuple[str, int, bytes, bytes]]) -> None:
        transact(self._producer, [(*record, headers_of(record[-1])) for record in records])

    def close(self) -> None:
        """Close the client."""
        self._producer.close()
