"""``count`` and ``order: sequence`` in a sliding window: which events fill a slot, and in which order slots stand.

``trigger_of("a*2 b")`` has a slot ``a0`` that two events fill and a slot ``b1``; within is 10, grace 5.
"""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason
from unit.core.stepping import Story, ids, reason, superseded, trigger_of


def test_a_counted_slot_is_filled_by_so_many_distinct_events() -> None:
    story = Story(trigger_of("a*3"))
    assert reason(story.comes("a0", "x", 1)) is Reason.WAITING
    assert reason(story.comes("a0", "y", 2)) is Reason.WAITING
    assert ids(story.comes("a0", "z", 3)) == "x+y+z"


def test_a_repeat_does_not_count_twice() -> None:
    story = Story(trigger_of("a*2"))
    story.comes("a0", "x", 1)
    assert reason(story.comes("a0", "x", 2)) is Reason.DUPLICATE
    assert ids(story.comes("a0", "y", 3)) == "x+y"
    assert reason(story.comes("a0", "x", 4)) is Reason.DUPLICATE


def test_a_waiting_event_says_how_many_more_its_slot_needs() -> None:
    story = Story(trigger_of("a*3 b"))
    assert story.comes("a0", "x", 1).decisions[0].evidence["for"] == "a0 (2 of 3), b1"


@pytest.mark.parametrize(("first", "taken"), [(False, "y+z b"), (True, "x+y b")])
def test_a_counted_slot_takes_its_newest_or_its_oldest(*, first: bool, taken: str) -> None:
    story = Story(trigger_of("a*2 b", first=first))
    for name, time in (("x", 1), ("z", 3), ("y", 2)):
        story.comes("a0", name, time)
    assert ids(story.comes("b1", "b", 4)) == taken


def test_latest_supersedes_what_is_older_than_the_newest_that_a_counted_slot_took() -> None:
    story = Story(trigger_of("a*2 b"))
    for name, time in (("x", 1), ("y", 2), ("z", 3)):
        story.comes("a0", name, time)
    assert superseded(story.comes("b1", "b", 4)) == [("a0", "x")]
    assert reason(story.comes("a0", "between", 2, reached=4)) is Reason.SUPERSEDED


def test_counted_events_lie_within_the_window_of_each_other() -> None:
    story = Story(trigger_of("a*2"))
    story.comes("a0", "x", 100)
    assert reason(story.comes("a0", "y", 111)) is Reason.WAITING
    assert ids(story.comes("a0", "z", 120)) == "y+z"


def test_one_event_does_not_count_at_two_slots() -> None:
    story = Story(trigger_of("a*2 a"))
    for name in ("x", "y"):
        story.comes("a0", name, 1)
        assert reason(story.comes("a1", name, 1)) is Reason.WAITING
    assert ids(story.comes("a1", "z", 1)) == "x+y z"


@pytest.mark.parametrize("first", [False, True])
def test_a_sequence_matches_in_slot_order_only(*, first: bool) -> None:
    story = Story(trigger_of("a b", order="sequence", first=first))
    story.comes("b1", "early", 1)
    assert reason(story.comes("a0", "a", 2)) is Reason.WAITING
    assert ids(story.comes("b1", "b", 3)) == "a b"


def test_a_sequence_is_one_of_event_times_however_the_events_reached_us() -> None:
    story = Story(trigger_of("a b", order="sequence"))
    story.comes("b1", "b", 2, reached=3)
    assert ids(story.comes("a0", "a", 1, reached=4)) == "a b"


@pytest.mark.parametrize("turned", [False, True])
def test_equal_times_count_as_in_order(*, turned: bool) -> None:
    story = Story(trigger_of("a b", order="sequence"))
    came = [("a0", "a"), ("b1", "b")]
    for slot, name in came[::-1] if turned else came:
        last = story.comes(slot, name, 5)
    assert ids(last) == "a b"


def test_latest_chooses_a_sequence_backwards_from_the_last_slot() -> None:
    story = Story(trigger_of("a b c", order="sequence"))
    for name, time in (("a1", 1), ("a3", 3)):
        story.comes("a0", name, time)
    story.comes("c2", "c", 5, reached=3)
    # b at 2 is the newest b not after c, and a1 the newest a not after b, though a3 is newer.
    assert ids(story.comes("b1", "b", 2, reached=3)) == "a1 b c"


def test_first_chooses_a_sequence_forwards_from_the_first_slot() -> None:
    story = Story(trigger_of("a b c", order="sequence", first=True))
    story.comes("a0", "a2", 2)
    story.comes("b1", "early", 1, reached=2)
    for name, time in (("b3", 3), ("b4", 4)):
        story.comes("b1", name, time)
    assert ids(story.comes("c2", "c", 5)) == "a2 b3 c"


def test_all_events_of_a_counted_slot_come_before_all_of_the_next() -> None:
    story = Story(trigger_of("a*2 b", order="sequence"))
    story.comes("a0", "a1", 1)
    story.comes("a0", "a4", 4)
    assert reason(story.comes("b1", "between", 3, reached=4)) is Reason.WAITING
    assert ids(story.comes("b1", "behind", 5)) == "a1+a4 behind"


def test_a_sequence_may_leave_out_a_slot_where_fewer_are_required() -> None:
    story = Story(trigger_of("a b c", order="sequence", require=2))
    story.comes("b1", "b", 5)
    assert ids(story.comes("c2", "c", 6)) == "- b c"
    story.comes("c2", "c2", 7)
    assert reason(story.comes("b1", "late", 8)) is Reason.WAITING
    assert ids(story.comes("a0", "a", 7, reached=8)) == "a - c2"


def test_slots_of_a_sequence_on_the_same_event_hold_distinct_events_among_equal_times() -> None:
    story = Story(trigger_of("a a", order="sequence"))
    story.comes("a0", "x", 1)  # x passes both filters, y only the second one
    story.comes("a1", "x", 1)
    assert ids(story.comes("a1", "y", 1)) == "x y"
