"""Triggers that are tried out on files: by the rules of the bridge, without Kafka."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import cli
from bridge.errors import UsageError

SHIP = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events:
    - {name: order.placed, as: order}
    - {name: payment.done, as: payment, where: payload.amount > 100}
  window: {within: 1h}
  key: payload.order
  run:
    workflowTemplate: ship
    parameters: {order: order.payload.order, amount: payment.payload.amount}
"""
HEAD = SHIP.split("spec:", maxsplit=1)[0]
EVENTS = """\
triggers: [ship.yaml]
events:
- {name: order.placed, id: o-1, payload: {order: "1"}}
- {name: payment.done, id: p-0, time: +5m, payload: {order: "1", amount: 7}}
- {name: payment.done, id: p-1, time: +5m, payload: {order: "1", amount: 120}}
- {name: order.placed, id: o-2, payload: {order: "2"}}
"""
GOOD = """\
expect:
  runs:
  - {events: [o-1, p-1], key: "1", parameters: {order: "1", amount: "120"}}
  decisions:
  - {event: p-0, reason: filtered}
  - {event: o-1, slot: order, reason: matched}
  - {event: o-2, reason: expired}
"""

Test = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Test:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ship.yaml").write_text(SHIP)

    def invoke(text: str, *words: str, name: str = "case.yaml") -> Result:
        (tmp_path / name).write_text(text)
        return CliRunner().invoke(
            cli, ["test", "--events", name, *words], catch_exceptions=False, standalone_mode=False
        )

    return invoke


def failures(result: Result) -> list[dict[str, Any]]:
    return [failure for line in result.stdout.splitlines() for failure in json.loads(line).get("failures", [])]


def test_a_test_whose_expectations_hold_passes(run: Test) -> None:
    result = run(EVENTS + GOOD)
    assert (result.return_value, result.stdout) == (
        0,
        "passed  case.yaml  default/ship  (4 events, 1 run)\n1 passed\n",
    )


def test_what_does_not_hold_is_shown_next_to_what_there_is(run: Test) -> None:
    result = run(EVENTS + GOOD.replace('"120"', '"121"').replace("expired", "waiting"))
    assert result.return_value == 1
    assert result.stdout.splitlines()[:7] == [
        "FAILED  case.yaml  default/ship  (4 events, 1 run)",
        "  case.yaml:9: expect.runs[0].parameters.amount",
        "    expected  121",
        "    got       120",
        "  case.yaml:13: expect.decisions[2] (event o-2)",
        "    expected  waiting",
        "    got       expired at slot order: It waited until 2026-01-01T01:16:01.000Z, and payment did not come.",
    ]


@pytest.mark.parametrize(
    ("expect", "expected", "got"),
    [
        ("runs: []", "no further run", "a run of order o-1, payment p-1"),
        ("runs: [{}, {}]", "a run", "no such run: 1 run in all"),
        ("runs: [{events: [o-1]}]", "o-1", "o-1, p-1"),
        ("runs: [{key: '2'}]", "2", "1"),
        ("runs: [{parameters: {rows: '2'}}]", "2", "no such parameter"),
        ("decisions: [{event: x, reason: late}]", "late", "no event with that id was decided; ids: o-1, p-0, p-1, o-2"),
        (
            "decisions: [{event: p-0, slot: order, reason: filtered}]",
            "filtered at slot order",
            "no decision: no slot reads this event",
        ),
    ],
)
def test_each_kind_of_expectation_can_fail(run: Test, expect: str, expected: str, got: str) -> None:
    found = failures(run(f"{EVENTS}expect: {{{expect}}}\n", "-o", "json"))
    assert [(failure["expected"], failure["got"]) for failure in found] == [(expected, got)]


def test_without_expectations_all_that_happens_is_shown(run: Test) -> None:
    result = run(EVENTS)
    assert result.return_value == 0
    assert "filtered   (recomputed)" in result.stdout
    assert "FALSE payload.amount > 100" in result.stdout
    assert "amount = 120   <- payment.payload.amount" in result.stdout


