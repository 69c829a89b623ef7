"""The JSON Schema of a story. ``python -m unit.explain.json_schema`` writes it into the documentation again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bridge.explain.story import Story

PAGE = Path(__file__).parents[3] / "docs" / "explain.schema.json"
ADAPTER: TypeAdapter[Story] = TypeAdapter(Story)


def story_schema() -> dict[str, Any]:
    """Return the schema, with what each part and each field means."""
    schema = ADAPTER.json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for part in (schema, *schema["$defs"].values()):
        summary, _, fields = part["description"].partition("\n\nAttributes:\n")
        part["description"] = summary
        part["additionalProperties"] = False
        part["required"] = sorted(part["properties"])
        for name, text in _described(fields).items():
            part["properties"][name] = {"description": text, **part["properties"][name]}
    return schema


def _described(fields: str) -> dict[str, str]:
    described: dict[str, str] = {}
    for line in fields.splitlines():
        stripped = line.strip()
        if line.startswith("    ") and not line.startswith("     ") and ":" in stripped:
            name, _, text = stripped.partition(": ")
            described[name] = text
        elif described and stripped:
            described[name] += f" {stripped}"
    return described


if __name__ == "__main__":
    PAGE.write_text(json.dumps(story_schema(), indent=2) + "\n", encoding="utf-8")
