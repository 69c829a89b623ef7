"""Deliberate faults of the product, one function each: what the simulator has to notice."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from types import FunctionType
from typing import Any
from unittest.mock import patch

from bridge.argo import create_attempt
from bridge.argo.create_attempt import Confirmation, NameOwner
from bridge.argo.doubt import Age, Doubt
from bridge.core import trigger
from bridge.core.decision import Reason
from bridge.core.event import Event, Micros
from bridge.core.runs import run_of_match
from bridge.core.runs.identity import run_digest
from bridge.core.runs.limits import Brake
from bridge.core.slot_filters import SlotFilters
from bridge.core.windows.kinds import calendar
from bridge.core.windows.kinds.within import Within
from bridge.kafka import loop as loop_module
from bridge.kafka.internal_topics import partition_of
from bridge.kafka.log import Admin, Committed, LogError, Partition, UnansweredError
from bridge.kafka.loop import StageLoop
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.consumer import MemoryReader
from bridge.kafka.memory.partition import PartitionLog
from bridge.kafka.ownership import Note
from bridge.kafka.records import RecordError
from bridge.replay import frozen
from bridge.replay.execution import Execution
from bridge.replay.frozen import Freezer
from bridge.replay.past import Past
from bridge.replay.recorded import Outcome, Recorded
from bridge.replay.replays import ReplayOwner
from bridge.stages import process
from bridge.stages.matcher import safe_time, spilled_windows, window_restore
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.matcher.safe_time import Safe, SafeTime
from bridge.stages.matcher.spilled_windows import SpilledWindows
from bridge.stages.matcher.window_records import Place
from bridge.stages.matcher.window_restore import LastRecords
from bridge.stages.matcher.window_states import WindowState
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.router.reached_time import ReachedTimes
from bridge.stages.router.router import Router
from bridge.stages.shared import run_sender
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.run_records import encode_run
from bridge.stages.submitter import attempts, bulkheads, submitter
from bridge.stages.submitter.attempts import Attempts
from bridge.stages.submitter.bulkheads import _Bulkhead
from bridge.stages.submitter.lanes import Lane, Lanes
from bridge.stages.submitter.ledger import ledger_restore
from bridge.stages.submitter.ledger.ledger_writer import LedgerWriter
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.orders import Orders
from bridge.stages.submitter.submitter import Submitter
from bridge.stages.submitter.waiting_runs import WaitingRuns
from bridge.triggers.sources import folder
from bridge.triggers.sources.folder import FileSource
from simulation.process import SimulatedProcess

REPLAYS = "replays"
"""In place of a scene: the seeds in whose worlds replays run."""


@dataclass(frozen=True)
class Mutation:
    """A fault.

    Attributes:
        name: What is wrong.
        parts: Object, attribute, and what stands in its place.
        within: In so many seeds it has to be noticed.
        scene: Whose seeds these are: of a scene, or those with replays. Without one, all seeds, after the regressions.

    """

    name: str
    parts: tuple[tuple[Any, str, Any], ...]
    within: int = 100
    scene: str = ""

    @contextmanager
    def applied(self) -> Iterator[list[Exception]]:
        """Let the product have the fault; yield the errors that are no fault of the product, but of its replacement."""
        errors: list[Exception] = []
        with ExitStack() as stack:
            for target, attribute, replacement in self.parts:
                watched = _watched(replacement, errors) if isinstance(replacement, FunctionType) else replacement
                stack.enter_context(patch.object(target, attribute, watched))
            yield errors


def _watched(replacement: Callable[..., Any], errors: list[Exception]) -> Callable[..., Any]:
    """Return a replacement that keeps the errors of its own code: that of a product that it no longer fits."""

    def call(*given: Any, **named: Any) -> Any:
        try:
            return replacement(*given, **named)
        except (TypeError, ValueError, AttributeError) as error:
            frames = traceback.extract_tb(error.__traceback__)
            if frames[-1].filename == __file__:
                errors.append(error)
            raise

    return call


# -- the loop ----------------------------------------------------------------------------------------------------------

_transact, _offsets, _commit_alone = StageLoop._transact, StageLoop._offsets, StageLoop._commit_alone


def _offsets_apart(self: Any, work: Callable[..., None]) -> bool:
    """Commit the records first, and the offsets in a transaction of their own."""
    producer, send_offsets, late = self._producer, self._producer.send_offsets, []
    producer.send_offsets = lambda offsets, metadata: late.append((offsets, metadata))
    commit = producer.commit

    def commit_both() -> None:
        commit()
        while late:
            offsets, metadata = late.pop()
            producer.begin()
            send_offsets(offsets, metadata)
            commit()

    producer.commit = commit_both
    try:
        return _transact(self, work)
    finally:
        del producer.send_offsets, producer.commit


def _late_metadata(self: Any, out: Any) -> dict[Partition, Committed]:
    self._metadata = self._consumer.metadata()
    return _offsets(self, out)


def _late_claim(self: Any, offsets: Mapping[Partition, Committed]) -> None:
    self._metadata = self._consumer.metadata()
    _commit_alone(self, offsets)


def _keep_revoked(self: Any, partitions: Collection[Partition]) -> None:
    del partitions
    self._rebalanced = True


def _keep_state(self: Any) -> None:
    """Go back in the log after an abort, and keep what memory holds."""
    self._queue.clear()
    self._spoiled = False
    self._rebalanced = True
    for partition, note in self._admin.committed(self._group, list(self._committed), stable=True).items():
        self._committed[partition] = note
        self._consumer.seek(partition, note.offset)


def _take_over_softly(
    admin: Admin, group: str, partitions: Iterable[Partition], own: str
) -> Mapping[Partition, Committed]:
    del own
    return admin.committed(group, tuple(partitions), stable=False)


def _read_to_stable(reader: Any, admin: Admin, partition: Partition, bound: float) -> LastRecords:
    last = LastRecords(bound)
    for records in reader.read(partition, 0, admin.stable_ends([partition])[partition]):
        for record in records:
            last.put(record.key, record.value)
    return last


def _fetch_uncommitted(
    self: Any, offset: int, limit: int, size: float = 0, *, hidden: bool = False
) -> tuple[list[Any], int]:
    del size, hidden
    entries = [entry for entry in self._entries if entry.record.offset >= offset]
    records = [entry.record for entry in entries if not entry.marker][:limit]
    return records, records[-1].offset + 1 if len(records) == limit else max(offset, self.end)


# -- time --------------------------------------------------------------------------------------------------------------


def _any_time(self: Any, topic: str) -> Safe:
    del topic
    return Safe(int(self._clock() - self._skew), 2**62)


def _believed(self: Any, record: Any) -> tuple[int, int]:
    del self
    return record.timestamp, record.timestamp * 1000


def _note_of_all(committed: Committed | None) -> Note:
    del committed
    return Note("", 2**62, "")


# -- the matcher -------------------------------------------------------------------------------------------------------

_apply_step, _keep_retiring = WindowStore.apply, WindowStore.keep_retiring
_take_from_disk, _insert = SpilledWindows._taken, spilled_windows._INSERT


def _forget_matched(self: Any, key: Any, trigger: Any, step: Any, out: Any, **more: Any) -> None:
    for arrival, spent in step.spent:
        if spent.fate is Reason.MATCHED:
            _forget_uncounted(self, Place(key, arrival.slot, arrival.event))
    left = tuple(spent for spent in step.spent if spent[1].fate is not Reason.MATCHED)
    _apply_step(self, key, trigger, step._replace(spent=left), out, **more)


def _decide_each_slice(self: Any, retiring: Any, out: Any) -> None:
    _keep_retiring(self, retiring, out)
    self._retiring = None


def _in_memory_only(self: Any, key: Any) -> Any:
    return self._windows.get(key)


def _never_due(self: Any, condition: Any) -> None:
    del self, condition


def _left_on_disk(self: Any, condition: Any, number: int, row: tuple[Any, ...]) -> Any:
    """Bring a window back, and leave it on disk as it was."""
    window = _take_from_disk(self, condition, number, row)
    self._database.execute("INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?)", (row[0], number, *row[1:]))
    return window


def _known_only(self: Any, known: str) -> Any:
    return self._definitions.known.get(known)


# -- the submitter -----------------------------------------------------------------------------------------------------

_write, _confirm = LedgerWriter.write, create_attempt.confirm


def _write_no_intent(self: Any, state: Any, run: Any, now: Any, out: Any, phase: Any = None) -> bytes:
    return b"" if state == "intent" else _write(self, state, run, now, out, phase)


def _pass_the_rest(self: Any, now: Any, out: Any) -> None:
    del now, out
    self.book.take_new()


def _compare_nothing(api: Any, namespace: str, name: str, run_key: str) -> Confirmation:
    look = _confirm(api, namespace, name, run_key)
    return look._replace(standing=NameOwner.OURS) if look.standing is NameOwner.FOREIGN else look


def _terminating_is_gone(api: Any, namespace: str, name: str, run_key: str) -> Confirmation:
    look = _confirm(api, namespace, name, run_key)
    return Confirmation(NameOwner.ABSENT) if look.standing is NameOwner.OURS and look.terminating else look


# -- limits ------------------------------------------------------------------------------------------------------------

_restore_lane = Lanes.restore


def _no_wait(self: Any, now: Any) -> None:
    del self, now


def _no_storm(self: Any, now: Any) -> Any:
    return self.wait_for_rate(now)


def _count_from_nothing(self: Any, partition: int, trigger: str, made_by: str, asked: Any, started: Any) -> None:
    del asked, started
    _restore_lane(self, partition, trigger, made_by, (), ())


def _never_late(self: Any, now: Any) -> bool:
    del self, now
    return False


def _identify_by_events(
    definition: Any, installation: str, key: str, match: Any, frame: Any = None, *, replay_id: str = "", **more: Any
) -> bytes:
    """Return the digest of a match's events, whatever else is to identify it."""
    del frame, more
    parts = run_of_match._events_parts(definition.trigger, match)
    return run_digest(installation, definition.identity, key, parts, replay_id)


