"""The promises of expression."""

import datetime as dt
import gc
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from math import nan
from types import FunctionType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.expressions import expression as expression_module
from bridge.core.expressions import meter
from bridge.core.expressions.expression import (
    LENGTH_LIMIT,
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    RefusedExpression,
    recorded,
)
from bridge.core.expressions.fields import narrowed
from bridge.core.expressions.meter import engine, is_extended, parse, value_of
from bridge.core.expressions.shortcut import REST
from bridge.core.expressions.tree import read_tree, write_tree
from bridge.core.expressions.types import refuse_wrong_types
from bridge.core.expressions.values import admitted
from bridge.core.route import route
from bridge.core.trigger import RunPlan, Slot, Trigger


@pytest.fixture(autouse=True)
def no_garbage_is_collected() -> Iterator[None]:
    """Evaluate as a bridge does, in the middle of a batch: a collection of all garbage would count as work."""
    gc.disable()
    yield
    gc.enable()


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
        return True, value_of(engine(extended=True).compile(source, disable_check=True).eval(data=VARIABLES))
    except (RuntimeError, ValueError):
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
        with pytest.raises((ExpressionError, ExpressionSyntaxError)):
            Expression(source).evaluate(VARIABLES)


EXTENDED = (
    *("payload.region.lowerAscii() == 'eu'", "math.greatest(payload.rows, 2) > 2", "math.least(1, 2.0) == 1"),
    *("payload.?rows.orValue(1) == 3", "payload[?'rows'].hasValue()", "[?payload.?rows]", "{?'k': payload.?rows}"),
    *("[?payload.rows]", "{?'k': 1}", "[1, ?2].size()", "type(payload.rows) != optional_type", ".optional_type == int"),
    *("'a,b'.split(',').size() == 2", "'%d'.format([payload.rows])", "optional.of(1).optMap(v, v + 1).orValue(0) == 2"),
    *("payload.items.map(x, payload.region.upperAscii())", "type(optional.none())", "strings.quote('a')"),
)
"""Expressions that need the extensions of CEL."""


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(sources, st.sampled_from(EXTENDED)))
@example("timestamp('2026-01-01T00:00:00Z').getHours('Europe/Berlin') + int(duration('1s').getSeconds())")
@example("payload.items.exists_one(x, x > 2u) || payload.items.filter(x, x % 2 == 0).all(x, x in {1: 2})")
@example("bytes('a') + b'b' != b'' && double(string(1)) / -2.0 <= uint(3) * 1.0 ? bool('true') : dyn(1).matches('x')")
def test_an_expression_is_the_same_without_extensions_that_it_does_not_need(source: str) -> None:
    try:
        expected = read_tree(engine(extended=True).compile(source, disable_check=True).serialize())
    except RuntimeError:
        assert source not in EXTENDED
        with pytest.raises(RuntimeError, match="ERROR"):
            parse(source)
        return
    tree, places = parse(source)
    assert (write_tree(tree), places) == (write_tree(expected[0]), expected[1])
    assert is_extended(tree) or source not in EXTENDED
    assert is_extended(narrowed(tree)[0]) or source not in EXTENDED
    if not is_extended(tree):
        assert _fault_of_types(source, extended=False) == _fault_of_types(source, extended=True)


def _fault_of_types(source: str, *, extended: bool) -> str:
    variables = ["payload", "event", "_v0"]
    types = {"payload.rows": "int", "payload.region": "string", "payload.items": "list(int)"}
    try:
        refuse_wrong_types(source, variables, types, extended=extended)
    except ExpressionSyntaxError as error:
        return str(error)
    return ""


def test_the_type_of_optionals_has_a_value_without_any_optional() -> None:
    expression = Expression("payload.rows == 3 && type(payload.rows) != optional_type")
    expression.check(["payload"])
    assert expression.holds(VARIABLES)


