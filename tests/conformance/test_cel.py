"""Expressions are CEL: cel-spec's own tests, and exactly those that deviate."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

from bridge.core.expressions.expression import Expression, ExpressionError, ExpressionSyntaxError

TESTS = json.loads(Path(__file__).with_name("cel.json").read_text("utf-8"))["tests"]
DEVIATIONS = {  # docs/triggers/README.md tells users of them
    "fields/qualified_identifier_resolution/map_value_repeat_key_heterogeneous",
    "timestamps/timestamp_arithmetic/subtract_max_duration_from_max_time",
    "timestamps/timestamp_arithmetic/add_duration_to_duration_max",
    "timestamps/timestamp_arithmetic/subtract_duration_from_duration_min",
    "timestamps/timestamp_range/sub_time_duration_over",
    "timestamps/timestamp_range/sub_time_duration_under",
}


def python_value(kind: str, *content: Any) -> Any:
    if kind == "list":
        return [python_value(*member) for member in content[0]]
    if kind == "map":
        return {python_value(*key): python_value(*member) for key, member in content[0]}
    if kind == "bytes":
        return bytes.fromhex(content[0])
    if kind == "double":
        return float(content[0])
    if kind in {"timestamp", "duration"}:
        length = dt.timedelta(seconds=content[0], microseconds=int(content[1] / 1000))
        return length if kind == "duration" else dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + length
    return content[0]


def is_same(found: Any, expected: Any) -> bool:
    if type(found) is not type(expected):
        return False
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_same, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(is_same(found[name], expected[name]) for name in expected)
    return found == expected or (isinstance(expected, float) and math.isnan(expected) and math.isnan(found))


def conforms(source: str, variables: dict[str, Any], expected: list[Any]) -> bool:
    try:
        found = Expression(source).evaluate({name: python_value(*given) for name, given in variables.items()})
    except (ExpressionError, ExpressionSyntaxError):
        return expected == ["error"]
    return expected != ["error"] and is_same(found, python_value(*expected))


def test_expressions_conform_to_cel_but_for_these_deviations() -> None:
    assert len(TESTS) > 1_650
    assert {name for name, *test in TESTS if not conforms(*test)} == DEVIATIONS
