"""``reset``: event times never match across a boundary, and what waits at one is forgotten. Boundaries are each 100."""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason
from bridge.core.event import time_text
from bridge.core.trigger import WindowPlan
from unit.core.stepping import Story, each, ids, reason, trigger_of


def sliding(words: str = "a b") -> Story:
    return Story(trigger_of(words, window=WindowPlan("within", 50, reset=each(100))))


@pytest.mark.parametrize(("times", "matches"), [((98, 99), True), ((99, 100), False), ((100, 101), True)])
@pytest.mark.parametrize("turned", [False, True])
def test_nothing_matches_across_a_boundary(*, times: tuple[int, int], matches: bool, turned: bool) -> None:
    story = sliding()
    step = [("a0", "a", times[0]), ("b1", "b", times[1])]
    for slot, name, time in step[::-1] if turned else step:
        last = story.comes(slot, name, time, reached=101)
    assert (ids(last) == "a b") is matches


def test_what_waits_from_before_a_boundary_is_reset_once_grace_is_over() -> None:
    story = sliding()
    story.comes("a0", "a", 90)
    assert story.tick(104) == []
    assert story.tick(105) == [("a0", "a", "reset")]


def test_an_earlier_deadline_expires_what_waits_before_a_boundary_does() -> None:
    story = sliding()
    story.comes("a0", "a", 10)
    assert story.tick(200) == [("a0", "a", "expired")]


@pytest.mark.parametrize("ticks", [False, True])
def test_an_event_from_before_a_boundary_that_is_over_is_reset_at_once(*, ticks: bool) -> None:
    story = sliding()
    if ticks:
        story.tick(105)
    step = story.comes("a0", "a", 99, reached=105 if ticks else 106)
    assert reason(step) is Reason.RESET
    assert step.decisions[0].evidence == {"boundary": time_text(100)}
    assert reason(story.comes("a0", "a", 99, reached=106)) is Reason.DUPLICATE


def test_a_late_partner_within_grace_still_matches_before_the_boundary() -> None:
    story = sliding()
    story.comes("a0", "a", 98)
    assert ids(story.comes("b1", "b", 99, reached=105)) == "a b"


def test_a_pending_absence_that_reaches_over_a_boundary_is_reset() -> None:
    story = sliding("a !b")
    story.comes("a0", "a", 90)
    story.comes("b1", "b", 101)
    assert story.tick(105) == [("a0", "a", "reset")]
    assert story.matches == []


@pytest.mark.parametrize(
    "plan",
    [
        WindowPlan("batch", 1_000, size=3, reset=each(100)),
        WindowPlan("settle", 1_000, reset=each(100)),
        WindowPlan("session", 1_000, reset=each(100)),
    ],
)
def test_no_group_reaches_across_a_boundary(plan: WindowPlan) -> None:
    story = Story(trigger_of("a", window=plan, collect="all"))
    for name, time in (("old1", 98), ("old2", 99), ("new1", 100), ("new2", 101)):
        story.comes("a0", name, time, reached=101)
    assert story.matches == []
    assert story.tick(105) == [("a0", "old1", "reset"), ("a0", "old2", "reset")]
    story.comes("a0", "new3", 102, reached=106)
    if plan.kind == "batch":
        assert story.matches == ["new1+new2+new3"]
    else:
        assert story.stepping.windows[""].size == 3


def test_a_group_that_ends_before_its_boundary_matches() -> None:
    story = Story(trigger_of("a", window=WindowPlan("settle", 10, reset=each(100)), collect="all"))
    story.comes("a0", "x", 20)
    story.tick(500)
    assert story.matches == ["x"]
