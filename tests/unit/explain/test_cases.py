"""Test files: what they say, and where they are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from bridge.core.event import MINUTE, SECOND
from bridge.errors import CaseFileError
from bridge.explain.case import BEGIN, Case, CaseEvent, case_text, read_case, typed, untyped


def case(tmp_path: Path, text: str, name: str = "case.yaml") -> Case:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_case(file)


def faults(tmp_path: Path, text: str, name: str = "case.yaml") -> list[str]:
    with pytest.raises(CaseFileError) as refused:
        case(tmp_path, text, name)
    return [line.removeprefix(f"{tmp_path}/") for line in refused.value.found.splitlines()]


def test_times_follow_each_other_and_ids_number_the_events(tmp_path: Path) -> None:
    read = case(
        tmp_path,
        """\
triggers: [ship.yaml]
trigger: ship
until: +1h
events:
- name: a
  payload: {}
- name: b
  id: x
  time: +10m
  reached: +2s
  payload: {n: 1}
- name: c
  source: shop
  time: 2026-01-02T00:00:00+01:00
  payload: {}
""",
    )
    assert [(event.id, event.source) for event in read.events] == [
        ("event-1", "test"),
        ("x", "test"),
        ("event-3", "shop"),
    ]
    first, second, third = read.events
    assert (first.time, first.reached) == (BEGIN, BEGIN)
    assert (second.time, second.reached) == (BEGIN + 10 * MINUTE, BEGIN + 10 * MINUTE + 2 * SECOND)
    assert third.time == BEGIN + 23 * 60 * MINUTE
    assert read.until == third.reached + 60 * MINUTE
    assert (read.triggers, read.trigger) == ((tmp_path / "ship.yaml",), "ship")


def test_json_lines_say_the_same_as_yaml(tmp_path: Path) -> None:
    read = case(
        tmp_path,
        '{"trigger": "ship"}\n\n{"name": "a", "payload": {"n": 1}}\n{"name": "b", "time": "+1m", "payload": {}}\n'
        '{"expect": {"runs": []}}\n',
        "case.jsonl",
    )
    assert [event.name for event in read.events] == ["a", "b"]
    assert read.expect is not None
    assert (read.expect.runs, read.trigger) == ([], "ship")
    assert read.line_of(("events", 1)) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("events: 3\n", "case.yaml:1: events: found 3; write a list, as - name: 3"),
        ("events: []\nexpects: {}\n", "case.yaml:2: expects: there is no such field; did you mean expect?"),
        ("- a\n", "case.yaml:1: found a list; write one mapping with events: and expect:"),
        ("", "case.yaml:1: found no document; write one mapping with events: and expect:"),
        ("a: [\n", "case.yaml:2: no YAML"),
        (
            "events:\n- name: a\n",
            "case.yaml:2: events[0]: the event has no payload; write payload: {field: value}",
        ),
        (
            "events:\n- name: a\n  payload: {}\n  value: aGk=\n",
            "case.yaml:2: events[0]: the event has both payload and value; write payload: {field: value}",
        ),
        (
            "events:\n- name: a\n  payload: {}\n  time: noon\n",
            "case.yaml:4: events[0].time: found 'noon'; write 2026-01-31T12:00:00Z, or +10m after the one before",
        ),
        (
            "events:\n- name: a\n  payload: {x: {$time: noon}}\n",
            "case.yaml:3: events[0].payload: found $time: 'noon'; write it as {$time: 2026-01-31T12:00:00Z}",
        ),
        (
            "events:\n- name: a\n  payload: {x: {$date: noon}}\n",
            "case.yaml:3: events[0].payload: there is no type $date; known are $time, $bytes, $decimal, $uuid",
        ),
        (
            "events: []\nexpect:\n  runs:\n  - parameters: {amount: 3}\n",
            "case.yaml:4: expect.runs[0].parameters: found amount: 3; parameters of a Workflow are texts; put quotes",
        ),
        ("events:\n- payload: {}\n", "case.yaml:2: events[0].name: it is missing; write name: …"),
    ],
)
def test_a_fault_has_its_file_line_and_field(tmp_path: Path, text: str, expected: str) -> None:
    assert faults(tmp_path, text)[0].startswith(expected)


def test_faults_of_json_lines_and_of_files_are_told(tmp_path: Path) -> None:
    assert faults(tmp_path, '{"name": "a", "payload": {}}\n{"name"\n', "case.jsonl")[0].startswith(
        "case.jsonl:2: no JSON"
    )
    assert faults(tmp_path, "[1]\n", "case.jsonl") == ["case.jsonl:1: found a list; write one JSON object in each line"]
    with pytest.raises(CaseFileError, match="cannot be read: No such file"):
        read_case(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"events: \xe9")
    with pytest.raises(CaseFileError, match="no UTF-8 at byte 8"):
        read_case(tmp_path / "latin.yaml")


VALUES: list[Any] = [
    None,
    True,
    7,
    1.5,
    "text\nof lines",
    b"\x00\xff",
    datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
    timedelta(seconds=1.5),
    Decimal("12.50"),
    UUID(int=7),
    [1, {"a": Decimal(1)}],
    {"$weird": 1, "b": 2},
    {"nested": {"at": datetime(2026, 1, 1, tzinfo=UTC)}},
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_any_type_goes_through_a_file_unchanged(value: Any) -> None:
    again = typed(yaml.safe_load(yaml.safe_dump(untyped({"field": value}))))["field"]
    assert (again, type(again)) == (value, type(value))


def test_what_is_no_number_goes_through_as_well() -> None:
    assert str(typed(untyped(float("nan")))) == "nan"
    assert typed(untyped(float("-inf"))) == float("-inf")


def test_a_written_file_reads_back_as_the_same_events(tmp_path: Path) -> None:
    events = (
        CaseEvent("a.b", "1", "shop", "k", BEGIN + 123, BEGIN + 456, {"x": Decimal("1.5"), "text": "a: b # c"}),
        CaseEvent("a.b", "t/0/1", "t", None, BEGIN + SECOND, BEGIN + SECOND, None, b"\xff\x00"),
    )
    text = case_text(events, "jobs/ship", ["ship.yaml"], {"runs": [], "decisions": []}, ["A comment."])
    assert text.startswith("# A comment.\n")
    read = case(tmp_path, text)
    assert read.events == events
    assert (read.trigger, read.triggers) == ("jobs/ship", (tmp_path / "ship.yaml",))
