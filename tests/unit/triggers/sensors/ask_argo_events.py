"""Ask Argo Events' own code for the texts in ``argo_events_values.json``; it takes Go and some minutes to build.

From ``tests/``: ``python -m unit.triggers.sensors.ask_argo_events > unit/triggers/sensors/argo_events_values.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from unit.triggers.sensors.sources import FORMS, data_of, source

MODULE = Path(__file__).parents[3] / "servers" / "argo_events"

VALUES: tuple[Any, ...] = (
    "", "plain", 'a "quoted" text', "back\\slash", "line\nbreak\ttab\x01\x7f", "café ünï 漢字 🎈", "<&>", "\u2028",
    "'single'", "$HOME `id` $(id)", "{{workflow.name}}", "null", "7", '{"a": 1}', "true",
    0, 7, -7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 10**20, 10**21, 10**30,
    0.5, 5.0, -0.0, 1e15, 1e16, 1e20, 1e21, 1e-5, 1e-6, 1e-7, 1e300, 0.1 + 0.2,
    True, False, None, [], {}, [1, "two", None, 3.0], {"b": 1, "a": [{}, {"c": 2.0}]}, [["{{", "}}"]], {"é": "ü"},
)  # fmt: skip


def main() -> None:
    """Write every form with every value, and with the field missing."""
    cases = [
        {"form": form, "field": field, "source": source(form, field), "data": data_of({"name": "e"} | fields)}
        for form in FORMS
        for field, values in (("x", VALUES), ("a-b", VALUES[:2]))
        for fields in [*({field: value} for value in values), {}]
    ]
    asked = "".join(json.dumps({"source": case["source"], "data": case["data"]}) + "\n" for case in cases)
    command = ["go", "run", "./values"]
    done = subprocess.run(command, cwd=MODULE, input=asked, capture_output=True, text=True, check=True)
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        case["text"] = json.loads(line)
    json.dump(cases, sys.stdout, indent=0, ensure_ascii=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
