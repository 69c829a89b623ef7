"""A window's slots are sorted lists that never change in place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.event import EventIdentity
from bridge.core.windows.window import Arrival, Window, between, empty_window

SLOTS = 2


def arrival(time: int, offset: int, slot: int) -> Arrival:
    return Arrival(time, offset, slot, EventIdentity("a", "shop", str(offset)), 0, "", None, b"")


@st.composite
def several(draw: st.DrawFn) -> list[Arrival]:
    places = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, SLOTS - 1)), max_size=12))
    return [arrival(time, offset, slot) for offset, (time, slot) in enumerate(places)]


def window_of(arrivals: list[Arrival]) -> Window:
    window = empty_window(SLOTS)
    for arrival in arrivals:
        window = window.with_arrival(arrival)
    return window


def sorted_slots(arrivals: list[Arrival]) -> tuple[tuple[Arrival, ...], ...]:
    return tuple(
        tuple(sorted((arrival for arrival in arrivals if arrival.slot == slot), key=lambda arrival: arrival.age))
        for slot in range(SLOTS)
    )


@given(several())
def test_a_window_holds_its_arrivals_ordered_by_age(arrivals: list[Arrival]) -> None:
    window = window_of(arrivals)
    assert window.waiting == sorted_slots(arrivals)
    assert window.size == len(arrivals)
    assert window.is_empty == (not arrivals)


@given(several(), st.sets(st.integers(0, 11)))
def test_what_leaves_a_window_leaves_the_others_in_order(arrivals: list[Arrival], removed: set[int]) -> None:
    before = window_of(arrivals)
    after = before.without(arrival for arrival in arrivals if arrival.offset in removed)
    assert after.waiting == sorted_slots([arrival for arrival in arrivals if arrival.offset not in removed])
    assert before.waiting == sorted_slots(arrivals)


@given(several(), st.integers(-1, 8), st.integers(-1, 8))
def test_between_counts_both_ends(arrivals: list[Arrival], start: int, end: int) -> None:
    slot = window_of(arrivals).waiting[0]
    assert between(slot, start, end) == tuple(arrival for arrival in slot if start <= arrival.time <= end)


def test_a_window_with_a_mark_alone_is_not_empty() -> None:
    marked = empty_window(SLOTS).with_mark(1, (0, 0, 9))
    assert marked.marks == (None, (0, 0, 9))
    assert not marked.is_empty
    assert marked.with_mark(1, None).is_empty
