"""Compare an edited trigger with the deployed one: both run over the same events of the log, by the live rules.

Two pasts (:mod:`bridge.replay.past`) read each record in turn. A record is decoded once for both. What both do alike is
only counted. A match that one of them has made waits for the same match of the other: matches are the same if they have
the same events at the same slots. What still waits at the end is new, or removed.

Nothing of the live bridge is touched or asked: no run is recorded, so both sides say what the rules alone make of these
events. Therefore the differences come from the edit, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Micros, time_text
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.explain.story import Told, WindowStory
from bridge.explain.tracing import RememberingReader, match_events, run_parameters, told, window_story
from bridge.kafka.log import Partition, Record
from bridge.replay.frozen import Frozen, ReadRange
from bridge.replay.merge import Timed, merged
from bridge.replay.past import Needs, Past, PastMatch
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import NothingRecorded
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.spill_file import DiskKeys, spill_file
from flowbridge_sdk.errors import DecodeError

FAILABLE = ("new", "removed", "changed", "filtered", "errors")
"""The differences that ``--fail-on`` may name."""

_SIDES = ("before", "after")
_ERRORS = frozenset({Reason.UNKEYED.value, Reason.UNDECODABLE.value, Reason.OVERSIZE.value})
_PASSED = "passed"
_IN_MEMORY = 200_000  # keys of one side, and matches that wait for the other side; more of them are in a file
_KEPT = 2_000  # of them with what is told of an example
_NEWEST = 64  # of them, before that is found out
_DIGEST = 16  # bytes
_TOLD_RECORDS = 2_000
_TRIES = 10
_SPILLED = "CREATE TABLE matches (digest BLOB PRIMARY KEY, signature BLOB) WITHOUT ROWID"


@dataclass
class RunExample:
    """A run that only one side has, or that both have with other parameters."""

    at: str
    workflow: str
    key: str
    events: list[str]
    parameters: dict[str, str]


@dataclass
class EventExample:
    """An event that the two sides decide otherwise."""

    event: str
    place: str
    slot: str
    before: str
    after: str
    decision: Told | None


@dataclass
class Difference:
    """What an edit changes.

    Attributes:
        trigger: ``namespace/name``.
        before: Hash of the deployed definition; empty if there is none.
        after: Hash of the edited definition.
        begin: When the range begins.
        end: When it ends.
        records: Records that were read.
        runs: Counts of runs: ``same`` (also where neither can make one), ``new``, ``removed``, ``changed`` (the same
            events, other parameters).
        events: Counts of events at slots: ``filtered`` (they passed before), ``passed`` (they did not), ``errors``.
        decisions: All decisions of the edited trigger in the range, by reason.
        windows: How many windows are open at the end, ``before`` and ``after``.
        new: Examples of new runs.
        removed: Examples of removed runs.
        changed: Examples of changed runs: before, and after.
        filtered: Examples of events that are newly filtered.
        passed: Examples of events that newly pass.
        errors: Examples of events and matches that fail and did not before.
        open: Examples of open windows of the edited trigger.
        notes: What a person should know.

    """

    trigger: str
    before: str
    after: str
    begin: str
    end: str
    records: int = 0
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("same", "new", "removed", "changed"), 0))
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("filtered", "passed", "errors"), 0))
    decisions: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    new: list[RunExample] = field(default_factory=list)
    removed: list[RunExample] = field(default_factory=list)
    changed: list[tuple[RunExample, RunExample]] = field(default_factory=list)
    filtered: list[EventExample] = field(default_factory=list)
    passed: list[EventExample] = field(default_factory=list)
    errors: list[EventExample] = field(default_factory=list)
    open: list[WindowStory] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind that ``--fail-on`` may name."""
        return {name: (self.runs | self.events)[name] for name in FAILABLE}

    def plain(self) -> dict[str, Any]:
        """Return the difference as plain values, for JSON."""
        return {"kind": "plan", **asdict(self)}


Routing = dict[str, Decision | None]
"""By slot that read the event of a record, the decision that refused it; None where it passed."""


class _Seen:
    """Keys of matches or runs that have come; more than some are in a file."""

    def __init__(self) -> None:
        self._recent: set[bytes] = set()
        self._older: DiskKeys | None = None

    def __contains__(self, key: bytes) -> bool:
        return key in self._recent or (self._older is not None and key in self._older)

    def add(self, key: bytes) -> None:
        """Add a key."""
        self._recent.add(key)
        if len(self._recent) >= _IN_MEMORY:
            self._older = self._older or DiskKeys()
            self._older.add(0, self._recent)
            self._recent.clear()


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
    asked: _Seen = field(default_factory=_Seen)


