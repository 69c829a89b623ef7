"""``every`` and ``until``: what becomes of events in windows between boundaries, open, fired and closed.

Windows are [0, 100), [100, 200), …; grace is 5.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.core.decision import Reason
from bridge.core.event import DAY, HOUR, Micros, time_text
from bridge.core.trigger import Schedule, WindowPlan
from unit.core.stepping import Story, each, ids, reason, trigger_of

WINDOW = WindowPlan("every", schedule=each(100))


def calendar(words: str, **fields: Any) -> Story:
    return Story(trigger_of(words, **{"window": WINDOW, "dedupe": 105, **fields}))


def test_a_window_fires_as_soon_as_it_is_filled() -> None:
    story = calendar("a b")
    story.comes("a0", "a", 0)
    step = story.comes("b1", "b", 99)
    assert ids(step) == "a b"
    assert step.frame == (0, 100)


def test_events_of_different_windows_do_not_meet() -> None:
    story = calendar("a b")
    story.comes("a0", "a", 99)
    assert reason(story.comes("b1", "b", 100)) is Reason.WAITING
    assert ids(story.comes("b1", "b2", 98, reached=101)) == "a b2"
    assert story.frames == [(0, 100)]


def test_what_comes_to_a_window_that_has_fired_is_superseded() -> None:
    story = calendar("a")
    story.comes("a0", "a", 10)
    later = story.comes("a0", "later", 20)
    assert reason(later) is Reason.SUPERSEDED
    assert later.decisions[0].evidence == {"window": f"{time_text(0)}/{time_text(100)}"}
    assert ids(story.comes("a0", "next", 100)) == "next"


@pytest.mark.parametrize(("first", "taken"), [(False, "a2 b"), (True, "a1 b")])
def test_a_window_takes_the_newest_or_the_oldest_of_each_slot_and_supersedes_the_rest(
    *, first: bool, taken: str
) -> None:
    story = calendar("a b", first=first)
    story.comes("a0", "a2", 20)
    story.comes("a0", "a1", 10, reached=20)
    step = story.comes("b1", "b", 30)
    assert ids(step) == taken
    assert [decision.reason for decision in step.decisions] == [Reason.MATCHED, Reason.MATCHED, Reason.SUPERSEDED]


def test_all_takes_everything_when_the_window_closes() -> None:
    story = calendar("a b", collect="all")
    for slot, name, time in (("a0", "a1", 10), ("b1", "b1", 20), ("a0", "a2", 30)):
        assert reason(story.comes(slot, name, time)) is Reason.WAITING
    assert story.tick(104) == []
    story.tick(105)
    assert story.matches == ["a1+a2 b1"]
    assert story.frames == [(0, 100)]


def test_two_equal_events_of_a_window_are_ordered_by_their_offset() -> None:
    story = calendar("a b")
    story.comes("a0", "x", 10)
    story.comes("a0", "y", 10)
    assert ids(story.comes("b1", "b", 10)) == "y b"


def test_what_a_window_holds_when_it_closes_unfilled_is_expired() -> None:
    story = calendar("a b c", collect="all")
    story.comes("a0", "a", 10)
    story.comes("b1", "b", 20)
    expired = story.stepping.tick(105)
    assert [arrival.reason for arrival in expired] == [Reason.EXPIRED, Reason.EXPIRED]
    assert expired[0].evidence == {"missing": "c2", "deadline": time_text(105)}


@pytest.mark.parametrize("ticks", [False, True])
def test_an_event_for_a_closed_window_is_late(*, ticks: bool) -> None:
    story = calendar("a")
    if ticks:
        story.tick(105)
    late = story.comes("a0", "a", 99, reached=100 if ticks else 106)
    assert reason(late) is Reason.LATE
    assert late.decisions[0].evidence["closed"] == time_text(105)
    assert reason(story.comes("a0", "a", 99, reached=107)) is Reason.DUPLICATE


def test_a_window_that_has_fired_is_forgotten_when_it_closes() -> None:
    story = calendar("a", dedupe=1)
    story.comes("a0", "a", 10)
    story.tick(104)
    assert story.stepping.windows[""].fired == ((0, 100),)
    story.tick(105)
    assert not story.stepping.windows


def test_each_key_has_windows_of_its_own() -> None:
    story = calendar("a")
    assert ids(story.comes("a0", "x", 10, key="k1")) == "x"
    assert ids(story.comes("a0", "x", 10, key="k2")) == "x"


def test_a_sequence_in_a_window_is_one_of_event_times() -> None:
    story = calendar("a b", order="sequence")
    story.comes("b1", "early", 10)
    assert reason(story.comes("a0", "a", 20)) is Reason.WAITING
    assert ids(story.comes("b1", "b", 20)) == "a b"


def test_an_absence_in_a_window_holds_when_it_closes() -> None:
    story = calendar("a !b")
    story.comes("a0", "a", 10)
    assert story.tick(104) == []
    story.tick(105)
    assert story.matches == ["a -"]


def test_an_absent_event_anywhere_in_a_window_cancels_it() -> None:
    story = calendar("a !b")
    story.comes("b1", "b", 5)
    story.comes("a0", "a", 10)
    assert story.tick(105) == [("a0", "a", "cancelled"), ("b1", "b", "matched")]
    assert story.matches == []


def test_a_retired_window_matches_with_what_it_holds() -> None:
    story = calendar("a", collect="all")
    story.comes("a0", "x", 10)
    story.comes("a0", "y", 120)
    story.retire()
    assert story.matches == ["x", "y"]
    assert story.frames == [(0, 100), (100, 200)]


def test_a_retired_window_that_is_not_filled_expires_and_an_absence_is_cancelled() -> None:
    unfilled = calendar("a b")
    unfilled.comes("a0", "a", 10)
    assert unfilled.retire() == [("a0", "a", "expired")]
    absence = calendar("a !b")
    absence.comes("a0", "a", 10)
    assert absence.retire() == [("a0", "a", "cancelled")]


BERLIN = Schedule("Europe/Berlin", every=DAY)


def at(text: str) -> Micros:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("start", "hours"), [("2024-03-30T23:00", 23), ("2024-10-26T22:00", 25), ("2024-06-30T22:00", 24)]
)
def test_a_day_on_which_clocks_change_is_one_window_of_23_or_25_hours(start: str, hours: int) -> None:
    window = WindowPlan("every", schedule=BERLIN)
    story = Story(trigger_of("a b", window=window, grace=HOUR, dedupe=2 * DAY))
    begin, end = at(start), at(start) + hours * HOUR
    story.comes("a0", "first", begin)
    assert reason(story.comes("b1", "next day", end)) is Reason.WAITING
    assert ids(story.comes("b1", "last", end - 1)) == "first last"
    assert story.frames == [(begin, end)]
    story.comes("a0", "before", begin - 1)
    assert story.stepping.tick(end + HOUR - 1) != []
    assert (begin, end) in story.stepping.windows[""].fired
    story.tick(end + HOUR)
    assert (begin, end) not in story.stepping.windows[""].fired


# -- the dead man's switch ---------------------------------------------------------------------------------------------


def test_a_switch_matches_when_a_window_closes_without_an_event() -> None:
    story = calendar("!a")
    story.tick(100)  # armed
    story.tick(204)
    assert story.matches == []
    story.tick(205)
    assert (story.matches, story.frames) == (["-"], [(100, 200)])


def test_an_event_keeps_a_switch_from_matching() -> None:
    story = calendar("!a")
    story.tick(50)
    assert reason(story.comes("a0", "beat", 150)) is Reason.WAITING
    assert story.tick(205) == [("a0", "beat", "matched")]
    assert story.matches == []
    story.tick(305)
    assert story.frames == [(200, 300)]


def test_a_switch_watches_no_window_that_had_begun_before_it_was_armed() -> None:
    story = calendar("!a")
    story.tick(150)
    story.tick(299)
    assert story.matches == []
    story.tick(305)
    assert story.frames == [(200, 300)]


def test_a_switch_that_was_not_armed_does_not_match_and_what_came_expires() -> None:
    story = calendar("!a")
    story.comes("a0", "beat", 50)
    assert story.tick(1_000) == [("a0", "beat", "expired")]
    assert story.matches == []


def test_each_window_that_a_late_tick_closes_is_decided_by_itself() -> None:
    story = calendar("!a")
    story.tick(0)
    story.comes("a0", "beat", 150)
    story.tick(405)
    assert story.frames == [(0, 100), (200, 300), (300, 400)]


def test_a_retired_switch_matches_no_more() -> None:
    story = calendar("!a")
    story.tick(0)
    story.comes("a0", "beat", 50)
    assert story.retire() == [("a0", "beat", "expired")]
    assert story.matches == []
