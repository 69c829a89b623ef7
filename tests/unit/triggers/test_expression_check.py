"""What is wrong with an expression is told when its trigger is loaded, in the words of those who write triggers."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.trigger import Trigger
from bridge.triggers.compile import compile_trigger

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "count", "type": "int"},
        {"name": "status", "type": ["null", "string"]},
        {"name": "order_id", "type": "string"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "either", "type": ["string", "int"]},
        {"name": "note", "type": ["null", "int"]},
        {"name": "marks", "type": {"type": "map", "values": "long"}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]},
            },
        },
        {"name": "first", "type": ["null", "Line"]},
        {"name": "parent", "type": ["null", "shop.Order"]},
    ],
}


def found(spec: dict[str, Any], *, schema: Any = None) -> list[str]:
    """Return what is wrong with the expressions of a trigger on one order."""
    events = [{"name": "order.created", "as": "order", **spec}]
    run = {"workflowTemplate": "ship", "parameters": spec.pop("parameters", {"id": "order.payload.order_id"})}
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}}
    events[0].pop("parameters", None)
    schemas = {"order.created": schema} if schema is not None else None
    compiled = compile_trigger({**head, "spec": {"events": events, "run": run}}, "default", schemas)
    return [] if isinstance(compiled, Trigger) else [str(misfit) for _, misfit in compiled]


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ("payload.status = 'NEW'", "found = (at column 16 of the expression); write == to compare"),
        ("payload.a > 1 and payload.b > 1", "found 'and' (at column 15 of the expression); write &&"),
        ("payload.a > 1 or payload.b > 1", "found 'or' (at column 15 of the expression); write ||"),
        ("not payload.a", "found 'not' (at column 1 of the expression); write !"),
        ("payload.a > 1 & payload.b > 1", "found & (at column 15 of the expression); write &&"),
        ("payload.a <> 1", "found <> (at column 11 of the expression); write !="),
        ("{{ payload.a }} == 1", "found {{ }} (at column 1 of the expression); write the field without braces, as"),
        ("$.a == 1", "found $ (at column 1 of the expression); write the path without it, as"),
        (
            "payload.status.lower() == 'new'",
            "there is no function lower() (at column 21 of the expression); write lowerA",
        ),
        ("payload.amount > 5 + 1.5", "no such operation: int + double (at column 20 of the expression); write both as"),
        ("order.amount > 3", "; write payload.amount: this sees one event, not the slots"),
        ("order.payload.amount > 3", "; write payload.amount: this sees one event, not the slots"),
        ("payload['status'] == NEW", "; write 'NEW' in quotes for a text"),
        ("paylod.status == 'NEW'", "; write payload.status"),
        ("event.amount > 3", "event has no field 'amount' (at column 1 of the expression); write payload.amount"),
        ("event.nam == 'x'", "event has no field 'nam' (at column 1 of the expression); write event.name"),
        ("timestamp(now()) > event.time", "an expression knows no clock; event.time is when the event happened"),
        ("'a' == 1", "no such operation: string == int"),
        ("1 + [] == 2", "no such operation: int + list(dyn)"),
    ],
)
def test_a_mistake_in_a_filter_says_what_to_write(where: str, right: str) -> None:
    (text,) = found({"where": where})
    assert right in text


@pytest.mark.parametrize(
    ("parameter", "right"),
    [
        (
            "order.order_id",
            "order has no field 'order_id' (at column 1 of the expression); write order.payload.order_id",
        ),
        ("order.payloud.id", "order has no field 'payloud' (at column 1 of the expression); write order.payload.id"),
        ("order_created.payload.id", "; write order.payload.id: the slot is called order"),
        ("payload.id", "; write order.payload.id: this sees the slots, not one event"),
        ("event.id", "; write order.id: this sees the slots, not one event"),
        ("hello", """; write "'hello'" for a text: CEL's quotes inside of YAML's"""),
        ("{{ order.payload.id }}", "found {{ }} (at column 1 of the expression); write the field without braces"),
        ("$.order.id", "found $ (at column 1 of the expression); write the path without it, as order.payload.id"),
    ],
)
def test_a_mistake_in_a_parameter_says_what_to_write(parameter: str, right: str) -> None:
    (text,) = found({"parameters": {"p": parameter}})
    assert right in text


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ("payload.amont > 3.0", "payload has no field 'amont' (at column 1 of the expression); write payload.amount"),
        ("true && payload['amont'] > 3.0", "(at column 9 of the expression); write payload.amount"),
        ("true &&\n payload.amont > 3.0", "(at line 2, column 2 of the expression); write payload.amount"),
        (
            "payload.first.skuu == 'x'",
            "payload.first has no field 'skuu' (at column 1 of the expression); write payload.fi",
        ),
        ("payload.amount == 'x'", "no such operation: double == string"),
        ("payload.status == 3", "no such operation: string? == int"),
        ("payload.amount + 1 > 3.0", "double + int (at column 16 of the expression); write both as the same type"),
        ("payload.at > 3", "no such operation: timestamp > int"),
        ("payload.order_id > 3", "no such operation: string > int"),
        ("payload.lines.startsWith('x')", "no such operation: startsWith(list(dyn), string)"),
        ("payload.count in ['a']", "no such operation: int in list(string)"),
        ("payload.day.getHours() > 3", "no such operation: getHours(string)"),
    ],
)
def test_an_expression_is_checked_against_the_schema_of_its_event(where: str, right: str) -> None:
    (text,) = found({"where": where}, schema=ORDER)
    assert right in text
    assert found({"where": where.replace("payload.", "payload.x.")}) == []  # nothing is known without a schema


@pytest.mark.parametrize(
    "where",
    [
        *("payload.amount > 3", "payload.amount == 3 && payload.count >= 2.5", "payload.count in [1.5, 2.0]"),
        *("payload.status == 'NEW'", "payload.status == null", "payload.status != null && size(payload.status) > 3"),
        *("payload.price > 3", "payload.price + 1.0 > 3.5", "payload.either == 'x' || payload.either == 3"),
        *("payload.at > timestamp('2026-01-01T00:00:00Z')", "payload.at.getHours('Europe/Berlin') < 17"),
        *("payload.lines.exists(l, l.sku == 'x')", "payload.lines[0].sku == 'x'", "payload.marks['a'] > 3"),
        *("payload.marks.a > 3", "payload.note > 2.5", "payload.note == null", "payload.day == '2026-01-01'"),
        *("has(payload.later) && payload.later > 3", "has(payload.first) && payload.first.sku == 'x'"),
        *("payload.amount in {3: true}", "{1u: true}[payload.count]", "[true, false][payload.count]"),
        *("payload.parent.parent.count == 3", "payload.first == null", "payload['count'] == 3", "size(payload) > 3"),
        *("payload.?later.orValue(3) > 2", "type(payload.count) == int", "event.time > payload.at"),
    ],
)
def test_what_fits_the_schema_is_no_mistake(where: str) -> None:
    assert found({"where": where}, schema=ORDER) == []


def test_a_slot_of_a_match_has_the_schema_of_its_event() -> None:
    (text,) = found({"parameters": {"p": "string(order.payload.amont)"}}, schema=ORDER)
    assert "order.payload has no field 'amont' (at column 8 of the expression); write order.payload.amount" in text
    (text,) = found({"parameters": {"p": "'n' + order.payload.count"}}, schema=ORDER)
    assert "no such operation: string + int" in text
    assert "write string(x) around what is no text" in text
