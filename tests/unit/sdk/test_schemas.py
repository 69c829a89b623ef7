"""Typed schemas from files: what they are known by, and how broken ones are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import SchemaError, UnknownFingerprintError
from flowbridge_sdk.schemas import GENERIC, EventSchema, EventSchemas, fingerprint_of

JAVA = Path(__file__).parent / "java"
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "string"}]}


def _write(folder: Path, name: str, schema: Any) -> Path:
    file = folder / name
    file.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return file


@pytest.mark.parametrize(
    ("schema", "number"),
    [("int", 0x7275D51A3F395C8F), ("null", 0x63DD24E7CC258F8A), ("float", 0x4D7C02CB3EA8D790)],
)
def test_fingerprints_are_those_of_the_avro_specification(schema: str, number: int) -> None:
    assert fingerprint_of(schema) == number.to_bytes(8, "little")


def _java_cases() -> list[tuple[str, str, str]]:
    cases = (JAVA / "cases.txt").read_text("utf-8").splitlines()
    outputs = (JAVA / "single-object.txt").read_text().splitlines()
    return [(case.split("\t")[0], *output.split("\t")) for case, output in zip(cases, outputs, strict=True)]  # type: ignore[misc] # two parts a line


@pytest.mark.parametrize(("file", "number", "message"), _java_cases())
def test_java_and_the_sdk_write_the_same_single_objects(file: str, number: str, message: str, tmp_path: Path) -> None:
    text = (JAVA / file).read_text()
    if "Payload" in text:
        schemas = EventSchemas.of(())
        assert fingerprint_of(json.loads(text)) == GENERIC.fingerprint
    else:
        schemas = EventSchemas.load(_write(tmp_path, "event.avsc", text))
    value = bytes.fromhex(message)
    assert value[2:10] == int(number, 16).to_bytes(8, "little")
    payload = Decoder(schemas).decode("event", value)
    assert Encoder(schemas).encode("event", payload) == value


def test_a_file_is_the_schema_of_the_event_that_it_is_called_after(tmp_path: Path) -> None:
    _write(tmp_path, "order.created.avsc", ORDER)
    _write(tmp_path, "a_x20b.avsc", {**ORDER, "name": "Other"})
    (tmp_path / "README.md").write_text("not a schema")
    assert set(EventSchemas.load(tmp_path).current) == {"order.created", "a b"}


def test_other_versions_of_a_schema_are_read_but_not_written(tmp_path: Path) -> None:
    _write(tmp_path, "order.created.avsc", ORDER)
    old = EventSchemas.load(tmp_path)
    value = Encoder(old).encode("order.created", {"order_id": "o-1"})
    grown = {**ORDER, "fields": [*ORDER["fields"], {"name": "rows", "type": "long", "default": 0}]}
    _write(tmp_path, "order.created.avsc", grown)
    with pytest.raises(UnknownFingerprintError, match=value[2:10].hex()):
        Decoder(EventSchemas.load(tmp_path)).decode("order.created", value)
    _write(tmp_path, "order.created@1.avsc", ORDER)
    both = EventSchemas.load(tmp_path)
    assert Decoder(both).decode("order.created", value) == {"order_id": "o-1"}
    assert Encoder(both).encode("order.created", {"order_id": "o-1"}) != value


def test_a_setting_may_name_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    file = _write(tmp_path, "one.avsc", ORDER)
    _write(tmp_path / "more", "two.avsc", ORDER)
    assert set(EventSchemas.from_setting(f"{file}:{tmp_path / 'more'}").current) == {"one", "two"}
    assert not EventSchemas.from_setting("").current


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "no JSON"),
        ({"type": "record"}, "no Avro schema"),
        ({"type": "recrod", "name": "R"}, "no Avro schema"),
        ({**ORDER, "fields": [{"name": "x", "type": "Missing"}]}, "Missing"),
        ("[" * 2000 + "]" * 2000, "no Avro schema"),
        ('"string"', "a record or a map"),
        (["null", "string"], "a record or a map"),
        ([], "a record or a map"),
        (
            {
                **ORDER,
                "fields": [{"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 2000}}],
            },
            "1000 is the limit",
        ),
    ],
)
def test_a_broken_schema_is_named_with_its_file_and_problem(schema: Any, problem: str, tmp_path: Path) -> None:
    file = _write(tmp_path, "order.created.avsc", schema)
    with pytest.raises(SchemaError) as broken:
        EventSchemas.load(tmp_path)
    assert broken.value.where == str(file)
    assert problem in broken.value.problem


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"nowhere: neither a folder nor a file called NAME\.avsc"):
        EventSchemas.load(tmp_path / "nowhere")


def test_two_files_for_one_event_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    _write(tmp_path, "one.avsc", ORDER)
    _write(tmp_path / "more", "one.avsc", ORDER)
    with pytest.raises(SchemaError, match="describes the same event"):
        EventSchemas.load(tmp_path, tmp_path / "more")


def test_the_repository_shows_the_schema_that_the_sdk_ships() -> None:
    shown = Path(__file__).parents[3] / "schemas" / "event" / "payload.avsc"
    assert shown.read_text("utf-8") == GENERIC.text


def test_the_generic_schema_has_the_fingerprint_that_its_file_has() -> None:
    """It stands in the code, so that an import parses no schema."""
    assert GENERIC.fingerprint == fingerprint_of(json.loads(GENERIC.text))
    assert EventSchema.parse("any", GENERIC.text, "payload.avsc").fingerprint == GENERIC.fingerprint
