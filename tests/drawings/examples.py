"""The examples of ``docs/triggers`` as test files: a page's trigger, the events of its timeline, and the result.

What is expected is what the timeline shows. ``flowbridge test`` finds out by itself, so the two check each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from bridge.core.event import moment
from bridge.core.trigger import Trigger
from drawings.gallery import FOLDER, example, trigger_of
from drawings.scenes import SCENES
from drawings.tale import Tale
from drawings.telling import Line, lines_of, time_of, told

EXAMPLES = FOLDER.parent / "examples" / "constructs"
"""Where the files are."""

_BY_SUBMITTER = frozenset({"limits", "start-deadline"})
"""Pages about what a submitter does with runs, which a test without Kafka does not go through."""


def examples() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file: two of each page that has a timeline."""
    for scene in SCENES:
        page = (FOLDER / f"{scene.page}.md").read_text(encoding="utf-8")
        trigger = trigger_of(scene, page)
        tale = told(scene, trigger, "")
        lines = sorted(lines_of(scene, trigger), key=lambda line: line.event.reached)
        whole: dict[str, Any] = {
            "triggers": [f"{scene.page}.yaml"],
            "from": _text(time_of(scene, scene.start)),
            "until": _text(time_of(scene, scene.end)),
            "events": [_event(line) for line in lines],
            "expect": _expectation(tale, trigger, is_of_submitter=scene.page in _BY_SUBMITTER),
        }
        yield f"{scene.page}.yaml", example(page)
        head = f"# The timeline of docs/triggers/{scene.page}.md.\n"
        yield f"{scene.page}.test.yaml", head + yaml.safe_dump(whole, sort_keys=False, width=110)


def _event(line: Line) -> dict[str, Any]:
    event = line.event
    plain: dict[str, Any] = {"name": event.name, "id": event.id, "time": _text(event.time)}
    if event.reached != event.time:
        plain["reached"] = _text(event.reached)
    return {**plain, "payload": dict(event.payload)}


def _expectation(tale: Tale, trigger: Trigger, *, is_of_submitter: bool) -> dict[str, Any]:
    decisions = []
    for dot in tale.dots:
        reason = "matched" if dot.fate == "already-ran" else dot.fate
        decisions.append({"event": dot.name, "slot": trigger.slots[dot.lane].variable, "reason": reason})
    if is_of_submitter:
        return {"decisions": decisions}
    marks = [mark.text.removeprefix("run ") for mark in tale.marks if mark.is_run]
    runs = [{"events": [] if text.startswith("run:") else text.split(" + ")} for text in marks]
    return {"runs": runs, "decisions": decisions}


def _text(time: int) -> str:
    return moment(time).isoformat().replace("+00:00", "Z")
