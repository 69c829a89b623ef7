"""The promises of compiling: each form that Metaflow writes becomes what it says, and nothing else passes."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from bridge.core.event import DAY, HOUR, MINUTE
from bridge.core.expressions.expression import Expression, ExpressionError
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.triggers.errors import path_text
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from flows.bed.deploy import FORMS
from flows.bed.fixtures import GENERATION_FORMS, GENERATIONS, fixture

RULES = SensorRules(window=DAY)
TRIGGER = "spec.triggers[0].template"
WORKFLOW = f"{TRIGGER}.k8s.source.resource"


@cache
def _read(form: str, metaflow: str | None = None) -> dict[str, Any]:
    return fixture(form, metaflow)


def sensor_of(form: str, metaflow: str | None = None) -> dict[str, Any]:
    """Return a Sensor of the test's own."""
    sensor: dict[str, Any] = copy.deepcopy(_read(form, metaflow)["sensor"])
    return sensor


def compiled(sensor: dict[str, Any], rules: SensorRules = RULES) -> Trigger:
    result = compile_sensor(sensor, rules)
    assert isinstance(result, Trigger), [(path_text(path), str(error)) for path, error in result]
    return result


def refusals(sensor: dict[str, Any], rules: SensorRules = RULES) -> list[tuple[str, str]]:
    """Return where a Sensor is refused, and why."""
    result = compile_sensor(sensor, rules)
    assert isinstance(result, list)
    return [(path_text(path), str(error)) for path, error in result]


