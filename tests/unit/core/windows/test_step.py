"""Arrivals and ticks, repeats and bounds, by docs/triggers/README.md (How events match)."""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason
from bridge.core.event import time_text
from unit.core.stepping import Story, ids, reason, superseded, trigger_of


def test_first_pairs_events_off_in_order() -> None:
    story = Story(trigger_of("a b", first=True))
    for name, time in (("a1", 1), ("a2", 2), ("a3", 3)):
        story.comes("a0", name, time)
    assert [ids(story.comes("b1", name, 4)) for name in ("b1", "b2", "b3")] == ["a1 b1", "a2 b2", "a3 b3"]


def test_first_leaves_older_events_waiting() -> None:
    story = Story(trigger_of("a b", first=True))
    story.comes("a0", "old", 1, reached=10)
    story.comes("a0", "new", 9, reached=10)
    assert superseded(story.comes("b1", "b", 12, reached=12)) == []
    assert ids(story.comes("b1", "early", 2, reached=12)) == "old early"


def test_latest_supersedes_the_older_ones_of_the_slots_that_it_used() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "old", 1)
    story.comes("a0", "new", 2)
    assert superseded(story.comes("b1", "b", 3)) == [("a0", "old")]


def test_latest_leaves_newer_events_that_it_could_not_use() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "early", 100, reached=110)
    story.comes("a0", "later", 111, reached=111)
    assert ids(story.comes("b1", "b", 100, reached=111)) == "early b"
    assert ids(story.comes("b1", "b2", 112)) == "later b2"


def test_latest_leaves_the_events_of_a_slot_that_the_match_left_out() -> None:
    story = Story(trigger_of("a b c", require=2))
    story.comes("a0", "a", 1, reached=1)
    story.comes("b1", "b", 1, reached=17)
    assert ids(story.comes("c2", "c", 1, reached=17)) == "- b c"
    assert story.tick(16) == [("a0", "a", "expired")]


def test_a_straggler_older_than_a_latest_match_is_superseded() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 5)
    story.comes("b1", "b", 5)
    assert reason(story.comes("a0", "straggler", 4, reached=6)) is Reason.SUPERSEDED


def test_a_straggler_is_not_superseded_where_the_match_took_nothing() -> None:
    story = Story(trigger_of("a b c", require=2))
    story.comes("a0", "a", 5)
    story.comes("b1", "b", 5)
    assert reason(story.comes("c2", "c", 4, reached=6)) is Reason.WAITING


def test_an_arrival_of_equal_time_and_later_offset_is_not_superseded() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 5)
    story.comes("b1", "b", 5)
    assert reason(story.comes("a0", "next", 5)) is Reason.WAITING


def test_a_straggler_counts_again_once_a_tick_has_forgotten_the_match() -> None:
    story = Story(trigger_of("a b", dedupe=3))
    story.comes("a0", "a", 5)
    story.comes("b1", "b", 5)
    story.tick(8)
    assert reason(story.comes("a0", "straggler", 4, reached=9)) is Reason.WAITING


def test_first_knows_no_stragglers() -> None:
    story = Story(trigger_of("a b", first=True))
    story.comes("a0", "a", 5)
    story.comes("b1", "b", 5)
    assert reason(story.comes("a0", "straggler", 4, reached=6)) is Reason.WAITING


@pytest.mark.parametrize("first", [False, True])
def test_a_match_takes_its_events_out_of_every_slot(*, first: bool) -> None:
    story = Story(trigger_of("a a b", require=2, first=first))
    story.comes("a0", "x", 1)
    story.comes("a1", "x", 1)
    assert superseded(story.comes("b2", "b", 1)) == [("a1", "x")]


@pytest.mark.parametrize("first", [False, True])
def test_an_event_that_a_match_used_is_superseded_when_it_comes_to_another_slot(*, first: bool) -> None:
    story = Story(trigger_of("a a b", require=2, first=first))
    story.comes("b2", "b", 1)
    assert ids(story.comes("a0", "x", 1)) == "x - b"
    late = story.comes("a1", "x", 1)
    assert late.decisions[0].evidence == {"used_at": "a0"}
    assert reason(late) is Reason.SUPERSEDED


def test_a_repeat_of_a_waiting_event_is_a_duplicate() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 1)
    assert reason(story.comes("a0", "a", 2)) is Reason.DUPLICATE
    assert ids(story.comes("b1", "b", 2)) == "a b"


def test_a_repeat_of_a_used_event_is_a_duplicate_until_the_horizon_after_its_last_use() -> None:
    story = Story(trigger_of("a b", dedupe=20))
    story.comes("a0", "a", 1)
    story.comes("b1", "b", 7)
    story.tick(26)
    assert reason(story.comes("a0", "a", 1, reached=26)) is Reason.DUPLICATE
    story.tick(27)
    assert reason(story.comes("a0", "a", 1, reached=27)) is Reason.WAITING


def test_a_repeat_of_an_expired_event_is_a_duplicate_until_the_horizon_after_its_deadline() -> None:
    story = Story(trigger_of("a b", dedupe=20))
    story.comes("a0", "a", 1)
    assert story.tick(16) == [("a0", "a", "expired")]
    story.tick(35)
    assert reason(story.comes("a0", "a", 1, reached=35)) is Reason.DUPLICATE
    story.tick(36)
    assert reason(story.comes("a0", "a", 1, reached=36)) is Reason.WAITING


def test_the_same_id_under_another_key_is_another_window() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 1, key="c-1")
    assert reason(story.comes("a0", "a", 1, key="c-2")) is Reason.WAITING


def test_an_event_waits_until_a_tick_at_its_deadline() -> None:
    story = Story(trigger_of("a b"))
    waits = story.comes("a0", "a", 1, reached=3)
    assert waits.decisions[0].evidence == {"for": "b1", "until": time_text(18)}
    assert story.tick(17) == []
    assert story.tick(18) == [("a0", "a", "expired")]


def test_ticks_expire_in_order_of_deadlines() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "later", 3)
    story.comes("a0", "sooner", 1)
    assert story.tick(30) == [("a0", "sooner", "expired"), ("a0", "later", "expired")]


def test_without_a_tick_nothing_expires_however_late_its_partner_comes() -> None:
    story = Story(trigger_of("a b"))
    story.comes("a0", "a", 1, reached=1)
    story.comes("a0", "other", 1, reached=500)
    assert ids(story.comes("b1", "b", 5, reached=10)) == "a b"


def test_a_full_window_refuses_what_would_wait_and_takes_what_completes() -> None:
    story = Story(trigger_of("a b"), bound=2)
    story.comes("a0", "a1", 1)
    story.comes("a0", "a2", 2)
    assert reason(story.comes("a0", "a3", 3)) is Reason.OVER_BOUND
    assert ids(story.comes("b1", "b", 3)) == "a2 b"


def test_a_window_is_empty_once_all_is_used_and_forgotten() -> None:
    story = Story(trigger_of("a b", dedupe=5))
    story.comes("a0", "a", 1)
    story.comes("b1", "b", 1)
    assert story.stepping.windows
    story.tick(6)
    assert not story.stepping.windows
