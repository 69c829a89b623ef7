"""The run of a match: its identity, and what expressions and parameters see where a slot holds several events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.runs.identity import run_key_of
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.core.trigger import RunPlan, Trigger, WindowPlan
from unit.core.stepping import each, trigger_of

CALENDAR = WindowPlan("every", schedule=each(100))


def event(name: str, time: int = 0, **payload: Any) -> Event:
    return Event(name[0], "shop", name, time, time, None, payload)


def run_of(trigger: Trigger, *match: list[Event], frame: tuple[int, int] | None = None, key: str = "") -> Run:
    return make_run(Definition(trigger), "fb.", key, match, frame)


def with_run(trigger: Trigger, *parameters: tuple[str, str], **plan: Any) -> Trigger:
    return replace(trigger, run=RunPlan("refresh-model", "ml", parameters, **plan))


def test_a_match_is_known_by_its_events() -> None:
    trigger = trigger_of("a*2 b")
    runs = [
        run_of(trigger, [event("a1"), event("a2")], [event("b1")]),
        run_of(trigger, [event("a1"), event("a3")], [event("b1")]),
        run_of(trigger, [event("a1"), event("a2")], []),
    ]
    assert len({run.run_key for run in runs}) == 3
    assert runs[0].events == (("a0", ("a", "shop", "a1")), ("a0", ("a", "shop", "a2")), ("b1", ("b", "shop", "b1")))


def test_an_event_of_another_name_is_another_event() -> None:
    """One source and id under two names in one topic: the name is part of what an event is."""
    trigger = trigger_of("a")
    names = ("a", "OrderCreated", "OrderCancelled")
    runs = [run_of(trigger, [event("a1")._replace(name=name)]) for name in names]
    assert len({run.run_key for run in runs}) == 3
    kept = run_key_of("fb.", trigger.identity, "", ("a0", "shop", "a1"))  # as released
    assert runs[0].run_key == kept


def test_a_match_of_a_calendar_window_is_known_by_the_window() -> None:
    trigger = trigger_of("a b", window=CALENDAR)
    first = run_of(trigger, [event("a1")], [event("b1")], frame=(0, 100))
    assert run_of(trigger, [event("a2")], [event("b2")], frame=(0, 100)).run_key == first.run_key
    assert run_of(trigger, [event("a1")], [event("b1")], frame=(100, 200)).run_key != first.run_key
    assert run_of(trigger, [event("a1")], [event("b1")], frame=(0, 100), key="k").run_key != first.run_key


def test_an_id_of_the_triggers_own_comes_before_the_window() -> None:
    trigger = with_run(trigger_of("a", window=CALENDAR), id="a0.payload.order")
    earlier = run_of(trigger, [event("a1", order="7")], frame=(0, 100))
    assert run_of(trigger, [event("a2", order="7")], frame=(100, 200)).run_key == earlier.run_key


def test_a_slot_is_an_event_where_it_holds_one_and_a_list_where_it_may_hold_several() -> None:
    trigger = with_run(trigger_of("a*2 b"), ("n", "string(size(a0))"), ("last", "a0[1].id"), ("b", "b1.id"))
    made = run_of(trigger, [event("a1"), event("a2")], [event("b1")])
    assert dict(made.parameters or ()) == {"n": "2", "last": "a2", "b": "b1"}


def test_with_collect_all_each_slot_is_a_list_also_one_that_is_left_out() -> None:
    session = trigger_of("a b", window=WindowPlan("session", 10), collect="all", require=1)
    made = run_of(with_run(session, ("a", "string(size(a0))"), ("b", "string(size(b1))")), [event("a1")], [])
    assert dict(made.parameters or ()) == {"a": "1", "b": "0"}


def test_a_slot_that_is_left_out_is_null_where_it_holds_one_event() -> None:
    trigger = with_run(trigger_of("a b", require=1), ("has_b", "b1 != null ? 'yes' : 'no'"))
    assert dict(run_of(trigger, [event("a1")], []).parameters or ()) == {"has_b": "no"}


def test_a_slots_parameters_take_its_newest_event() -> None:
    trigger = trigger_of("a*2")
    slot = replace(trigger.slots[0], parameters=(("rows", "rows"),))
    made = run_of(replace(trigger, slots=(slot,)), [event("a1", rows=1), event("a2", rows=2)])
    assert dict(made.parameters or ()) == {"rows": "2"}


def test_the_default_mapping_carries_the_payload_of_the_newest_event() -> None:
    batch = trigger_of("a", window=WindowPlan("batch", 10, size=2), collect="all")
    assert run_of(batch, [event("a1", rows=1), event("a2", rows=2)]).payload == '{"rows":2}'


def test_the_run_of_a_dead_mans_switch_happened_when_its_window_closed() -> None:
    trigger = with_run(trigger_of("!a", window=CALENDAR), ("n", "'silent'"))
    made = run_of(trigger, [], frame=(0, 100))
    assert (made.event_time, made.reached, made.events) == (100, 105, ())
    assert dict(made.parameters or ()) == {"n": "silent"}


def test_a_dead_mans_switch_without_parameters_carries_no_payload() -> None:
    made = run_of(trigger_of("!a", window=CALENDAR), [], frame=(0, 100))
    assert (made.parameters, made.payload) == ((), None)


def test_an_expression_that_fails_makes_the_match_unrunnable() -> None:
    trigger = with_run(trigger_of("a b", require=1), ("b", "b1.payload.rows"))
    with pytest.raises(UnrunnableError, match=r"run\.parameters\.b"):
        run_of(trigger, [event("a1")], [])
