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
from hashlib import blake2b
from typing import Any

from bridge.core.decision import Reason
from bridge.core.definition import Definition
from bridge.core.event import EventIdentity, Micros, time_text
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.explain.story import Told, WindowStory
from bridge.explain.tracing import RememberingReader, match_events, run_parameters, told, window_story
from bridge.kafka.log import Partition, Record
from bridge.replay.frozen import Frozen, ReadRange
from bridge.replay.merge import merged
from bridge.replay.past import Needs, Past, PastDecision, PastMatch
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import NothingRecorded
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.spill_file import DiskKeys, spill_file
from flowbridge_sdk.errors import DecodeError

FAILABLE = ("new", "removed", "changed", "filtered", "errors")
"""The differences that ``--fail-on`` may name."""

_REFUSED = frozenset(
    {Reason.FILTERED, Reason.UNKEYED, Reason.UNDECODABLE, Reason.OVERSIZE, Reason.SUSPENDED, Reason.FROM_THE_FUTURE}
)
_PASSED = "passed"
_IN_MEMORY = 200_000  # keys of one side, and matches that wait for the other side; more of them are in a file
_KEPT = 2_000  # of them with what is told of an example
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
        runs: Counts of runs: ``same``, ``new``, ``removed``, ``changed`` (same events, other parameters).
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


class _Side:
    """One of the two triggers with its past."""

    def __init__(self, definition: Definition, past: Past, decided: list[PastDecision]) -> None:
        self.definition = definition
        self.past = past
        self.decided = decided
        self._recent: set[bytes] = set()
        self._older: DiskKeys | None = None

    def asks_again(self, run_key: bytes) -> bool:
        """Return whether a run was asked for before, by its key: the ledger makes it once."""
        if run_key in self._recent or (self._older is not None and run_key in self._older):
            return True
        self._recent.add(run_key)
        if len(self._recent) >= _IN_MEMORY:
            self._older = self._older or DiskKeys()
            self._older.add(0, self._recent)
            self._recent.clear()
        return False

    def routed(self, identity: EventIdentity) -> dict[str, PastDecision]:
        """Return how the event of a record was routed at each slot: the first decision about it."""
        found: dict[str, PastDecision] = {}
        for made in self.decided:
            if made.decision.event == identity or made.decision.reason in _REFUSED:
                found.setdefault(made.decision.slot, made)
        self.decided.clear()
        return found


