"""The ledger as a new owner finds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import ClassVar

import pytest

from bridge.argo.doubt import Doubt
from bridge.core.event import DAY, HOUR, SECOND, EventIdentity, Micros
from bridge.core.runs.identity import run_key_of
from bridge.core.runs.run import Run
from bridge.kafka.log import LogError, Partition, Reader, Record, TopicSpec
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.observer import Unobserved
from bridge.stages.shared.run_records import encode_run
from bridge.stages.submitter.ledger.ledger import LedgerPartition, State, encode_entry
from bridge.stages.submitter.ledger.ledger_restore import LooksBack, read_ledgers
from bridge.stages.submitter.open_run import OpenRun, RunState

NOW: Micros = 1_700_000_000 * SECOND
PLACE = Partition("fb.ledger", 0)


def run(number: int, trigger: str = "default/ship") -> Run:
    key = run_key_of("fb.", trigger, "", (str(number),))
    events = (("order", EventIdentity("order.created", "shop", f"o-{number}")),)
    parameters = (("order", str(number)),)
    return Run(key, trigger, "d" * 20, "", "default", "ship-1", "ship", parameters, None, (), (), events, NOW, NOW)


class Fixed(Reader):
    """A reader of what is given, in batches of two."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def read(self, partition: Partition, start: int, end: int) -> Iterator[list[Record]]:
        assert (partition, start, end) == (PLACE, 0, len(self._records))
        for at in range(0, end, 2):
            yield list(self._records[at : at + 2])

    def close(self) -> None:
        """Do nothing."""


