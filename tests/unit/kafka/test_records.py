"""Records of ours: older formats are read, newer ones refused in clear words, and every schema says what it means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from bridge.kafka import records
from bridge.kafka.records import (
    ARRIVAL,
    IN_FORCE,
    START,
    TICK,
    Kind,
    NewerFormatError,
    RecordError,
    UnwritableError,
    kind_of,
    schemas_folder,
)

FIELDS = {"trigger": "default/ship", "definition": None, "at": 7}
OWN = sorted(schemas_folder().glob("*.avsc"))
ALL = [*OWN, *sorted(schemas_folder().glob("older/*.avsc"))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A schemas folder of the test's own, in which today's `in_force` has followed an older format."""
    (tmp_path / "older").mkdir()
    today = json.loads((schemas_folder() / "in_force.avsc").read_text(encoding="utf-8"))
    (tmp_path / "older" / "in_force.1.avsc").write_text(json.dumps(today), encoding="utf-8")
    today["flowbridge.format"] = 2
    today["fields"].append({"name": "by", "type": "string", "doc": "Who did it.", "default": "nobody"})
    (tmp_path / "in_force.avsc").write_text(json.dumps(today), encoding="utf-8")
    monkeypatch.setattr(records, "schemas_folder", lambda: tmp_path)
    for cached in (records._writer, records._writers, records._load):
        cached.cache_clear()
    yield tmp_path
    for cached in (records._writer, records._writers, records._load):
        cached.cache_clear()


def test_a_record_reads_as_it_was_written() -> None:
    assert IN_FORCE.decode(IN_FORCE.encode(FIELDS)) == FIELDS
    assert kind_of(IN_FORCE.encode(FIELDS)) == "in_force"


@pytest.mark.usefixtures("folder")
def test_a_record_of_an_older_format_is_read_into_todays_shape() -> None:
    older, today = IN_FORCE.encode(FIELDS), Kind("in_force")
    assert today.prefix != IN_FORCE.prefix
    assert today.decode(older) == {**FIELDS, "by": "nobody"}
    assert kind_of(older) == "in_force"


@pytest.mark.usefixtures("folder")
def test_a_record_of_a_newer_format_is_refused_in_clear_words(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Kind("in_force").encode({**FIELDS, "by": "me"})
    for cached in (records._writer, records._writers):
        cached.cache_clear()
    monkeypatch.setattr(records, "schemas_folder", schemas_folder)  # as the version that does not know it yet
    with pytest.raises(NewerFormatError, match=r"written by a newer version \(upgrade this process\)"):
        IN_FORCE.decode(newer)


def test_a_record_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match="expected a record of kind tick, found in_force"):
        TICK.decode(IN_FORCE.encode(FIELDS))


@pytest.mark.parametrize("value", [b"", b"\xc3\x01", b"plain text that is none of ours"])
def test_what_is_none_of_ours_is_refused_and_not_taken_for_a_newer_format(value: bytes) -> None:
    with pytest.raises(RecordError, match="it is none of ours") as refused:
        IN_FORCE.decode(value)
    assert not isinstance(refused.value, NewerFormatError)


@pytest.mark.parametrize(
    ("kind", "field", "number"),
    [
        (START, "at", 2**63),
        (START, "at", -(2**63) - 1),
        (START, "at", 10**19),
        (ARRIVAL, "slot", 2**31),
        (ARRIVAL, "slot", -(2**31) - 1),
        (ARRIVAL, "reached", 1_700_000_000 * 10**12),
    ],
)
def test_a_number_that_its_field_cannot_hold_is_an_error_at_writing(kind: Kind, field: str, number: int) -> None:
    fields: dict[str, Any] = {
        described["name"]: {"string": "", "bytes": b""}.get(str(described["type"]), 0)
        for described in kind.schema["fields"]
    }
    if kind is START:
        fields["offsets"] = []
    else:
        fields["event_key"] = None
    assert kind.decode(kind.encode(fields)) == fields
    with pytest.raises(UnwritableError, match=rf"a record of kind {kind.name} cannot be written: expected .* {number}"):
        kind.encode({**fields, field: number})


def test_each_number_that_a_field_can_hold_is_written_and_read() -> None:
    for at in (2**63 - 1, -(2**63), 0, 8_191, 8_192, 2**31):
        fields = {"topic": "orders", "topic_id": "id", "offsets": [1, at], "at": at}
        assert START.decode(START.encode(fields)) == fields


def test_a_record_that_is_cut_short_is_refused() -> None:
    whole = START.encode({"topic": "orders", "topic_id": "id", "offsets": [1, 2], "at": 7})
    for length in range(10, len(whole)):
        with pytest.raises(RecordError, match="damaged"):
            START.decode(whole[:length])


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_each_schema_explains_every_field_and_states_its_format(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(schema["flowbridge.format"], int)
    undocumented = [name for name, doc in _documented(schema, schema["name"]) if not doc]
    assert undocumented == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_formats_are_numbered_without_a_gap(path: Path) -> None:
    today = json.loads(path.read_text(encoding="utf-8"))["flowbridge.format"]
    older = [path.parent / "older" / f"{path.stem}.{number}.avsc" for number in range(1, today)]
    assert [file for file in older if not file.exists()] == []


def test_no_two_schemas_share_a_fingerprint() -> None:
    assert len({Kind(path.stem).prefix for path in OWN}) == len(OWN)


def test_single_object_encoding_is_what_others_read() -> None:
    value = IN_FORCE.encode(FIELDS)
    assert fastavro.schemaless_reader(BytesIO(value[10:]), IN_FORCE.schema, None) == FIELDS


def _documented(schema: Any, path: str) -> Iterator[tuple[str, str | None]]:
    """Yield each field, record and enum with its doc."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _documented(branch, path)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum", "fixed"):
            yield path, schema.get("doc")
        for field in schema.get("fields", ()):
            yield f"{path}.{field['name']}", field.get("doc")
            yield from _documented(field["type"], f"{path}.{field['name']}")
        for part in ("items", "values"):
            if part in schema:
                yield from _documented(schema[part], path)
        if isinstance(schema.get("type"), (dict, list)):
            yield from _documented(schema["type"], path)