class _Waiting:
    """Matches of one side that the other has not made yet: digest, and the signature of the run.

    Mostly the other side makes the same match at the same record. So what is told of a match is found out only when
    some further matches have come.

    Args:
        tell: Returns what is told of a match; None if it counts for nothing, since no run can be made of it.

    """

    def __init__(self, tell: Callable[[PastMatch], RunExample | None]) -> None:
        self._tell = tell
        self._memory: dict[bytes, bytes] = {}
        self._newest: dict[bytes, PastMatch] = {}
        self._examples: dict[bytes, RunExample] = {}
        self._file: Any = None
        self._spilled = 0

    def __len__(self) -> int:
        while self._newest:
            self._age()
        return len(self._memory) + self._spilled

    def add(self, digest: bytes, signature: bytes, match: PastMatch) -> None:
        """Keep a match."""
        self._memory[digest] = signature
        self._newest[digest] = match
        if len(self._newest) > _NEWEST:
            self._age()
        if len(self._memory) > _IN_MEMORY:
            if self._file is None:
                self._file = spill_file(_SPILLED)
            old = [item for item in self._memory.items() if item[0] not in self._newest]
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO matches VALUES (?, ?)", old)
            self._file.execute("COMMIT")
            self._spilled = self._file.execute("SELECT count(*) FROM matches").fetchone()[0]
            self._memory = {digest: self._memory[digest] for digest in self._newest}

    def _age(self) -> None:
        """Find out what is told of the oldest of the newest matches."""
        digest = next(iter(self._newest))
        example = self._tell(self._newest.pop(digest))
        if example is None:
            del self._memory[digest]
        elif len(self._examples) < _KEPT:
            self._examples[digest] = example

    def signature(self, digest: bytes) -> bytes | None:
        """Return the signature of a match; None if it does not wait."""
        signature = self._memory.get(digest)
        if signature is None and self._spilled:
            row = self._file.execute("SELECT signature FROM matches WHERE digest = ?", (digest,)).fetchone()
            signature = None if row is None else row[0]
        return signature

    def example(self, digest: bytes) -> RunExample | None:
        """Return what is told of a match that waits; None if too many wait to tell it of this one."""
        match = self._newest.get(digest)
        return self._examples.get(digest) if match is None else self._tell(match)

    def remove(self, digest: bytes) -> None:
        """Forget a match that waits."""
        self._newest.pop(digest, None)
        self._examples.pop(digest, None)
        if self._memory.pop(digest, None) is None:
            self._file.execute("DELETE FROM matches WHERE digest = ?", (digest,))
            self._spilled -= 1

    def examples(self, count: int) -> list[RunExample]:
        """Return some of the matches, in the order in which they were made."""
        return list(self._examples.values())[:count]

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()


