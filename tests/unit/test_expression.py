"""The promises of expression."""

import datetime as dt
import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Any

import cel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.expression import LENGTH_LIMIT, Expression, ExpressionError, ExpressionSyntaxError

PAYLOAD: dict[str, Any] = {
    "rows": 3,
    "region": "eu",
    "customer": {"id": "c-7", "tags": ["a", "b"], "none": None},
    "items": [1, 2, 3],
    "order-id": "o-1",
}
VARIABLES = {"payload": PAYLOAD, "event": {"name": "data.updated", "key": None}}

leaves = st.sampled_from(
    [
        *("payload.rows", "payload.region", 'payload["order-id"]', "payload['rows']", "payload.items[0]", "payload"),
        *("payload.customer.id", "payload.customer.missing", "payload.missing", "payload . rows", "event.key"),
        *("has(payload.rows)", "has(payload.nope)", "has(payload.customer.id)", "has(payload.nope.id)", "event"),
        *("has(payload.items[0].x)", 'has(payload["customer"].id)', "payload.region.size()", "payload.items.size()"),
        *("payload.items.map(x, x + payload.rows)", "payload.items.exists(payload, payload > 1)"),
        *("[payload].all(x, x.rows == 3)", "{'payload': payload.rows}.payload", "payload.region.rows", "size(payload)"),
        *("'payload.rows'", '"// payload.rows"', "r'\\'", '"""payload\n.x"""', "1", "true", "null", "'eu'", "3.0"),
        *("payload.rows // payload.region\n", "payload.customer['id'].startsWith('c')", "payload.customer.tags[1]"),
    ],
)
operators = st.sampled_from(["==", "&&", "||", "<", "+", "in", "!="])
sources = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} ? {parts[1]} : {parts[2]})"),
        st.tuples(inner, inner).map(lambda parts: f"[{', '.join(parts)}]"),
        inner.map(lambda part: f"!{part}"),
    ),
    max_leaves=6,
)


def _by_the_binding(source: str) -> tuple[bool, Any]:
    try:
        return True, cel.compile(source).execute(VARIABLES)
    except (TypeError, KeyError, RuntimeError, IndexError, ValueError, ArithmeticError):
        return False, None


@settings(deadline=None)  # the machine may be busy
@given(sources)
@example("payload['rows']in[3]")
@example("_v0")
@example("has(payload.rows)")
@example(r"r'\' == payload.customer['id']")
@example(r"'\'' + payload.region + br'\' + payload.region")
@example("payload.customer . id == 'c-7'")
def test_the_fields_that_are_picked_change_no_value(source: str) -> None:
    has_value, value = _by_the_binding(source)
    if has_value:
        assert Expression(source).evaluate(VARIABLES) == value
    else:
        with pytest.raises(ExpressionError):
            Expression(source).evaluate(VARIABLES)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=40) | st.text("payload.xy ()[]{}'\"\\+-*/%&|!?:,<>=0123456789\n", max_size=60))