def put(plain: Any, path: str, value: Any) -> None:
    """Set what stands at a path as people write it."""
    steps = [int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")]
    for step in steps[:-1]:
        plain = plain[step]
    plain[steps[-1]] = value


def passes(where: str | None, payload: dict[str, Any]) -> bool:
    """Tell whether a filter takes an event; one that errs is a filter that does not."""
    assert where is not None
    try:
        return Expression(where).holds({"payload": payload})
    except ExpressionError:
        return False


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_documentation_compiles(form: str) -> None:
    sensor = sensor_of(form)
    trigger = compiled(sensor)
    workflow = sensor["spec"]["triggers"][0]["template"]["k8s"]["source"]["resource"]
    assert trigger.identity == f"jobs/{sensor['metadata']['name']}"
    assert trigger.run.template == workflow["spec"]["workflowTemplateRef"]["name"]
    assert dict(trigger.run.annotations) == workflow["metadata"]["annotations"]
    assert [name for name, _ in trigger.run.texts] == [
        item["name"] for item in workflow["spec"]["arguments"]["parameters"]
    ]
    assert trigger.require == len(trigger.slots)
    assert trigger.collect == "latest"


@pytest.mark.parametrize("metaflow", GENERATIONS)
@pytest.mark.parametrize("form", GENERATION_FORMS)
def test_sensors_of_earlier_metaflows_compile(form: str, metaflow: str) -> None:
    now, then = compiled(sensor_of(form)), compiled(sensor_of(form, metaflow))
    assert then.slots == now.slots
    assert sorted((field.parameter, field.field) for field in then.run.fields) == sorted(
        (field.parameter, field.field) for field in now.run.fields
    )


def test_a_single_event_never_waits() -> None:
    trigger = compiled(sensor_of("one_event"))
    assert [slot.event for slot in trigger.slots] == ["report_done"]
    assert not trigger.is_windowed


def test_two_events_wait_for_each_other_for_the_window_of_the_setting() -> None:
    trigger = compiled(sensor_of("two_events"), SensorRules(window=2 * HOUR))
    assert [slot.event for slot in trigger.slots] == ["data.updated", "model-approved"]
    assert trigger.window == WindowPlan("within", 2 * HOUR)
    assert trigger.grace == 12 * MINUTE


def test_the_default_mapping_names_the_field_of_each_parameter() -> None:
    fields = {field.parameter: field.field for field in compiled(sensor_of("default_parameters")).run.fields}
    assert fields == {"rows": "rows", "title": "title", "spare-time": "spare-time", "dataupdated_nn77": None}


def test_two_events_fill_parameters_of_their_own() -> None:
    trigger = compiled(sensor_of("two_mapped"))
    filled = {(field.parameter, field.slot, field.field, field.encoding) for field in trigger.run.fields}
    assert filled == {
        ("rows", "dataupdated_nn77", "row_count", "json"),
        ("model", "modelapproved_f2pg", "model_name", "json"),
        ("settings", "modelapproved_f2pg", "settings", "json-twice"),
        ("dataupdated_nn77", "dataupdated_nn77", None, "event"),
        ("modelapproved_f2pg", "modelapproved_f2pg", None, "event"),
    }
    assert dict(trigger.run.texts)["region"] == '"north"'


def test_reset_at_becomes_the_reset_of_the_window() -> None:
    window = compiled(sensor_of("reset_at")).window
    assert window is not None
    assert window.reset == Schedule(timezone="Europe/Berlin", cron="0 0 * * *")


def test_a_reset_without_a_zone_is_in_utc() -> None:
    sensor = sensor_of("reset_at")
    put(sensor, f"{TRIGGER}.conditionsReset[0].byTime.timezone", None)
    window = compiled(sensor).window
    assert window is not None
    assert window.reset == Schedule(timezone="UTC", cron="0 0 * * *")


def test_a_branch_of_a_project_has_events_of_its_own() -> None:
    trigger = compiled(sensor_of("project_branch"))
    assert trigger.slots[0].event == "mfns.shop.test.summer.data.updated"
    assert trigger.run.template == "shop.test.summer.projectbranch"
    assert trigger.name == "shop-test-summer-projectbranch"


def test_a_field_that_must_exist_may_be_null_but_not_missing() -> None:
    where = compiled(sensor_of("mapping")).slots[0].where
    assert passes(where, {"name": "data.updated", "headline": "rain"})
    assert passes(where, {"name": "data.updated", "headline": None})
    assert not passes(where, {"name": "data.updated"})


def test_a_name_in_the_payload_that_contradicts_the_event_is_filtered() -> None:
    where = compiled(sensor_of("one_event")).slots[0].where
    assert passes(where, {"name": "report_done"})
    assert not passes(where, {"name": "model.approved"})
    assert not passes(where, {"name": None})


def test_an_event_without_a_name_in_its_payload_is_taken_by_its_topic() -> None:
    assert passes(compiled(sensor_of("one_event")).slots[0].where, {"rows": 7})


def test_a_finished_flow_counts_only_in_its_project_and_branch() -> None:
    slot = compiled(sensor_of("finish_project")).slots[0]
    event = {
        "name": slot.event,
        "auto-generated-by-metaflow": "True",
        "project_name": "shop",
        "branch_name": "test.summer",
    }
    assert slot.event == "metaflow.shop.test.summer.ProjectBranch.end"
    assert passes(slot.where, event)
    assert not passes(slot.where, event | {"branch_name": "prod"})
    # Metaflow sends texts, and Argo Events compares types as well.
    assert not passes(slot.where, event | {"auto-generated-by-metaflow": True})
    assert not passes(slot.where, {name: value for name, value in event.items() if name != "project_name"})


def test_lines_of_the_docstring_set_window_and_key() -> None:
    trigger = compiled(sensor_of("window_lines"))
    assert trigger.window == WindowPlan("within", 6 * HOUR)
    assert [slot.key for slot in trigger.slots] == ["payload.customer", "payload.customer"]


def test_an_annotation_wins_over_a_line_of_the_docstring() -> None:
    sensor = sensor_of("window_lines")
    sensor["metadata"]["annotations"]["flowbridge.dev/window"] = "1h"
    trigger = compiled(sensor)
    assert trigger.window == WindowPlan("within", HOUR)
    assert trigger.slots[0].key == "payload.customer"


def test_a_key_may_lie_deeper_in_the_payload_and_have_any_name() -> None:
    sensor = sensor_of("two_events")
    sensor["metadata"]["annotations"]["flowbridge.dev/key"] = "customer.the-id"
    assert compiled(sensor).slots[0].key == 'payload.customer["the-id"]'


def test_the_workflow_carries_the_marks_of_argo_events() -> None:
    labels = dict(compiled(sensor_of("project_branch")).run.labels)
    assert labels == {
        "events.argoproj.io/sensor": "shop-test-summer-projectbranch",
        "events.argoproj.io/trigger": "shop.test.summer.projectbranch",
    }


def test_labels_of_the_sensors_workflow_are_copied() -> None:
    sensor = sensor_of("one_event")
    put(sensor, f"{WORKFLOW}.metadata.labels", {"team": "ranking"})
    assert dict(compiled(sensor).run.labels)["team"] == "ranking"


@pytest.mark.parametrize(
    ("conditions", "required"),
    [
        ("a && b && c", 3),
        ("a || b || c", 1),
        ("(a && b) || (b && c) || a && c", 2),
        ("(a)&&((b)&&c)", 3),
        ("a && b && c || a && b && c", 3),
    ],
)
def test_conditions_become_the_number_of_slots_that_a_match_needs(conditions: str, required: int) -> None:
    assert compiled(_of_three(conditions)).require == required


def test_a_dependency_that_the_conditions_leave_out_is_no_slot_and_leaves_defaults() -> None:
    trigger = compiled(_of_three("a && c"))
    assert [slot.variable for slot in trigger.slots] == ["a", "c"]
    assert trigger.require == 2
    assert {field.slot for field in trigger.run.fields} <= {"a", "c"}


@pytest.mark.parametrize(
    "conditions", ["a && (b || c)", "a && !b", "a & b", "d || a", "a b", "a &&", "(a", "a || 1 == 1"]
)
def test_conditions_that_no_number_tells_are_refused(conditions: str) -> None:
    assert [path for path, _ in refusals(_of_three(conditions))] == [f"{TRIGGER}.conditions"]


def _of_three(conditions: str) -> dict[str, Any]:
    sensor = sensor_of("two_events")
    first = sensor["spec"]["dependencies"][0]
    names = ("a", "b", "c")
    sensor["spec"]["dependencies"] = [copy.deepcopy(first) | {"name": name} for name in names]
    for index, name in enumerate(names):
        put(sensor, f"spec.dependencies[{index}].filters.exprs[0].expr", f"name == 'event.{name}'")
    put(sensor, f"{TRIGGER}.k8s.parameters[0].src.dependencyName", "a")
    put(sensor, f"{TRIGGER}.k8s.parameters[1].src.dependencyName", "b")
    put(sensor, f"{TRIGGER}.conditions", conditions)
    return sensor


@pytest.mark.parametrize(
    ("form", "path", "value"),
    [
        ("one_event", "spec.triggers", []),
        ("one_event", "spec.dependencies", []),
        ("one_event", "spec.dependencies", "x"),
        ("one_event", f"{TRIGGER}.http", {"url": "http://example.com"}),
        ("one_event", f"{TRIGGER}.k8s.operation", "delete"),
        ("one_event", f"{TRIGGER}.k8s.liveObject", True),
        ("one_event", f"{WORKFLOW}.kind", "Pod"),
        ("one_event", f"{WORKFLOW}.spec.serviceAccountName", "admin"),
        ("one_event", f"{WORKFLOW}.spec.workflowTemplateRef.clusterScope", True),
        ("one_event", f"{WORKFLOW}.spec.workflowTemplateRef.name", "Not A Name"),
        ("one_event", f"{WORKFLOW}.metadata.labels", {"team": 7}),
        ("one_event", f"{WORKFLOW}.metadata.annotations", {"flowbridge.dev/run-key": "x"}),
        ("one_event", f"{WORKFLOW}.spec.arguments.parameters[0].value", 7),
        ("one_event", "spec.triggers[0].policy", {"k8s": {}, "status": {"allow": [1]}}),
        ("one_event", "spec.triggers[0].rateLimit", {"requestsPerUnit": 1}),
        ("one_event", "spec.dependencies[0].transform", {"jq": "."}),
        ("one_event", "spec.dependencies[0].filters.data", [{"path": "body"}]),
        ("one_event", "spec.dependencies[0].filters.script", "return true"),
        ("one_event", "spec.dependencies[0].filters.exprs[0].expr", "name == 'a' || true"),
        ("one_event", "spec.dependencies[0].filters.exprs[0].expr", "name == 'a\\'b'"),
        ("mapping", "spec.dependencies[0].filters.exprs[1].expr", "field > 3"),
        ("mapping", "spec.dependencies[0].filters.exprs[1].fields[0].path", "body.payload.a|@this"),
        ("mapping", "spec.dependencies[0].filters.exprs[1].fields[0].path", "body.name"),
        ("mapping", "spec.dependencies[0].filters.exprLogicalOperator", "or"),
        ("one_event", "spec.dependencies[0].filters.exprs[0].fields[0].path", "body.name"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.dataTemplate", "{{ .Input.body.payload.a | upper }}"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.dataTemplate", "{{ env `HOME` }}"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.contextKey", "id"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.useRawData", True),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.dataKey", "body.payload"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].src.dependencyName", "nobody"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].operation", "append"),
        ("mapping", f"{TRIGGER}.k8s.parameters[0].dest", "metadata.name"),
        ("reset_at", f"{TRIGGER}.conditionsReset[0].byTime.cron", "61 * * * *"),
        ("reset_at", f"{TRIGGER}.conditionsReset[0].byTime.timezone", "Atlantis/Capital"),
        ("two_events", "spec.dependencies[1].eventSourceName", "another"),
        ("two_events", "spec.dependencies[1].name", "dataupdated_nn77"),
    ],
)
def test_what_metaflow_does_not_write_is_refused_where_it_stands(form: str, path: str, value: Any) -> None:
    sensor = sensor_of(form)
    put(sensor, path, value)
    found = refusals(sensor)
    assert found
    assert any(path.startswith(place) or place.startswith(path) for place, _ in found), found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("flowbridge.dev/window", "soon", "soon"),
        ("flowbridge.dev/window", "400d", "at most 366d"),
        ("flowbridge.dev/key", "a b", "a b"),
        ("flowbridge.dev/allow-shell", "yes", "true or false"),
        ("flowbridge.dev/windows", "1h", "known are window, key, allow-shell"),
        ("workflows.argoproj.io/description", "Pairs.\n\n  flowbridge.dev/windw: 1h", "windw is not known"),
        ("workflows.argoproj.io/description", "flowbridge.dev/window 1h", "window 1h is not known"),
        ("workflows.argoproj.io/description", "flowbridge.dev/key: a\nflowbridge.dev/key: b", "twice"),
    ],
)
def test_a_directive_that_makes_no_sense_is_refused(name: str, value: str, found: str) -> None:
    sensor = sensor_of("two_events")
    sensor["metadata"]["annotations"][name] = value
    ((place, text),) = refusals(sensor)
    assert place == f"metadata.annotations.{name}"
    assert found in text


