"""Make the plan of a replay: freeze the past, read it by the live rules, and collect the runs that are missing."""

from __future__ import annotations

import time as process_time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec, TypeVar

from bridge.core.definition import Definition
from bridge.core.event import SECOND, Micros
from bridge.core.expressions.expression import Expression
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, Partition
from bridge.replay.frozen import Freezer, Frozen, ReadRange
from bridge.replay.history import History, awake, plain
from bridge.replay.merge import Timed, in_any_order, merged
from bridge.replay.past import Needs, Past, PastDecision
from bridge.replay.plan import Plan, Selection
from bridge.replay.recorded import Recorded
from bridge.replay.request import ReplayError, Request
from bridge.settings.groups import WindowSettings
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.event_reader import EventReader
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import DecodeError

_TRIES = 10  # for a schema that cannot be looked up now
_PAUSE = 1.0  # seconds between two of them
_TOLD_EVERY: Micros = SECOND // 5
_TOLD_RECORDS = 2_000

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ReplayDependencies:
    """What a replay works with.

    Attributes:
        log: The Kafka cluster.
        topics: The internal topics.
        decoder: Reads the schemas, and makes a decoder of events from them.
        windows: How much windows may hold.
        horizon: How long the ledger remembers runs.
        clock: The process's clock.
        pace: A steady clock.
        wait: Waits some seconds.

    """

    log: Log
    topics: InternalTopics
    decoder: Callable[[], Decoder]
    windows: WindowSettings
    horizon: Micros
    clock: Callable[[], Micros]
    pace: Callable[[], Micros]
    wait: Callable[[float], None] = process_time.sleep

    def freezer(self, definitions: Definitions, *, is_patient: bool = True) -> Freezer:
        """Return what freezes ranges of these topics; ``is_patient`` as :class:`Freezer` says it."""
        return Freezer(
            self.log,
            self.topics,
            definitions,
            self.clock,
            self.horizon,
            self.windows.clock_skew,
            self.wait,
            is_patient=is_patient,
        )

    def patiently(self, feed: Callable[_Args, _Result], *args: _Args.args, **named: _Args.kwargs) -> _Result:
        """Feed a record and return the result. Wait and feed it again while a schema cannot be looked up.

        Nothing of a record is applied before its event is decoded.

        Raises:
            DecodeError: The schema registry does not answer.

        """
        for _ in range(_TRIES - 1):
            try:
                return feed(*args, **named)
            except DecodeError:
                self.wait(_PAUSE)
        return feed(*args, **named)


class Progress(NamedTuple):
    """How far reading has come.

    Attributes:
        read: Records read.
        of: Offsets of the ranges; markers and removed records count among them.
        at: Record time of the last one.

    """

    read: int
    of: int
    at: Micros


class Draft(NamedTuple):
    """A plan that nobody has agreed to yet.

    Attributes:
        plan: The matches.
        frozen: The past that it rests on.
        definition: The definition that decides.
        decisions: How many decisions about events there were in the range, by reason.
        held: Events that were left to the live bridge.
        read: Records that were read.

    """

    plan: Plan
    frozen: Frozen
    definition: Definition
    decisions: Counter[str]
    held: int
    read: int