class _Waiting:
    """Matches of one side that the other has not made yet: digest, and the signature of the run."""

    def __init__(self) -> None:
        self._memory: dict[bytes, bytes] = {}
        self._examples: dict[bytes, RunExample] = {}
        self._file: Any = None
        self._spilled = 0

    def __len__(self) -> int:
        return len(self._memory) + self._spilled

    def add(self, digest: bytes, signature: bytes, example: Callable[[], RunExample]) -> None:
        """Keep a match."""
        if self.takes_examples:
            self._examples[digest] = example()
        self._memory[digest] = signature
        if len(self._memory) > _IN_MEMORY:
            if self._file is None:
                self._file = spill_file(_SPILLED)
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO matches VALUES (?, ?)", self._memory.items())
            self._file.execute("COMMIT")
            self._spilled = self._file.execute("SELECT count(*) FROM matches").fetchone()[0]
            self._memory.clear()

    @property
    def takes_examples(self) -> bool:
        """Return whether what is told of the next match is kept."""
        return len(self._examples) < _KEPT

    def take(self, digest: bytes) -> tuple[bytes, RunExample | None] | None:
        """Return the signature of a match, and what is told of it, and forget it; None if it is not there."""
        signature = self._memory.pop(digest, None)
        if signature is None and self._spilled:
            row = self._file.execute("SELECT signature FROM matches WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                self._file.execute("DELETE FROM matches WHERE digest = ?", (digest,))
                self._spilled -= 1
                signature = row[0]
        if signature is None:
            return None
        return signature, self._examples.pop(digest, None)

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
        self._waiting = {"before": _Waiting(), "after": _Waiting()}

    def _side(self, definition: Definition) -> _Side:
        held, decided = self._around.windows, list[PastDecision]()
        past = Past(
            definition,
            self._around.topics.prefix,
            NothingRecorded(),
            self._reader,
            self._decoder,
            Bounds(held.window_bound, held.remembered_bound * self._around.topics.partitions, held.window_bytes),
            needs=Needs(payloads=False, recorded_runs=True, runs=False),
            decided=decided.append,
        )
        return _Side(definition, past, decided)

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
                if is_inside:
                    self._compare_routing(record, difference)
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

    def _compare_routing(self, record: Record, difference: Difference) -> None:
        """Count how the event of a record was routed by both, where they differ."""
        if not self._after.decided and (self._before is None or not self._before.decided):
            return
        identity = self._reader.identity_of(record)
        after = self._after.routed(identity)
        before = {} if self._before is None else self._before.routed(identity)
        for slot in {**before, **after}:
            was, now = before.get(slot), after.get(slot)
            reason_before, reason_now = _routing(was), _routing(now)
            if reason_before == reason_now:
                continue
            if reason_now in (Reason.UNKEYED, Reason.UNDECODABLE, Reason.OVERSIZE):
                kind = "errors"
            elif reason_now == _PASSED:
                kind = "passed" if self._before is not None else ""
            elif reason_before == _PASSED:
                kind = "filtered"
            else:
                continue
            if not kind:
                continue
            difference.events[kind] += 1
            examples: list[EventExample] = getattr(difference, kind)
            if len(examples) < self._examples:
                examples.append(
                    EventExample(
                        f"{identity.name} {identity.id}",
                        f"{record.topic}/{record.partition}/{record.offset}",
                        slot,
                        reason_before or "not read",
                        reason_now or "not read",
                        self._told(was, now),
                    )
                )

    def _told(self, was: PastDecision | None, now: PastDecision | None) -> Told | None:
        """Return the decision that refuses the event: that of the edited trigger, else that of the deployed one."""
        for side, made in ((self._after, now), (self._before, was)):
            if side is not None and made is not None and made.decision.reason in _REFUSED:
                return told(side.definition, made.decision, made.at, "recomputed")
        return None

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _matched(self, side: _Side, matches: Sequence[PastMatch], difference: Difference) -> None:
        for match in matches:
            if match.is_inside:
                self._match(side, match, difference)

    def _match(self, side: _Side, match: PastMatch, difference: Difference) -> None:
        is_after = side is self._after
        run = _made(match) if self._compares_runs or side.definition.id is not None else None
        digest = _digest(side.definition, match)
        if side.asks_again(run.run_key.encode() if isinstance(run, Run) else digest):
            return
        mine, others = ("after", "before") if is_after else ("before", "after")
        is_comparable = not isinstance(run, UnrunnableError)
        other = self._waiting[others].take(digest) if is_comparable else None
        signature = _signature(run) if self._compares_runs else b""
        if other is not None and other[0] == signature:
            difference.runs["same"] += 1
            return
        run = _made(match) if run is None and (is_after or self._waiting[mine].takes_examples) else run
        if isinstance(run, UnrunnableError):
            if is_after:
                self._fail(side, match, run, difference)
        elif other is not None:
            difference.runs["changed"] += 1
            if other[1] is not None and len(difference.changed) < self._examples:
                pair = (other[1], _example(side.definition, match, run))
                difference.changed.append(pair if is_after else (pair[1], pair[0]))
        elif self._before is None:
            difference.runs["new"] += 1
            if len(difference.new) < self._examples:
                difference.new.append(_example(side.definition, match, run))
        else:
            self._waiting[mine].add(digest, signature, lambda: _example(side.definition, match, run))

    def _fail(self, side: _Side, match: PastMatch, run: UnrunnableError, difference: Difference) -> None:
        """Count a match of which no run can be made."""
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


def _routing(made: PastDecision | None) -> str:
    """Return how an event was routed: the reason that refused it, ``passed``, or nothing if no slot read it."""
    if made is None:
        return ""
    return made.decision.reason.value if made.decision.reason in _REFUSED else _PASSED


def _run_parts(definition: Definition) -> tuple[Any, ...]:
    """Return all that the run of a match depends on, apart from its events."""
    trigger = definition.trigger
    return trigger.run, trigger.collect, [(slot.variable, slot.parameters, slot.count) for slot in trigger.slots]


def _digest(definition: Definition, match: PastMatch) -> bytes:
    """Return what identifies a match: its events at their slots; the time of one that has none."""
    pairs = sorted(match_events(definition, match))
    text = repr(pairs) if pairs else f"complete at {match.complete}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _signature(run: Run | UnrunnableError | None) -> bytes:
    if not isinstance(run, Run):
        return b"none"
    what = (run.namespace, run.template, run.parameters, run.payload, run.labels, run.annotations, run.synchronization)
    return blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _events(definition: Definition, match: PastMatch) -> list[str]:
    return [f"{slot} {event.id}" for slot, event in match_events(definition, match)]


def _made(match: PastMatch) -> Run | UnrunnableError | None:
    return match.make() if match.make is not None else match.run


def _example(definition: Definition, match: PastMatch, run: Run | None) -> RunExample:
    return RunExample(
        at=time_text(match.complete),
        workflow=f"{run.namespace}/{run.name}" if run is not None else "",
        key=definition.redacted_key(run.key) if run is not None else "",
        events=_events(definition, match),
        parameters={parameter.name: parameter.value for parameter in run_parameters(definition, run)},
    )