def test_a_window_for_a_single_event_is_refused() -> None:
    sensor = sensor_of("one_event")
    sensor["metadata"]["annotations"]["flowbridge.dev/window"] = "1h"
    assert refusals(sensor)[0][0] == "metadata.annotations.flowbridge.dev/window"


def test_workflows_in_another_namespace_need_a_setting_that_names_it() -> None:
    sensor = sensor_of("one_event")
    sensor["metadata"]["namespace"] = "events"
    assert "jobs" in refusals(sensor)[0][1]
    assert refusals(sensor, SensorRules(run_namespaces={"others": frozenset({"jobs"})}))
    trigger = compiled(sensor, SensorRules(run_namespaces={"events": frozenset({"jobs"})}))
    assert (trigger.namespace, trigger.run.namespace) == ("events", "jobs")


@pytest.mark.parametrize("value", [None, [], "x", 7, {"a": 1}, True])
def test_no_part_of_a_sensor_can_make_compiling_fail(value: Any) -> None:
    places = ["metadata", "spec", "spec.triggers", "spec.dependencies", TRIGGER, f"{TRIGGER}.k8s", WORKFLOW]
    places += [f"{WORKFLOW}.spec.arguments", f"{TRIGGER}.k8s.parameters[0]", "spec.dependencies[0].filters"]
    places += ["spec.dependencies[0].filters.exprs[0].fields", "metadata.annotations", "metadata.name"]
    for place in places:
        sensor = sensor_of("mapping")
        put(sensor, place, value)
        compile_sensor(sensor, RULES)
    compile_sensor(value, RULES)
