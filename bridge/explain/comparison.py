"""Compare an edited trigger with the deployed one: both run over the same events of the log, by the live rules.

Two pasts (:mod:`bridge.replay.past`) read each record in turn. A record is decoded once for both. What both do alike is
only counted. Their matches are paired (:mod:`bridge.explain.pairing`).

Windows of different correlation keys have nothing in common. So several processes can divide the keys between them:
each reads all records, and follows its own keys.

Nothing of the live bridge is touched or asked: no run is recorded, so both sides say what the rules alone make of these
events. Therefore the differences come from the edit, and from nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zlib import crc32

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import time_text
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.core.windows.expiry import needs_clock
from bridge.explain.difference import Difference, EventExample, RunExample
from bridge.explain.pairing import UNRUNNABLE, Example, Part, Seen, Tally, Unpaired, joined, save
from bridge.explain.tracing import RememberingReader, match_events, run_parameters, told, window_story
from bridge.kafka.log import Partition
from bridge.replay.frozen import Frozen, ReadRange
from bridge.replay.merge import Timed, merged
from bridge.replay.past import Needs, Past, PastMatch
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import NothingRecorded
from bridge.replay.workers import MakeDependencies, SentDefinition
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.garbage import BatchGarbageCollector

_ERRORS = frozenset({Reason.UNKEYED.value, Reason.UNDECODABLE.value, Reason.OVERSIZE.value})
_PASSED = "passed"
_DIGEST = 16  # bytes
_TOLD_RECORDS = 2_000

Routing = dict[str, Decision | None]
"""By slot that read the event of a record, the decision that refused it; None where it passed."""


class Share(NamedTuple):
    """A share of the correlation keys: its number, from 0 on, and how many shares there are."""

    number: int
    of: int

    def follows(self, key: str) -> bool:
        """Return whether a key is one of this share."""
        return crc32(key.encode("utf-8", "surrogatepass")) % self.of == self.number


WHOLE = Share(0, 1)


@dataclass
class _Side:
    """One of the two triggers with its past.

    Attributes:
        definition: The trigger.
        past: Its windows.
        routed: How it routed the event of the last record.
        asked: Keys of the runs that were asked for: the ledger makes each once.

    """

    definition: Definition
    past: Past
    routed: Routing
    asked: Seen = field(default_factory=Seen)


class Comparison:
    """Compares two definitions of a trigger.

    Args:
        around: What it works with.
        before: The deployed definition; None for a trigger that is new.
        after: The edited definition.
        examples: Examples of each difference.
        progress: Hears how far reading has come.
        share: The correlation keys that are followed. The first share also counts how events are routed.

    """

    def __init__(
        self,
        around: ReplayDependencies,
        before: Definition | None,
        after: Definition,
        examples: int,
        progress: Callable[[Progress], None] = lambda _: None,
        share: Share = WHOLE,
    ) -> None:
        self._around = around
        self._examples = examples
        self._progress = progress
        self._share = share
        self._compares_runs = compares_runs(before, after)
        self._decoder = EventDecoder(around.decoder, around.pace)
        self._reader = RememberingReader(self._decoder)
        self._before = None if before is None else self._side(before)
        self._after = self._side(after)
        self._unpaired_before = Unpaired(partial(self._tell, self._before or self._after))
        self._unpaired_after = Unpaired(partial(self._tell, self._after))
        self._refused: Counter[str] = Counter()

    def _side(self, definition: Definition) -> _Side:
        held, routed = self._around.windows, Routing()

        def hear(slot: CompiledSlot, refused: Decision | None) -> None:
            routed[slot.slot.variable] = refused

        past = Past(
            definition,
            self._around.topics.prefix,
            NothingRecorded(),
            self._reader,
            self._decoder,
            Bounds(
                held.window_bound,
                held.remembered_bound * self._around.topics.partitions,
                held.window_bytes // self._share.of,
                held.window_disk_bytes // self._share.of,
            ),
            needs=Needs(payloads=False, recorded_runs=True, runs=False),
        )
        past.routed = hear
        if self._share.of > 1:
            past.follows = self._share.follows
        return _Side(definition, past, routed)

    def compare(self, ranges: Sequence[Frozen]) -> Difference:
        """Read the ranges, and return what differs; it raises as :meth:`part`."""
        difference, before, after = self.part(ranges)
        tally = Tally(difference, self._examples, compares_runs=self._compares_runs)
        return tally.conclude(before, after)

    def part(self, ranges: Sequence[Frozen], file: Path | None = None) -> Part:
        """Read the ranges, and return what differs, and the matches that are left.

        Args:
            ranges: The range of each side; of a topic that both read, the one that begins earlier counts.
            file: Takes the matches that are left; None if there are no other parts.

        Raises:
            LogError: Kafka did not answer.
            DecodeError: The schema registry does not answer.

        """
        reads = joined_reads(ranges)
        first, begin = min(frozen.first for frozen in ranges), min(frozen.begin for frozen in ranges)
        end = min(frozen.end for frozen in ranges)
        before = self._before
        difference = Difference(
            self._after.definition.identity,
            "" if before is None else before.definition.hash,
            self._after.definition.hash,
            time_text(begin),
            time_text(end),
            notes=list(dict.fromkeys(note for frozen in ranges for note in frozen.notes)),
        )
        tally = Tally(difference, self._examples, compares_runs=self._compares_runs)
        sides = [side for side in (before, self._after) if side is not None]
        for side in sides:
            side.past.begin(first, begin, end)
        total, around = sum(part.end - part.first for part in reads.values()), self._around
        latest = (around.clock() + TRUSTED_AHEAD) // 1000
        with closing(around.log.ranges({place: part.first for place, part in reads.items()})) as reader:
            ends = {place: part.end for place, part in reads.items()}
            for timed in merged(reader, ends, around.pace, latest):
                record, time = timed.record, timed.time * 1000
                is_inside = record.offset >= reads[Partition(record.topic, record.partition)].begin
                for side in sides:
                    matches = around.patiently(side.past.feed, record, time, is_inside=is_inside)
                    self._matched(side, matches, tally)
                self._compare_routing(timed, difference, is_inside=is_inside)
                difference.records += 1
                if difference.records % _TOLD_RECORDS == 0:
                    self._progress(Progress(difference.records, total, time))
        for side in sides:
            self._matched(side, list(side.past.advance(end)), tally)
        self._progress(Progress(difference.records, total, end))
        difference.decisions = dict(self._after.past.decisions - self._refused)
        if before is not None:
            difference.windows["before"] = sum(1 for _ in before.past.open_windows())
        count = 0
        for window in self._after.past.open_windows():
            count += 1
            if count <= self._examples:
                difference.open.append(window_story(self._after.definition, window, "recomputed"))
        difference.windows["after"] = count
        left = self._unpaired_before.left(), self._unpaired_after.left()
        if file is not None:
            save(file, self._unpaired_before, self._unpaired_after)
        self._unpaired_before.close()
        self._unpaired_after.close()
        return Part(difference, *left)

    # -- events --------------------------------------------------------------------------------------------------------

    def _compare_routing(self, timed: Timed, difference: Difference, *, is_inside: bool) -> None:
        """Count how the event of a record was routed by both, where they differ."""
        after = self._after.routed
        before = Routing() if self._before is None else self._before.routed
        if is_inside and (before.keys() != after.keys() or any(after.values()) or any(before.values())):
            if self._share.number == 0:
                for slot in {**before, **after}:
                    self._compare_slot(timed, slot, difference)
            else:
                self._refused.update(refused.reason.value for refused in after.values() if refused is not None)
        before.clear()
        after.clear()

    def _compare_slot(self, timed: Timed, slot: str, difference: Difference) -> None:
        """Count how an event was routed at one slot, if that differs."""
        before = None if self._before is None else self._before.routed.get(slot)
        after = self._after.routed.get(slot)
        reason_before = "" if self._before is None else _reason(self._before.routed, slot)
        reason_now = _reason(self._after.routed, slot)
        if reason_before == reason_now:
            return
        kind = ""
        if reason_now in _ERRORS:
            kind = "errors"
        elif reason_now == _PASSED and self._before is not None:
            kind = "passed"
        elif reason_now != _PASSED and reason_before == _PASSED:
            kind = "filtered"
        if not kind:
            return
        difference.events[kind] += 1
        examples: list[EventExample] = getattr(difference, kind)
        if len(examples) < self._examples:
            record, refused = timed.record, None
            if after is not None:
                refused = told(self._after.definition, after, timed.time * 1000, "recomputed")
            elif before is not None and self._before is not None:
                refused = told(self._before.definition, before, timed.time * 1000, "recomputed")
            identity = self._reader.identity_of(record)
            examples.append(
                EventExample(
                    f"{identity.name} {identity.id}",
                    f"{record.topic}/{record.partition}/{record.offset}",
                    slot,
                    reason_before or "not read",
                    reason_now or "not read",
                    refused,
                )
            )

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _matched(self, side: _Side, matches: Sequence[PastMatch], tally: Tally) -> None:
        for match in matches:
            if match.is_inside:
                self._match(side, match, tally)

    def _match(self, side: _Side, match: PastMatch, tally: Tally) -> None:
        """Pair a match, or let it wait."""
        run = _made(match) if self._compares_runs or side.definition.id is not None else None
        slots = zip(side.definition.slots, match.used, strict=True)
        used = sorted([(slot.slot.variable, *event) for slot, events in slots for event in events])
        digest = _digest(repr(used) if used else f"complete at {match.complete}")
        run_key = run.run_key.encode() if isinstance(run, Run) else digest
        if run_key in side.asked:
            return
        side.asked.add(run_key)
        signature = b""
        if self._compares_runs:
            signature = UNRUNNABLE
            if isinstance(run, Run):
                plan = (run.namespace, run.template, run.labels, run.annotations, run.synchronization)
                signature = _digest(repr((plan, run.parameters, run.payload)))
        is_after = side is self._after
        mine, others = self._unpaired_before, self._unpaired_after
        if is_after:
            mine, others = others, mine
        other = others.signature(digest)
        if other is None:
            mine.add(digest, signature, match)
            return
        tell_mine, tell_other = partial(self._tell, side, match), partial(others.example, digest)
        if is_after:
            tally.add(other, signature, tell_other, tell_mine)
        else:
            tally.add(signature, other, tell_mine, tell_other)
        others.remove(digest)

    @staticmethod
    def _tell(side: _Side, match: PastMatch) -> Example:
        """Return what is told of a match."""
        definition, run = side.definition, _made(match)
        events = [f"{slot} {event.id}" for slot, event in match_events(definition, match)]
        if isinstance(run, UnrunnableError):
            fault = run.redacted_text(definition.trigger.sensitive)
            return EventExample(", ".join(events), "", "", "", f"no run can be made: {fault}", None)
        return RunExample(
            at=time_text(match.complete),
            workflow=f"{run.namespace}/{run.name}" if run is not None else "",
            key=definition.redacted_key(run.key) if run is not None else "",
            events=events,
            parameters={parameter.name: parameter.value for parameter in run_parameters(definition, run)},
        )


def compares_runs(before: Definition | None, after: Definition) -> bool:
    """Return whether the runs of the same events may differ."""
    return before is not None and _run_parts(before) != _run_parts(after)


def can_be_divided(definition: Definition) -> bool:
    """Return whether the correlation keys of a trigger can be divided: nothing that its rules ask for spans keys."""
    trigger = definition.trigger
    has_keys = all(slot.key is not None for slot in definition.slots)
    return trigger.is_windowed and has_keys and not trigger.is_switch and not needs_clock(trigger)


class _Job(NamedTuple):
    """The work of one process."""

    before: SentDefinition | None
    after: SentDefinition
    ranges: Sequence[Frozen]
    examples: int
    share: Share
    file: Path


def compare_divided(
    make: MakeDependencies,
    before: Definition | None,
    after: Definition,
    ranges: Sequence[Frozen],
    examples: int,
    workers: int,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Difference:
    """Compare two definitions whose keys can be divided, in several processes, of which this one is the first.

    Args:
        make: Makes what each process works with.
        before: The deployed definition; None for a trigger that is new.
        after: The edited definition.
        ranges: The range of each side.
        examples: Examples of each difference.
        workers: How many processes.
        progress: Hears how far this process has come.

    Raises:
        LogError: Kafka did not answer.
        DecodeError: The schema registry does not answer.

    """
    sent = None if before is None else SentDefinition.of(before), SentDefinition.of(after)
    with TemporaryDirectory(prefix="flowbridge-plan-") as folder:
        jobs = [
            _Job(*sent, ranges, examples, Share(number, workers), Path(folder) / f"left-{number}")
            for number in range(workers)
        ]
        with ProcessPoolExecutor(workers - 1, mp_context=get_context("spawn")) as pool:
            others = [pool.submit(_compare, make, job) for job in jobs[1:]]
            first = Comparison(make(), before, after, examples, progress, jobs[0].share).part(ranges, jobs[0].file)
            parts = [first, *[other.result() for other in others]]
        return joined(parts, [job.file for job in jobs], examples, compares_runs=compares_runs(before, after))


def _compare(make: MakeDependencies, job: _Job) -> Part:
    """Do the work of one process."""
    before = None if job.before is None else job.before.received()
    collector = BatchGarbageCollector()
    collector.take_over()
    comparison = Comparison(
        make(), before, job.after.received(), job.examples, lambda _: collector.between_batches(), job.share
    )
    return comparison.part(job.ranges, job.file)


def joined_reads(ranges: Sequence[Frozen]) -> dict[Partition, ReadRange]:
    """Return the offsets of several ranges together; of a partition in both, from the earlier offset on."""
    reads: dict[Partition, ReadRange] = {}
    for frozen in ranges:
        for place, part in frozen.reads.items():
            known = reads.get(place, part)
            reads[place] = ReadRange(
                min(known.first, part.first), min(known.begin, part.begin), min(known.end, part.end)
            )
    return reads


def _reason(routed: Routing, slot: str) -> str:
    """Return how an event was routed: the reason that refused it, ``passed``, or nothing if no slot read it."""
    if slot not in routed:
        return ""
    refused = routed[slot]
    return _PASSED if refused is None else refused.reason.value


def _run_parts(definition: Definition) -> tuple[Any, ...]:
    """Return all that the run of a match depends on, apart from its events."""
    trigger = definition.trigger
    return trigger.run, trigger.collect, [(slot.variable, slot.parameters, slot.count) for slot in trigger.slots]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _made(match: PastMatch) -> Run | UnrunnableError | None:
    return match.run if match.make is None else match.make()
