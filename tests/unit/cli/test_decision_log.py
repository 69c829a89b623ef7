"""What ``run`` logs of decisions: a line for each Workflow, and all of them at level debug."""

from __future__ import annotations

import json
import logging

import pytest

from bridge.cli.logs import JsonLines
from bridge.cli.run import logged
from bridge.core.decision import Decision, Reason, RunDecision, RunReason
from bridge.core.event import EventIdentity

EVENT = Decision(
    Reason.FILTERED, "jobs/ship", "order", EventIdentity("order.created", "shop", "o-1"), "c-7", {"where": "false"}
)
CREATED = RunDecision(
    RunReason.CREATED, "jobs/ship", "key", "jobs/ship-1", {"key": "c-7", "events": "order.created o-1"}
)
REFUSED = RunDecision(RunReason.REFUSED, "jobs/ship", "key", "jobs/ship-2", {"because": "a quota"})


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[tuple[str, str]]:
    """Return what is logged of a batch of each stage; all decisions are handed on."""
    caplog.set_level(level, "bridge.cli.run")
    taken: list[object] = []
    sink = logged(lambda _stage, decisions: taken.extend(decisions))
    sink("router", [EVENT])
    sink("submitter", [CREATED, REFUSED])
    assert taken == [EVENT, CREATED, REFUSED]
    return [(record.levelname, record.getMessage()) for record in caplog.records]


WORKFLOW = (
    "INFO",
    "created: workflow jobs/ship-1 of trigger jobs/ship, key c-7, events order.created o-1",
)


def test_each_created_workflow_is_one_line_with_its_trigger_key_and_events(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, logging.INFO) == [WORKFLOW]


def test_at_debug_every_decision_is_a_line_with_its_evidence(caplog: pytest.LogCaptureFixture) -> None:
    event = "event order.created 'o-1' from 'shop' at order of trigger jobs/ship, key 'c-7', where false"
    assert lines(caplog, logging.DEBUG) == [
        ("DEBUG", f"router: filtered: {event}"),
        WORKFLOW,
        ("DEBUG", "submitter: refused: workflow jobs/ship-2 of trigger jobs/ship, because a quota"),
    ]


def test_as_json_a_line_has_what_it_is_about_in_fields_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    lines(caplog, logging.DEBUG)
    found = [json.loads(JsonLines().format(record)) for record in caplog.records]
    fields = [{name: line.get(name) for name in ("trigger", "key", "run_key", "workflow")} for line in found]
    assert fields == [
        {"trigger": "jobs/ship", "key": "c-7", "run_key": None, "workflow": None},
        {"trigger": "jobs/ship", "key": "c-7", "run_key": "key", "workflow": "jobs/ship-1"},
        {"trigger": "jobs/ship", "key": None, "run_key": "key", "workflow": "jobs/ship-2"},
    ]
