"""Argo's own code, as the end-to-end tests ask it: what it creates for a Sensor, and what it makes of a template.

And the promise of security that rests on it: no text that the bridge writes holds anything that it evaluates.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.runs.field_parameters import FieldParameter, field_text
from bridge.core.runs.parameters import ParameterError, parameter_text
from bridge.triggers.sensors.parts import Part
from bridge.triggers.sensors.templates import read_parameter
from flows.bed.fixtures import fixture
from flows.bed.meaning import same_text
from servers.argo import created_by_argo_events, substituted_by_argo
from unit.triggers.sensors.reference import argo_events_text
from unit.triggers.sensors.sources import data_of, source

pytestmark = pytest.mark.usefixtures("argo")


def post(name: str, id_: str, **fields: Any) -> str:
    """Return what ``ArgoEvent`` posts."""
    return json.dumps({"name": name, "payload": {"name": name, "id": id_, "timestamp": 7, **fields}})


def parameters(workflow: dict[str, Any]) -> dict[str, str]:
    return {parameter["name"]: parameter["value"] for parameter in workflow["spec"]["arguments"]["parameters"]}


def test_argo_events_pairs_the_latest_events_and_begins_anew_after_that() -> None:
    posts = [
        post("data.updated", "1", row_count=1),
        post("data.updated", "2", row_count=2),
        post("model.approved", "3"),  # without the field of a required Parameter
        post("model.approved", "4", model_name="m", settings={"depth": 5}),
        post("model.approved", "5", model_name="n"),
    ]
    (workflow,) = created_by_argo_events([fixture("two_mapped")["sensor"]], posts)["twomapped"]
    told = parameters(workflow)
    assert {name: told[name] for name in ("rows", "model", "settings", "region")} == {
        "rows": "2",
        "model": '"m"',
        "settings": '"{\\"depth\\":5}"',
        "region": '"north"',
    }
    assert [json.loads(told[name])["id"] for name in ("dataupdated_nn77", "modelapproved_f2pg")] == ["2", "4"]
    assert workflow["metadata"]["labels"]["events.argoproj.io/sensor"] == "twomapped"


def test_argo_evaluates_what_a_value_brings_in() -> None:
    variables = {
        "workflow.name": "w",
        "workflow.parameters.note": "{{workflow.name}} {{=sprig.upper('x')}} {{unknown}}",
    }
    template = {"plain": "{{workflow.parameters.note}}", "coded": "{{=toBase64(workflow.parameters['note'])}}"}
    told = substituted_by_argo(template, variables, {})
    assert told["plain"] == "w X {{unknown}}"
    assert told["coded"] == "e3t3b3JrZmxvdy5uYW1lfX0ge3s9c3ByaWcudXBwZXIoJ3gnKX19IHt7dW5rbm93bn19"


TAGS = (
    "{{workflow.secret}}",
    "{{=workflow.secret}}",
    "{{= 'hun' + sprig.lower('TER2') }}",
    "{{workflow.parameters.other}}",
    "{{inputs.parameters.secret}}",
)
SECRET = {"workflow.secret": "hunter2", "workflow.parameters.other": "hunter2"}


@pytest.mark.parametrize("form", ["event", "get", "twice"])
def test_a_tag_in_a_payload_is_evaluated_in_what_argo_events_writes_and_not_in_ours(form: str) -> None:
    payloads = [{"x": value, "name": "e", tag: 1} for tag in TAGS for value in (tag, [tag], {tag: {"deep": tag}})]
    ours = [field_text(_parameter(form), payload, allow_shell=True) for payload in payloads]
    theirs = [argo_events_text(source(form, "x"), data_of(payload)) or "" for payload in payloads]
    assert all(map(same_text, ours, theirs))
    assert _in_pods(ours) == ours
    assert [text for text in _in_pods(theirs) if "hunter2" not in text] == []


texts = st.text(st.sampled_from("{}= .'\"\\\n\x00abcdefwklorst")) | st.sampled_from(TAGS)
values = st.recursive(
    texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values, min_size=1, max_size=50))
def test_nothing_in_any_payload_is_evaluated_by_argo(cases: list[Any]) -> None:
    forms = [_parameter(form) for form in ("event", "get", "twice")]
    ours = [field_text(form, {"x": value, "name": "e"}, allow_shell=True) for value in cases for form in forms]
    assert _in_pods(ours) == ours


pieces = st.sampled_from(
    [
        "{",
        "}",
        "=",
        '"',
        " ",
        "}}",
        "{workflow.secret}}",
        "{=workflow.secret}}",
        "workflow.",
        "secret}}",
        "{wor",
        "kflow",
    ]
)
joined = st.lists(st.lists(pieces, max_size=5).map("".join) | values, min_size=2, max_size=3)


def test_a_tag_in_two_parts_is_evaluated_where_a_template_joins_them() -> None:
    assert _joined([["x{", "{workflow.secret}}"]]) == ["xhunter2"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(joined, min_size=1, max_size=100))
def test_parameters_next_to_each_other_are_never_evaluated_by_argo(cases: list[list[Any]]) -> None:
    told = [texts for case in cases if (texts := _texts(case)) is not None]
    assert _joined(told) == ["".join(texts) for texts in told]


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(joined, min_size=1, max_size=100))
def test_a_template_whose_own_text_ends_with_a_brace_evaluates_nothing_of_an_event(cases: list[list[Any]]) -> None:
    told = [["x{", *texts, "}}"] for case in cases if (texts := _texts(case)) is not None]
    assert _joined(told) == ["".join(texts) for texts in told]


def _texts(case: list[Any]) -> list[str] | None:
    try:
        texts = [parameter_text(value, allow_template_tags=False) for value in case]
    except ParameterError:
        return None
    return None if any(not text.isprintable() for text in texts) else texts  # Argo refuses such templates as JSON


def _joined(cases: list[list[str]]) -> list[str]:
    """Return what a template makes of each list of parameters that it writes next to each other."""
    variables = dict(SECRET)
    template = []
    for number, texts in enumerate(cases):
        names = [f"workflow.parameters.p{number}-{index}" for index in range(len(texts))]
        variables |= zip(names, texts, strict=True)
        template.append({"value": "".join(f"{{{{{name}}}}}" for name in names)})
    return [
        parameter["value"]
        for parameter in substituted_by_argo(template, variables, {"inputs.parameters.secret": "hunter2"})
    ]


def _parameter(form: str) -> FieldParameter:
    return read_parameter(Part({"src": source(form, "x"), "dest": _DESTINATION}), {"d": "d"}, early=False)


_DESTINATION = "spec.arguments.parameters.#(name=p).value"


def _in_pods(texts: list[str]) -> list[str]:
    """Return what stands in a pod's variable for each text of a parameter."""
    variables = SECRET | {f"workflow.parameters.p{index}": text for index, text in enumerate(texts)}
    template = [{"value": f"{{{{workflow.parameters.p{index}}}}}"} for index in range(len(texts))]
    return [
        parameter["value"]
        for parameter in substituted_by_argo(template, variables, {"inputs.parameters.secret": "hunter2"})
    ]
