"""The window store: memory, indexes and changelog say the same, whatever happens to windows of any kind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.decision import Decision
from bridge.core.definition import Definition
from bridge.core.event import EventIdentity
from bridge.core.trigger import Trigger
from bridge.core.windows.apply import apply_arrival
from bridge.core.windows.expiry import needs_clock
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Arrival
from bridge.kafka.log import Headers, Partition
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import ARRIVAL, RecordError
from bridge.stages.matcher.ticks import TickRound
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.matcher.window_restore import LastRecords
from bridge.stages.matcher.window_store import Bounds, WindowStore
from unit.core.stepping import trigger_of
from unit.core.windows.sequences import FAR, Came, Tick, arrivals_of, happenings, key_of, searched, triggers

CHANGELOG = Partition("fb.windows", 3)
SPILLING = Bounds(3, 1_000, 900, 1024**3)
"""Memory for one arrival that waits: nearly all windows are on disk."""

bounds_of_stores = st.sampled_from([None, SPILLING])


class Changelog:
    """A producer that keeps the last value of each key, and lets nothing go to another place."""

    def __init__(self) -> None:
        self.last: dict[bytes, bytes] = {}

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers | None = None) -> None:
        del headers
        assert (topic, partition) == CHANGELOG
        if value is None:
            del self.last[key]  # a tombstone of what was never written would be a record too many
        else:
            self.last[key] = value


class Known:
    """The definitions of one trigger."""

    def __init__(self, trigger: Trigger, *, is_in_force: bool = True) -> None:
        self.definition = Definition(trigger)
        self.conditions = {self.definition.condition_hash: self.definition}
        self._is_in_force = is_in_force

    def is_in_force(self, trigger: str, condition: str) -> bool:
        del trigger, condition
        return self._is_in_force


class Owner:
    """What a matcher does with a store of one trigger's windows."""

    def __init__(self, trigger: Trigger, bounds: Bounds | None = None) -> None:
        self.trigger, self.known, self.bounds = trigger, Known(trigger), bounds
        self.condition = (self.known.definition.identity, self.known.definition.condition_hash)
        self.changelog = Changelog()
        self.out = Outbox(self.changelog)  # type: ignore[arg-type]  # what an outbox asks of a producer
        self.store = WindowStore(CHANGELOG, bounds)

    def arrive(self, text: str, arrival: Arrival) -> None:
        """Apply one arrival."""
        key, store = WindowKey(*self.condition, text), self.store
        known, window = store.known(key, arrival.event, self.trigger), store.window(key, len(self.trigger.slots))
        ticked = store.ticked(self.condition, self.trigger)
        change = apply_arrival(self.trigger, window, text, arrival, known, bound=3, ticked=ticked)
        store.apply(key, self.trigger, change, self.out, arrived=record_of(self.trigger, text, arrival))
        self.out.flush()

    def tick(self, time: int) -> list[Decision]:
        """End what is due, and return what was decided."""
        trigger, condition = self.condition
        if self.trigger.is_switch:
            self.store.arm(self.condition)
        tick = {"safe": [{"trigger": trigger, "condition": condition, "time": time}], "retired": []}
        decided = self._end(TickRound(self.store, self.known, tick))
        self.store.advance(self.condition, self.trigger, time, self.out)
        self.out.flush()
        return decided

    def retire(self) -> None:
        """Retire the condition."""
        trigger, condition = self.condition
        tick = {"safe": [], "retired": [{"trigger": trigger, "condition": condition}]}
        gone: Any = Known(self.trigger, is_in_force=False)
        round_ = TickRound(self.store, gone, tick)
        self.store.keep_retiring(round_.retired, self.out)
        self.check()
        self.store.drop_clock(self.condition, self.out)
        self._end(round_)
        self.store.keep_retiring(None, self.out)
        self.out.flush()

    def _end(self, round_: TickRound) -> list[Decision]:
        decided: list[Decision] = []
        for ended in round_.slice():
            self.store.apply(ended.key, self.trigger, ended.step, self.out, forgotten=ended.forgotten)
            decided.extend(ended.step.decisions)
        return decided

    def restored(self) -> Owner:
        """Return an owner that has taken over from what the changelog says: on disk, unless this one is."""
        self.out.flush()
        other = Owner(self.trigger, SPILLING if self.bounds is None else None)
        other.changelog.last = dict(self.changelog.last)
        records = LastRecords(0 if other.bounds is not None else None)
        for key, value in self.changelog.last.items():
            records.put(key, value)
        other.store.restore(records.batches(), other.known.conditions, unreadable)
        return other

    def check(self) -> None:
        """Check that the changelog says what memory holds."""
        assert self.restored().store.contents() == self.store.contents()


