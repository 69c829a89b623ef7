"""The promises of parameters: data reaches a Workflow unchanged, and nothing in it is evaluated."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.runs.parameters import (
    PARAMETERS_LIMIT,
    ParameterError,
    carried_payload,
    check_size,
    default_parameters,
    inert,
    parameter_text,
    payload_json,
)

tricky = st.text(st.sampled_from('{}a"\\u07b\x00\x1f\x7f\x85\u2028é😀'), max_size=12)
texts = st.one_of(tricky, st.text(max_size=8))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
structures = st.lists(trees, max_size=4) | st.dictionaries(texts, trees, max_size=4)
plain_texts = texts.filter(lambda text: "{{" not in text and not text.startswith("{") and not text.endswith("{"))


@given(structures)
def test_structured_text_reads_back_as_the_same_data(value: Any) -> None:
    assert json.loads(parameter_text(value, allow_template_tags=False)) == value


@given(structures, st.booleans())
def test_structured_text_never_holds_a_template_tag_or_a_control_character(value: Any, allow: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    text = parameter_text(value, allow_template_tags=allow)
    assert "{{" not in text
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in text)
    assert text.encode().decode() == text


@given(plain_texts)
def test_a_string_stays_as_it_is(text: str) -> None:
    assert parameter_text(text, allow_template_tags=False) == text


@given(st.dictionaries(texts, trees, max_size=5))
def test_the_default_mapping_gives_the_text_of_each_field(payload: dict[str, Any]) -> None:
    given_names = [*payload, "missing"]
    expected = tuple((name, parameter_text(value, allow_template_tags=True)) for name, value in payload.items())
    if "missing" not in payload:
        assert default_parameters(given_names, payload_json(payload), allow_template_tags=True) == expected


@given(st.dictionaries(texts, trees, max_size=4))
def test_payload_text_reads_back_and_is_inert(payload: dict[str, Any]) -> None:
    text = payload_json(payload)
    assert json.loads(text) == payload
    assert "{{" not in text


@given(st.text(st.sampled_from("{}=a "), max_size=20))
def test_inert_text_holds_no_tag(text: str) -> None:
    assert "{{" not in inert(text)


MOMENT = datetime(2026, 5, 1, 12, 30, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
IDENTIFIER = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ('say "hi"', 'say "hi"'),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-(10**30), "-1000000000000000000000000000000"),
        (12.5, "12.5"),
        (1.0, "1.0"),
        (1e100, "1e+100"),
        (-0.0, "-0.0"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"ab"), "YWI="),
        (MOMENT, "2026-05-01T10:30:00.250000Z"),
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00Z"),
        (datetime(2026, 5, 1, 8), "2026-05-01T08:00:00Z"),  # noqa: DTZ001  (Avro's local-timestamp has no zone)
        (date(2026, 5, 1), "2026-05-01"),
        (MOMENT.time(), "12:30:00.250000"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-9"), "0.000000001"),
        (IDENTIFIER, "12345678-1234-5678-1234-567812345678"),
        ([], "[]"),
        ((1, "a"), '[1,"a"]'),
        ({"a": {"b": None}}, '{"a":{"b":null}}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (["{{workflow.name}}"], '["{\\u007bworkflow.name}}"]'),
        (["\x7f", "\ud800"], '["\\u007f","\\ud800"]'),
        ([Decimal("1.50"), IDENTIFIER, b"a", MOMENT], f'["1.50","{IDENTIFIER}","YQ==","2026-05-01T10:30:00.250000Z"]'),
    ],
)
def test_each_type_has_its_text(value: Any, text: str) -> None:
    assert parameter_text(value, allow_template_tags=False) == text
    if isinstance(value, list):
        return
    payload = payload_json({"field": value})
    assert default_parameters(["field"], payload, allow_template_tags=False) == (("field", text),)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{{workflow.name}}", "Argo would evaluate"),
        ("a {{=sprig.env('HOME')}}", "Argo would evaluate"),
        ("{", "ends with '{'"),
        ("x{", "ends with '{'"),
        ('{"a": {', "ends with '{'"),
        ("{workflow.parameters.password}}", "begins with '{'"),
        ("{=sprig.env('HOME')}}", "begins with '{'"),
        ("{ workflow.name", "begins with '{'"),
        (float("nan"), "no such number"),
        ([float("inf")], "no such number"),
        ({"deep": [{"x": -float("inf")}]}, "no such number"),
        (Decimal("NaN"), "finite"),
        (Decimal("1E+9999999"), "digits"),
        ({1, 2}, "type set"),
        ([object()], "type object"),
        (1j, "type complex"),
        ({("a", "b"): 1}, "no such key"),
        ("\ud800", "surrogate"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "between the years 1 and 9999"),
    ],
)
def test_what_has_no_text_is_said(value: Any, found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        parameter_text(value, allow_template_tags=False)


def test_a_value_that_holds_itself_is_said() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ParameterError, match="nested too deeply"):
        parameter_text(value, allow_template_tags=False)


def test_a_trigger_may_allow_template_tags_in_strings_only() -> None:
    assert parameter_text("{{workflow.name}}", allow_template_tags=True) == "{{workflow.name}}"
    assert "{{" not in parameter_text(["{{workflow.name}}"], allow_template_tags=True)


@pytest.mark.parametrize("text", ['{"a": 1}', "{}", '{\n  "a": {}\n}', "a{b}c", "{ }", "}", "a}}"])
def test_a_string_that_is_a_json_object_or_holds_braces_inside_stays_as_it_is(text: str) -> None:
    assert parameter_text(text, allow_template_tags=False) == text


def test_a_trigger_that_allows_tags_allows_their_parts() -> None:
    assert parameter_text("x{", allow_template_tags=True) == "x{"
    assert parameter_text("{workflow.name}}", allow_template_tags=True) == "{workflow.name}}"


def test_an_error_in_the_default_mapping_names_the_parameter() -> None:
    with pytest.raises(ParameterError, match="parameter 'note'"):
        default_parameters(["note"], payload_json({"note": "{{x}}"}), allow_template_tags=False)


def test_a_field_that_no_parameter_takes_may_hold_anything() -> None:
    payload = payload_json({"rows": 7, "note": "{{x}}"})
    assert default_parameters(["rows"], payload, allow_template_tags=False) == (("rows", "7"),)


def test_a_field_without_a_text_is_an_error_of_the_parameter_that_takes_it_and_of_no_other() -> None:
    values = {
        "nan": float("nan"),
        "late": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        "{{": [Decimal("NaN")],
    }
    carried = carried_payload({"rows": 7, "note": ["{{x}}"], **values})
    given = default_parameters(["rows", "note", "none"], carried, allow_template_tags=False)
    assert given == (("rows", "7"), ("note", '["{\\u007bx}}"]'))
    found = {"nan": "no such number", "late": "between the years 1 and 9999", "{{": "finite"}
    for name, why in found.items():
        with pytest.raises(ParameterError, match=f"parameter '{name}': .*{why}"):
            default_parameters(["rows", name], carried, allow_template_tags=False)
    with pytest.raises(ParameterError, match=r"parameter 'x': .*no such number"):
        default_parameters(["x"], carried_payload({"x": [float("nan"), "text"]}), allow_template_tags=False)


@pytest.mark.parametrize("payload", [{}, {"rows": 7, "note": "{{x}}", "deep": [{"a": None}], "é\x7f": b"a"}])
def test_a_payload_in_which_every_field_has_a_text_is_carried_as_its_json(payload: dict[str, Any]) -> None:
    assert carried_payload(payload) == payload_json(payload)


@pytest.mark.parametrize("payload", ["[]", "7", "null"])
def test_a_payload_that_is_no_object_is_said(payload: str) -> None:
    with pytest.raises(ParameterError, match="JSON object"):
        default_parameters(["rows"], payload, allow_template_tags=False)


def test_all_parameters_together_have_a_limit_in_bytes() -> None:
    check_size([("a", "x" * (PARAMETERS_LIMIT - 1))])
    with pytest.raises(ParameterError, match=str(PARAMETERS_LIMIT)):
        check_size([("a", "x" * (PARAMETERS_LIMIT - 2)), ("é", "")])


@given(st.binary(max_size=40))
def test_bytes_can_be_read_back(value: bytes) -> None:
    assert base64.b64decode(parameter_text(value, allow_template_tags=False)) == value