def test_the_extensions_are_loaded_when_an_expression_needs_them() -> None:
    code = f"""
import sys
from bridge.core.expressions.expression import Expression
plain = Expression("payload.items.all(x, x > payload.rows - 3) && payload.region.matches('e.')")
plain.check(["payload"], {{"payload.rows": "int"}})
assert plain.evaluate({VARIABLES}) is True
assert "cel_expr_python.ext" not in sys.modules
assert Expression("payload.region.upperAscii()").evaluate({VARIABLES}) == "EU"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=40) | st.text("payload.xy ()[]{}'\"\\+-*/%&|!?:,<>=0123456789\n", max_size=60))
def test_no_text_is_more_than_a_syntax_error(source: str) -> None:
    with suppress(ExpressionSyntaxError, ExpressionError):
        Expression(source).evaluate(VARIABLES)


OPTIONALS = (
    '{"k": optional.of(1)}',
    '{"k": payload.?nope}',
    '[{"k": optional.none()}]',
    '{"k": [{"j": [optional.of(1)]}, {"i": optional.of(2)}]}',
    '[1, 2].map(x, {"k": optional.of(x)})',
    '[{"k": optional.of(1)}].map(m, m)',
    "[optional.of(1)]",
    'payload.?rows.optMap(v, {"k": optional.of(v)}).orValue({})',
    'optional.of(optional.of(1)).optMap(v, [{"k": v}].map(m, m)).orValue([])',
)
"""The engine's binding ends the process when it is asked for some of these as they are."""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("payload.nope > 1", "payload.nope: there is no such field"),
        ("payload.nope", "payload.nope: there is no such field"),
        ("payload.customer.nope", "payload.customer.nope: there is no such field"),
        ("[payload][0].nope", "nope: there is no such field"),
        ("payload.rows / 0", "division by zero"),
        ("payload.rows > 'a'", "no such operation: int > string"),
        ("string(payload)", "no such operation: string(map)"),
        ("payload.rows ? 1 : 2", "no such operation: the condition of ? : is neither true nor false"),
        ("9223372036854775807 + payload.rows", "integer overflow"),
        ("payload.items[7]", "index 7 is outside of a list of 3"),
        ("payload.?nope", "an optional is no value here; write .orValue(...) behind it"),
        *((source, "an optional is no value here; write .orValue(...) behind it") for source in OPTIONALS),
        ("payload.region.matches('(')", "invalid regular expression: missing ): ("),
        ("event.time.getHours('../secret')", "event.time: there is no such field"),
        ("timestamp(0).getHours('../secret')", "there is no time zone '../secret'"),
        ("payload.items.map(x, x / 0)", "division by zero"),
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
        ("now() > 1", "there is no function now()", 1, 4),
        ("payload.items.all(i, v, v > 0)", "'i' is not known here", 1, 19),
        ("(" * 300 + "1" + ")" * 300, "nested too deep", 1, 1),
        ("1" + " + 1" * 40, "nested too deep", 1, 1),
        ("[1].map(x, " * 20 + "1" + ")" * 20, "nested too deep", 1, 1),
        ("1" + " " * LENGTH_LIMIT, "4097 characters; an expression has at most 4096", 1, 1),
        ("payload.rows > 0 &&\n  paylod.rows < 9", "'paylod' is not known here; known are event, payload", 2, 3),
        ("[1].map(x, x)[0] == x", "'x' is not known here; known are event, payload", 1, 21),
        ("google.protobuf.Int32Value{value: 3}", "google.protobuf.Int32Value: there are no message types", 1, 1),
        ("payload.rows + 1 > 5 + 1.5", "no such operation: int + double", 1, 22),
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


