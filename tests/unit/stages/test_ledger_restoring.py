"""The ledger as a new owner finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from bridge.core.event import DAY, HOUR, SECOND, EventIdentity, Micros
from bridge.core.run import Run
from bridge.core.run_identity import RunIdentity
from bridge.kafka.log import Partition, Reader, Record, TopicSpec
from bridge.kafka.memory import MemoryBroker, MemoryLog
from bridge.stages.ledger import LedgerPartition, OpenRun, State, encode_entry
from bridge.stages.ledger_restoring import LooksBack, read_ledgers
from bridge.stages.run_records import encode_run

NOW: Micros = 1_700_000_000 * SECOND
PLACE = Partition("fb.ledger", 0)


def run(number: int, trigger: str = "default/ship") -> Run:
    key = RunIdentity("fb.", trigger, "", (str(number),)).run_key()
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
    broker.create(TopicSpec(PLACE.topic, 1))
    records = []
    for offset, (state, one, at) in enumerate(entries):
        key, value = one.run.run_key.encode(), None if state is None else encode_entry(state, one, at)
        broker.append(PLACE.topic, 0, key, value, [])
        records.append(Record(*PLACE, offset, at // 1000, key, value, ()))
    return read_ledgers(Fixed(records), MemoryLog(broker).admin(), [PLACE], 7 * DAY, NOW, looks_back)[0]


@pytest.mark.parametrize("seed", range(20))
def test_the_last_record_of_each_run_tells_where_it_stands(seed: int) -> None:
    random = Random(seed)
    states: dict[str, State | None] = {}
    entries: list[tuple[State | None, OpenRun, Micros]] = []
    for _ in range(60):
        one = OpenRun(run(random.randrange(12)), 0, since=NOW - HOUR)
        state: State | None = random.choice(["parked", "intent", "done", "dead", None])
        states[one.run.run_key] = state
        entries.append((state, one, NOW - HOUR))
    ledger = restored(entries)
    assert set(ledger.open) == {key for key, state in states.items() if state in ("parked", "intent")}
    for key, state in states.items():
        if state in ("done", "dead"):
            assert key in ledger.final
        elif state is not None:
            assert (ledger.open[key].intent is not None) == (state == "intent")


def test_what_waits_comes_back_whole_and_lies_on_the_shelf() -> None:
    ledger = restored([("parked", OpenRun(run(1), 0, NOW, attempts=3, reason="quota"), NOW)])
    (one,) = ledger.open.values()
    assert (one.is_shelved, one.is_kept, one.attempts, one.reason) == (True, True, 3, "quota")
    ledger.take_up(one)
    assert one.run == run(1)
    assert one.body == encode_run(run(1))


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
