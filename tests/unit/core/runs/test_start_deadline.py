"""The promises of run.startDeadline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.event import DAY, HOUR, MINUTE, Micros
from bridge.core.runs.run_of_match import start_by
from bridge.core.trigger import RunPlan, Schedule, Slot, Trigger, WindowPlan

REACHED = 1_700_000_000_000_000
HAPPENED = REACHED - MINUTE
DAILY = WindowPlan("every", schedule=Schedule(every=DAY))
FRAME = (REACHED - HOUR, REACHED + 23 * HOUR)
ABSENT = (Slot("a", "a"), Slot("b", "b", absent=True))


def deadline(window: WindowPlan | None, **fields: Any) -> Micros | None:
    plan = RunPlan("ship", "default", start_deadline=HOUR)
    slots = fields.pop("slots", (Slot("a", "a"),))
    trigger = Trigger("default", "ship", slots, plan, 1, window=window, grace=MINUTE, **fields)
    return start_by(trigger, HAPPENED, REACHED, FRAME)


@pytest.mark.parametrize(
    ("window", "fields", "complete"),
    [
        (None, {}, REACHED),
        (WindowPlan("within", HOUR), {}, REACHED),
        (WindowPlan("within", HOUR), {"slots": ABSENT}, HAPPENED + HOUR + MINUTE),
        (WindowPlan("session", HOUR), {"collect": "all"}, HAPPENED + HOUR + MINUTE),
        (WindowPlan("batch", HOUR, size=3), {"collect": "all"}, REACHED + HOUR),
        (WindowPlan("settle", HOUR), {"collect": "all"}, REACHED + HOUR),
        (DAILY, {}, REACHED),
        (DAILY, {"collect": "all"}, FRAME[1] + MINUTE),
        (DAILY, {"slots": ABSENT}, FRAME[1] + MINUTE),
    ],
)
def test_it_counts_from_the_moment_the_match_was_complete(
    window: WindowPlan | None, fields: dict[str, Any], complete: Micros
) -> None:
    assert deadline(window, **fields) == complete + HOUR


def test_an_event_that_reached_us_after_its_window_was_due_counts_from_then() -> None:
    plan = RunPlan("ship", "default", start_deadline=HOUR)
    trigger = Trigger("default", "ship", (Slot("a", "a"),), plan, 1, window=WindowPlan("session", MINUTE))
    assert start_by(trigger, REACHED - DAY, REACHED) == REACHED + HOUR


def test_without_a_deadline_it_is_never_too_late() -> None:
    trigger = Trigger("default", "ship", (Slot("a", "a"),), RunPlan("ship", "default"), 1)
    assert start_by(trigger, HAPPENED, REACHED) is None
    assert start_by(replace(trigger, window=DAILY), HAPPENED, REACHED, FRAME) is None
