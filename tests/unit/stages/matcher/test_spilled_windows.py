"""Windows beyond the bound of memory are on disk, and nothing that is decided depends on where they are."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.event import HOUR, SECOND, EventIdentity
from bridge.core.trigger import WindowPlan
from bridge.errors import SpillFileError
from bridge.kafka.log import Partition
from bridge.kafka.records import ARRIVAL
from bridge.stages.matcher.spilled_windows import SpilledWindow, SpilledWindows
from bridge.stages.matcher.window_records import Place, WindowKey, clock_key, fired_key, pending_key, place_key
from bridge.stages.matcher.window_restore import LastRecords
from bridge.stages.matcher.window_states import LARGEST, new_state
from bridge.stages.shared.spill_file import spill_file
from unit.stages.window_world import ORDER, PAYMENT, Bridge, windowed

MEMORY, DISK = 40_000, 200_000
LARGE = 10_000
"""Bytes of a payload: three of them fit into the memory."""


def small_bridge(memory: int = MEMORY, disk: int = DISK) -> Bridge:
    """Return a bridge with little memory for windows, and a trigger of pairs."""
    bridge = Bridge(windowed(WindowPlan("within", HOUR), ORDER, PAYMENT), partitions=1)
    bridge.world.window_bytes, bridge.world.window_disk_bytes = memory, disk
    bridge.restart()
    return bridge


def large_order(bridge: Bridge, number: int) -> None:
    bridge.world.publish("order.created", {"order": number, "amount": 1, "text": "x" * LARGE})
    bridge.world.run(1)


def in_memory(bridge: Bridge) -> int:
    store = bridge.windows()[0]
    return store.size - store.size_on_disk


@pytest.mark.parametrize("is_restarted", [False, True])
def test_windows_that_do_not_fit_into_memory_complete_from_disk(*, is_restarted: bool) -> None:
    bridge = small_bridge()
    for number in range(12):
        large_order(bridge, number)
        assert in_memory(bridge) <= MEMORY
    if is_restarted:
        bridge.restart()
        assert in_memory(bridge) <= MEMORY
    assert bridge.windows()[0].size_on_disk > 6 * LARGE
    assert bridge.windows()[0].open_windows == 12
    bridge.check_restoring()
    for number in range(12):
        bridge.pay(number)
    assert bridge.reasons() == ["matched"] * 24
    assert len(bridge.runs()) == 12
    assert bridge.windows()[0].size_on_disk < LARGE
    bridge.check_restoring()


def test_an_event_that_is_known_on_disk_is_a_duplicate() -> None:
    bridge = small_bridge()
    bridge.order(1, id="first")
    for number in range(10, 20):
        large_order(bridge, number)
    bridge.order(1, id="first")
    assert bridge.reasons() == ["duplicate"]
    bridge.check_restoring()


def test_time_ends_windows_on_disk_and_forgets_their_events() -> None:
    bridge = small_bridge()
    for number in range(12):
        large_order(bridge, number)
    bridge.wait(2 * 3_600)
    assert bridge.reasons() == ["expired"] * 12
    assert bridge.windows()[0].open_windows == 0
    bridge.wait(3 * 3_600)
    assert bridge.windows()[0].contents() == type(bridge.windows()[0])(None).contents()
    assert list(bridge.windows()[0].conditions()) == []


def test_memory_and_disk_are_one_bound_for_arrivals() -> None:
    bridge = small_bridge(memory=MEMORY, disk=60_000)
    for number in range(8):
        large_order(bridge, number)
    assert bridge.reasons() == ["over-bound"] * 2
    evidence = bridge.world.decisions[-1].evidence
    assert evidence["bound"] == "100000 bytes"
    assert evidence["held"] == str(bridge.windows()[0].size)
    bridge.pay(0)
    large_order(bridge, 9)
    assert bridge.reasons()[2:] == ["matched", "matched"]  # the last one waits


def test_a_window_with_too_many_events_for_the_disk_stays_within_the_memory() -> None:
    bridge = small_bridge(memory=300_000, disk=1024**3)
    for number in range(LARGEST + 400):
        bridge.world.publish("order.created", {"order": 7, "number": number})
    bridge.world.run(5)
    assert set(bridge.reasons()) == {"over-bound"}
    over = next(decision for decision in bridge.world.decisions if decision.reason == "over-bound")
    assert over.evidence["bound"] == "300000 bytes"
    assert (bridge.windows()[0].size_on_disk, bridge.windows()[0].open_windows) == (0, 1)
    bridge.restart()
    bridge.check_restoring()
    before = len(bridge.reasons())
    bridge.order(7)
    bridge.order(8)
    assert bridge.reasons()[before:] == ["over-bound"]  # the other window has room
    bridge.pay(7)
    assert "matched" in bridge.reasons()


def test_a_full_disk_is_an_error_that_says_what_to_do_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = small_bridge()
    is_full = True

    def small_file(schema: str) -> sqlite3.Connection:
        database = spill_file(schema)
        if is_full:
            database.execute("PRAGMA max_page_count = 12")
        return database

    monkeypatch.setattr("bridge.stages.matcher.spilled_windows.spill_file", small_file)
    with pytest.raises(SpillFileError, match="full") as raised:  # noqa: PT012 - one of these orders fills the disk
        for number in range(12):
            large_order(bridge, number)
    assert "TMPDIR" in raised.value.remedy
    is_full = False
    bridge.restart()
    done = len(bridge.windows()[0].contents().open)
    for number in range(done, 12):
        large_order(bridge, number)
    bridge.check_restoring()
    for number in range(12):
        bridge.pay(number)
    assert bridge.reasons() == ["matched"] * 24


def test_a_trial_in_a_child_process_leaves_the_file_of_its_parent_alone() -> None:
    bridge = small_bridge()
    for number in range(12):
        large_order(bridge, number)
    spilled = bridge.windows()[0]._spilled
    assert spilled is not None
    before = spilled._database.execute("SELECT count(*), sum(id) FROM windows").fetchone()
    arrivals = Partition(bridge.world.topics.arrivals, 0)
    end = bridge.world.broker.topics[arrivals.topic].logs[0].end
    read = [record for records in bridge.process.memory.reader().read(arrivals, 0, end) for record in records]
    for record in [record for record in read if (record.value or b"").startswith(ARRIVAL.prefix)]:
        bridge.process.stage("matcher").try_out(record)
    assert spilled._database.execute("SELECT count(*), sum(id) FROM windows").fetchone() == before
    assert bridge.windows()[0].size_on_disk == 0  # in the memory of the child, all have come back


def test_a_table_that_is_too_small_for_its_windows_still_finds_them_all() -> None:
    disk, count = SpilledWindows(1), 5_000
    keys = [WindowKey("default/ship", "c", f"order-{number}") for number in range(count)]
    disk.put([SpilledWindow(key, new_state(), [], 100) for key in keys])
    assert disk.size == 100 * count
    assert [disk.take(key) is not None for key in keys] == [True] * count
    assert [disk.take(key) for key in keys] == [None] * count
    assert (disk.size, list(disk.conditions())) == (0, [])


windows = st.builds(WindowKey, st.sampled_from(["default/a", "default/b"]), st.just("c"), st.text(max_size=3))
events = st.builds(EventIdentity, st.just("order"), st.text(max_size=2), st.text(max_size=2))
record_keys = st.one_of(
    st.builds(Place, windows, st.integers(0, 2), events).map(place_key),
    st.builds(pending_key, windows, st.integers(0, 3)),
    st.builds(fired_key, windows, st.integers(0, 3).map(lambda start: start * SECOND)),
    st.sampled_from([clock_key(("default/a", "c")), b"retiring", b"damaged"]),
)


@given(
    st.lists(st.tuples(record_keys, st.one_of(st.none(), st.binary(min_size=1, max_size=500))), max_size=40),
    st.integers(0, 3_000),
)
def test_the_last_record_of_each_key_comes_back_however_little_memory_there_is(
    records: list[tuple[bytes, bytes | None]], bound: int
) -> None:
    last, expected = LastRecords(bound), dict[bytes, bytes | None]()
    for key, value in records:
        last.put(key, value)
        expected[key] = value
    kept = {key: value for key, value in expected.items() if value is not None}
    assert {key: last.get(key) for key in expected} == expected
    assert len(last) == len(kept)
    batches = list(last.batches())
    assert dict(record for batch in batches for record in batch) == kept
    assert sum(map(len, batches)) == len(kept)
