"""Sessions, batches and what settles: which arrivals belong together, and what ends them.

Grace is 5; ``a b`` are the slots ``a0`` and ``b1``.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.decision import Reason
from bridge.core.event import time_text
from bridge.core.trigger import WindowKind, WindowPlan
from unit.core.stepping import Story, ids, reason, trigger_of


def gathering(kind: WindowKind, length: int, words: str = "a", **fields: Any) -> Story:
    plan = {name: fields.pop(name) for name in ("size", "max_wait") if name in fields}
    window = WindowPlan(kind, length, **plan)
    return Story(trigger_of(words, **{"window": window, "collect": "all", "dedupe": 50, **fields}))


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_session_matches_when_its_gap_and_grace_are_over() -> None:
    story = gathering("session", 10)
    for name, time in (("x", 100), ("y", 110), ("z", 120)):
        step = story.comes("a0", name, time)
    assert step.decisions[0].evidence == {"for": "the session to end", "until": time_text(135)}
    assert story.tick(134) == []
    story.tick(135)
    assert story.matches == ["x+y+z"]


@pytest.mark.parametrize(("apart", "together"), [(10, True), (11, False)])
def test_events_a_gap_apart_belong_to_one_session(*, apart: int, together: bool) -> None:
    story = gathering("session", 10)
    story.comes("a0", "x", 100)
    story.comes("a0", "y", 100 + apart)
    story.tick(1_000)
    assert story.matches == (["x+y"] if together else ["x", "y"])


def test_an_event_between_two_sessions_makes_them_one() -> None:
    story = gathering("session", 10)
    story.comes("a0", "x", 100, reached=112)
    story.comes("a0", "z", 112, reached=112)
    story.comes("a0", "y", 106, reached=113)
    assert len(story.stepping.windows[""].groups) == 1
    story.tick(1_000)
    assert story.matches == ["x+y+z"]


def test_events_of_equal_time_belong_to_one_session_also_without_a_gap() -> None:
    story = gathering("session", 0)
    story.comes("a0", "x", 100)
    story.comes("a0", "y", 100)
    story.comes("a0", "z", 101)
    story.tick(1_000)
    assert story.matches == ["x+y", "z"]


def test_a_session_ends_at_max_wait_after_the_first_of_it_reached_us() -> None:
    story = gathering("session", 10, max_wait=20)
    for name, time in (("v", 100), ("w", 108), ("x", 116)):
        story.comes("a0", name, time)
    story.tick(120)
    assert story.matches == ["v+w+x"]
    assert reason(story.comes("a0", "y", 124)) is Reason.WAITING


@pytest.mark.parametrize("ticks", [False, True])
def test_an_event_whose_session_would_be_over_is_late(*, ticks: bool) -> None:
    story = gathering("session", 10)
    if ticks:
        story.tick(115)
    assert reason(story.comes("a0", "x", 100, reached=100 if ticks else 116)) is Reason.LATE


def test_an_event_that_joins_an_open_session_is_not_late() -> None:
    story = gathering("session", 10)
    story.comes("a0", "y", 110, reached=111)
    assert reason(story.comes("a0", "x", 100, reached=120)) is Reason.WAITING


def test_a_session_that_lacks_a_slot_expires() -> None:
    story = gathering("session", 10, "a b")
    story.comes("a0", "x", 100)
    decided = story.stepping.tick(115)
    assert [decision.reason for decision in decided] == [Reason.EXPIRED]
    assert decided[0].evidence == {"missing": "b1", "deadline": time_text(115)}


@pytest.mark.parametrize(("collect", "taken", "rest"), [("latest", "y b", "x"), ("first", "x b", "y")])
def test_a_session_may_take_one_event_of_each_slot_and_supersedes_the_rest(collect: str, taken: str, rest: str) -> None:
    story = gathering("session", 10, "a b", collect=collect)
    for slot, name, time in (("a0", "x", 100), ("a0", "y", 101), ("b1", "b", 102)):
        story.comes(slot, name, time)
    assert story.tick(200)[-1] == ("a0", rest, "superseded")
    assert story.matches == [taken]


def test_a_session_of_events_in_order_needs_them_in_order_and_takes_all() -> None:
    story = gathering("session", 10, "a b", order="sequence")
    story.comes("b1", "b1", 100)
    story.comes("a0", "a1", 101)
    story.comes("b1", "b2", 102)
    story.tick(200)
    assert story.matches == ["a1 b1+b2"]
    story.comes("b1", "b3", 300)
    story.comes("a0", "a2", 301)
    assert [decision[2] for decision in story.tick(400)] == ["expired", "expired"]


def test_an_event_at_two_slots_of_a_session_is_taken_once() -> None:
    story = gathering("session", 10, "a a", require=1)
    for name in ("x", "y"):
        story.comes("a0", name, 100)
        story.comes("a1", name, 100)
    decided = story.tick(200)
    assert story.matches == ["x+y -"]
    assert sorted(decided) == [
        ("a0", "x", "matched"),
        ("a0", "y", "matched"),
        ("a1", "x", "superseded"),
        ("a1", "y", "superseded"),
    ]


# -- batches -----------------------------------------------------------------------------------------------------------


def test_a_batch_matches_with_the_arrival_that_makes_it_full() -> None:
    story = gathering("batch", 60, size=3)
    assert reason(story.comes("a0", "x", 1)) is Reason.WAITING
    assert reason(story.comes("a0", "y", 5_000)) is Reason.WAITING
    assert ids(story.comes("a0", "z", 2)) == "x+z+y"
    assert reason(story.comes("a0", "next", 3)) is Reason.WAITING


def test_a_repeat_does_not_make_a_batch_full() -> None:
    story = gathering("batch", 60, size=2)
    story.comes("a0", "x", 1)
    assert reason(story.comes("a0", "x", 2)) is Reason.DUPLICATE
    assert ids(story.comes("a0", "y", 3)) == "x+y"


def test_a_batch_ends_when_its_first_event_has_waited_long_enough() -> None:
    story = gathering("batch", 60, size=3)
    story.comes("a0", "x", 1, reached=100)
    story.comes("a0", "y", 2, reached=150)
    assert story.tick(159) == []
    story.tick(160)
    assert story.matches == ["x+y"]


def test_a_batch_without_a_wait_waits_for_its_size() -> None:
    story = gathering("batch", 0, size=2)
    assert story.comes("a0", "x", 1).decisions[0].evidence == {"for": "the batch to end", "until": "it is full"}
    assert story.tick(10**9) == []
    assert ids(story.comes("a0", "y", 2)) == "x+y"


def test_a_batch_counts_the_arrivals_of_all_slots_together() -> None:
    story = gathering("batch", 60, "a b", size=3)
    story.comes("a0", "a1", 1)
    story.comes("b1", "b1", 2)
    assert ids(story.comes("b1", "b2", 3)) == "a1 b1+b2"


def test_a_batch_takes_all_that_came_at_the_slots_that_are_filled_whatever_is_required() -> None:
    story = gathering("batch", 60, "a b", size=2, require=1)
    story.comes("a0", "a1", 1)
    assert ids(story.comes("b1", "b1", 2)) == "a1 b1"
    counted = gathering("batch", 60, "a b*2", size=2, require=1)
    counted.comes("a0", "a1", 1)
    assert ids(counted.comes("b1", "b1", 2)) == "a1 -"


def test_a_full_batch_that_lacks_a_slot_expires() -> None:
    story = gathering("batch", 60, "a b", size=2)
    story.comes("a0", "x", 1)
    step = story.comes("a0", "y", 2)
    assert [decision.reason for decision in step.decisions] == [Reason.EXPIRED, Reason.EXPIRED]
    assert step.decisions[0].evidence["missing"] == "b1"


# -- settling ----------------------------------------------------------------------------------------------------------


def test_what_settles_matches_when_nothing_came_for_long_enough() -> None:
    story = gathering("settle", 10)
    story.comes("a0", "x", 5, reached=100)
    story.comes("a0", "y", 4, reached=108)
    assert story.tick(117) == []
    story.tick(118)
    assert story.matches == ["y+x"]


def test_what_never_settles_matches_at_max_wait() -> None:
    story = gathering("settle", 10, max_wait=30)
    for number, time in enumerate(range(100, 130, 8)):
        story.comes("a0", f"e{number}", time)
    assert story.tick(129) == []
    story.tick(130)
    assert story.matches == ["e0+e1+e2+e3"]


def test_a_full_window_refuses_what_would_wait_but_ends_as_usual() -> None:
    story = gathering("settle", 10)
    story.stepping.bound = 2
    story.comes("a0", "x", 1)
    story.comes("a0", "y", 1)
    assert reason(story.comes("a0", "z", 1)) is Reason.OVER_BOUND
    story.tick(100)
    assert story.matches == ["x+y"]


@pytest.mark.parametrize("kind", ["session", "batch", "settle"])
def test_a_retired_trigger_matches_with_what_it_holds_if_that_fills_it(kind: WindowKind) -> None:
    story = gathering(kind, 60, "a b", **({"size": 9} if kind == "batch" else {}))
    story.comes("a0", "x", 1, key="filled")
    story.comes("b1", "y", 2, key="filled")
    story.comes("a0", "z", 1, key="unfilled")
    assert [decision[2] for decision in story.retire()] == ["matched", "matched", "expired"]
    assert story.matches == ["x y"]