# -- what is lost, and what is remembered ------------------------------------------------------------------------------


def _go_on(self: Any, partition: Partition, offset: int) -> int:
    del offset
    return int(self._admin.start_offsets([partition])[partition])


def _go_on_at_the_end(self: Any, partition: Partition, offset: int) -> int | None:
    del offset
    return None if self._lost_offsets == "hold" else int(self._admin.end_offsets([partition])[partition])


def _forget_uncounted(self: Any, place: Any) -> None:
    held = self._windows.get(place.window)
    if isinstance(held, WindowState):
        held.pop(place[1:], None)
    else:
        self._windows.pop(place.window, None)


# -- Kafka in trouble, and clocks that are set -------------------------------------------------------------------------

_answers_of_the_broker, _all_ends, _end_of_frame = MemoryAdmin._answers, Admin.all_ends, calendar._end
_time_of_the_brokers = SafeTime.look


def _no_leader_is_minus_1001(self: Any, partitions: Iterable[Partition], of: Callable[..., int]) -> Any:
    """Answer for a partition without a leader as librdkafka does: without an error."""
    try:
        return _answers_of_the_broker(self, partitions, of)
    except UnansweredError as error:
        return {**error.answered, **dict.fromkeys(error.unanswered, -1001)}


def _whatever_is_told(self: Admin, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Take a partition without an answer for an empty one."""
    asked = list(partitions)
    try:
        ends: Mapping[Partition, int] = self.end_offsets(asked)
    except UnansweredError as error:
        ends = error.answered
    return {partition: max(0, ends.get(partition, 0)) for partition in asked}


def _own_time(self: Any, topics: Mapping[str, int]) -> None:
    """Take the process's clock for the time that the brokers' clocks have passed."""
    self._broker_time._lead = self._clock() - self._pace() + 10**9
    _time_of_the_brokers(self, topics)


def _as_if_whole(*arguments: Any, **options: Any) -> Any:
    return _end_of_frame(*arguments, **options)._replace(ended_early=False)


# -- scenes ------------------------------------------------------------------------------------------------------------

_settled_age, _under_root, _merge, _ask, _read = (
    Doubt.age,
    FileSource._under_root,
    folder.merge,
    Lane.ask,
    MemoryReader.read,
)
_apply_definition, _enforce = Definitions._apply, Definitions._enforce
_bury_unreadable, _take_up = Matcher._bury_unreadable, Submitter._take_up
_add_window, _apply_entry = window_restore.Restored.add, ledger_restore._Restoring._apply_other

_take_due = WaitingRuns.take_due


def _never_again(self: Any, now: Any, out: Any) -> None:
    del self, now, out


def _read_from_the_start_that_was_asked_for(self: Any, partition: Partition, start: int, end: int) -> Iterator[Any]:
    """Wait, as a reader of a log whose beginning is gone, for a position that never comes."""
    if start < end and self._broker.log(partition).start >= end:
        raise LogError(f"{partition.topic}/{partition.number} does not go on at {start}")
    yield from _read(self, partition, start, end)


def _say_no(self: Any, asked: Any) -> bool:
    del self, asked
    return False


def _full_of_others(self: Any) -> int:
    return max(0, 5 - self.book.lanes.waiting())


def _without_a_bound(self: Any, record: Any, now: Any, out: Any, **how: Any) -> None:
    self._settings = replace(self._settings, waiting_runs=2**62)
    _take_up(self, record, now, out, **how)


def _forget_due(self: Any, now: Any, limit: Any) -> list[Any]:
    _take_due(self, now, limit)
    return []


def _ask_below_the_bound(self: Any, run: Any) -> None:
    if len(self) < 6:
        _ask(self, run)


def _default_lifetime(self: Any, template: Any) -> Micros:
    del template
    return int(self._lifetime)


def _outlived_is_settled(self: Any, began: Any, ended: Any, limit: Any) -> Age:
    age = _settled_age(self, began, ended, limit)
    return Age.SETTLED if age is Age.OUTLIVED else age


def _whenever(self: Any, now: Any, limit: Any) -> bool:
    del self, now, limit
    return True


def _never_late_look(self: Any, run: Any, now: Any) -> bool:
    del self, run, now
    return False


def _no_look_counts(self: Any, began: Any) -> Any:
    del began
    return self


def _no_other_path(self: Any, known: Any, reading: Any) -> Any:
    return _under_root(self, known, replace(reading, silent=frozenset()))


def _as_read(last_known: Any, reading: Any) -> Any:
    del last_known
    return reading.loaded


def _complete(last_known: Any, reading: Any) -> Any:
    return _merge(last_known, replace(reading, complete=True, errors=()))


def _passed_by(apply: Callable[..., None]) -> Callable[..., None]:
    """Return something that goes on without what it cannot read."""

    def applied(*arguments: Any, **how: Any) -> None:
        with suppress(RecordError):
            apply(*arguments, **how)

    return applied


def _enforce_known(definitions: Definitions, name: str, definition: str | None, offset: int) -> None:
    """Forget what is put in force and has no definition."""
    _enforce(definitions, name, definition, offset)
    definitions._early.clear()


def _all_fields(value: Any) -> Any:
    """Take later fields for fields like all others."""
    if is_dataclass(value):
        return {item.name: _all_fields(getattr(value, item.name)) for item in fields(value)}
    return [_all_fields(item) for item in value] if isinstance(value, tuple | list) else value


# -- replays -----------------------------------------------------------------------------------------------------------

_past, _step_of_replay, _forget_run = Past.__init__, Execution.step, Recorded.forget


class _Other:
    """Something that is as another thing, but for what is given by name."""

    def __init__(self, inner: Any, **other: Any) -> None:
        self.__dict__.update(other)
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _nothing_recorded(recorded: Any, record: Any) -> None:
    del recorded, record


def _without_uses(self: Any, definition: Any, installation: str, recorded: Any, *more: Any, **options: Any) -> None:
    others: Any = _Other(recorded, use_of=lambda _: None)
    _past(self, definition, installation, others, *more, **options)


def _no_reach(self: Any, trigger: Any) -> int:
    del self, trigger
    return 0


def _to_the_stable_ends(self: Any, admin: Any, places: Any) -> Any:
    del self
    return admin.stable_ends(places), True


def _unchecked_step(self: Any, patience: float = 0.0) -> bool:
    """Take every run of the plan for missing still."""
    if self._plan is not None and not isinstance(self._since, _Other):
        since, sent = self._since, self._sent

        def state(run_key: str) -> Any:
            return since.state(run_key) if run_key in sent else (Outcome.MISSING, "")

        self._since = _Other(since, state=state, use_of=lambda _: None)
    return _step_of_replay(self, patience)


def _runs_apart(self: Any, replay: Any, runs: Any = None) -> None:
    """Send runs in a transaction, and store the position in another one behind it."""
    sent = [
        (self._topics.runs, partition_of(run.trigger, self._topics.partitions), run.run_key.encode(), encode_run(run))
        for run in runs or ()
    ]
    for records in (sent, [(self._topics.replays, 0, replay.name.encode(), replay.encode())]):
        if records:
            self._send(records)


def _position_first(self: Any, replay: Any, runs: Any = None) -> None:
    """Store the position in a transaction, and send the runs in another one behind it."""
    self._send([(self._topics.replays, 0, replay.name.encode(), replay.encode())])
    if runs:
        number = partition_of(runs[0].trigger, self._topics.partitions)
        self._send([(self._topics.runs, number, run.run_key.encode(), encode_run(run)) for run in runs])


def _not_held(self: Any, event: Any) -> bool:
    del self, event
    return False


def _never_cancelled(self: Any, replay: str) -> bool:
    del self, replay
    return False


def _forget_the_run_alone(self: Any, run_key: str) -> None:
    self._database.execute("DELETE FROM runs WHERE run_key = ?", (run_key,))


def _last_owner_goes_on(self: Any, log: Any, topics: Any, name: str) -> None:
    """Take a replay over without ending what its former owner does."""
    self._log, self._topics, self._name = log, topics, name
    self._producer = log.producer(f"{topics.prefix}replay-{name}-{id(self)}")
    self._producer.init()


def _open_to_others(filters: SlotFilters, event: Event) -> list[int]:
    del event
    return filters.always


MUTATIONS = (
    Mutation("offsets committed outside the transaction", ((StageLoop, "_transact", _offsets_apart),)),
    Mutation(
        "group metadata taken late",
        ((StageLoop, "_offsets", _late_metadata), (StageLoop, "_commit_alone", _late_claim)),
        within=300,
    ),
    Mutation("a revoked partition's record kept in the batch", ((StageLoop, "_discard", _keep_revoked),)),
    Mutation("state kept in memory after an abort", ((StageLoop, "_take_again", _keep_state),)),
    Mutation(
        "restore to the stable offset only",
        ((process, "read_last_records", _read_to_stable), (loop_module, "take_over", _take_over_softly)),
    ),
    Mutation("former owners are not fenced", ((loop_module, "take_over", _take_over_softly),)),
    Mutation("read_uncommitted", ((PartitionLog, "fetch", _fetch_uncommitted),)),
    Mutation("tick without safe time", ((SafeTime, "of_topic", _any_time),)),
    Mutation("safe time that ignores applied definitions", ((safe_time, "read_note", _note_of_all),)),
    Mutation("a publisher's timestamp believed", ((ReachedTimes, "of", _believed),)),
    Mutation("ids forgotten at a match", ((WindowStore, "apply", _forget_matched),)),
    Mutation(
        "a retirement decided again at each slice", ((WindowStore, "keep_retiring", _decide_each_slice),), within=150
    ),
    Mutation("a restart counts remembered events twice", ((WindowStore, "_forget", _forget_uncounted),)),
    Mutation("a window on disk does not come back", ((WindowStore, "_held", _in_memory_only),)),
    Mutation("time passes windows on disk by", ((SpilledWindows, "first_due", _never_due),)),
    Mutation(
        "a window comes back from disk as it was before",
        (
            (SpilledWindows, "_taken", _left_on_disk),
            (spilled_windows, "_INSERT", _insert.replace("INSERT", "INSERT OR IGNORE")),
        ),
    ),
    Mutation("a lost offset passed unasked", ((Router, "lost_offset", _go_on),)),
    Mutation("what stands behind a lost offset passed", ((Router, "lost_offset", _go_on_at_the_end),)),
    Mutation("rate not kept", ((Brake, "wait_for_rate", _no_wait),)),
    Mutation("storm not held", ((Brake, "wait", _no_storm),)),
    Mutation("limits that forget at a restart", ((Lanes, "restore", _count_from_nothing),), within=150),
    Mutation("start deadline not kept", ((OpenRun, "is_too_late", _never_late),)),
    Mutation(
        "run.id not looked at",
        ((run_of_match, "identify", _identify_by_events), (run_sender, "identify", _identify_by_events)),
    ),
    Mutation("create without intent", ((LedgerWriter, "write", _write_no_intent),)),
    Mutation("what was sent ahead is taken for new", ((Submitter, "_was_sent_ahead", _say_no),), 1),
    Mutation("a claim forgets what was sent ahead", ((Submitter, "is_tried", _say_no),), 1),
    Mutation("marks that stay the same", ((submitter, "token_bytes", bytes),), 1),
    Mutation(
        "409 not compared", ((create_attempt, "confirm", _compare_nothing), (attempts, "confirm", _compare_nothing))
    ),
    Mutation(
        "terminating ours created again",
        ((create_attempt, "confirm", _terminating_is_gone), (attempts, "confirm", _terminating_is_gone)),
    ),
    Mutation("prefix commit that skips one in flight", ((Submitter, "_park_rest", _pass_the_rest),)),
    Mutation("a definition not read before its arrivals", ((Matcher, "_definition", _known_only),)),
    Mutation(
        "-1001 counts as an offset",
        ((MemoryAdmin, "_answers", _no_leader_is_minus_1001), (Admin, "all_ends", MemoryAdmin.end_offsets)),
    ),
    Mutation("a partition without an answer restored as empty", ((Admin, "all_ends", _whatever_is_told),), within=150),
    Mutation("a clock that is ahead ends windows early", ((SafeTime, "look", _own_time),)),
    Mutation("pacing by the wall clock", ((SimulatedProcess, "pace", SimulatedProcess.clock),)),
    Mutation("a submitter whose clock is set goes on", ((submitter, "_STEP", 2**62),)),
    Mutation("a cut calendar window taken for a whole one", ((calendar, "_end", _as_if_whole),)),
    Mutation("runs that are put off are forgotten", ((WaitingRuns, "take_due", _forget_due),)),
    Mutation("runs on the shelf are not known", ((WaitingRuns, "__contains__", _never_late),)),
    Mutation("entries of open runs expire", ((Submitter, "_write_again", _never_again),), 40, "ageing"),
    Mutation(
        "an expired partition is waited for",
        ((MemoryReader, "read", _read_from_the_start_that_was_asked_for),),
        40,
        "ageing",
    ),
    Mutation("waiting runs stall others", ((Submitter, "appetite", _full_of_others),), 20, "neighbours"),
    Mutation(
        "namespaces share their workers",
        (
            (_Bulkhead, "is_slow", _never_late),
            (bulkheads, "SLOW_AFTER", 2**62),
            (process, "workers_for", lambda concurrency: concurrency),
        ),
        20,
        "neighbours",
    ),
    Mutation(
        "no bound on the waiting runs of a trigger", ((Submitter, "_take_up", _without_a_bound),), 40, "neighbours"
    ),
    Mutation("a storm is not seen at the bound", ((Lane, "ask", _ask_below_the_bound),), 40, "neighbours"),
    Mutation("looks wait behind creates that fail", ((Attempts, "has_to_look", _never_late_look),), 20, "outage"),
    Mutation("a template's TTL is not read", ((Attempts, "_lifetime_of", _default_lifetime),), 40, "short lives"),
    Mutation("outlived taken for settled", ((Doubt, "age", _outlived_is_settled),), 40, "short lives"),
    Mutation("created again after a lifetime", ((Doubt, "may_create", _whenever),), 40, "short lives"),
    Mutation("a look that finds nothing settles nothing", ((Doubt, "seen_absent", _no_look_counts),), 20, "outage"),
    Mutation("a folder that is mounted elsewhere", ((FileSource, "_under_root", _no_other_path),), 40, "sources"),
    Mutation("a silent folder is an empty one", ((folder, "merge", _as_read),), 20, "sources"),
    Mutation("what cannot be read counts as deleted", ((folder, "merge", _complete),), 20, "sources"),
    Mutation(
        "an unreadable definition is passed by",
        ((Definitions, "_apply", _passed_by(_apply_definition)), (Definitions, "_enforce", _enforce_known)),
        40,
        "two versions",
    ),
    Mutation("a new field changes all hashes", ((trigger, "plain_json", _all_fields),), 20, "two versions"),
    Mutation(
        "an arrival of a newer format is passed by",
        ((Matcher, "_bury_unreadable", _passed_by(_bury_unreadable)),),
        60,
        "two versions",
    ),
    Mutation(
        "a run of a newer format is passed by", ((Submitter, "_take_up", _passed_by(_take_up)),), 60, "two versions"
    ),
    Mutation(
        "an entry of a newer format is passed by",
        ((ledger_restore._Restoring, "_apply_other", _passed_by(_apply_entry)),),
        60,
        "two versions",
    ),
    Mutation(
        "a window of a newer format is passed by",
        ((window_restore.Restored, "add", _passed_by(_add_window)),),
        60,
        "two versions",
    ),
    Mutation("an index hides an event from its slots", ((SlotFilters, "open_to", _open_to_others),), 60),
    Mutation("a plan ignores the ledger", ((frozen, "record_entry", _nothing_recorded),), 200, REPLAYS),
    Mutation("recorded runs are no matches of the past", ((Past, "__init__", _without_uses),), 200, REPLAYS),
    Mutation("windows are filled in too short", ((Within, "reaches_back", _no_reach),), 200, REPLAYS),
    Mutation("a plan reads beyond the live routers", ((Freezer, "_ends", _to_the_stable_ends),), 200, REPLAYS),
    Mutation("a plan is carried out unchecked", ((Execution, "step", _unchecked_step),), 200, REPLAYS),
    Mutation("a replay forgets which runs it has sent", ((ReplayOwner, "write", _runs_apart),), 200, REPLAYS),
    Mutation("a replay forgets runs that it has not sent", ((ReplayOwner, "write", _position_first),), 200, REPLAYS),
    Mutation("a replay uses what live windows hold", ((Recorded, "is_held", _not_held),), 200, REPLAYS),
    Mutation("a cancelled run counts as done", ((LedgerWriter, "_erase", LedgerWriter._end),), 200, REPLAYS),
    Mutation("a cancelled run keeps its events", ((Recorded, "forget", _forget_the_run_alone),), 200, REPLAYS),
    Mutation("a cancel is not heard of", ((Orders, "is_cancelled", _never_cancelled),), 200, REPLAYS),
    Mutation("two processes carry a replay out", ((ReplayOwner, "__init__", _last_owner_goes_on),), 200, REPLAYS),
)