def test_no_text_is_more_than_a_syntax_error(source: str) -> None:
    with suppress(ExpressionSyntaxError, ExpressionError):
        Expression(source).evaluate(VARIABLES)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("payload.nope > 1", "payload.nope: there is no such field"),
        ("payload.nope", "payload.nope: there is no such field"),
        ("payload.customer.nope", "payload.customer.nope: there is no such field"),
        ("[payload][0].nope", "nope: there is no such field"),
        ("payload.rows / 0", "division by zero in CEL expression"),
        ("payload.rows > 'a'", "No such overload: the operation is not defined for the given operand types"),
        ("string(payload)", "string() does not take such a value"),
        ("9223372036854775807 + payload.rows", "Arithmetic overflow in 'add' on 9223372036854775807 and 3."),
        ("payload.items[7]", "index out of bounds: 7"),
    ],
)
def test_an_expression_without_a_value_says_why(source: str, text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(VARIABLES)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("source", "reason", "line", "column"),
    [
        ("payload.rows >", "mismatched input end of the expression", 1, 15),
        ("payload.rows &&\n 1 2", "extraneous input '2'", 2, 4),
        ("  ", "an empty expression", 1, 1),
        ("loop + 1", "reserved identifier: loop", 1, 1),
        ("now() > 1", "there is no function now()", 1, 1),
        ("payload.items.all(i, v, v > 0)", "there is no function all()", 1, 1),
        ("a.map(x, a.map(y, a.map(z, z)))", "3 macros inside each other; at most 2 may be", 1, 1),
        ("(" * 300 + "1" + ")" * 300, "", 1, 1),
        ("1" + " " * LENGTH_LIMIT, "4097 characters; an expression has at most 4096", 1, 1),
        ("payload.rows > 0 &&\n  paylod.rows < 9", "'paylod' is not known here; known are event, payload", 2, 3),
        ("[1].map(x, x)[0] == x", "'x' is not known here; known are event, payload", 1, 9),
    ],
)
def test_what_can_never_be_evaluated_is_refused_when_compiled(source: str, reason: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        Expression(source).check({"payload", "event"})
    assert caught.value.reason.startswith(reason)
    assert (caught.value.line, caught.value.column) == (line, column) or not reason


def test_only_the_variables_that_are_named_have_to_be_given() -> None:
    expression = Expression("payload.items.exists(x, x > 2) && type(payload.rows) == int")
    assert expression.names == {"payload"}
    assert expression.evaluate({"payload": PAYLOAD}) is True


def test_a_field_alone_keeps_its_exact_value() -> None:
    amount = Decimal("12.50")
    assert repr(Expression("payload.amount").evaluate({"payload": {"amount": amount}})) == repr(amount)
    assert Expression("payload.n").evaluate({"payload": {"n": 2**70}}) == 2**70


@pytest.mark.parametrize(
    ("value", "inside"),
    [
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (dt.date(2026, 5, 1), "2026-05-01"),
        (dt.time(1, 2, 3), "01:02:03"),
        (dt.datetime(2026, 5, 1, tzinfo=dt.UTC), dt.datetime(2026, 5, 1, tzinfo=dt.UTC)),
        (dt.timedelta(seconds=90), dt.timedelta(seconds=90)),
        (b"\xff", b"\xff"),
        ([uuid.UUID(int=7)], ["00000000-0000-0000-0000-000000000007"]),
        (Decimal("1.5"), 1.5),
    ],
)
def test_values_of_every_type_pass(value: Any, inside: Any) -> None:
    assert Expression("payload.v").evaluate({"payload": {"v": value}}) == inside
    assert Expression("[payload.v][0]").evaluate({"payload": {"v": value}}) == inside
    assert Expression("payload").evaluate({"payload": {"v": value}}) == {"v": inside}


def test_a_filter_is_true_or_false_or_an_error() -> None:
    assert Expression("payload.rows > 0").holds(VARIABLES) is True
    with pytest.raises(ExpressionError, match="neither true nor false but int"):
        Expression("payload.rows").holds(VARIABLES)


@pytest.mark.parametrize(
    ("source", "elements"),
    [
        ("payload.items.map(x, x).size()", 1_001),
        ("payload.items.all(x, x >= 0)", 100_001),
        ("payload.items.all(x, payload.items.exists(y, y == x))", 301),
        ("payload.items.map(x, payload.items.filter(y, y > x)).size()", 101),
    ],
)
def test_macros_walk_over_a_bounded_number_of_elements(source: str, elements: int) -> None:
    expression = Expression(source)
    few, many = ({"payload": {"items": list(range(count))}} for count in (elements // 2, elements))
    expression.evaluate(few)
    with pytest.raises(ExpressionError, match=f"more than {elements - 1} elements"):
        expression.evaluate(many)
