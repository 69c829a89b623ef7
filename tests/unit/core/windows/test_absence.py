"""``absent`` in a sliding window: a match that waits until it is sure that something did not happen.

``trigger_of("a !b")`` asks for an ``a0`` without a ``b1`` in the ten that follow; grace is 5.
"""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason
from bridge.core.event import time_text
from unit.core.stepping import Story, ids, reason, superseded, trigger_of


def test_a_match_is_pending_until_its_time_and_grace_are_over() -> None:
    story = Story(trigger_of("a !b"))
    step = story.comes("a0", "a", 100)
    assert ids(step) == ""
    assert step.decisions[0].evidence == {"for": "the absence of b1", "until": time_text(115)}
    assert story.tick(114) == []
    assert story.tick(115) == [("a0", "a", "matched")]
    assert story.matches == ["a -"]


@pytest.mark.parametrize(("time", "cancels"), [(99, False), (100, False), (101, True), (110, True), (111, False)])
@pytest.mark.parametrize("before", [False, True])
def test_an_absent_event_cancels_what_happened_at_most_within_before_it(
    *, time: int, cancels: bool, before: bool
) -> None:
    story = Story(trigger_of("a !b"))
    step = [("a0", "a", 100), ("b1", "b", time)]
    for slot, name, at in step[::-1] if before else step:
        story.comes(slot, name, at, reached=105)
    story.tick(1_000)
    assert story.matches == ([] if cancels else ["a -"])


def test_what_cancels_is_matched_and_what_is_cancelled_says_by_what() -> None:
    story = Story(trigger_of("a !b"))
    story.comes("a0", "a", 100)
    absent, present = story.comes("b1", "b", 105).decisions
    assert (absent.reason, absent.evidence) == (Reason.MATCHED, {"cancelled": "a a from shop"})
    assert (present.reason, present.evidence) == (Reason.CANCELLED, {"by": "b b from shop"})


def test_one_absent_event_cancels_all_that_it_fits() -> None:
    story = Story(trigger_of("a !b"))
    for name, time in (("a1", 92), ("a2", 95), ("a3", 106)):
        story.comes("a0", name, time)
    story.comes("b1", "b", 102)
    assert story.tick(1_000) == [("a0", "a3", "matched")]


def test_an_absent_event_that_has_cancelled_also_cancels_what_comes_out_of_order() -> None:
    story = Story(trigger_of("a !b", dedupe=30))
    story.comes("a0", "a1", 100)
    story.comes("b1", "b", 105)
    late = story.comes("a0", "a2", 103, reached=107)
    assert reason(late) is Reason.CANCELLED
    assert story.matches == []


def test_an_absent_event_that_fits_nothing_expires() -> None:
    story = Story(trigger_of("a !b"))
    assert reason(story.comes("b1", "b", 100)) is Reason.WAITING
    assert story.tick(115) == [("b1", "b", "expired")]


def test_an_absent_event_that_reached_us_after_grace_cancels_nothing_whether_or_not_a_tick_came() -> None:
    for ticks in (False, True):
        story = Story(trigger_of("a !b"))
        story.comes("a0", "a", 100)
        decided = story.tick(115) if ticks else []
        story.comes("b1", "b", 105, reached=116)
        assert ("a0", "a", "matched") in [*decided, *story.tick(200)]


def test_an_event_of_a_pending_match_is_not_used_again() -> None:
    story = Story(trigger_of("a c !b", first=True))
    story.comes("a0", "a", 100)
    story.comes("c1", "c", 101)
    assert reason(story.comes("c1", "c2", 102)) is Reason.WAITING
    assert reason(story.comes("a0", "a", 103)) is Reason.DUPLICATE
    story.tick(200)
    assert story.matches == ["a c -"]


def test_the_last_required_event_starts_the_absence() -> None:
    story = Story(trigger_of("a c !b"))
    story.comes("a0", "a", 100)
    story.comes("b2", "between", 103)
    story.comes("c1", "c", 105)
    assert story.tick(120) == [("b2", "between", "expired"), ("a0", "a", "matched"), ("c1", "c", "matched")]


def test_latest_supersedes_what_waits_when_a_newer_event_of_its_slot_is_taken() -> None:
    story = Story(trigger_of("a c !b"))
    story.comes("a0", "old", 100)
    story.comes("a0", "new", 101)
    assert superseded(story.comes("c1", "c", 102)) == [("a0", "old")]


@pytest.mark.parametrize("first", [False, True])
def test_each_order_has_its_alarm_in_whatever_order_they_come(*, first: bool) -> None:
    for names in (("a1", "a2"), ("a2", "a1")):
        story = Story(trigger_of("a !b", first=first))
        for name in names:
            assert reason(story.comes("a0", name, 100 + int(name[1]), reached=105)) is Reason.WAITING
        story.tick(200)
        assert sorted(story.matches) == ["a1 -", "a2 -"]


def test_an_older_pair_that_comes_late_has_its_alarm_too() -> None:
    story = Story(trigger_of("a c !b"))
    for slot, name, time in (("a0", "a2", 104), ("c1", "c2", 105), ("a0", "a1", 100), ("c1", "c1", 101)):
        story.comes(slot, name, time, reached=106)
    story.tick(200)
    assert sorted(story.matches) == ["a1 c1 -", "a2 c2 -"]


def test_an_absent_event_that_the_match_itself_uses_does_not_cancel_it() -> None:
    story = Story(trigger_of("!a a"))
    story.comes("a0", "x", 100)
    assert reason(story.comes("a1", "x", 100)) is Reason.WAITING
    assert story.tick(200)[-1] == ("a1", "x", "matched")


def test_a_retired_trigger_cancels_its_absences() -> None:
    story = Story(trigger_of("a !b"))
    story.comes("a0", "a", 100)
    assert story.retire() == [("a0", "a", "cancelled")]
    assert story.matches == []
