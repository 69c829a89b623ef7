"""Which arrivals a match takes: the rules of docs/triggers/README.md (How events match), and their edges, one by one.

``trigger_of("a b")`` has the slots ``a0`` and ``b1``; within is 10, grace 5, unless told.
"""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity
from bridge.core.windows.selection import select
from bridge.core.windows.window import Arrival
from unit.core.stepping import Story, ids, reason, trigger_of


def test_the_arrival_that_completes_the_set_makes_the_match() -> None:
    story = Story(trigger_of("a b"))
    assert reason(story.comes("a0", "a", 1)) is Reason.WAITING
    assert ids(story.comes("b1", "b", 2)) == "a b"


def test_a_trigger_with_one_slot_matches_each_event_alone() -> None:
    story = Story(trigger_of("a"))
    assert [ids(story.comes("a0", name, 5)) for name in ("x", "y")] == ["x", "y"]


@pytest.mark.parametrize(("apart", "matches"), [(0, True), (9, True), (10, True), (11, False)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_within_counts_both_its_ends(*, apart: int, matches: bool, first: bool, turned: bool) -> None:
    story = Story(trigger_of("a b", first=first))
    times = (100 + apart, 100) if turned else (100, 100 + apart)
    story.comes("a0", "a", times[0], reached=200)
    assert (ids(story.comes("b1", "b", times[1], reached=200)) == "a b") is matches


@pytest.mark.parametrize(("apart", "matches"), [(0, True), (15, True), (16, False)])
@pytest.mark.parametrize("turned", [False, True])
def test_events_may_reach_us_within_and_grace_apart_and_no_further(*, apart: int, matches: bool, turned: bool) -> None:
    story = Story(trigger_of("a b"))
    reached = (200 + apart, 200) if turned else (200, 200 + apart)
    story.comes("a0", "a", 100, reached=reached[0])
    assert (ids(story.comes("b1", "b", 100, reached=reached[1])) == "a b") is matches


def test_three_events_fit_only_if_every_two_of_them_do() -> None:
    story = Story(trigger_of("a b c"))
    story.comes("a0", "a", 100)
    story.comes("c2", "c", 112)
    assert reason(story.comes("b1", "b", 106)) is Reason.WAITING


def test_three_events_that_reached_us_too_far_apart_wait_though_the_last_fits_with_each() -> None:
    story = Story(trigger_of("a b c"))
    story.comes("a0", "a", 100, reached=100)
    story.comes("b1", "b", 100, reached=120)
    assert reason(story.comes("c2", "c", 100, reached=110)) is Reason.WAITING


def test_latest_takes_the_newest_of_each_slot() -> None:
    story = Story(trigger_of("a b c"))
    for name, time in (("a1", 101), ("a3", 103), ("a2", 102)):
        story.comes("a0", name, time)
    for name, time in (("b2", 102), ("b1", 101)):
        story.comes("b1", name, time)
    assert ids(story.comes("c2", "c", 104)) == "a3 b2 c"


def test_first_takes_the_oldest_of_each_slot() -> None:
    story = Story(trigger_of("a b c", first=True))
    for name, time in (("a2", 102), ("a1", 101), ("a3", 103)):
        story.comes("a0", name, time)
    for name, time in (("b2", 102), ("b1", 101)):
        story.comes("b1", name, time)
    assert ids(story.comes("c2", "c", 104)) == "a1 b1 c"


@pytest.mark.parametrize(("first", "taken"), [(False, "a2 b"), (True, "a1 b")])
def test_among_equal_times_the_offset_decides(*, first: bool, taken: str) -> None:
    story = Story(trigger_of("a b", first=first))
    story.comes("a0", "a1", 100)
    story.comes("a0", "a2", 100)
    assert ids(story.comes("b1", "b", 100)) == taken


def test_latest_takes_the_latest_interval_even_where_an_earlier_one_would_fill_an_earlier_slot_newer() -> None:
    # b2 opens the interval [108, 118] and a1 the interval [107, 117]: the later one counts, with a slot left out.
    story = Story(trigger_of("a b c", require=2))
    story.comes("a0", "a1", 107, reached=90)
    story.comes("b1", "b2", 108, reached=106)
    assert ids(story.comes("c2", "c", 109, reached=100)) == "- b2 c"


def test_the_newest_is_newest_by_event_time_whatever_reached_us_last() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a5", 105, reached=110)
    story.comes("a0", "a6", 106, reached=109)
    assert ids(story.comes("b1", "b", 104, reached=110)) == "a6 b"


def test_an_arrival_of_another_reached_time_does_not_change_which_event_is_newest() -> None:
    # Found by Hypothesis: a third arrival far off in reached time once made reached times decide.
    story = Story(trigger_of("a b"))
    story.comes("a0", "a5", 105, reached=112)
    story.comes("a0", "a6", 106, reached=109)
    story.comes("a0", "old", 104, reached=96)
    assert ids(story.comes("b1", "b", 104, reached=111)) == "a6 b"


def test_first_passes_over_an_older_event_that_reached_us_too_long_ago() -> None:
    story = Story(trigger_of("a b", first=True))
    story.comes("a0", "old", 100, reached=80)
    story.comes("a0", "new", 101, reached=100)
    assert ids(story.comes("b1", "b", 102, reached=102)) == "new b"


@pytest.mark.parametrize("first", [False, True])
def test_require_n_fills_exactly_n_slots(*, first: bool) -> None:
    story = Story(trigger_of("a b c", require=2, first=first))
    assert reason(story.comes("c2", "c", 1)) is Reason.WAITING
    assert ids(story.comes("a0", "a", 1)) == "a - c"
    assert reason(story.comes("b1", "b", 1)) is Reason.WAITING


def test_require_any_is_filled_by_each_event() -> None:
    story = Story(trigger_of("a b", require=1))
    assert [ids(story.comes("b1", "b", 1)), ids(story.comes("a0", "a", 1))] == ["- b", "a -"]


def test_one_event_does_not_fill_two_slots_of_a_match() -> None:
    story = Story(trigger_of("a a"))
    assert reason(story.comes("a0", "x", 1)) is Reason.WAITING
    assert reason(story.comes("a1", "x", 1)) is Reason.WAITING
    assert ids(story.comes("a0", "y", 1)) == "y x"


def test_one_event_does_not_fill_two_slots_whatever_its_name_is() -> None:
    """In a topic of one name, ``ce_type`` may say anything."""

    def arrival(slot: int, name: str, time: int) -> Arrival:
        return Arrival(time, time, slot, EventIdentity(name, "shop", "1"), time, "", None, b"")

    both, other = "OrderChanged", "OrderCreated"
    slots = [arrival(0, both, 1), arrival(0, other, 2)], [arrival(1, both, 1)]
    assert select(trigger_of("a*2 a"), slots) is None
    assert select(trigger_of("a*2 b"), slots) is None
    assert select(trigger_of("a b"), slots) == ((slots[0][1],), (slots[1][0],))


def test_a_slot_leaves_its_newest_event_to_a_later_slot_that_could_not_be_filled_otherwise() -> None:
    story = Story(trigger_of("a a b"))
    story.comes("a0", "old", 1)
    story.comes("a0", "new", 2)
    story.comes("a1", "new", 2)
    assert ids(story.comes("b2", "b", 3)) == "old new b"


def test_with_nothing_to_give_way_to_the_first_slots_choose_first() -> None:
    story = Story(trigger_of("a a b", require=2))
    story.comes("a0", "x", 1)
    story.comes("a1", "x", 1)
    assert ids(story.comes("b2", "b", 1)) == "x - b"


def test_keys_do_not_meet() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 1, key="c-1")
    assert reason(story.comes("b1", "b", 1, key="c-2")) is Reason.WAITING
    assert ids(story.comes("b1", "b2", 1, key="c-1")) == "a b2"