def restored(
    entries: Sequence[tuple[State | None, OpenRun, Micros]], looks_back: LooksBack = lambda _: 0
) -> LedgerPartition:
    """Return what comes back of states of runs, each written at a time."""
    broker = MemoryBroker(clock=lambda: NOW // 1000)
    broker.create(TopicSpec(PLACE.topic, 1, config={"retention.ms": "40000"}))
    records = []
    for offset, (state, entry, at) in enumerate(entries):
        key, value = entry.run.run_key.encode(), None if state is None else encode_entry(state, entry, at)
        broker.append(PLACE.topic, 0, key, value, [])
        records.append(Record(*PLACE, offset, at // 1000, key, value, ()))
    return read_ledgers(Fixed(records), MemoryLog(broker).admin(), [PLACE], 7 * DAY, NOW, looks_back, Unobserved())[0]


@pytest.mark.parametrize("seed", range(20))
def test_the_last_record_of_each_run_tells_where_it_stands(seed: int) -> None:
    random = Random(seed)
    states: dict[str, State | None] = {}
    entries: list[tuple[State | None, OpenRun, Micros]] = []
    for _ in range(60):
        entry = OpenRun(run(random.randrange(12)), 0, since=NOW - HOUR)
        state: State | None = random.choice(["parked", "intent", "done", "dead", None])
        states[entry.run.run_key] = state
        if state == "intent":
            entry.intent = NOW - HOUR
        entries.append((state, entry, NOW - HOUR))
    ledger = restored(entries)
    waiting = {entry.run.run_key: entry for entry in ledger.waiting_runs.runs()}
    assert ledger.open == {}
    assert set(waiting) == {key for key, state in states.items() if state in ("parked", "intent")}
    for key, state in states.items():
        if state in ("done", "dead"):
            assert key in ledger.final
        elif state is not None:
            assert (waiting[key].state is RunState.DOUBTFUL) == (state == "intent")
            assert waiting[key].in_doubt == (state == "intent")


def test_a_run_that_waits_comes_back_whole() -> None:
    ledger = restored([("parked", OpenRun(run(1), 0, NOW, attempts=3, reason="quota"), NOW)])
    (waiting,) = ledger.waiting_runs.take_next("default/ship", 10, 1_000_000)
    assert (waiting.written, waiting.attempts, waiting.reason) == (NOW, 3, "quota")
    assert waiting.run == run(1)
    assert waiting.body == encode_run(run(1))
    assert len(ledger) == 0


def test_the_first_refusal_of_a_run_is_remembered_across_owners() -> None:
    entries: list[tuple[State | None, OpenRun, Micros]] = [
        ("parked", OpenRun(run(1), 0, NOW - DAY, attempts=3, refused=NOW - HOUR), NOW),
        ("parked", OpenRun(run(2), 0, NOW - DAY), NOW),
    ]
    ledger = restored(entries)
    assert {waiting.run: waiting.refused for waiting in ledger.waiting_runs.runs()} == {
        run(1): NOW - HOUR,
        run(2): None,
    }


@pytest.mark.parametrize("reason", ["rate", "storm", "waits for room", "waits for its WorkflowTemplate"])
def test_a_run_that_version_0_1_0_kept_back_was_never_refused(reason: str) -> None:
    # That version dated every parked run by when it was written; as an entry of today it looks refused at that time.
    ledger = restored([("parked", OpenRun(run(1), 0, NOW - DAY, refused=NOW - HOUR, reason=reason), NOW)])
    (waiting,) = ledger.waiting_runs.take_next("default/ship", 10, 1_000_000)
    assert waiting.refused is None


def test_a_run_under_an_intent_is_in_doubt_from_its_intent_until_its_new_owner_came() -> None:
    ledger = restored([("intent", OpenRun(run(1), 0, NOW - DAY, intent=NOW - HOUR), NOW)])
    (waiting,) = ledger.waiting_runs.runs()
    assert waiting.doubt == Doubt(absent_until=NOW - HOUR, last_sent=NOW)


def test_entries_are_written_again_when_a_quarter_of_the_topics_retention_has_passed() -> None:
    assert restored([("parked", OpenRun(run(1), 0, NOW), NOW)]).rewrite_after == 10 * SECOND


class Silent(MemoryAdmin):
    """An admin client whose answers say nothing of a partition, or -1001."""

    ends: ClassVar[dict[Partition, int]] = {}

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        del partitions
        return self.ends


@pytest.mark.parametrize("ends", [{}, {PLACE: -1001}, {PLACE: -1}])
def test_an_answer_without_the_end_of_a_partition_is_an_error_and_restores_nothing(ends: dict[Partition, int]) -> None:
    broker = MemoryBroker(clock=lambda: NOW // 1000)
    broker.create(TopicSpec(PLACE.topic, 1))
    log = MemoryLog(broker)
    admin = Silent(broker, log.admin()._client)
    admin.ends = ends  # type: ignore[misc]  # of this one
    with pytest.raises(LogError, match=r"fb\.ledger/0"):
        read_ledgers(log.reader(), admin, [PLACE], 7 * DAY, NOW, lambda _: 0, Unobserved())


def test_a_run_that_ended_is_remembered_by_when_it_ended() -> None:
    entries: list[tuple[State | None, OpenRun, Micros]] = [
        ("done", OpenRun(run(number), 0, NOW), NOW - number * DAY) for number in range(20, 0, -1)
    ]
    ledger = restored(entries)
    assert all(run(number).run_key in ledger.final for number in range(1, 8))
    assert not any(run(number).run_key in ledger.final for number in range(9, 21))


def test_limits_get_back_what_lay_in_their_time_and_no_more() -> None:
    skipped = OpenRun(run(3), 0, since=NOW - 40 * SECOND, reason="skipped: deadline")
    entries: list[tuple[State | None, OpenRun, Micros]] = [
        ("done", OpenRun(run(1), 0, since=NOW - 90 * SECOND, reason="created"), NOW - 80 * SECOND),
        ("done", OpenRun(run(2), 0, since=NOW - 90 * SECOND, reason="created"), NOW - 50 * SECOND),
        ("done", skipped, NOW - 30 * SECOND),
        ("dead", OpenRun(run(4), 0, since=NOW - 20 * SECOND, reason="refused: no"), NOW - 10 * SECOND),
        ("intent", OpenRun(run(5), 0, since=NOW - 10 * SECOND, intent=NOW - 9 * SECOND), NOW),
        ("done", OpenRun(run(6, "default/other"), 0, since=NOW, reason="created"), NOW),
    ]
    ledger = restored(entries, lambda trigger: 0 if trigger == "default/other" else 60 * SECOND)
    assert ledger.asked["default/ship"] == [NOW - 40 * SECOND, NOW - 20 * SECOND]
    assert ledger.started["default/ship"] == [NOW - 50 * SECOND, NOW - 9 * SECOND]
    assert ledger.asked["default/other"] == []