class Planner:
    """Makes plans.

    Args:
        around: What it works with.
        definitions: The triggers, read to the end.

    """

    def __init__(self, around: ReplayDependencies, definitions: Definitions) -> None:
        self._around = around
        self._definitions = definitions

    def draft(
        self,
        name: str,
        request: Request,
        *,
        given: Definition | None = None,
        where: Expression | None = None,
        failed: Callable[[Definition], set[str]] | None = None,
        told: Callable[[Progress], None] | None = None,
        decided: Callable[[PastDecision], None] | None = None,
        read: Callable[[Definition, Frozen, Past, Plan, Recorded], int] | None = None,
    ) -> Draft:
        """Return the plan of a replay.

        Args:
            name: Name of the replay.
            request: What was asked for.
            given: The definition of a trigger that is not deployed; None for one that is.
            where: The request's ``where``, compiled.
            failed: Returns the names (``namespace/name``) of Workflows of a definition that have failed; None where the
                cluster is not asked.
            told: Hears how far reading has come.
            decided: Hears of each decision about an event.
            read: Reads the past of a trigger without windows in another way; returns how many records it has read.

        Raises:
            ReplayError: It cannot be done as it was asked for.
            LogError: Kafka did not answer.
            DecodeError: The schema registry does not answer.

        """
        around = self._around
        history = History.read(around.log, around.topics.triggers, request.trigger)
        definition, recorded = given or self._definitions.in_force.get(request.trigger), Recorded(request.trigger)
        if definition is None:
            former = [change.definition for change in history.changes if change.definition is not None]
            if not former:
                triggers = ", ".join(sorted(self._definitions.in_force)) or "none"
                raise ReplayError(f"there is no trigger {request.trigger}", f"there are: {triggers}; or give --file")
            if request.definition == "now":
                found = f"trigger {request.trigger} is not in force any more"
                raise ReplayError(found, "use --definition then, or give --file")
            definition = former[-1]
        freezer = around.freezer(self._definitions)
        frozen = freezer.freeze(request, definition, recorded)
        if request.definition == "then":
            of_then = history.governing(frozen.begin, frozen.end)
            if plain(of_then) != plain(definition):  # it may read other topics, and reach back further
                definition, recorded = of_then, Recorded(request.trigger)
                frozen = freezer.freeze(request, definition, recorded)
        definition = awake(definition)
        if failed is not None:
            recorded.fail(failed(definition))
        selection = Selection(definition, where, request.only, history if request.only else None)
        plan = Plan(name, around.topics.prefix, request.mode, request.replay_id, selection)
        past = self.past(definition, recorded, request, needs_payload=selection.needs_payload, decided=decided)
        if read is not None and not past.is_windowed:
            records = read(definition, frozen, past, plan, recorded)
        else:
            records = self.read(frozen, past, plan, told)
        recorded.close()
        return Draft(plan, frozen, definition, past.decisions, past.held, records)

    def past(
        self,
        definition: Definition,
        recorded: Recorded,
        request: Request,
        *,
        needs_payload: bool = False,
        decided: Callable[[PastDecision], None] | None = None,
    ) -> Past:
        """Return the windows of a trigger, before any record."""
        decoder = EventDecoder(self._around.decoder, self._around.pace)
        held = self._around.windows  # each partition of live windows may remember so many events of a trigger
        return Past(
            definition,
            self._around.topics.prefix,
            recorded,
            EventReader(decoder, self._definitions),
            decoder,
            Bounds(
                held.window_bound,
                held.remembered_bound * self._around.topics.partitions,
                held.window_bytes,
                held.window_disk_bytes,
            ),
            replay_id=request.replay_id,
            key=request.key,
            needs=Needs(needs_payload, recorded_runs=request.mode != "missing" or bool(request.replay_id)),
            decided=decided,
        )

    def read(
        self,
        frozen: Frozen,
        past: Past,
        plan: Plan,
        told: Callable[[Progress], None] | None = None,
        reads: Mapping[Partition, ReadRange] | None = None,
    ) -> int:
        """Read the past into a plan; return how many records were read.

        Args:
            frozen: The ranges.
            past: The windows.
            plan: Takes the matches.
            told: Hears how far reading has come.
            reads: A part of the ranges, of a trigger without windows; None for all.

        """
        around = self._around
        reads = frozen.reads if reads is None else reads
        total = sum(part.end - part.first for part in reads.values())
        count, told_at, last = 0, around.pace(), frozen.first
        past.begin(frozen.first, frozen.begin, frozen.end)
        latest = (around.clock() + TRUSTED_AHEAD) // 1000
        with closing(around.log.ranges({place: part.first for place, part in reads.items()})) as reader:
            ends = {place: part.end for place, part in reads.items()}
            batches: Iterator[Sequence[Timed]] = (
                ((timed,) for timed in merged(reader, ends, around.pace, latest))
                if past.is_windowed
                else in_any_order(reader, ends, around.pace, latest)
            )
            for batch in batches:
                begin = reads[Partition(*batch[0].record[:2])].begin  # all of a batch are of one partition
                records = [(record, time * 1000, record.offset >= begin) for time, record in batch]
                if past.is_windowed:
                    ((record, time, is_inside),) = records
                    plan.add(around.patiently(past.feed, record, time, is_inside=is_inside))
                else:
                    plan.add(around.patiently(past.feed_together, records))
                before, count = count, count + len(records)
                last = records[-1][1]
                if (
                    told is not None
                    and count // _TOLD_RECORDS > before // _TOLD_RECORDS
                    and around.pace() - told_at >= _TOLD_EVERY
                ):
                    told_at = around.pace()
                    told(Progress(count, total, last))
        plan.add(past.advance(frozen.end))
        if told is not None:
            told(Progress(count, total, last))
        return count
