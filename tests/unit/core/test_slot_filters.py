"""An index over filters decides as the filters themselves do, for any values, and looks at as few slots as it can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import SECOND, Event
from bridge.core.expressions.expression import Expression
from bridge.core.route import Accepted, route
from bridge.core.slot_filters import Decisions, SlotFilters
from bridge.core.trigger import RunPlan, Slot, Trigger

TEXTS = ("nz", "au", "", "1", "true", "n\u00e9", "a'b", "x" * 300)
INTS = (0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))
VALUES: Sequence[Any] = (
    *(*TEXTS, "nz\0", "\0"),
    *(*INTS, 2**63, 10**30),
    *(0.0, -0.0, 1.0, 1.5, 2.0, float(2**53), float(2**63), 1e300, float("nan"), float("inf")),
    *(True, False, None, b"nz", [1], ["nz"], {"nz": 1}, {}),
    *(Decimal(1), Decimal("1.5"), UUID(int=1), date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC), timedelta(1)),
)


def literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


literals = st.sampled_from([literal(value) for value in (*TEXTS, *INTS[:5], *INTS[6:], True, False)])
fields = st.sampled_from(["payload.a", 'payload["b"]', "payload.c.d", "event.source", "event.name", "event.key"])
rests = st.sampled_from(["", " && payload.n > 0", " && payload.missing", " && (payload.n > 2 || has(payload.a))"])


@st.composite
def filters(draw: st.DrawFn) -> str:
    field = draw(fields)
    asked = draw(
        st.one_of(
            literals.map(lambda value: f"{field} == {value}"),
            literals.map(lambda value: f"{value} == {field}"),
            st.lists(literals, max_size=3).map(lambda values: f"{field} in [{', '.join(values)}]"),
            st.sampled_from(
                [f"{field} != 1", f"{field} == null", f"{field} == 1.0", f"{field} == 1u", f"!({field} == 1)"]
            ),
        )
    )
    rest = draw(rests)
    return draw(
        st.sampled_from(
            [f"{asked}{rest}", f"({asked}){rest}", f"{asked} || payload.n == 3", f"payload.n > 1 && {asked}"]
        )
    )


def definition(number: int, where: str | None, *, suspend: bool = False, future: int = 60 * SECOND) -> Definition:
    slot = Slot("order.created", "it", where=where)
    plan = RunPlan("ship", "default")
    return Definition(Trigger("default", f"t{number}", (slot,), plan, 1, suspend=suspend, future=future))


def event(payload: dict[str, Any], source: str = "nz", key: str | None = None, *, ahead: int = 0) -> Event:
    return Event("order.created", source, "e-1", 10 * SECOND + ahead, 10 * SECOND, key, payload)


payloads = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(VALUES),
        "b": st.sampled_from(VALUES),
        "c": st.sampled_from([*VALUES, {"d": "nz"}, {"d": 1}, {"d": 1.0}, {"d": True}]),
        "n": st.integers(0, 4),
        "missing": st.booleans(),
    },
)


@given(st.lists(filters() | st.none(), min_size=1, max_size=12), payloads, st.sampled_from(TEXTS[:2]), st.data())
def test_an_index_and_the_filters_decide_alike(
    wheres: list[str | None], payload: dict[str, Any], source: str, data: st.DataObject
) -> None:
    suspended = data.draw(st.sets(st.integers(0, len(wheres) - 1), max_size=1))
    definitions = [definition(number, where, suspend=number in suspended) for number, where in enumerate(wheres)]
    index = SlotFilters([(each, each.slots[0]) for each in definitions])
    given_event = event(
        payload,
        source,
        data.draw(st.sampled_from([None, "1", "nz"])),
        ahead=data.draw(st.sampled_from([0, 61 * SECOND])),
    )
    expected = [route(each, each.slots[0], given_event) for each in definitions]
    routed = index.routed(given_event)
    numbers = [number for number, _ in routed]
    is_filtered = [isinstance(each, Decision) and each.reason is Reason.FILTERED for each in expected]
    assert numbers == [number for number, filtered in enumerate(is_filtered) if not filtered]
    assert [decided[:5] for _, decided in routed] == [expected[number][:5] for number in numbers]
    assert sum(isinstance(decided, Accepted) for _, decided in routed) <= index.most <= len(wheres)
    rejected = Decisions()
    rejected.reject(index, given_event, numbers)
    assert len(rejected) == len(wheres) - len(numbers)
    told = {decision.trigger: (decision.reason, dict(decision.evidence)) for decision in rejected}
    assert told == {
        routed.trigger: (routed.reason, dict(routed.evidence))
        for number, routed in enumerate(expected)
        if number not in numbers and isinstance(routed, Decision)
    }


def test_of_many_filters_only_those_of_the_value_are_open() -> None:
    definitions = [definition(number, f'payload.region == "r{number}" && payload.n > 0') for number in range(1000)]
    index = SlotFilters([(each, each.slots[0]) for each in definitions])
    assert index.open_to(event({"region": "r7", "n": 1})) == [7]
    assert index.open_to(event({"region": 7})) == []
    assert index.open_to(event({})) == []
    assert index.most == 1
    assert index.open_to(event({"region": "r7"}, ahead=61 * SECOND)) == range(1000)


def test_slots_that_ask_for_nothing_are_always_open_and_in_their_order() -> None:
    wheres = ["payload.n > 1", 'payload.a == "x"', None, 'payload.a in ["x", "y"]', "payload.b == 1"]
    index = SlotFilters([(each, each.slots[0]) for each in map(definition, range(5), wheres)])
    assert index.open_to(event({"a": "y"})) == [0, 2, 3, 4]  # nobody else asks for payload.b
    assert index.open_to(event({"a": "z", "b": 1})) == [0, 2, 4]


@pytest.mark.parametrize(
    ("source", "field", "values"),
    [
        ('payload.a == "x"', ("payload", ("a",)), {"x"}),
        ('payload.n > 1 && payload["a"].b in [1, 2] && payload.c == 3', ("payload", ("c",)), {3}),
        ("true == payload.a", ("payload", ("a",)), {(True,)}),
        ('event.source == "s"', ("event", ("source",)), {"s"}),
        ("payload.a in []", ("payload", ("a",)), set()),
    ],
)
def test_what_a_filter_asks_for(source: str, field: tuple[str, tuple[str, ...]], values: set[object]) -> None:
    found = Expression(source).equality
    assert found is not None
    assert (found.field, set(found.values)) == (field, values)


@pytest.mark.parametrize(
    "source",
    ["payload.a == 1.5", "payload.a == payload.b", "payload == 1", "payload.a == 1 || payload.b == 1",
     "!(payload.a == 1)",
     "payload.a == null", "has(payload.a)", "payload.a == 1u", "payload.a in payload.b",
     "[1].exists(a, a == payload.a)",
     'event.time == timestamp("2026-01-31T12:00:00Z")', 'payload.a == "\\u0000"'],
)  # fmt: skip
def test_a_filter_that_asks_for_no_value(source: str) -> None:
    assert Expression(source).equality is None


def test_decisions_are_counted_without_being_made() -> None:
    definitions = [definition(number, f"payload.n == {number}") for number in range(5)]
    index = SlotFilters([(each, each.slots[0]) for each in definitions])
    decisions = Decisions()
    assert not decisions
    decisions.reject(index, event({"n": 3}), [3])
    decisions.append(Decision(Reason.MATCHED, "default/t3", "it", event({}).identity))
    assert len(decisions) == 5
    assert decisions.reasons() == {Reason.MATCHED: 1, Reason.FILTERED: 4}
    assert [(decision.trigger[-1], str(decision.reason)) for decision in decisions] == [
        ("3", "matched"), ("0", "filtered"), ("1", "filtered"), ("2", "filtered"), ("4", "filtered"),
    ]  # fmt: skip


def test_an_event_that_an_index_would_lose_is_not_lost_silently() -> None:
    definitions = [definition(number, f"payload.n == {number}") for number in range(2)]
    index = SlotFilters([(each, each.slots[0]) for each in definitions])
    assert isinstance(route(definitions[1], definitions[1].slots[0], event({"n": 1})), Accepted)
    decisions = Decisions()
    decisions.reject(index, event({"n": 1}))
    with pytest.raises(TypeError, match=r"the index rejects an event that passes slot it: payload\.n == 1"):
        list(decisions)