class Comparison:
    """Compares two definitions of a trigger.

    Args:
        around: What it works with.
        before: The deployed definition; None for a trigger that is new.
        after: The edited definition.
        examples: Examples of each difference.
        progress: Hears how far reading has come.

    """

    def __init__(
        self,
        around: ReplayDependencies,
        before: Definition | None,
        after: Definition,
        examples: int,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._around = around
        self._examples = examples
        self._progress = progress
        self._compares_runs = before is not None and _run_parts(before) != _run_parts(after)
        self._decoder = EventDecoder(around.decoder, around.pace)
        self._reader = RememberingReader(self._decoder)
        self._before = None if before is None else self._side(before)
        self._after = self._side(after)
        self._failed = _Seen()  # matches of which the deployed trigger can make no run
        self._waiting = {
            "before": _Waiting(partial(self._example, self._before or self._after)),
            "after": _Waiting(partial(self._example, self._after)),
        }

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
            Bounds(held.window_bound, held.remembered_bound * self._around.topics.partitions, held.window_bytes),
            needs=Needs(payloads=False, recorded_runs=True, runs=False),
        )
        past.routed = hear
        return _Side(definition, past, routed)

    def compare(self, ranges: Sequence[Frozen]) -> Difference:
        """Read the ranges, and return what differs.

        Args:
            ranges: The range of each side; of a topic that both read, the one that begins earlier counts.

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
                    self._matched(side, self._feed(side, record, time, is_inside=is_inside), difference)
                self._compare_routing(timed, difference, is_inside=is_inside)
                difference.records += 1
                if difference.records % _TOLD_RECORDS == 0:
                    self._progress(Progress(difference.records, total, time))
        for side in sides:
            self._matched(side, list(side.past.advance(end)), difference)
        self._progress(Progress(difference.records, total, end))
        self._conclude(difference)
        return difference

    def _feed(self, side: _Side, record: Record, time: Micros, *, is_inside: bool) -> Sequence[PastMatch]:
        for tries in range(_TRIES):
            try:
                return side.past.feed(record, time, is_inside=is_inside)
            except DecodeError:
                if tries == _TRIES - 1:
                    raise
                self._around.wait(1.0)
        raise AssertionError("the last try returns or raises")

    # -- events --------------------------------------------------------------------------------------------------------

    def _compare_routing(self, timed: Timed, difference: Difference, *, is_inside: bool) -> None:
        """Count how the event of a record was routed by both, where they differ."""
        after = self._after.routed
        before = Routing() if self._before is None else self._before.routed
        if is_inside and (before.keys() != after.keys() or any(after.values()) or any(before.values())):
            for slot in {**before, **after}:
                self._compare_slot(timed, slot, difference)
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

    def _matched(self, side: _Side, matches: Sequence[PastMatch], difference: Difference) -> None:
        for match in matches:
            if match.is_inside:
                self._match(side, match, difference)

    def _match(self, side: _Side, match: PastMatch, difference: Difference) -> None:
        """Count a match. Where runs depend on the same, those of the same events are the same, and need not be made."""
        is_after = side is self._after
        run = _made(match) if self._compares_runs or side.definition.id is not None else None
        digest = _digest(side.definition, match)
        run_key = run.run_key.encode() if isinstance(run, Run) else digest
        if run_key in side.asked:
            return
        side.asked.add(run_key)
        mine, others = self._waiting[_SIDES[is_after]], self._waiting[_SIDES[not is_after]]
        signature = _signature(run) if self._compares_runs else b""
        waiting = None if isinstance(run, UnrunnableError) else others.signature(digest)
        if waiting is None:
            run = _made(match) if run is None and is_after else run
            if isinstance(run, UnrunnableError):
                self._fail(side, match, run, difference)
            elif self._before is None:
                difference.runs["new"] += 1
                if len(difference.new) < self._examples:
                    difference.new.append(_example(side.definition, match, run))
            else:
                mine.add(digest, signature, match)
            return
        if waiting == signature:
            difference.runs["same"] += 1
        else:
            difference.runs["changed"] += 1
            other = others.example(digest) if len(difference.changed) < self._examples else None
            if other is not None:
                pair = (other, _example(side.definition, match, run))
                difference.changed.append(pair if is_after else (pair[1], pair[0]))
        others.remove(digest)

    def _example(self, side: _Side, match: PastMatch) -> RunExample | None:
        """Return what is told of a match; None if no run can be made of it."""
        run = _made(match)
        if isinstance(run, UnrunnableError):
            self._failed.add(_digest(side.definition, match))
            return None
        return _example(side.definition, match, run)

    def _fail(self, side: _Side, match: PastMatch, run: UnrunnableError, difference: Difference) -> None:
        """Count a match of the edited trigger of which no run can be made, if the deployed one could make it."""
        digest = _digest(side.definition, match)
        if side is self._before:
            self._failed.add(digest)
        elif digest not in self._failed:
            difference.events["errors"] += 1
            if len(difference.errors) < self._examples:
                fault = run.redacted_text(side.definition.trigger.sensitive)
                events = ", ".join(_events(side.definition, match))
                difference.errors.append(EventExample(events, "", "", "", f"no run can be made: {fault}", None))

    def _conclude(self, difference: Difference) -> None:
        difference.decisions = dict(self._after.past.decisions)
        if self._before is not None:
            difference.runs["new"] = len(self._waiting["after"])
            difference.runs["removed"] = len(self._waiting["before"])
            difference.new = self._waiting["after"].examples(self._examples)
            difference.removed = self._waiting["before"].examples(self._examples)
            difference.windows["before"] = sum(1 for _ in self._before.past.open_windows())
        count = 0
        for window in self._after.past.open_windows():
            count += 1
            if count <= self._examples:
                difference.open.append(window_story(self._after.definition, window, "recomputed"))
        difference.windows["after"] = count
        for waiting in self._waiting.values():
            waiting.close()


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


def _digest(definition: Definition, match: PastMatch) -> bytes:
    """Return what identifies a match: its events at their slots; the time of one that has none."""
    slots = zip(definition.slots, match.used, strict=True)
    used = sorted([(slot.slot.variable, *event) for slot, events in slots for event in events])
    text = repr(used) if used else f"complete at {match.complete}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _signature(run: Run | UnrunnableError | None) -> bytes:
    if not isinstance(run, Run):
        return b"none"
    what = (run.namespace, run.template, run.parameters, run.payload, run.labels, run.annotations, run.synchronization)
    return blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _events(definition: Definition, match: PastMatch) -> list[str]:
    return [f"{slot} {event.id}" for slot, event in match_events(definition, match)]


def _made(match: PastMatch) -> Run | UnrunnableError | None:
    return match.run if match.make is None else match.make()


def _example(definition: Definition, match: PastMatch, run: Run | UnrunnableError | None) -> RunExample:
    made = run if isinstance(run, Run) else None
    return RunExample(
        at=time_text(match.complete),
        workflow=f"{made.namespace}/{made.name}" if made is not None else "",
        key=definition.redacted_key(made.key) if made is not None else "",
        events=_events(definition, match),
        parameters={parameter.name: parameter.value for parameter in run_parameters(definition, run)},
    )
