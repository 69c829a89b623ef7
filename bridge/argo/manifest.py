"""The Workflow of a run: a reference to its WorkflowTemplate, its parameters, and the bridge's marks.

The marks show people and the bridge itself where the Workflow comes from. Label values hold 63 characters at most, so
the exact identities are annotations. A trigger's own labels and annotations never replace a mark.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bridge.argo.workflow import API_GROUP, API_VERSION, MANAGED, PREFIX, RUN_KEY
from bridge.core.runs.parameters import inert

if TYPE_CHECKING:
    from bridge.core.event import Micros
    from bridge.core.runs.run import Run

TRIGGER = PREFIX + "trigger"
KEY = PREFIX + "key"
EVENTS = PREFIX + "events"
REACHED = PREFIX + "reached"
EVENT_TIME = PREFIX + "event-time"
DEFINITION = PREFIX + "definition"
REPLAY = PREFIX + "replay"
REPEATS = PREFIX + "repeats"
TRACEPARENT = PREFIX + "traceparent"

EVENTS_LIMIT = 32_768
"""Bytes of the list of events. All annotations of an object may have 262,144 together."""
KEY_LIMIT = 1_024
"""Characters of the correlation key that are shown. The run key, and not this text, identifies a run."""

_LABEL_LIMIT = 63
_LABEL_HASH_LENGTH = 12
_LABEL = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # all times here are UTC: a zone only costs time
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class UnresolvedRunError(ValueError):
    """A run whose default mapping has not been resolved: its parameters are not known yet."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"the parameters of run {run.namespace}/{run.name} are not resolved")


def workflow_manifest(run: Run) -> dict[str, Any]:
    """Return the Workflow of ``run``, as plain JSON values.

    Raises:
        UnresolvedRunError: Its parameters are None.

    """
    if run.parameters is None:
        raise UnresolvedRunError(run)
    events: list[str] = []  # as JSON; a list that is too large ends with {"more": how many are left out}
    left = EVENTS_LIMIT
    for slot, event in run.events:
        text = _ENCODER.encode({"slot": slot, "name": event.name, "source": event.source, "id": event.id})
        left -= len(text) + 1
        if left < 0:
            events.append(_ENCODER.encode({"more": len(run.events) - len(events)}))
            break
        events.append(text)
    marks = {
        RUN_KEY: run.run_key,
        TRIGGER: run.trigger,
        DEFINITION: run.definition_hash,
        EVENTS: inert(f"[{','.join(events)}]"),
        EVENT_TIME: _time_text(run.event_time),
        REACHED: _time_text(run.reached),
    }
    if run.key:
        shown = run.key if len(run.key) <= KEY_LIMIT else run.key[:KEY_LIMIT] + "…"
        marks[KEY] = shown.replace("{", "\\u007b")  # templates can write annotations next to other texts, too
    labels = {**_users(run.labels), TRIGGER: trigger_label(run.trigger), **MANAGED}
    if run.replay:
        labels[REPLAY] = marks[REPLAY] = run.replay
    if run.repeats:
        marks[REPEATS] = run.repeats
    if run.traces:
        marks[TRACEPARENT] = run.traces[0]
    spec: dict[str, Any] = {"workflowTemplateRef": {"name": run.template}}
    if run.parameters:
        spec["arguments"] = {"parameters": [{"name": name, "value": text} for name, text in run.parameters]}
    if run.synchronization is not None:
        spec["synchronization"] = json.loads(run.synchronization)
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "Workflow",
        "metadata": {
            "name": run.name,
            "namespace": run.namespace,
            "labels": labels,
            "annotations": {**_users(run.annotations), **marks},
        },
        "spec": spec,
    }


@lru_cache(maxsize=4096)
def trigger_label(trigger: str) -> str:
    """Return the label value that selects the Workflows of a trigger.

    It is ``namespace.name`` (a namespace has no dot, so no two triggers share it). If this text is too long or is no
    label value, it is the beginning of the text and a hash.

    Args:
        trigger: ``namespace/name``.

    """
    value = trigger.replace("/", ".", 1)
    if len(value) <= _LABEL_LIMIT and _LABEL.fullmatch(value):
        return value
    digest = hashlib.sha256(trigger.encode()).hexdigest()[:_LABEL_HASH_LENGTH]
    stem = re.sub(r"[^-.a-z0-9]", "-", value.lower())[: _LABEL_LIMIT - _LABEL_HASH_LENGTH - 1].strip("-.")
    return f"{stem}-{digest}" if stem else digest


def _users(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {name: value for name, value in pairs if not name.startswith(PREFIX)}


def _time_text(moment: Micros) -> str:
    """Return RFC 3339 in UTC, with all six digits, so that texts sort as times do."""
    try:
        at = _EPOCH + timedelta(microseconds=moment)
    except OverflowError:  # a mark must not fail a run whose event time is beyond the year 9999
        return str(moment)
    return at.isoformat(timespec="microseconds") + "Z"  # a fifth of what strftime takes
