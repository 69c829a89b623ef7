"""docs/explain.schema.json: what ``flowbridge explain -o json`` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from unit.explain.json_schema import ADAPTER, PAGE, story_schema
from unit.explain.scenes import SCENES, story_of


def plain(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(story_of(name).plain()))
    return made


def test_the_schema_on_the_page_is_that_of_the_story() -> None:
    found = json.loads(PAGE.read_text(encoding="utf-8"))
    assert found == story_schema(), "run PYTHONPATH=tests python -m unit.explain.json_schema"


@pytest.mark.parametrize("name", SCENES)
def test_what_is_printed_has_the_fields_and_types_of_the_schema(name: str) -> None:
    story = plain(name)
    assert ADAPTER.dump_python(ADAPTER.validate_python(story), mode="json") == story
    assert sorted(story) == story_schema()["required"]


def test_each_field_is_described() -> None:
    schema = story_schema()
    fields = [
        (part.get("title"), name)
        for part in (schema, *schema["$defs"].values())
        for name, field in part["properties"].items()
        if not field.get("description") and part.get("title") not in ("Waiting", "Parameter", "Moment")
    ]
    assert fields == []


def test_another_type_does_not_fit() -> None:
    story = plain("filtered")
    story["records"] = "many"
    with pytest.raises(ValidationError, match="records"):
        ADAPTER.validate_python(story)
