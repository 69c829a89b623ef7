"""The promises of metrics: every decision is counted, and nothing of an event is in them."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.console.metrics import DecisionSink, Metrics
from bridge.core.decision import Decision, Reason, RunDecision, RunReason
from bridge.core.definition import Definition
from bridge.core.event import Event, EventIdentity
from bridge.core.slot_filters import Decisions, SlotFilters
from bridge.core.trigger import RunPlan, Slot, Trigger

LABELS = ("stage", "trigger", "reason", "phase", "outcome", "topic", "partition", "replay", "state")
NOTHING: dict[tuple[str, ...], float] = {
    ("flowbridge_open_windows",): 0,
    ("flowbridge_overdue_windows_seconds",): 0,
    ("flowbridge_followed_runs",): 0,
    ("flowbridge_sent_back_total",): 0,
    ("flowbridge_event_to_workflow_seconds_count",): 0,
    ("flowbridge_event_to_workflow_seconds_sum",): 0,
}
"""What is told of a process in which nothing has happened."""
EVENT = EventIdentity("order.created", "shop", "secret-id")


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


def test_every_decision_of_a_batch_is_counted_by_stage_trigger_and_reason() -> None:
    metrics = Metrics()
    sink: DecisionSink = metrics.decided
    sink("router", [Decision(Reason.FILTERED, "ml/a", "s", EVENT)] * 3 + [Decision(Reason.MATCHED, "ml/b", "s", EVENT)])
    sink("submitter", [RunDecision(RunReason.CREATED, "ml/b", "key", "ml/b-1")])
    sink("router", [])
    assert samples(metrics) == {
        ("flowbridge_decisions_total", "router", "ml/a", "filtered"): 3,
        ("flowbridge_decisions_total", "router", "ml/b", "matched"): 1,
        ("flowbridge_decisions_total", "submitter", "ml/b", "created"): 1,
        **NOTHING,
    }


def test_creates_and_transactions_are_counted_by_how_they_ended() -> None:
    metrics = Metrics()
    metrics.created("already-ran")
    metrics.committed("router")
    metrics.committed("router")
    metrics.aborted("matcher")
    counted = samples(metrics)
    assert counted["flowbridge_creates_total", "already-ran"] == 1
    assert counted["flowbridge_transactions_total", "router", "committed"] == 2
    assert counted["flowbridge_transactions_total", "matcher", "aborted"] == 1


def test_how_long_workflows_take_to_start_and_how_they_end_is_told() -> None:
    metrics = Metrics()
    for seconds in (0.02, 0.3, 4.0):
        metrics.started(seconds)
    metrics.followed(3)
    for phase in ("succeeded", "failed", "succeeded"):
        metrics.ended("ml/a", phase)
    assert samples(metrics) == NOTHING | {
        ("flowbridge_event_to_workflow_seconds_count",): 3,
        ("flowbridge_event_to_workflow_seconds_sum",): pytest.approx(4.32),
        ("flowbridge_followed_runs",): 3,
        ("flowbridge_workflows_ended_total", "ml/a", "succeeded"): 2,
        ("flowbridge_workflows_ended_total", "ml/a", "failed"): 1,
    }
    assert 'flowbridge_event_to_workflow_seconds_bucket{le="0.5"} 2.0' in metrics.text().decode()


def test_records_of_whose_time_or_content_nothing_is_known_are_counted_by_topic() -> None:
    metrics = Metrics()
    metrics.untrusted_timestamps("order.created", 1)
    metrics.untrusted_timestamps("order.created", 2)
    metrics.unreadable("fb.runs")
    assert samples(metrics) == {
        ("flowbridge_untrusted_timestamps_total", "order.created"): 3,
        ("flowbridge_unreadable_records_total", "fb.runs"): 1,
        **NOTHING,
    }


def test_events_that_slots_filter_out_are_counted_exactly_whenever_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.console.metrics._KEPT", 2)
    metrics = Metrics()
    expected = Counter[str]()
    for edit in range(8):  # each time with other definitions, and the metrics are asked for now and then
        triggers = [
            Trigger("ml", f"t{number}", (Slot("e", "it", where=f"payload.n == {number}"),), RunPlan("w", "ml"), 1)
            for number in range(4)
        ]
        definitions = [Definition(trigger) for trigger in triggers]
        filters = SlotFilters([(definition, definition.slots[0]) for definition in definitions])
        for n in (1, 1, 3, 9):
            decisions = Decisions()
            decisions.reject(filters, Event("e", "s", "1", 0, 0, None, {"n": n}), [n] if n < 4 else [])
            metrics.decided("router", decisions)
            expected.update(f"ml/t{number}" for number in range(4) if number != n)
        if edit % 3 == 2:
            metrics.text()
    assert len(metrics._filtered) <= 2
    counted = {key[2]: value for key, value in samples(metrics).items() if key[0] == "flowbridge_decisions_total"}
    assert counted == dict(expected) == {"ml/t0": 32, "ml/t1": 16, "ml/t2": 32, "ml/t3": 24}


def test_lag_is_told_of_the_partitions_that_are_here() -> None:
    metrics = Metrics()
    metrics.lag("order.created", 0, 7)
    metrics.lag("order.created", 1, 9)
    metrics.forget_lag("order.created", 1)
    metrics.forget_lag("order.created", 2)
    metrics.lag_seconds("order.created", 0, 2.5)
    metrics.lag_seconds("order.created", 1, 3.5)
    metrics.forget_lag("order.created", 1)
    metrics.open_windows(4)
    assert samples(metrics) == NOTHING | {
        ("flowbridge_lag", "order.created", "0"): 7,
        ("flowbridge_lag_seconds", "order.created", "0"): 2.5,
        ("flowbridge_open_windows",): 4,
    }


def test_windows_letters_and_replays_are_told_as_they_are_now_and_not_as_they_were() -> None:
    metrics = Metrics()
    metrics.oldest_windows({"ml/a": 1_700_000_010_000_000, "ml/b": 1_700_000_000_000_000})
    metrics.overdue_windows(12.5)
    metrics.open_letters({"refused": 3, "undecodable": 1})
    metrics.replays({("june", "running"): (500, 20)})
    assert samples(metrics) == NOTHING | {
        ("flowbridge_oldest_window_timestamp_seconds", "ml/a"): 1_700_000_010,
        ("flowbridge_oldest_window_timestamp_seconds", "ml/b"): 1_700_000_000,
        ("flowbridge_overdue_windows_seconds",): 12.5,
        ("flowbridge_open_dead_letters", "refused"): 3,
        ("flowbridge_open_dead_letters", "undecodable"): 1,
        ("flowbridge_replay_planned_runs", "june", "running"): 500,
        ("flowbridge_replay_done_runs", "june", "running"): 20,
    }
    metrics.oldest_windows({"ml/b": 1_700_000_020_000_000})
    metrics.overdue_windows(0)
    metrics.open_letters({})
    metrics.replays({("june", "paused"): (500, 21)})
    assert samples(metrics) == NOTHING | {
        ("flowbridge_oldest_window_timestamp_seconds", "ml/b"): 1_700_000_020,
        ("flowbridge_replay_planned_runs", "june", "paused"): 500,
        ("flowbridge_replay_done_runs", "june", "paused"): 21,
    }


def test_nothing_of_an_event_is_in_the_metrics() -> None:
    metrics = Metrics()
    metrics.decided("router", [Decision(Reason.UNKEYED, "ml/a", "s", EVENT, "secret-key", {"error": "secret"})])
    assert b"secret" not in metrics.text()
