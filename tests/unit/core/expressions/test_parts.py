"""The parts of a condition: each means what it means in the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.evidence import ExpressionEvidence
from bridge.core.expressions.expression import Expression, ExpressionError
from bridge.core.expressions.parts import conjuncts, type_name


def parts(source: str, payload: dict[str, Any]) -> list[tuple[str, bool | None]]:
    return [(part.source, part.value) for part in conjuncts(Expression(source), {"payload": payload})]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("payload.a == 1", [("payload.a == 1", True)]),
        ("payload.a == 1 && payload.b == 3", [("payload.a == 1", True), ("payload.b == 3", False)]),
        (
            "(payload.a == 1 && payload.b == 2) && payload.c == 'x'",
            [("payload.a == 1", True), ("payload.b == 2", True), ("payload.c == 'x'", False)],
        ),
        ("payload.a == 1 && payload.b == 2 || true", [("payload.a == 1 && payload.b == 2 || true", True)]),
        ("payload.a == 1 || payload.b == 9 && true", [("payload.a == 1 || payload.b == 9 && true", True)]),
        (
            "payload.s == '&&' && payload.t.contains(\")(\")",
            [("payload.s == '&&'", True), ('payload.t.contains(")(")', True)],
        ),
        ("payload.s == '\\'' && payload.a == 1", [("payload.s == '\\''", False), ("payload.a == 1", True)]),
        (
            "payload.a == 1 // && payload.b == 7\n && payload.b == 2",
            [("payload.a == 1 // && payload.b == 7", True), ("payload.b == 2", True)],
        ),
        (
            "[1, 2].all(x, x > 0 && x < 3) && payload.a > 3",
            [("[1, 2].all(x, x > 0 && x < 3)", True), ("payload.a > 3", False)],
        ),
        ("payload.nothing == 1 && payload.a == 1", [("payload.nothing == 1", None), ("payload.a == 1", True)]),
        ("payload.a > 0 ? payload.b == 2 && true : false", [("payload.a > 0 ? payload.b == 2 && true : false", True)]),
    ],
)
def test_what_and_joins_is_judged_part_by_part(source: str, expected: list[tuple[str, bool | None]]) -> None:
    assert parts(source, {"a": 1, "b": 2, "s": "&&", "t": "a)(b", "c": "y"}) == expected


@given(
    st.lists(
        st.sampled_from(
            [
                "payload.a == 1",
                "payload.b > 1",
                "payload.s == '&&'",
                "(payload.a == 1 || payload.b == 1)",
                "!payload.no",
            ]
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["&&", "x"]),
    st.booleans(),
)
def test_the_parts_are_true_exactly_where_the_whole_is(
    sources: list[str],
    a: int,
    b: int,
    s: str,
    no: bool,  # noqa: FBT001
) -> None:
    whole = Expression(" && ".join(sources))
    variables = {"payload": {"a": a, "b": b, "s": s, "no": no}}
    found = conjuncts(whole, variables)
    assert [part.source for part in found] == sources
    assert whole.holds(variables) == all(part.value for part in found)


def test_a_part_without_a_value_says_why() -> None:
    (part,) = conjuncts(Expression("payload.a > 1"), {"payload": {"a": "x"}})
    assert part.value is None
    assert part.error
    with pytest.raises(ExpressionError):
        Expression("payload.a > 1").holds({"payload": {"a": "x"}})


@pytest.mark.parametrize(
    ("payload", "source", "hint"),
    [
        ({"a": "True"}, "payload.a == true", "payload.a is a string, which is never equal to a value of type bool"),
        ({"a": 3}, "payload.a == '3'", "payload.a is an int, which is never equal to a value of type string"),
        ({"a": 3}, "'3' != payload.a", "payload.a is an int, which is never equal to a value of type string"),
        ({"a": 3}, "payload.a == 3.0", ""),
        ({"a": None}, "payload.a == 3", ""),
        ({"a": 3}, "payload.a == null", ""),
        ({}, "payload.a == 3", ""),
        ({"a": 3}, "payload.a > 3", ""),
    ],
)
def test_a_comparison_of_types_that_are_never_equal_gets_a_hint(
    payload: dict[str, Any], source: str, hint: str
) -> None:
    (part,) = conjuncts(Expression(source), {"payload": payload})
    assert part.hint == hint


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "bool"),
        (1, "int"),
        (1.5, "double"),
        (Decimal("1.5"), "double"),
        ("x", "string"),
        (b"x", "bytes"),
        (datetime(2026, 1, 1, tzinfo=UTC), "timestamp"),
        (timedelta(seconds=1), "duration"),
        ([1], "list"),
        ({"a": 1}, "map"),
    ],
)
def test_a_type_is_named_as_cel_names_it(value: Any, name: str) -> None:
    assert type_name(value) == name


def test_what_is_sensitive_is_not_shown() -> None:
    expression = Expression("payload.card == 'x' && payload.card > 3 && payload.rows == '1'")
    evidence = ExpressionEvidence("where", expression, {"payload": {"card": "4711", "rows": 1}}, ("card",))
    assert [(operand.value, operand.type) for operand in evidence.operands()] == [
        ("(redacted)", "string"),
        ("1", "int"),
    ]
    first, second, third = evidence.conjuncts()
    assert (first.hint, second.error, third.hint[:12]) == ("", "(redacted)", "payload.rows")
    assert "4711" not in repr((evidence.operands(), evidence.conjuncts()))