@pytest.fixture
def _in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all loops be paid, in pieces of a few members."""
    monkeypatch.setattr(expression_module, "_PLAIN_LIMIT", -1)
    monkeypatch.setattr(meter, "_TURNS", 3)
    monkeypatch.setattr(meter, "_GATHERED", 2)
    monkeypatch.setattr(meter, "_FIRST", 1)


@pytest.mark.usefixtures("_in_pieces")
@pytest.mark.parametrize(
    "source",
    [
        *("payload.n.all(x, x < 9)", "payload.n.all(x, 6 / (2 - x) == 6)", "payload.n.all(x, 6 / (2 - x) < 100)"),
        *("payload.n.exists(x, x == 7)", "payload.n.exists(x, 6 / (7 - x) == 6)", "payload.n.exists(x, x / 0 == 1)"),
        *("payload.n.exists_one(x, x == 3)", "payload.n.exists_one(x, x > 3)", "payload.n.exists_one(x, x / 0 == 1)"),
        *("payload.n.map(x, x * 2)", "payload.n.map(x, x > 2, string(x))", "payload.n.filter(x, x % 2 == 0)"),
        *("payload.n.map(x, payload.n.map(y, x * y))", "payload.n.map(x, payload.n.filter(y, y > x).size())"),
        *("payload.n.filter(x, x > 2).map(x, x + 1).exists(x, x == 5)", "payload.m.all(k, payload.m[k] > 0)"),
        *("payload.m.map(k, k).size() == 2", "payload.none.all(x, x)", "payload.n[0].all(x, x)", "[].all(x, x)"),
        *("payload.n.map(x, uint(x))[0] == 1u", "payload.n.map(x, timestamp(x))", "payload.n.map(x, {'v': [x]})"),
        *("false && payload.n.all(x, x / 0 == 1)", "payload.n.exists(x, x / 0 == 1) || true", "payload.s.map(b, b)"),
        *("payload.n.exists(x, payload.s.exists(t, t.contains(string(x))))", "payload.n.map(x, x / (x - 5))"),
        *("optional.of(payload.n).optMap(v, v.map(x, x + 1)).orValue([])", "payload.s.map(t, bytes(t))"),
        *("payload.n.map(x, type(x) == int)", "payload.n.map(x, payload.?k.orValue(x))", "payload.n.map(n, n).size()"),
        *(
            "payload.t.all(x, x > timestamp(0))",
            "payload.t.filter(x, x > timestamp(0))",
            "payload.x.exists(x, x == 'a')",
        ),
        *("payload.s.all(t, t.matches('^[a-c]$'))", "payload.n.all(x, payload.n.exists_one(y, x == y))"),
    ],
)
def test_a_loop_that_is_paid_gives_what_the_engine_gives(source: str) -> None:
    moments = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in range(1, 6)]
    numbers = {"n": [1, 2, 3, 4, 5, 6, 7], "m": {"a": 1, "b": 2}}
    variables = {"payload": {**numbers, "s": ["a", "b", "c"], "t": moments, "x": [1, 2.5, None, "a"]}}
    expression = Expression(source)
    expression._whole()._small = -1
    expression._whole()._is_light = False
    try:
        given = {name: admitted(value, lambda _: None)[0] for name, value in variables.items()}
        expected = value_of(engine(extended=True).compile(source, disable_check=True).eval(data=given))
    except ValueError:
        with pytest.raises(ExpressionError):
            expression.evaluate(variables)
    else:
        assert expression.evaluate(variables) == expected


ATTACKS: list[tuple[str, dict[str, Any]]] = [
    (" + ".join(["payload.s"] * 30), {"s": "a" * 1_000_000}),
    ("payload.a.map(x, payload.a.map(y, payload.s + x + y)).size() > 0", {"a": ["x"] * 45, "s": "a" * 1_000_000}),
    ("payload.a.map(x, {'a': x, 's': payload.s + x}).size() > 0", {"a": ["x"] * 900, "s": "a" * 100_000}),
    ("payload.a.exists(x, payload.a.exists(y, payload.a.exists(z, x == y && false)))", {"a": list(range(500))}),
    ("payload.a.exists(x, payload.a.exists(y, x == y && false))", {"a": list(range(5_000))}),
    ("payload.a.map(x, payload.a.map(y, x * y)).size() > 0", {"a": list(range(2_000))}),
    ("payload.a.map(x, x + 1).size() > 0", {"a": list(range(100_000))}),
    ("payload.a.exists(x, x in payload.a && false)", {"a": list(range(20_000))}),
    ("payload.s.contains(payload.p)", {"s": "a" * 1_000_000, "p": "a" * 50_000 + "b"}),
    ("payload.s.replace('', payload.s).size() > 0", {"s": "a" * 100_000}),
    ("payload.a.join(payload.s).size() > 0", {"a": ["x"] * 10_000, "s": "a" * 100_000}),
    ("payload.f.format([1.5]).size() > 0", {"f": "%.999f" * 50_000}),
    ("payload.t.matches('(a{1,10}){1,100}b')", {"t": "a" * 100_000}),
    ("payload.a.exists(x, x.matches(payload.p))", {"a": ["a" * 100] * 5_000, "p": "(a{1,30}){1,30}b"}),
    ("payload.a.exists(x, 'abc'.matches(x))", {"a": [f"x{n}{{1,500}}" for n in range(5_000)]}),
    ("payload.a.all(x, x.matches('^[a-z]+$')) || true", {"a": ["abc"] * 50_000}),
    ("payload.size() > 3", {str(n): n for n in range(200_000)}),
    ("payload.a.size() > 3", {"a": list(range(1_000_000))}),
    ("payload.a.size() > 3", {"a": [[[n]] for n in range(100_000)]}),
    ("payload.a.exists(x, x == 'q')", {"a": [Decimal(n) for n in range(200_000)]}),
    ("payload.a.exists(x, x > timestamp(9))", {"a": [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)] * 200_000}),
    ("payload.a + payload.a", {"a": list(range(100_000))}),
    ("payload.a.map(x, payload.b).size() > 0", {"a": list(range(20_000)), "b": list(range(100))}),
]


@pytest.mark.parametrize(("source", "payload"), ATTACKS)
def test_what_costs_too_much_is_an_error_after_a_short_time(source: str, payload: dict[str, Any]) -> None:
    expression = Expression(source)
    began = time.thread_time()
    with pytest.raises(ExpressionError, match=r"too costly: [\d,]+ ms of work|10,000 turns"):
        expression.evaluate({"payload": payload})
    assert time.thread_time() - began < 2  # 50 ms where nothing else runs


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        (r'payload.tags.all(t, t.matches("^[\\w-]{1,64}$"))', {"tags": [f"a-tag-{n:04}" for n in range(2_000)]}),
        (r'!payload.to.exists(x, x.matches("^\\w{1,64}$"))', {"to": ["-"] * 5_000}),
        ("payload.a.map(x, x + 1).size() == 999", {"a": list(range(999))}),
        ("!payload.a.exists(x, x.contains('zz'))", {"a": ["abcdefghij"] * 100_000}),
        ("payload.a.all(x, x >= 0)", {"a": list(range(100_000))}),
        ("!payload.a.exists(x, payload.a.exists(y, x == y && false))", {"a": list(range(200))}),
        ("payload.a.exists(x, x.id == 4999)", {"a": [{"id": n} for n in range(5_000)]}),
        ("payload.a.exists(x, x.contains('b'))", {"a": ["x"] * 10_000 + ["a" * 500_000 + "b"]}),
        ("payload.items.exists(x, x.matches(payload.p))", {"items": ["aaaaaaaaaa"] * 2_000, "p": "^a?b?c?a+$"}),
    ],
)
def test_what_is_only_large_keeps_working(source: str, payload: dict[str, Any]) -> None:
    assert Expression(source).holds({"payload": payload}) is True


def test_a_pattern_that_re2_cannot_bound_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="invalid regular expression"):
        Expression("payload.t.matches('(a{1,1000}){1,100}b')").evaluate({"payload": {"t": "a"}})
    with pytest.raises(ExpressionError, match="a pattern of 2000 characters; at most 1024 may be"):
        Expression("'a'.matches(payload.p)").evaluate({"payload": {"p": "a" * 2_000}})


def test_other_threads_run_while_a_long_list_is_walked_over() -> None:
    """The engine holds the interpreter; between the pieces of a loop it is free."""
    expression = Expression("payload.a.exists(x, payload.a.exists(y, x == y && false))")
    turns: list[float] = []
    is_over = threading.Event()

    def other() -> None:
        while not is_over.is_set():
            turns.append(time.monotonic())
            time.sleep(0.0005)

    thread = threading.Thread(target=other)
    thread.start()
    began = time.monotonic()
    with suppress(ExpressionError):
        expression.evaluate({"payload": {"a": list(range(2_000))}})
    ended = time.monotonic()
    is_over.set()
    thread.join()
    assert len([turn for turn in turns if began < turn < ended]) >= 2


def test_no_result_depends_on_the_clock() -> None:
    """An event has the same decision on a slow machine, so that a replay decides as the router did."""
    expression = Expression("payload.a.exists(x, payload.a.exists(y, x == y && false))")
    texts = set()
    for _ in range(3):
        with pytest.raises(ExpressionError) as caught:
            expression.evaluate({"payload": {"a": list(range(1_000))}})
        texts.add(str(caught.value))
    assert len(texts) == 1


@settings(deadline=None)
@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains", "startsWith", "endsWith"]),
    st.sampled_from(["3", "3.0", "-1", "'eu'", "'e\u00fc'", "true", "9223372036854775807", "0.1"]),
    st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3), st.booleans(), st.none(), st.just([3])),
    st.sampled_from(["left", "right"]),
)
def test_a_comparison_without_the_engine_says_what_the_engine_says(
    sign: str, literal: str, value: Any, side: str
) -> None:
    text = f"{literal} {sign} payload.v" if side == "right" else f"payload.v {sign} {literal}"
    if sign.isalpha():
        text = f"has(payload.v) && payload.v.{sign}({literal})"
    expression = Expression(text)
    variables = {"payload": {"v": value}}
    assert expression.shortcut is not None or sign.isalpha()
    if expression.shortcut is None:
        return
    known = expression.shortcut(variables)
    if known is True or known is False:
        assert expression.evaluate(variables) is known


fields = st.sampled_from(["payload.v", "payload.w", "payload.deep.er", "payload.missing"])
computed = st.recursive(
    fields | st.sampled_from(["3", "3.0", "-2", "0", "0.0", "9223372036854775807", "'eu'", "true"]),
    lambda inner: st.one_of(
        st.builds(
            lambda first, sign, second: f"({first} {sign} {second})", inner, st.sampled_from(list("+-*/%")), inner
        ),
        inner.map(lambda value: f"-({value})"),
        fields.map(lambda field: f"size({field})"),
        fields.map(lambda field: f"{field}.size()"),
    ),
    max_leaves=4,
)
comparisons = st.one_of(
    st.builds(
        lambda value, sign, other: f"{value} {sign} {other}",
        computed,
        st.sampled_from(["==", "!=", "<", ">="]),
        st.sampled_from(["3", "3.0", "'eu'", "true"]) | computed,
    ),
    st.builds(
        lambda value, listed: f"{value} in [{', '.join(listed)}]",
        computed,
        st.lists(st.sampled_from(["3", "-1"]), min_size=1) | st.lists(st.sampled_from(["'eu'", "'e'"]), min_size=1),
    ),
    st.builds(lambda field, sign: f"{field} {sign} null", fields, st.sampled_from(["==", "!="])),
    fields,
    st.sampled_from(["has(payload.v)", "has(payload.missing)", "payload.w.startsWith('e')", "payload.v.contains('u')"]),
    st.builds(
        lambda field, pattern: f"{field}.matches({pattern})",
        fields | st.just("'eu'"),
        st.sampled_from(["'^e'", "'u$'", "''", "'('", "'[^e]'", "'e|\\\\d'", "'ü'", "payload.w"]),
    ),
    st.sampled_from(["payload.v.lowerAscii() == 'eu'", "[1, 2].exists(x, x == payload.w)", "payload.v ? true : false"]),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(
            lambda first, sign, second: f"({first} {sign} {second})", inner, st.sampled_from(["&&", "||"]), inner
        ),
        inner.map(lambda condition: f"!({condition})"),
    ),
    max_leaves=6,
)
contents = st.sampled_from(
    [
        3,
        2,
        4,
        0,
        2**62,
        -(2**63),
        2**63,
        -5,
        7,
        3.0,
        2.5,
        0.0,
        -0.0,
        1e308,
        nan,
        "eu",
        "e",
        "",
        "e\u00fc",
        True,
        False,
        None,
        [3],
        [],
        {"er": 1},
        b"eu",
    ]
)


def outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ExpressionError:
        return "an error"


@settings(deadline=None)
@given(
    st.lists(conditions, min_size=1, max_size=3).map(" && ".join),
    contents,
    contents,
    st.one_of(contents, contents.map(lambda value: {"er": value})),
)
def test_comparisons_that_are_joined_say_without_the_engine_what_the_engine_says(
    text: str, v: Any, w: Any, deep: Any
) -> None:
    expression, variables = Expression(text), {"payload": {"v": v, "w": w, "deep": deep}}
    known = expression.shortcut(variables) if expression.shortcut is not None else None
    if known is True or known is False:
        assert expression.evaluate(variables) is known
    else:
        said = outcome(lambda: expression.evaluate(variables))
        assert outcome(lambda: expression.holds(variables)) == (said if type(said) is bool else "an error")
        assert expression.is_met(variables, known) is (said is True)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("payload.rows > 3 && payload.country == 'nz'", True),
        ("payload.rows * 2 > 9 && payload.price * 1.5 <= 3.75", True),
        ("payload.rows + payload.more - 1 == 6", True),
        ("payload.price / 0.5 == 5.0", True),
        ("payload.rows / 2 == 2 && payload.rows % 3 == 2", True),
        ("payload.country.matches('^[a-n]z$') && !matches(payload.country, '[0-9]')", True),
        ("payload.country.lowerAscii() == 'NZ' && payload.rows > 5", False),
        ("-payload.price < -2.0 && -payload.rows == -5", True),
        ("payload.rows < payload.more", False),
        ("payload.country in ['au', 'nz'] && !(payload.rows in [1, 2])", True),
        ("size(payload.tags) == 2 && payload.country.size() > 2", False),
        ("payload.active && !payload.closed", True),
        ("payload.note == null || payload.rows > 100", True),
        ("payload.note != null", False),
        ("!has(payload.missing) && (payload.closed || payload.country.endsWith('z'))", True),
        ("true && payload.rows != 5", False),
    ],
)
def test_most_filters_never_reach_the_engine(text: str, *, holds: bool) -> None:
    payload = {"rows": 5, "more": 2, "price": 2.5, "country": "nz", "tags": ["a", "b"], "note": None}
    expression = Expression(text)
    assert expression.shortcut is not None
    assert expression.shortcut({"payload": {**payload, "active": True, "closed": False}}) is holds


def test_the_engine_keeps_nothing_for_an_expression_until_an_event_needs_it() -> None:
    condition, field = Expression("payload.rows > 2"), Expression("payload.order")
    assert condition.holds({"payload": {"rows": 3}})
    assert field.evaluate({"payload": {"order": "o-7"}}) == "o-7"
    assert (condition._kept, field._kept) == (None, None)
    for _ in range(2):
        assert condition.holds({"payload": {"rows": 2.5}})  # an int and a float: the engine compares them
        assert condition._kept is not None
    with pytest.raises(ExpressionError, match=r"payload\.rows"):
        condition.holds({"payload": {}})


@pytest.mark.parametrize(
    "text",
    [
        "payload.rows * 9223372036854775807 > 0",  # an overflow is an error
        "payload.debt / 2 == -2",  # CEL rounds towards zero
        "payload.debt % 2 == -1",
        "payload.rows / payload.none == 1",
        "payload.rows % payload.none == 1",
        "payload.name.matches('e')",  # not ASCII
        "payload.zero.matches('e')",
        "payload.long.matches('e')",
        "payload.rows.matches('e')",  # an error
        "payload.long.matches('(')",  # an error
        "payload.rows > 3 && payload.long.lowerAscii() == 'eu'",
        "payload.price / payload.nothing > 0.0",
        "payload.rows > 2.5",  # CEL compares numbers of all types
        "payload.rows + payload.price > 1.0",  # an error
        "payload.rows",  # neither true nor false
        "payload.missing == 1",
        "payload.big == payload.big",
        "payload.edge == 9223372036854775807",  # equal as floats, which CEL compares there
        "payload.edge in [9223372036854775807]",
        "size(payload.large) == 5000",  # how costly that is, the engine says
        "size(payload.nested) == 1",
        "size(payload.odd) == 1",  # an error
    ],
)
def test_what_python_would_do_in_another_way_is_left_to_the_engine(text: str) -> None:
    expression = Expression(text)
    payload: dict[str, Any] = {"rows": 5, "price": 2.5, "nothing": 0.0, "big": 2**64, "edge": 2**63}
    payload |= {"debt": -5, "none": 0, "name": "e\u00fc", "zero": "e\0", "long": "e" * 1_001}
    payload |= {"large": [1] * 5000, "nested": [[]], "odd": {"a\0": 1}}
    assert expression.shortcut is None or expression.shortcut({"payload": payload}) in (None, REST)


def test_the_deepest_condition_that_the_engine_takes_needs_no_engine() -> None:
    for opening, closing, middle in (
        ("(payload.rows == 1 || ", ")", "payload.rows == 5"),
        ("(payload.rows == 5 && (payload.rows == 1 || ", "))", "payload.rows == 5"),
        ("!(payload.rows != 5 || !(", "))", "payload.rows == 5"),
        ("(1 - ", ")", "payload.rows"),
    ):
        ending = " in [5, -4]" if middle == "payload.rows" else ""
        texts = [opening * depth + middle + closing * depth + ending for depth in range(100)]
        taken = [expression for expression in map(recorded, texts) if not isinstance(expression, RefusedExpression)]
        assert 5 < len(taken) < 100
        for expression in taken:
            assert expression.shortcut is not None
            assert expression.shortcut({"payload": {"rows": 5}}) is True


def test_no_text_of_a_condition_is_code_of_its_shortcut() -> None:
    name, value = "x']; raise SystemExit #", 'a\n"""; raise SystemExit'
    hostile = Expression(f"payload[{json.dumps(name)}] == {json.dumps(value)}").shortcut
    plain = Expression("payload.y == 'b'").shortcut
    assert isinstance(hostile, FunctionType)
    assert isinstance(plain, FunctionType)
    assert hostile({"payload": {name: value}}) is True
    assert hostile({"payload": {name: "a"}}) is False
    assert hostile.__code__ is plain.__code__


