"""The promises of windows as they are written: what each means, its defaults, and what is said about bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.duration import parse_duration
from bridge.core.event import DAY, HOUR, MINUTE, SECOND
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.triggers.compile import compile_trigger
from bridge.triggers.errors import path_text


def compiled(**spec: Any) -> Any:
    whole = {"events": [{"name": "a"}], "run": {"workflowTemplate": "w"}, **spec}
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}}
    return compile_trigger({**head, "spec": whole}, "default")


def trigger_of(**spec: Any) -> Trigger:
    outcome = compiled(**spec)
    assert isinstance(outcome, Trigger), outcome
    return outcome


def errors_of(**spec: Any) -> list[str]:
    outcome = compiled(**spec)
    assert isinstance(outcome, list)
    return [f"{path_text(path)}: {misfit}" for path, misfit in outcome]


BERLIN = "Europe/Berlin"
PAIR = [{"name": "a"}, {"name": "b"}]
SIX = Schedule(BERLIN, cron="0 6 * * MON-FRI")


@pytest.mark.parametrize(
    ("window", "plan"),
    [
        ({"every": "1d"}, WindowPlan("every", schedule=Schedule(every=DAY))),
        (
            {"every": "6h", "timezone": BERLIN, "offset": "90m"},
            WindowPlan("every", schedule=Schedule(BERLIN, every=6 * HOUR, offset=90 * MINUTE)),
        ),
        ({"every": "10s"}, WindowPlan("every", schedule=Schedule(every=10 * SECOND))),
        ({"until": {"cron": "0  6 * * MON-FRI", "timezone": BERLIN}}, WindowPlan("until", schedule=SIX)),
        ({"session": "30m"}, WindowPlan("session", 30 * MINUTE)),
        ({"session": "30m", "maxWait": "4h"}, WindowPlan("session", 30 * MINUTE, max_wait=4 * HOUR)),
        ({"settle": "5m", "maxWait": "1h"}, WindowPlan("settle", 5 * MINUTE, max_wait=HOUR)),
        ({"batch": {"size": 100}}, WindowPlan("batch", size=100)),
        ({"batch": {"wait": "1m"}}, WindowPlan("batch", MINUTE)),
        ({"batch": {"size": 100, "wait": "1m"}}, WindowPlan("batch", MINUTE, size=100)),
        (
            {"session": "30m", "reset": {"cron": "0 6 * * MON-FRI", "timezone": BERLIN}},
            WindowPlan("session", 30 * MINUTE, reset=SIX),
        ),
    ],
)
def test_each_kind_of_window_compiles(window: dict[str, Any], plan: WindowPlan) -> None:
    trigger = trigger_of(window=window)
    assert trigger.window == plan
    assert Trigger.from_json(trigger.to_json()) == trigger


@pytest.mark.parametrize(
    ("window", "grace", "dedupe"),
    [
        ({"every": "1d"}, 5 * MINUTE, DAY + 144 * MINUTE),
        ({"every": "1d", "timezone": BERLIN}, 5 * MINUTE, DAY + 3 * HOUR + 144 * MINUTE),
        ({"every": "5m"}, MINUTE, 6 * MINUTE),
        ({"until": {"cron": "0 6 * * MON-FRI"}}, 5 * MINUTE, 3 * DAY + 432 * MINUTE),
        (
            {"until": {"cron": "0 */6 * * *", "timezone": BERLIN}},
            5 * MINUTE,
            9 * HOUR + 36 * MINUTE,
        ),
        ({"session": "30m"}, 3 * MINUTE, 33 * MINUTE),
        ({"session": "30m", "maxWait": "4h"}, 3 * MINUTE, 243 * MINUTE),
        ({"settle": "30m", "maxWait": "4h"}, 3 * MINUTE, 243 * MINUTE),
        ({"batch": {"wait": "30m"}}, 3 * MINUTE, 33 * MINUTE),
        ({"batch": {"size": 5}}, MINUTE, HOUR + MINUTE),
    ],
)
def test_grace_and_dedupe_follow_from_the_window(window: dict[str, Any], grace: int, dedupe: int) -> None:
    trigger = trigger_of(window=window)
    assert (trigger.grace, trigger.dedupe) == (grace, dedupe)


def test_identities_are_remembered_twice_as_long_where_an_absence_is_waited_for() -> None:
    slots = [{"name": "a"}, {"name": "b", "absent": True}]
    trigger = trigger_of(events=slots, window={"within": "1h"})
    assert (trigger.grace, trigger.dedupe, trigger.require) == (6 * MINUTE, 132 * MINUTE, 1)
    assert [slot.absent for slot in trigger.slots] == [False, True]


def test_what_is_given_counts_instead_of_the_default() -> None:
    trigger = trigger_of(window={"session": "30m"}, grace="0", dedupe="7d", collect="first")
    assert (trigger.grace, trigger.dedupe, trigger.collect) == (0, 7 * DAY, "first")


def test_count_order_and_sensitive_fields_compile() -> None:
    slots = [{"name": "a", "count": 3}, {"name": "b"}]
    trigger = trigger_of(events=slots, window={"within": "1h"}, order="sequence", sensitive=["card.number", "email"])
    assert [slot.count for slot in trigger.slots] == [3, 1]
    assert (trigger.order, trigger.require, trigger.sensitive) == ("sequence", 2, ("card.number", "email"))


@pytest.mark.parametrize(
    ("window", "error"),
    [
        ({}, "spec.window: found none of its kinds; write one of within, every, until, session, batch, settle"),
        (
            {"within": "1h", "every": "1d"},
            "spec.window: found within and every; write one of within, every, until, session, batch, settle",
        ),
        (
            {"every": "7h"},
            "spec.window.every: found '7h'; write what divides a day (as 10s, 15m, 1h, 6h) or whole days (as 1d, 7d)",
        ),
        ({"every": "500ms"}, "spec.window.every: found 500ms; write 1s at least"),
        (
            {"every": "1d", "timezone": "Berlin"},
            "spec.window.timezone: found 'Berlin'; write a name of the time zone database, as Europe/Berlin",
        ),
        ({"every": "1h", "offset": "1h"}, "spec.window.offset: found '1h'; write less than every"),
        ({"settle": "1h", "offset": "1m"}, "spec.window.offset: offset belongs to every; leave it out"),
        (
            {"until": {"cron": "0 6 * * *"}, "timezone": "UTC"},
            "spec.window.timezone: timezone belongs to every; write it inside of until",
        ),
        (
            {"until": {"cron": "0 6 * *"}},
            (
                "spec.window.until.cron: found '0 6 * *'; write five fields: minute hour day-of-month month "
                "day-of-week, as '0 6 * * MON-FRI'"
            ),
        ),
        (
            {"until": {"cron": "0 25 * * *"}},
            "spec.window.until.cron: found '0 25 * * *'; bad hour: write an expression as '0 6 * * MON-FRI'",
        ),
        (
            {"session": "1m", "reset": {"cron": "0 0 30 2 *"}},
            "spec.window.reset.cron: found '0 0 30 2 *'; bad day-of-month: write an expression as '0 6 * * MON-FRI'",
        ),
        ({"until": {"timezone": "UTC"}}, "spec.window.until.cron: it is missing; write cron: …"),
        ({"batch": {}}, "spec.window.batch: found neither size nor wait; write size, wait, or both"),
        (
            {"batch": {"size": 1}},
            "spec.window.batch.size: found 1; write how many events make the batch full, a number from 2 to 10000",
        ),
        ({"session": 5}, "spec.window.session: found 5; write a duration as 500ms, 90s, 1h30m or 2d"),
        ({"sesion": "5m"}, "spec.window.sesion: there is no such field; did you mean session?"),
        ({"until": "0 6 * * *"}, "spec.window.until: found '0 6 * * *'; write until: {cron: '0 6 * * *'}"),
    ],
)
def test_a_bad_window_is_told_where_what_was_found_and_what_would_be_right(window: dict[str, Any], error: str) -> None:
    assert errors_of(window=window) == [error]


@pytest.mark.parametrize(
    ("slot", "error"),
    [
        (
            {"count": 0},
            "spec.events[0].count: found 0; write how many events fill the slot, a number from 1 to 1000",
        ),
        (
            {"count": True},
            "spec.events[0].count: found true; write how many events fill the slot, a number from 1 to 1000",
        ),
        ({"absent": 1}, "spec.events[0].absent: found 1; write true or false"),
    ],
)
def test_a_bad_slot_is_told(slot: dict[str, Any], error: str) -> None:
    assert errors_of(events=[{"name": "a", **slot}, {"name": "b"}], window={"within": "1h"}) == [error]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"order": "sorted"}, "spec.order: found 'sorted'; write any or sequence"),
        ({"collect": "some"}, "spec.collect: found 'some'; write latest, first or all"),
        ({"sensitive": "email"}, "spec.sensitive: found 'email'; write a list of payload fields, as [customer.email]"),
        ({"sensitive": ["payload.email"]}, "spec.sensitive: found 'payload.email'; leave payload out: write email"),
        ({"sensitive": [1]}, "spec.sensitive: found 1; write the path of a payload field, as customer.id"),
    ],
)
def test_a_bad_field_is_told(spec: dict[str, Any], found: str) -> None:
    assert errors_of(events=PAIR, window={"within": "1h"}, **spec) == [found]


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("a.payload.x", "a.payload, but a is a list of events here; write a[0].payload.x, or a.map(e, e.payload.x)"),
        ("b.id", "'b' is not known here; known are a (at column 1 of the expression); write CEL over a"),
    ],
)
def test_an_expression_that_takes_a_list_for_an_event_or_an_absent_event_is_told(expression: str, hint: str) -> None:
    slots = [{"name": "a", "count": 2}, {"name": "b", "absent": True}]
    run = {"workflowTemplate": "w", "parameters": {"p": expression}}
    assert errors_of(events=slots, window={"within": "1h"}, run=run) == [f"spec.run.parameters.p: {hint}"]


def test_expressions_over_lists_compile() -> None:
    expressions = {"n": "size(a)", "first": "a[0].payload.x", "all": "a.map(e, e.payload.x)", "whole": "a"}
    assert trigger_of(window={"settle": "1m"}, run={"workflowTemplate": "w", "parameters": expressions})


def test_the_default_grace_of_a_calendar_window_is_five_minutes_and_its_form_is_that_of_0_1_0() -> None:
    trigger = trigger_of(window={"every": "1d"})
    assert trigger.to_json()["grace"] == 144 * MINUTE, "what 0.1.0 wrote, and still reads"
    assert Trigger.from_json(trigger.to_json()) == trigger


@pytest.mark.parametrize("grace", ["5m", "144m", "3h"])
def test_a_grace_that_is_written_down_is_kept_whatever_the_default_is(grace: str) -> None:
    trigger = trigger_of(window={"every": "1d"}, grace=grace)
    assert trigger.grace // SECOND == parse_duration(grace) // SECOND
    assert Trigger.from_json(trigger.to_json()).grace == trigger.grace