def test_time_goes_on_only_as_far_as_the_file_says(run: Test) -> None:
    result = run(EVENTS + "until: +10m\nexpect: {decisions: [{event: o-2, reason: waiting}]}\n", "--verbose")
    assert result.return_value == 0
    assert "window [#.] 1 of 2   key 2   (recomputed)" in result.stdout


def test_the_default_mapping_fills_the_parameters_that_are_expected(run: Test, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        SHIP.split("spec:", maxsplit=1)[0] + "spec: {events: [{name: a}], run: {workflowTemplate: t}}\n"
    )
    text = (
        "triggers: [one.yaml]\nevents: [{name: a, payload: {rows: 7}}]\nexpect: {runs: [{parameters: {rows: '%s'}}]}\n"
    )
    assert run(text % "7").return_value == 0
    assert run(text % "8").return_value == 1


def test_a_value_that_cannot_be_decoded_and_a_repeat_are_decided_as_live(run: Test) -> None:
    text = """\
triggers: [ship.yaml]
events:
- {name: order.placed, id: bad, value: bm8gYXZybw==}
- {name: order.placed, id: o-1, payload: {order: "1"}}
- {name: order.placed, id: o-1, payload: {order: "1"}}
expect:
  decisions:
  - {event: order.placed/0/0, reason: undecodable}
  - {event: o-1, reason: duplicate}
"""
    assert run(text).return_value == 0, run(text).stdout


def test_a_dead_mans_switch_ends_no_window_after_the_last_event_unless_the_file_says_so(
    run: Test, tmp_path: Path
) -> None:
    (tmp_path / "switch.yaml").write_text(
        SHIP.split("spec:", maxsplit=1)[0]
        + "spec: {events: [{name: beat, absent: true}], window: {every: 1h}, run: {workflowTemplate: alarm}}\n"
    )
    text = "triggers: [switch.yaml]\nevents: [{name: beat, payload: {}}]\n"
    assert run(text + "expect: {runs: []}\n").return_value == 0
    assert run(text + "until: +3h\nexpect: {runs: [{}]}\n").return_value == 0


def test_many_files_are_run_and_counted(run: Test, tmp_path: Path) -> None:
    run(EVENTS + GOOD)
    (tmp_path / "b.yaml").write_text(EVENTS + "expect: {runs: []}\n")
    result = CliRunner().invoke(cli, ["test", "--events", "."], standalone_mode=False)
    assert result.stdout.splitlines()[-1] == "1 passed, 1 failed"
    assert result.return_value == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("events: []\n", "names no file with its trigger"),
        ("triggers: [none.yaml]\nevents: []\n", "there is no such file or folder"),
        ("triggers: [ship.yaml]\ntrigger: other\nevents: []\n", "there is no trigger other"),
    ],
)
def test_a_test_without_its_trigger_says_what_is_missing(run: Test, text: str, found: str) -> None:
    assert found in _refused(run, text)


def _refused(run: Test, text: str) -> str:
    with pytest.raises(UsageError) as refused:
        run(text)
    return refused.value.found


def test_typed_schemas_read_payloads_as_publishers_write_them(run: Test, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    fields = [{"name": "amount", "type": "double"}, {"name": "order", "type": "string"}]
    schema = {"type": "record", "name": "payment", "fields": fields}
    (tmp_path / "schemas" / "payment.done.avsc").write_text(json.dumps(schema))
    result = run(EVENTS + GOOD.replace('"120"', '"120.0"'), "--schemas", "schemas")
    assert result.return_value == 0, result.stdout
    bad = EVENTS.replace("amount: 7", "amount: many")
    assert "case.yaml: event 'payment.done', field amount: " in _refused(
        lambda text: run(text, "--schemas", "schemas"), bad
    )
