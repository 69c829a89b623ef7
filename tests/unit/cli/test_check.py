"""The promises of ``flowbridge check``: each finding with its place, and an exit code that a pipeline can use."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cli.check import calendar_notes
from bridge.cli.checks.templates import template_findings
from bridge.cli.main import cli
from bridge.core.event import SECOND
from bridge.errors import ExitCode, KubernetesUnreachableError
from bridge.triggers.sources.folder import TriggerFolder
from unit.triggers.sensors.given import broken, sensor_of

BASE = Path(__file__).parents[3] / "deploy" / "base"
GOOD = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: refresh}
spec:
  events: [{name: data.updated, where: payload.rows > 0}]
  run: {workflowTemplate: refresh}
"""
MAPPED = GOOD.replace(
    "{workflowTemplate: refresh}", "{workflowTemplate: refresh, parameters: {rows: data_updated.payload.rows}}"
)
BAD = GOOD.replace("rows > 0", "rows >").replace("name: refresh}", "name: Refresh}")


def checked(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli, ["check", *arguments], prog_name="flowbridge")


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_triggers_that_are_right_end_with_0(tmp_path: Path) -> None:
    result = checked(str(write(tmp_path, good=GOOD)))
    assert (result.exit_code, result.stdout) == (ExitCode.OK, "1 trigger, 1 file, 0 errors, 0 warnings\n")


def test_each_error_is_a_line_with_file_line_field_what_was_found_and_what_would_be_right(tmp_path: Path) -> None:
    result = checked(str(write(tmp_path, bad=BAD, good=GOOD)))
    assert result.exit_code == ExitCode.NOT_SO
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path}/bad.yaml:3: metadata.name: found 'Refresh'; write lower-case letters")
    assert lines[-1] == "1 trigger, 2 files, 1 error, 0 warnings"
    assert result.stderr == ""


def test_namespaces_that_files_may_not_name_are_errors(tmp_path: Path) -> None:
    elsewhere = GOOD.replace("{name: refresh}", "{name: refresh, namespace: elsewhere}")
    folder = write(tmp_path, own=GOOD, elsewhere=elsewhere)
    assert checked(str(folder)).exit_code == ExitCode.OK
    result = checked(str(folder), "--trigger-namespaces", "team, other")
    assert result.exit_code == ExitCode.NOT_SO
    assert f"{folder}/elsewhere.yaml:3: metadata.namespace: found 'elsewhere'" in result.stdout
    assert "write default or other or team" in result.stdout
    assert checked(str(folder), FLOWBRIDGE_TRIGGER_NAMESPACES="elsewhere").exit_code == ExitCode.OK


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    result = checked(str(write(tmp_path, bad=BAD)), "-o", "json")
    *findings, numbers = (json.loads(line) for line in result.stdout.splitlines())
    assert numbers == {"triggers": 0, "files": 1, "errors": len(findings), "warnings": 0}
    assert findings[0].keys() == {"severity", "file", "line", "field", "found", "right", "trigger"}
    assert (findings[0]["severity"], findings[0]["line"]) == ("error", 3)


def test_without_a_path_the_setting_names_what_to_check(tmp_path: Path) -> None:
    folder = str(write(tmp_path, good=GOOD))
    assert checked(FLOWBRIDGE_TRIGGERS=folder).stdout.startswith("1 trigger, 1 file")
    nothing = checked()
    assert nothing.exit_code == ExitCode.USAGE
    assert nothing.stderr.startswith("error: there is nothing to check\nwhat to do: name files or folders")


def test_a_path_without_triggers_is_an_error_said_once(tmp_path: Path) -> None:
    empty = checked(str(tmp_path))
    assert empty.exit_code == ExitCode.NOT_SO
    assert empty.stdout.startswith(f"{tmp_path}:1: there is no trigger in it; put *.yaml files there")
    missing = checked(str(tmp_path / "none"))
    assert missing.exit_code == ExitCode.NOT_SO
    assert len(missing.stdout.splitlines()) == 2


def test_the_triggers_that_we_deploy_are_right() -> None:
    assert checked(str(BASE / "triggers.yaml")).exit_code == ExitCode.OK


def test_a_cluster_that_does_not_answer_ends_with_4(tmp_path: Path) -> None:
    folder = str(write(tmp_path, good=GOOD))
    kubeconfig = tmp_path / "kubeconfig"
    assert checked(folder, "--cluster", KUBECONFIG=str(kubeconfig)).exit_code == ExitCode.KUBERNETES
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    result = checked(folder, "--cluster", KUBECONFIG=str(kubeconfig))
    assert result.exit_code == ExitCode.KUBERNETES
    assert "the WorkflowTemplate default/refresh cannot be looked at" in result.stderr
    assert "check KUBECONFIG" in result.stderr


