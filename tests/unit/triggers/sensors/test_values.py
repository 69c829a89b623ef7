"""The promise of values: a parameter has the text that the Sensor's own template would have given it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.core.runs.field_parameters import FieldParameter, event_payload, field_text
from bridge.core.runs.parameters import ParameterError
from bridge.triggers.sensors.parts import Part
from bridge.triggers.sensors.templates import read_parameter
from flows.bed.meaning import same
from unit.triggers.sensors.reference import argo_events_text
from unit.triggers.sensors.sources import DEFAULT, FORMS, data_of, source

ANSWERS = Path(__file__).with_name("argo_events_values.json")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | texts | numbers
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def parameter(form: str, field: str = "x", default: str | None = DEFAULT) -> FieldParameter:
    plain = {"src": source(form, field, default), "dest": "spec.arguments.parameters.#(name=p).value"}
    return read_parameter(Part(plain), {"d": "d"}, early=False)


def meaning(text: str | None, form: str) -> Any:
    """Return what a text says: JSON read as often as it was written."""
    if text is None or (form == "dataKey" and not _is_json(text)):
        return text
    if form == "squote" and text != DEFAULT:
        text = text.removeprefix("'").removesuffix("'")
    value = json.loads(text)
    return json.loads(value) if form == "twice" and isinstance(value, str) and _is_json(value) else value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_the_reference_says_what_argo_events_said() -> None:
    answers = json.loads(ANSWERS.read_text())
    assert len(answers) > 100
    for answer in answers:
        told = argo_events_text(answer["source"], answer["data"])
        assert same(meaning(told, answer["form"]), meaning(answer["text"], answer["form"])), answer


def test_what_argo_events_said_is_what_we_say() -> None:
    for load in json.loads(ANSWERS.read_text()):
        payload = json.loads(load["data"])["body"]["payload"]
        if load["form"] == "dataKey" and payload.get("x") == "{{workflow.name}}":
            continue  # refused: it would stand there as it is, for Argo to evaluate
        ours = field_text(parameter(load["form"], load["field"]), payload, allow_shell=True)
        assert same(meaning(ours, load["form"]), meaning(load["text"], load["form"])), load


@given(st.sampled_from(FORMS), json_values)
def test_every_value_has_the_text_that_the_sensors_template_gives(form: str, value: Any) -> None:
    assume(not (form == "dataKey" and isinstance(value, str) and "{{" in value))  # refused: it would stay evaluable
    payload = {"x": value, "name": "x"}
    ours = field_text(parameter(form), payload, allow_shell=True)
    theirs = argo_events_text(source(form, "x"), data_of(payload))
    assert same(meaning(ours, form), meaning(theirs, form))


@given(st.sampled_from(FORMS), json_values)
def test_what_is_not_refused_for_the_shell_has_the_same_text(form: str, value: Any) -> None:
    payload = {"x": value, "name": "x"}
    try:
        guarded = field_text(parameter(form), payload, allow_shell=False)
    except ParameterError:
        return
    assert guarded == field_text(parameter(form), payload, allow_shell=True)


@given(st.sampled_from([form for form in FORMS if form != "dataKey"]), json_values)
def test_no_json_text_holds_a_template_tag(form: str, value: Any) -> None:
    payload = {"x": ["{{workflow.name}}", value], "{{": "{{"}
    assert "{{" not in field_text(parameter(form), payload, allow_shell=True)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("toJson", "event")])
def test_a_missing_field_leaves_the_default(form: str) -> None:
    assert field_text(parameter(form), {"y": 1}, allow_shell=False) == DEFAULT


def test_the_earliest_template_gives_null_for_a_missing_field() -> None:
    assert field_text(parameter("toJson"), {"y": 1}, allow_shell=False) == "null"


def test_a_missing_field_without_a_default_is_an_error_that_names_both() -> None:
    with pytest.raises(ParameterError, match=r"'p'.*'x'"):
        field_text(parameter("get", default=None), {"y": 1}, allow_shell=False)


@pytest.mark.parametrize("form", ["toJson", "hasKey"])
def test_a_field_with_a_dash_had_its_default_before_metaflow_could_read_it(form: str) -> None:
    assert field_text(parameter(form, "a-b"), {"a-b": 1}, allow_shell=False) == DEFAULT


def test_a_whole_float_is_an_integer_for_an_int_parameter() -> None:
    assert field_text(parameter("get"), {"x": 5.0}, allow_shell=False) == "5"
    assert field_text(parameter("get"), {"x": 1e16}, allow_shell=False) == "10000000000000000"


def test_a_large_integer_keeps_its_digits() -> None:
    assert field_text(parameter("get"), {"x": 2**63 + 1}, allow_shell=False) == "9223372036854775809"


def test_an_event_of_another_publisher_gets_what_current_trigger_needs() -> None:
    filled = event_payload({"rows": 7, "id": "own"}, "data.updated", "e-1", 1_700_000_000)
    assert filled == {"name": "data.updated", "id": "own", "timestamp": 1_700_000_000, "rows": 7}
