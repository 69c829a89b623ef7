"""The promises of a Sensor's runs: a match has the parameters that Argo Events would have set, defaults included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.core.definition import Definition
from bridge.core.event import SECOND, Event
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.core.trigger import Trigger
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from flows.bed.deploy import FORMS
from flows.bed.fixtures import fixture
from unit.triggers.sensors.reference import argo_events_text
from unit.triggers.sensors.sources import data_of


def trigger_of(form: str) -> Trigger:
    trigger = compile_sensor(fixture(form)["sensor"], SensorRules())
    assert isinstance(trigger, Trigger)
    return trigger


def event(name: str, payload: dict[str, Any]) -> Event:
    return Event(name, "gateway", "e-1", 1_700_000_000 * SECOND, 1_700_000_000 * SECOND, None, payload)


def run_of(form: str, *payloads: dict[str, Any] | None) -> Run:
    """Return the run of a match with these payloads, a slot each; None for a slot that is left out."""
    trigger = trigger_of(form)
    slots = zip(trigger.slots, payloads, strict=True)
    match = [[] if payload is None else [event(slot.event, payload)] for slot, payload in slots]
    return make_run(Definition(trigger), "fb.", "", match)


@pytest.mark.parametrize("form", FORMS)
def test_a_sensors_trigger_survives_being_written_down(form: str) -> None:
    trigger = trigger_of(form)
    assert Trigger.from_json(json.loads(json.dumps(trigger.to_json()))) == trigger


def test_two_events_each_bring_their_parameters() -> None:
    updated = {"name": "data.updated", "id": "1", "timestamp": 5, "row_count": 12}
    approved = {"name": "model.approved", "id": "2", "timestamp": 6, "model_name": "a b", "settings": {"deep": [1]}}
    parameters = dict(run_of("two_mapped", updated, approved).parameters or ())
    payloads = [json.loads(parameters.pop(name)) for name in ("dataupdated_nn77", "modelapproved_f2pg")]
    assert payloads == [updated, approved]
    assert parameters == {"model": '"a b"', "region": '"north"', "rows": "12", "settings": '"{\\"deep\\":[1]}"'}


@pytest.mark.parametrize("form", FORMS)
def test_a_run_has_the_parameters_of_the_sensors_own_text(form: str) -> None:
    sensor = fixture(form)["sensor"]
    k8s = sensor["spec"]["triggers"][0]["template"]["k8s"]
    payload = {"name": "e", "id": "1", "timestamp": 7, "rows": 9, "title": "x", "row_count": 3, "headline": "y"}
    payload |= {"model_name": "m", "settings": {"a": [1]}, "tree": "{}", "count": 2}
    expected = {
        parameter["name"]: parameter["value"]
        for parameter in k8s["source"]["resource"]["spec"]["arguments"]["parameters"]
    }
    for parameter in k8s["parameters"]:
        name = parameter["dest"].removeprefix("spec.arguments.parameters.#(name=").removesuffix(").value")
        expected[name] = argo_events_text(parameter["src"], data_of(payload))
    found = dict(run_of(form, *[payload] * len(sensor["spec"]["dependencies"])).parameters or ())
    assert _read(found) == _read(expected)


def _read(texts: dict[str, Any]) -> dict[str, Any]:
    """Return texts as JSON values; what a JSONType holds as the value that it says."""
    values = {name: json.loads(text) for name, text in texts.items()}
    return {
        name: json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
        for name, value in values.items()
    }


def test_a_slot_that_is_left_out_leaves_its_defaults() -> None:
    parameters = dict(run_of("two_mapped", {"row_count": 1}, None).parameters or ())
    assert parameters["settings"] == '"{\\"depth\\": 3}"'
    assert parameters["modelapproved_f2pg"] == "null"


def test_an_event_of_another_publisher_has_what_current_trigger_reads() -> None:
    parameters = dict(run_of("one_event", {"rows": 7}).parameters or ())
    (told,) = map(json.loads, parameters.values())
    assert told == {"name": "report_done", "id": "e-1", "timestamp": 1_700_000_000, "rows": 7}


def test_a_value_that_a_shell_would_evaluate_makes_no_run() -> None:
    with pytest.raises(UnrunnableError, match=r"'rows'.*shell"):
        run_of("two_mapped", {"row_count": "$(id)"}, None)