def test_an_accepted_expression_that_is_refused_today_has_no_value_for_any_event() -> None:
    """A definition of an older release is always read; a process that cannot read one would stop."""
    slot = Slot("order.created", "order", "1" + " + 1" * 40 + " > 2")
    definition = Definition(Trigger("ml", "ship", (slot,), RunPlan("ship", "ml"), require=1))
    decision = route(definition, definition.slots[0], Event("order.created", "shop", "1", 0, 0, None, {}))
    assert isinstance(decision, Decision)
    assert decision.reason is Reason.FILTERED
    assert decision.evidence["error"].startswith("this release cannot read the expression: nested too deep")


ZEROS = {
    "text": "a\x00b",
    "bytes": b"\x00\xff\x00",
    "texts": ["\x00x", "b"],
    "inner": {"text": "\x00q", "all": [b"\x00"]},
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("payload.text + 'Z'", "a\x00bZ"),
        ("payload.bytes + b'\\x00'", b"\x00\xff\x00\x00"),
        ("payload.texts.map(t, t + 'y')", ["\x00xy", "by"]),
        ("payload.inner.text + 'Z'", "\x00qZ"),
        ("payload.inner.all[0] == b''", False),
        ("payload.text in ['a']", False),
        ("payload.text.matches('^a.b$')", True),
        ("payload.texts.exists(t, t == '')", False),
        ("{'t': payload.text, 'b': payload.bytes}", {"t": "a\x00b", "b": b"\x00\xff\x00"}),
    ],
)
def test_texts_and_bytes_are_whole_also_behind_a_zero_character(source: str, expected: object) -> None:
    assert Expression(source).evaluate({"payload": ZEROS}) == expected


