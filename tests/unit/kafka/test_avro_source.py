"""The functions made of our schemas write what any other Avro writer writes, and read what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import pairwise
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.kafka.avro.source import reader, writer
from bridge.kafka.avro.varint import long_at, long_bytes, two_longs, two_longs_at
from bridge.kafka.records import SPENT, WAITING, Kind, RecordError, UnwritableError, schemas_folder

KINDS = [Kind(path.stem) for path in sorted(schemas_folder().glob("*.avsc"))]
MOMENTS = st.integers(2**48, 2**55)
LONGS = st.integers(-(2**63), 2**63 - 1) | MOMENTS | st.integers(2**55, 2**56) | st.integers(-130, 2**29)


SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "string": st.text(max_size=200),
    "bytes": st.binary(max_size=200),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONGS,
}


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Return what a schema's Python values are."""
    if isinstance(schema, list):
        return st.one_of(*(values(branch) for branch in schema))
    if isinstance(schema, str):
        return SIMPLE[schema]
    made = {
        "enum": lambda: st.sampled_from(schema["symbols"]),
        "array": lambda: st.lists(values(schema["items"]), max_size=3),
        "map": lambda: st.dictionaries(st.text(max_size=5), values(schema["values"]), max_size=3),
        "record": lambda: st.fixed_dictionaries({field["name"]: values(field["type"]) for field in schema["fields"]}),
    }
    return made[schema["type"]]()


def positional(schema: Any, value: Any) -> Any:
    """Return a value of a schema with a tuple in place of each record, and pairs in place of each map."""
    if isinstance(schema, list):
        return None if value is None else positional(schema[1], value)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        return tuple(positional(field["type"], value[field["name"]]) for field in schema["fields"])
    if kind == "array":
        return [positional(schema["items"], item) for item in value]
    if kind == "map":
        return [(name, positional(schema["values"], item)) for name, item in value.items()]
    return value


def texts(schema: Any, path: str = "") -> Iterator[str]:
    """Return the paths to the fields of text and bytes."""
    if isinstance(schema, list):
        yield from texts(schema[1], path)
    elif schema in ("string", "bytes"):
        yield path
    elif isinstance(schema, dict):
        for inner in ("items", "values"):
            yield from texts(schema.get(inner), path)
        for field in schema.get("fields", ()):
            yield from texts(field["type"], f"{path}.{field['name']}".removeprefix("."))


def test_a_number_that_no_reader_could_read_is_refused_in_either_form() -> None:
    by_name = partial(WAITING.encode, {"offset": 2**63, "reached": 1, "arrival": b""})
    together = WAITING.value_encoder(moments=("offset", "reached"))
    for write in (by_name, partial(WAITING.value_encoder(), 2**63, 1, b""), partial(together, 2**63, 1, b"")):
        with pytest.raises(UnwritableError, match="of kind waiting cannot be written: expected a number of at most 64"):
            write()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(st.data())
def test_each_kind_is_written_and_read_as_fastavro_does(kind: Kind, data: st.DataObject) -> None:
    fields = data.draw(values(kind.schema))
    theirs = BytesIO()
    fastavro.schemaless_writer(theirs, kind.schema, fields)
    written = kind.encode(fields)
    assert written == kind.prefix + theirs.getvalue()
    assert kind.decode(written) == fields
    assert kind.value_encoder()(*positional(kind.schema, fields)) == written
    repeated = data.draw(st.sets(st.sampled_from(sorted({"none", *texts(kind.schema)}))))
    assert kind.value_encoder(*repeated)(*positional(kind.schema, fields)) == written
    longs = [field["name"] for field in kind.schema["fields"] if field["type"] == "long"]
    if len(longs) > 1:
        first, second, *_ = data.draw(st.permutations(longs))
        together = kind.value_encoder(*repeated, moments=(first, second))
        assert together(*positional(kind.schema, fields)) == written


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(st.data())
def test_a_record_that_is_cut_short_is_an_error(kind: Kind, data: st.DataObject) -> None:
    written = kind.encode(data.draw(values(kind.schema)))
    cut = data.draw(st.integers(len(kind.prefix), len(written) - 1))
    with pytest.raises(RecordError):
        kind.decode(written[:cut])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(st.data())
def test_fields_alone_read_as_they_do_in_the_whole_record(kind: Kind, data: st.DataObject) -> None:
    known = [field["name"] for field in kind.schema["fields"]]
    names = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    fields = data.draw(values(kind.schema))
    decode, written = kind.only(*names), kind.encode(fields)
    assert decode(written) == tuple(fields[name] for name in names)
    with pytest.raises(RecordError):
        decode(written[: len(kind.prefix)])
    pairs = [
        (first["name"], second["name"])
        for first, second in pairwise(kind.schema["fields"])
        if first["type"] == second["type"] == "long"
    ]
    if pairs:
        together = kind.only(*names, moments=data.draw(st.sampled_from(pairs)))
        assert together(written) == decode(written)
        with pytest.raises(RecordError):
            together(written[: len(kind.prefix)])


def test_two_fields_that_do_not_follow_each_other_are_not_read_together() -> None:
    for moments in (("time", "until"), ("offset", "time")):
        with pytest.raises(ValueError, match=f"one behind the other, found {', '.join(moments)}"):
            SPENT.only("time", moments=moments)


@given(LONGS)
def test_a_number_reads_as_it_was_written_wherever_it_stands(number: int) -> None:
    written = long_bytes(number)
    assert long_at(b"\x85" + written + b"\xff\x01", 1) == (number, 1 + len(written))
    assert long_at(written, 0) == (number, len(written))


@given(MOMENTS | LONGS, MOMENTS | LONGS)
def test_two_numbers_together_are_written_and_read_as_each_by_itself(first: int, second: int) -> None:
    assert two_longs(first, second) == (long_bytes(first), long_bytes(second))
    written = long_bytes(first) + long_bytes(second)
    assert two_longs_at(written, 0) == (first, second, len(written))
    assert two_longs_at(b"\x85" + written + b"\xff\x01", 1) == (first, second, 1 + len(written))
    for cut in range(len(written)):
        with pytest.raises(IndexError):
            two_longs_at(written[:cut], 0)


def test_large_values_have_long_lengths() -> None:
    schema = fastavro.parse_schema(
        {"type": "record", "name": "Large", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "bytes"}]}
    )
    fields = {"a": "é" * 5_000_000, "b": bytes(5_000_000)}
    assert reader(schema)(writer(schema)(fields, b"x"), 1) == fields


def test_a_count_beyond_the_record_is_an_error() -> None:
    schema = fastavro.parse_schema(
        {"type": "record", "name": "Many", "fields": [{"name": "a", "type": {"type": "array", "items": "long"}}]}
    )
    with pytest.raises(ValueError, match="more items"):
        reader(schema)(long_bytes(1 << 40), 0)