def record_of(trigger: Trigger, key: str, arrival: Arrival) -> bytes:
    """Return the record of an arrival."""
    return ARRIVAL.encode(
        {
            "trigger": trigger.identity,
            "definition": arrival.definition,
            "slot": arrival.slot,
            "key": key,
            "source": arrival.event.source,
            "id": arrival.event.id,
            "time": arrival.time,
            "reached": arrival.reached,
            "event_key": arrival.key,
            "value": arrival.value,
        }
    )


def unreadable(key: bytes, error: RecordError) -> None:
    """Fail: a store reads all that it writes."""
    raise AssertionError(f"{key!r} cannot be read: {error}")


def after(trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None) -> Owner:
    """Return the owner of a store to which all this has happened, checked after each step."""
    owner, offset = Owner(trigger, bounds), 0
    for happening in happened:
        if isinstance(happening, Tick):
            owner.tick(happening.time)
        else:
            for arrival in arrivals_of(trigger, happening, offset):
                owner.arrive(key_of(trigger, happening), arrival)
                offset = arrival.offset + 1
        owner.check()
    return owner


@searched
@given(triggers(), happenings, bounds_of_stores)
def test_what_a_store_holds_is_what_its_changelog_says(
    trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None
) -> None:
    after(trigger, happened, bounds)


@searched
@given(triggers(), happenings, bounds_of_stores, st.integers(0, FAR))
def test_a_restored_store_ends_what_the_first_one_ends_in_the_same_order(
    trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None, time: int
) -> None:
    owner = after(trigger, happened, bounds)
    other = owner.restored()
    assert other.tick(time) == owner.tick(time)
    assert other.store.contents() == owner.store.contents()
    assert other.changelog.last == owner.changelog.last


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("slot", [0, 1])
def test_a_forced_match_leaves_the_arrival_beside_it_that_waits_alone(slot: int, *, first: bool) -> None:
    owner = Owner(trigger_of("a b", first=first, require=2))
    waits, *match = [
        Arrival(time, offset, index, EventIdentity("e", "s", str(offset)), 1_000, "d", None, b"v")
        for offset, (index, time) in enumerate([(slot, 900), (0, 500), (1, 501)])
    ]
    owner.arrive("k", waits)
    key, trigger = WindowKey(*owner.condition, "k"), owner.trigger
    step = kind_of_window(trigger).force(trigger, owner.store.window(key, 2), "k", ((match[0],), (match[1],)))
    owner.store.apply(key, trigger, step, owner.out)
    owner.check()
    assert owner.store.contents().counts[owner.condition] == 3
    assert owner.store.known(key, waits.event, trigger) == {slot: waits}


@searched
@given(triggers(), happenings, bounds_of_stores, st.integers(0, FAR))
def test_a_late_tick_decides_and_leaves_what_ticks_in_time_do(
    trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None, late: int
) -> None:
    owner = after(trigger, happened, bounds)
    if trigger.is_switch:
        owner.tick(0)  # the first tick arms it, and it watches from then on
    other, decided = owner.restored(), []
    while (due := other.store.next_due(other.condition)) is not None and due < late:
        decided += other.tick(due)
    decided += other.tick(late)
    assert owner.tick(late) == decided
    assert owner.store.contents() == other.store.contents()
    assert owner.changelog.last == other.changelog.last
    owner.check()


@searched
@given(triggers(), happenings, bounds_of_stores)
def test_nothing_is_left_of_a_retired_condition_in_memory_indexes_or_changelog(
    trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None
) -> None:
    owner = after(trigger, happened, bounds)
    owner.retire()
    assert owner.changelog.last == {}
    assert owner.store.contents() == WindowStore(CHANGELOG).contents()
    assert list(owner.store.conditions()) == []


@searched
@given(triggers(), happenings, bounds_of_stores)
def test_bytes_and_counts_are_those_of_what_is_remembered(
    trigger: Trigger, happened: list[Came | Tick], bounds: Bounds | None
) -> None:
    owner = after(trigger, happened, bounds)
    contents = owner.store.contents()
    assert contents.counts.get(owner.condition, 0) == len(contents.remembered)
    assert owner.store.size == sum(contents.sizes.values())
    assert (owner.store.size > 0) == bool(contents.remembered)
    assert needs_clock(trigger) or not contents.clocks
