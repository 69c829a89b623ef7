"""The promises of security: what a payload holds is evaluated by nobody on its way into a flow.

Each attack is shown first against the text that Argo Events writes, then against ours; those on Argo's templating in
tests/integration/test_argo.py, by Argo's own code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metaflow import current
from metaflow.plugins.argo.argo_workflows_decorator import ArgoWorkflowsInternalDecorator

from bridge.core.runs.field_parameters import FieldParameter, field_text
from bridge.core.runs.parameters import ParameterError
from bridge.triggers.sensors.parts import Part
from bridge.triggers.sensors.templates import read_parameter
from flows.bed.pods import exported, init_name, kubelet_expanded, run_in_command
from unit.triggers.sensors.reference import argo_events_text
from unit.triggers.sensors.sources import data_of, source

COMMANDS = ["$(touch owned)", "`touch owned`", "a $(touch owned) b", '"$(touch owned)"', "\\$(touch owned)"]


def parameter(form: str, *, early: bool = False) -> FieldParameter:
    plain = {"src": source(form, "x"), "dest": "spec.arguments.parameters.#(name=title).value"}
    return read_parameter(Part(plain), {"d": "d"}, early=early)


def by_argo_events(form: str, value: Any) -> str:
    text = argo_events_text(source(form, "x"), data_of({"x": value}))
    assert text is not None
    return text


def ours(form: str, value: Any, *, early: bool = False) -> str:
    return field_text(parameter(form, early=early), {"x": value}, allow_shell=False)


@pytest.mark.parametrize("command", COMMANDS[:3])
def test_argo_events_lets_a_payload_run_commands_in_the_pod(command: str, tmp_path: Path) -> None:
    exported({"title": by_argo_events("get", command)}, tmp_path)
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("form", ["get", "twice", "squote", "toJson", "dataKey"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_value_that_a_shell_would_evaluate_is_refused(form: str, command: str) -> None:
    for value in (command, [command], {"a": {"b": command}}, {command: 1}):
        with pytest.raises(ParameterError, match="shell"):
            ours(form, value)


def test_a_variable_of_the_pod_does_not_end_in_a_parameter(tmp_path: Path) -> None:
    leaked = exported({"title": by_argo_events("get", "$PATH")}, tmp_path)
    assert "/" in leaked[init_name("title")]
    with pytest.raises(ParameterError, match="evaluates"):
        ours("get", "$PATH")


def test_argo_events_lets_a_list_or_mapping_set_any_variable(tmp_path: Path) -> None:
    for value in ({"a": "LD_PRELOAD=evil.so", "b": 1}, [1, "LD_PRELOAD=evil.so", 2]):
        assert "LD_PRELOAD" in exported({"title": by_argo_events("get", value)}, tmp_path)
        with pytest.raises(ParameterError, match="JSONType"):
            ours("get", value)


def test_a_quote_does_not_end_the_text_of_an_early_pod(tmp_path: Path) -> None:
    value = "'; touch owned; '"
    for form, option in (("dataKey", "--x='{{workflow.parameters.x}}'"), ("squote", "--x={{workflow.parameters.x}}")):
        run_in_command(option, by_argo_events(form, value), tmp_path)
        assert (tmp_path / "owned").exists()
        (tmp_path / "owned").unlink()
        with pytest.raises(ParameterError, match="quote"):
            ours(form, value)
    run_in_command("--x='{{workflow.parameters.x}}'", by_argo_events("get", [value]), tmp_path)
    assert (tmp_path / "owned").exists()
    with pytest.raises(ParameterError, match="quote"):
        ours("get", [value], early=True)


shell_texts = st.text(st.sampled_from("ab'\"\\ ;&|<>(){}[]*?~#!%=,:\n\t$`é")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)
values = st.recursive(
    shell_texts | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(shell_texts, inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["get", "twice"]), values), min_size=1, max_size=12))
def test_whatever_is_let_through_is_one_value_in_one_variable(cases: list[tuple[str, Any]]) -> None:
    let_through = {}
    for index, (form, value) in enumerate(cases):
        try:
            let_through[f"p{index}"] = ours(form, value)
        except ParameterError:
            continue
    with TemporaryDirectory() as folder:
        variables = exported(let_through, Path(folder))
        assert {path.name for path in Path(folder).iterdir()} == {"exports"}
    assert variables == {init_name(name): _read_by_shell(text) for name, text in let_through.items()}


def _read_by_shell(text: str) -> str:
    """Return what a shell makes of Metaflow's export of a text that holds nothing to expand."""
    dumped = json.dumps(json.loads(text))
    if not dumped.startswith('"'):
        return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: _unquoted(found[1]), dumped)
    return _unquoted(dumped[1:-1])


def _unquoted(text: str) -> str:
    return re.sub(r'\\([\\"$`])', r"\1", text)


def test_the_owner_may_allow_what_a_shell_evaluates() -> None:
    assert field_text(parameter("get"), {"x": "$HOME"}, allow_shell=True) == '"$HOME"'


def test_the_kubelet_expands_what_argo_events_writes_and_not_ours() -> None:
    payload = {"x": "$(AWS_SECRET_ACCESS_KEY) $$5", "name": "e"}
    theirs = argo_events_text(source("event", "x"), data_of(payload))
    assert theirs is not None
    text = field_text(parameter("event"), payload, allow_shell=False)
    known = {"AWS_SECRET_ACCESS_KEY": "hunter2"}
    assert json.loads(kubelet_expanded(theirs, known)) == {"x": "hunter2 $5", "name": "e"}
    assert json.loads(kubelet_expanded(text, known)) == payload


class _NoMetadata:
    """Takes Metaflow's book-keeping."""

    def register_metadata(self, *_: object) -> None:
        pass


class _Graph:
    start_step = "start"


def test_current_trigger_reads_what_we_write(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {"name": "data.updated", "id": "e-1", "timestamp": 1_700_000_000, "note": "{{x}} $(y) `z` é"}
    text = kubelet_expanded(field_text(parameter("event"), payload, allow_shell=False), {"y": "leaked"})
    monkeypatch.setenv("METAFLOW_ARGO_EVENT_PAYLOAD_event_dataupdated_nn77", text)
    for name in ("ARGO_WORKFLOW_TEMPLATE", "ARGO_WORKFLOW_NAME", "ARGO_WORKFLOW_NAMESPACE", "METAFLOW_OWNER"):
        monkeypatch.setenv(name, "x")
    pod = ArgoWorkflowsInternalDecorator()
    pod.task_pre_step("start", None, _NoMetadata(), "argo-x", "t", None, _Graph(), 0, 0, None, None)
    event = current.trigger.event
    assert (event.name, event.id, event.type) == ("data.updated", "e-1", "event")
    assert event.timestamp.timestamp() == payload["timestamp"]
