"""Ours, fastavro and Java's Avro read each other, and judge schemas alike: 1,000 of each that Hypothesis makes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import fastavro
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flowbridge_sdk.avro.changes import incompatibilities
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.schemas import EventSchema
from unit.sdk.generated_schemas import Schema, covering, events, readers, without_logical_types

if TYPE_CHECKING:
    from servers.java_avro import Question

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
CASES = 1_000
DRAWN = 1_600
"""Examples that are drawn. Some are refused, and some come twice."""


def parsed(schema: Schema) -> EventSchema:
    return EventSchema.parse("event", json.dumps(schema), "event.avsc")


def drawn(draw: Callable[[Draw], Any]) -> list[Any]:
    """Return what Hypothesis makes, the same at each run in CI."""
    cases: list[Any] = []

    @settings(
        max_examples=DRAWN,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        cases.append(draw(data.draw))

    collect()
    return cases


def usable(cases: Sequence[tuple[Schema, Any]]) -> list[tuple[Schema, EventSchema, Any]]:
    """Return 1,000 cases whose schemas differ and can be used, with these schemas compiled."""
    found: dict[str, tuple[Schema, EventSchema, Any]] = {}
    for schema, more in cases:
        try:
            found.setdefault(json.dumps(schema), (schema, parsed(schema), more))
        except SchemaError:  # an array's items take no bytes: refused before anything is written with it
            continue
    assert len(found) >= CASES
    return list(found.values())[:CASES]


def test_what_one_of_the_three_writes_the_others_read(
    java_avro: Callable[[Sequence[Question]], list[list[str]]],
) -> None:
    def event(draw: Draw) -> tuple[Schema, Any]:
        schema, values = draw(events)
        return schema, draw(values)

    cases = usable(drawn(event))
    written = []
    for schema, ours, value in cases:
        out = bytearray()
        ours.write(out, value, 0)
        theirs = io.BytesIO()
        fastavro.schemaless_writer(theirs, fastavro.parse_schema(schema), value)
        assert bytes(out) == theirs.getvalue()
        assert fastavro.schemaless_reader(io.BytesIO(bytes(out)), fastavro.parse_schema(schema), None) == value
        written.append(bytes(out))
    answers = java_avro(
        [("again", json.dumps(schema), body.hex()) for (schema, _, _), body in zip(cases, written, strict=True)]
    )
    for (schema, ours, value), answer in zip(cases, answers, strict=True):
        again = bytes.fromhex(answer[0])
        assert ours.read(again, 0, 0) == (value, len(again)), schema
        assert fastavro.schemaless_reader(io.BytesIO(again), fastavro.parse_schema(schema), None) == value
        plain = without_logical_types(schema)
        datum = fastavro.schemaless_reader(io.BytesIO(again), fastavro.parse_schema(plain), None)
        assert json.loads(answer[1]) == as_json(plain, datum, {}), answer[1]


_KINDS = {bool: "boolean", int: "long", str: "string"}


def as_json(schema: Schema, value: Any, named: dict[str, Schema]) -> Any:
    """Return a value as the specification's JSON encoding has it."""
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, list):
        if value is None:
            return None
        others = [branch for branch in schema if branch != "null"]
        branch = others[0] if len(others) == 1 else _KINDS[type(value)]
        name = branch.get("name", branch["type"]) if isinstance(branch, dict) else branch
        return {name: as_json(branch, value, named)}
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    match kind:
        case "record":
            return {field["name"]: as_json(field["type"], value[field["name"]], named) for field in schema["fields"]}
        case "array":
            return [as_json(schema["items"], item, named) for item in value]
        case "map":
            return {key: as_json(schema["values"], item, named) for key, item in value.items()}
        case "bytes" | "fixed":
            return value.decode("latin-1")
        case "float":  # Java prints as few digits as tell a float of 32 bits from its neighbours
            return pytest.approx(value, rel=1e-6, abs=1e-45)
    return value


def test_java_finds_compatible_what_we_do_and_reads_it(
    java_avro: Callable[[Sequence[Question]], list[list[str]]],
) -> None:
    def change(draw: Draw) -> tuple[Schema, Schema]:
        writer = without_logical_types(draw(events)[0])
        return writer, draw(readers(writer))

    pairs: list[tuple[Schema, Schema, bool]] = []
    for writer, ours, reader in usable(drawn(change)):
        try:
            pairs.append((writer, reader, not incompatibilities(parsed(reader), ours)))
        except SchemaError:  # items that take no bytes any more
            continue
    verdicts = java_avro([("compatible", json.dumps(reader), json.dumps(writer)) for writer, reader, _ in pairs])
    for (writer, reader, compatible), answer in zip(pairs, verdicts, strict=True):
        assert answer == ["true" if compatible else "false"], (writer, reader)
    assert min(sum(compatible for _, _, compatible in pairs), sum(not pair[2] for pair in pairs)) > CASES / 10

    questions, verdict_of = [], []
    for number, (writer, reader, compatible) in enumerate(pairs):
        for value in covering(writer):
            body = io.BytesIO()
            fastavro.schemaless_writer(body, fastavro.parse_schema(writer), value)
            questions.append(("read", json.dumps(reader), json.dumps(writer), body.getvalue().hex()))
            verdict_of.append((number, compatible))
    failed = set()
    for (number, compatible), answer in zip(verdict_of, java_avro(questions), strict=True):
        if answer[0] == "error":
            assert not compatible, (pairs[number], answer)
            failed.add(number)
    assert failed == {number for number, (_, _, compatible) in enumerate(pairs) if not compatible}
