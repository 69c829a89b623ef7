"""A trigger survives its way through Kafka, and its hashes change when, and only when, they should."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.trigger import RunLimits, RunPlan, Schedule, Slot, Trigger, WindowPlan

text = st.text(max_size=6)
perhaps = st.none() | text
pairs = st.lists(st.tuples(text, text), max_size=2).map(tuple)
micros = st.integers(0, 10**12)
slots = st.builds(Slot, text, text, perhaps, perhaps, pairs, st.integers(1, 3), st.booleans())
counts = st.none() | st.integers(1, 9)
limits = st.builds(RunLimits, counts, micros, counts, micros)
names = st.lists(text, max_size=2).map(tuple)
runs = st.builds(
    RunPlan, text, text, pairs, pairs, pairs, perhaps, st.booleans(), limits, st.none() | micros, perhaps, names
)
schedules = st.none() | st.builds(Schedule, text, st.none() | micros, micros, perhaps)
kinds = st.sampled_from(["within", "every", "until", "session", "batch", "settle"])
windows = st.builds(WindowPlan, kinds, micros, schedules, counts, st.none() | micros, schedules)
triggers = st.builds(
    Trigger,
    text,
    text,
    st.lists(slots, min_size=1, max_size=3).map(tuple),
    runs,
    require=st.integers(1, 3),
    order=st.sampled_from(["any", "sequence"]),
    window=st.none() | windows,
    grace=micros,
    dedupe=micros,
    collect=st.sampled_from(["latest", "first", "all"]),
    suspend=st.booleans(),
    start_from=st.sampled_from(["now", "earliest"]) | micros,
    future=micros,
    sensitive=names,
)

SLOT = Slot("order.created", "order", "payload.rows > 0", "payload.customer", (("rows", "rows"),))
PLAN = RunPlan("refresh-model", "ml", (("rows", "order.payload.rows"),), id="order.payload.id")
WINDOW = WindowPlan("within", 10)
TRIGGER = Trigger("ml", "refresh", (SLOT, Slot("payment.done", "payment")), PLAN, require=2, window=WINDOW, grace=5)


def with_slot(**changes: Any) -> Trigger:
    return replace(TRIGGER, slots=(replace(SLOT, **changes), *TRIGGER.slots[1:]))


def with_run(**changes: Any) -> Trigger:
    return replace(TRIGGER, run=replace(PLAN, **changes))


OTHER_CONDITION = {
    "namespace": replace(TRIGGER, namespace="else"),
    "name": replace(TRIGGER, name="else"),
    "slots": replace(TRIGGER, slots=TRIGGER.slots[::-1]),
    "require": replace(TRIGGER, require=1),
    "order": replace(TRIGGER, order="sequence"),
    "window": replace(TRIGGER, window=WindowPlan("within", 11)),
    "count": with_slot(count=2),
    "absent": with_slot(absent=True),
    "grace": replace(TRIGGER, grace=6),
    "dedupe": replace(TRIGGER, dedupe=7),
    "collect": replace(TRIGGER, collect="first"),
    "event": with_slot(event="order.paid"),
    "variable": with_slot(variable="paid"),
    "where": with_slot(where=None),
    "key": with_slot(key="payload.order"),
    "shared topic": with_slot(shared_topic="orders"),
    "run.id": with_run(id=None),
}
SAME_CONDITION = {
    "suspend": replace(TRIGGER, suspend=True),
    "start_from": replace(TRIGGER, start_from="earliest"),
    "future": replace(TRIGGER, future=1),
    "slot.parameters": with_slot(parameters=()),
    "run.template": with_run(template="else"),
    "run.namespace": with_run(namespace="else"),
    "run.parameters": with_run(parameters=()),
    "run.labels": with_run(labels=(("team", "ml"),)),
    "run.annotations": with_run(annotations=(("team", "ml"),)),
    "run.allow_template_tags": with_run(allow_template_tags=True),
}


@given(triggers)
def test_a_trigger_reads_back_from_json_text_as_it_was(trigger: Trigger) -> None:
    read = Trigger.from_json(json.loads(json.dumps(trigger.to_json())))
    assert read == trigger
    assert (read.condition_hash, read.definition_hash) == (trigger.condition_hash, trigger.definition_hash)


@given(triggers, triggers)
def test_two_triggers_share_a_definition_hash_only_if_they_are_equal(trigger: Trigger, other: Trigger) -> None:
    assert (trigger.definition_hash == other.definition_hash) == (trigger == other)


@pytest.mark.parametrize("change", OTHER_CONDITION)
def test_a_changed_condition_has_another_condition_hash(change: str) -> None:
    assert OTHER_CONDITION[change].condition_hash != TRIGGER.condition_hash
    assert OTHER_CONDITION[change].definition_hash != TRIGGER.definition_hash


@pytest.mark.parametrize("change", SAME_CONDITION)
def test_a_changed_run_keeps_the_condition_hash_and_changes_the_definition_hash(change: str) -> None:
    assert SAME_CONDITION[change].condition_hash == TRIGGER.condition_hash
    assert SAME_CONDITION[change].definition_hash != TRIGGER.definition_hash


def test_hashes_are_what_they_were_before_topics_could_be_shared() -> None:
    assert "shared_topic" not in json.dumps(TRIGGER.to_json())


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="quorum"):
        Trigger.from_json({**TRIGGER.to_json(), "quorum": 2})


def test_a_trigger_reads_each_event_name_once_in_slot_order() -> None:
    trigger = replace(TRIGGER, slots=(*TRIGGER.slots, replace(SLOT, variable="again")))
    assert trigger.events == ("order.created", "payment.done")


@given(triggers)
def test_triggers_that_are_equal_share_one_object(trigger: Trigger) -> None:
    shared = trigger.shared()
    assert shared == trigger
    assert Trigger.from_json(json.loads(json.dumps(trigger.to_json()))).shared() is shared


def test_triggers_with_one_hash_and_different_grace_are_not_taken_for_each_other() -> None:
    long, short = replace(TRIGGER, grace=600), replace(TRIGGER, grace=300, written_grace=600)
    assert long.definition_hash == short.definition_hash
    assert (long.shared(), short.shared()) == (long, short)