def findings(folder: Path, api: MemoryWorkflowApi) -> list[tuple[str, str, str]]:
    loaded = TriggerFolder([folder], "default").read().loaded
    found = template_findings(loaded, api)
    return [
        (finding.severity, finding.error.field, f"{finding.error.found}; {finding.error.expected}") for finding in found
    ]


@pytest.fixture
def api() -> MemoryWorkflowApi:
    api = MemoryWorkflowApi()
    api.add_namespace("default")
    return api


def test_a_template_that_is_not_there_is_an_error(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    said = "there is no WorkflowTemplate 'refresh' in the namespace 'default'; create it there, or name another"
    assert findings(write(tmp_path, good=GOOD), api) == [("error", "spec.run.workflowTemplate", said)]


def test_a_parameter_that_the_template_does_not_take_is_an_error(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    api.add_template("default", "refresh", defaults=["day"])
    said = "the WorkflowTemplate 'refresh' has no parameter 'rows'; it takes day"
    assert findings(write(tmp_path, mapped=MAPPED), api) == [("error", "spec.run.parameters.rows", said)]


def test_a_finding_about_a_template_names_the_field_and_its_line(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    api.add_template("default", "refresh", defaults=["day"])
    listed = MAPPED.replace("  run: {", "  run: {\n    ").replace("parameters: {", "\n    parameters: {\n      ")
    slots = listed.replace("rows > 0}", "rows > 0, parameters: [total]}")
    loaded = TriggerFolder([write(tmp_path, mapped=slots)], "default").read().loaded
    places = [
        (template_finding.error.field, template_finding.error.origin.line)
        for template_finding in template_findings(loaded, api)
    ]
    assert places == [("spec.run.parameters.rows", 9), ("spec.events[0].parameters.total", 5)]


def test_a_parameter_without_default_that_nothing_fills_is_an_error(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    api.add_template("default", "refresh", ["rows", "day"])
    said = "nothing fills the parameter 'day', which has no default; write day: … there"
    assert findings(write(tmp_path, mapped=MAPPED), api) == [("error", "spec.run.parameters", said)]
    (tmp_path / "mapped.yaml").unlink()
    assert findings(write(tmp_path, default_mapped=GOOD), api) == []


def test_workflows_that_disappear_soon_are_a_warning(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    folder = write(tmp_path, good=GOOD)
    api.add_template("default", "refresh", (), ttl=60)
    ((severity, field, said),) = findings(folder, api)
    assert (severity, field) == ("warning", "spec.run.workflowTemplate")
    assert said.startswith("finished Workflows of 'refresh' disappear after 60 s; set its ttlStrategy to 300 s or more")
    api.add_template("default", "refresh", (), ttl=300)
    assert findings(folder, api) == []


def test_no_answer_is_never_taken_for_no_template(tmp_path: Path, api: MemoryWorkflowApi) -> None:
    api.cut()
    with pytest.raises(KubernetesUnreachableError):
        findings(write(tmp_path, good=GOOD), api)


def test_a_cycle_is_an_error_at_the_trigger_that_closes_it(tmp_path: Path) -> None:
    there = GOOD.replace("{workflowTemplate: refresh}", "{workflowTemplate: refresh, emits: [model.built]}")
    back = there.replace("data.updated", "model.built").replace("[model.built]", "[data.updated]")
    back = back.replace("name: refresh}", "name: rebuild}", 1)
    result = checked(str(write(tmp_path, a=there, b=back)))
    assert result.exit_code == ExitCode.NOT_SO
    assert f"{tmp_path}/b.yaml:1: spec.run.emits: it closes a cycle: default/rebuild causes" in result.stdout


def test_sensors_are_checked_for_what_the_bridge_would_make_of_them(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [sensor_of("two_events"), broken("mapping")]}
    path = tmp_path / "sensors.yaml"
    path.write_text(yaml.safe_dump(listed, sort_keys=False))
    result = checked(str(path))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "operation: delete" in text)
    field = "spec.triggers[0].template.k8s.operation"
    assert result.stdout.splitlines() == [
        f"{path}:{line}: {field}: found 'delete'; write create",
        "1 trigger, 1 file, 1 error, 0 warnings",
    ]


def test_a_sensor_in_a_folder_of_triggers_is_no_trigger(tmp_path: Path) -> None:
    (tmp_path / "sensor.yaml").write_text(yaml.safe_dump(sensor_of("two_events")))
    (error,) = TriggerFolder([tmp_path], "jobs").read().errors
    assert "FLOWBRIDGE_SENSORS" in error.expected


def test_standard_input_is_checked_as_a_file_is() -> None:
    result = CliRunner().invoke(cli, ["check", "-"], input="kind: Trigger\n", prog_name="flowbridge")
    assert result.exit_code == ExitCode.NOT_SO
    assert "<stdin>:1: spec: it is missing" in result.output


def test_an_expression_is_checked_against_the_schemas_of_a_folder_and_told_at_its_own_line(tmp_path: Path) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    schema = {"type": "record", "name": "Updated", "fields": [{"name": "rows", "type": "double"}]}
    (schemas / "data.updated.avsc").write_text(json.dumps(schema))
    where = "\n    - name: data.updated\n      where: |\n        true &&\n        payload.row > 0"
    folder = write(tmp_path, typo=GOOD.replace(" [{name: data.updated, where: payload.rows > 0}]", where))
    result = checked(str(folder), "--schemas", str(schemas))
    assert result.exit_code == ExitCode.NOT_SO
    found = "payload has no field 'row' (at line 2, column 1 of the expression); write payload.rows"
    assert result.stdout.splitlines()[0] == f"{tmp_path}/typo.yaml:9: spec.events[0].where: {found}"
    assert checked(str(folder)).exit_code == ExitCode.OK  # without the schema any field may be there


def test_a_sensor_that_is_not_metaflows_is_left_alone_with_a_note(tmp_path: Path) -> None:
    foreign = sensor_of("two_events")
    del foreign["metadata"]["labels"]
    path = tmp_path / "sensors.yaml"
    path.write_text(yaml.safe_dump({"kind": "List", "items": [foreign]}, sort_keys=False))
    result = checked(str(path))
    note, numbers = result.stdout.splitlines()
    assert result.exit_code == ExitCode.OK
    assert "note: metadata.labels: a Sensor without Metaflow's label app.kubernetes.io/name: metaflow-sensor" in note
    assert note.endswith("; the bridge leaves it alone")
    assert numbers == "0 triggers, 1 file, 0 errors, 0 warnings"


NIGHTLY = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: nightly}
spec:
  events: [{name: a}, {name: b}]
  window: {until: {cron: 0 2 * * *, timezone: Europe/Berlin}}
  run: {workflowTemplate: w, parameters: {x: a.payload.x}}
"""


def test_a_calendar_trigger_is_told_by_the_dates_of_its_next_windows_and_its_grace(tmp_path: Path) -> None:
    friday = int(datetime(2024, 3, 29, 12, tzinfo=UTC).timestamp()) * SECOND
    (loaded,) = TriggerFolder([write(tmp_path, a=NIGHTLY)], "default").read().loaded
    (note,) = calendar_notes([loaded], friday)
    nights = "Sat 2024-03-30 02:00 CET, Sun 2024-03-31 03:00 CEST, Mon 2024-04-01 02:00 CEST"
    assert (note.field, note.found) == ("spec.window.until", f"the next windows end at {nights} (Europe/Berlin)")
    assert "up to 5m (the default grace) after its end" in note.expected


def test_a_calendar_trigger_that_runs_at_the_end_is_told_with_its_own_grace(tmp_path: Path) -> None:
    text = NIGHTLY.replace("  run:", "  collect: all\n  grace: 10m\n  run:").replace("a.payload.x", "string(size(a))")
    result = checked(str(write(tmp_path, a=text)), "-o", "json")
    note, numbers = (json.loads(line) for line in result.stdout.splitlines())
    assert (result.exit_code, numbers["errors"], note["severity"]) == (ExitCode.OK, 0, "note")
    assert note["right"] == "a run starts 10m (its grace) after each"


def test_an_expression_is_checked_against_a_schema_as_it_is_read(tmp_path: Path) -> None:
    """An invalid logical type is ignored, so the field is a text."""
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    rows = {"type": "string", "logicalType": "timestamp-millis"}
    schema = {"type": "record", "name": "Updated", "fields": [{"name": "rows", "type": rows, "default": 7}]}
    (schemas / "data.updated.avsc").write_text(json.dumps(schema))
    folder = write(tmp_path, text=GOOD.replace("rows > 0", "rows.startsWith('a')"))
    assert checked(str(folder), "--schemas", str(schemas)).exit_code == ExitCode.OK


def test_a_schema_that_is_none_is_an_error_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "data.updated.avsc").write_text("{")
    result = checked(str(write(tmp_path, good=GOOD)), "--schemas", str(tmp_path / "data.updated.avsc"))
    assert result.exit_code != ExitCode.OK
    assert "data.updated.avsc: no JSON" in result.output