def test_a_name_with_a_zero_character_is_an_error_and_never_another_name() -> None:
    with pytest.raises(ExpressionError, match="no name with a zero character"):
        Expression("'a' in payload.names").evaluate({"payload": {"names": {"a\x00b": 1}}})


@given(st.recursive(st.text() | st.binary(), st.lists, max_leaves=8))
def test_any_text_or_bytes_pass_through_the_engine_unchanged(value: object) -> None:
    if isinstance(value, str | bytes):
        empty = "''" if isinstance(value, str) else "b''"
        assert Expression(f"payload.v + {empty}").evaluate({"payload": {"v": value}}) == value
    assert Expression("[payload.v]").evaluate({"payload": {"v": value}}) == [value]


@pytest.mark.parametrize(
    "source",
    [
        'payload.region.matches("(")',
        "payload.region.matches(payload.region + '(')",
        'payload.region.matches("(a{1000}){1000}")',
        "payload.items[9999999999999]",
        "1 / 0",
        "timestamp(payload.region)",
        "-(-9223372036854775807 - 1)",
        "payload.missing.deeper",
        "(" * 400 + "1" + ")" * 400,
    ],
)
def test_the_engine_itself_prints_nothing(source: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((ExpressionError, ExpressionSyntaxError)):
        Expression(source).evaluate(VARIABLES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("source", ["payload.rows > 2", "payload.rows >"])
def test_a_text_that_is_in_use_is_compiled_once(source: str) -> None:
    compiled = recorded(source)
    assert recorded(source) is compiled
    assert recorded(f"{source} 1") is not compiled
