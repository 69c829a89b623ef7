"""The rules and the dashboard of deploy/monitoring in Prometheus' own hands.

Each alert has a story: series of a bridge in trouble. In each story this alert fires, and no other. On a healthy bridge
none does.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from servers.loopback import free_port
from servers.process import wait_for
from servers.prometheus import PrometheusServer, promtool

if TYPE_CHECKING:
    from e2e.installation import Installation

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES = MONITORING / "alerts.yaml"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
ALERTS = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

HOURS = 3
"""Hours that a story lasts, a sample a minute: the slowest alert waits for one hour."""

HEALTHY = {
    "flowbridge_open_windows": "40+0x180",
    'flowbridge_lag{topic="order", partition="0"}': "20 0 1500 0 3 0 0 7 0 2000 " * 18,
    'flowbridge_lag_seconds{topic="order", partition="0"}': "1 0 40 0 1 0 0 1 0 0 " * 18,
    "flowbridge_overdue_windows_seconds": "0 1.5 0 0 2 0 " * 30,
    'flowbridge_oldest_window_timestamp_seconds{trigger="jobs/ship"}': "0+60x180",
    'flowbridge_replay_planned_runs{replay="june", state="running"}': "500+0x180",
    'flowbridge_replay_done_runs{replay="june", state="running"}': "0+2x180",
    'flowbridge_replay_planned_runs{replay="may", state="paused"}': "90+0x180",
    'flowbridge_replay_done_runs{replay="may", state="paused"}': "7+0x180",
    'flowbridge_event_to_workflow_seconds_bucket{le="1"}': "0+95x180",
    'flowbridge_event_to_workflow_seconds_bucket{le="60"}': "0+99x180",
    'flowbridge_event_to_workflow_seconds_bucket{le="300"}': "0+100x180",
    'flowbridge_event_to_workflow_seconds_bucket{le="+Inf"}': "0+100x180",
    'flowbridge_decisions_total{stage="submitter", trigger="jobs/ship", reason="created"}': "0+100x180",
    'flowbridge_decisions_total{stage="router", trigger="jobs/ship", reason="filtered"}': "0+900x180",
    'flowbridge_workflows_ended_total{trigger="jobs/ship", phase="succeeded"}': "0+100x180",
    'flowbridge_transactions_total{stage="router", outcome="committed"}': "0+60x180",
    'flowbridge_transactions_total{stage="router", outcome="aborted"}': "0+1x180",
    'flowbridge_gateway_requests_total{outcome="recorded"}': "0+10x180",
}
"""Series of a healthy bridge, with the spikes that occur."""

TROUBLE: dict[str, dict[str, str]] = {
    "FlowbridgeAbsent": {"flowbridge_open_windows": "40+0x20 stale"},
    "FlowbridgeLagGrows": {'flowbridge_lag{topic="order", partition="0"}': "0+100x180"},
    "FlowbridgeLagOld": {'flowbridge_lag_seconds{topic="order", partition="0"}': "0+60x180"},
    "FlowbridgeStartsLate": {
        'flowbridge_event_to_workflow_seconds_bucket{le="1"}': "0+10x180",
        'flowbridge_event_to_workflow_seconds_bucket{le="60"}': "0+80x180",
    },
    "FlowbridgeApiAway": {
        'flowbridge_decisions_total{stage="submitter", trigger="jobs/ship", reason="retrying"}': "0+5x180"
    },
    "FlowbridgeTemplateUnread": {'flowbridge_unread_templates{template="jobs/ship"}': "1+0x180"},
    "FlowbridgeTriggerHeld": {'flowbridge_held_runs{trigger="jobs/ship",by="storm"}': "900+0x180"},
    "FlowbridgeRunsGivenUp": {
        'flowbridge_decisions_total{stage="submitter", trigger="jobs/ship", reason="refused"}': "0x175 1+0x5"
    },
    "FlowbridgeEventsGivenUp": {
        'flowbridge_decisions_total{stage="router", trigger="jobs/ship", reason="undecodable"}': "0x175 1+0x5"
    },
    "FlowbridgeWindowsFull": {
        'flowbridge_decisions_total{stage="matcher", trigger="jobs/ship", reason="over-bound"}': "0x175 9+0x5"
    },
    "FlowbridgeWindowsOverdue": {"flowbridge_overdue_windows_seconds": "0+60x180"},
    "FlowbridgeWorkflowsFail": {'flowbridge_workflows_ended_total{trigger="jobs/ship", phase="failed"}': "0x175 2+0x5"},
    "FlowbridgeDeadLettersOpen": {'flowbridge_open_dead_letters{reason="refused"}': "3+0x180"},
    "FlowbridgeReplayStands": {'flowbridge_replay_done_runs{replay="june", state="running"}': "0+2x20 40+0x160"},
    "FlowbridgeRecordsUnreadable": {'flowbridge_unreadable_records_total{topic="fb.runs"}': "0x175 1+0x5"},
    "FlowbridgeTimestampsUntrusted": {'flowbridge_untrusted_timestamps_total{topic="order"}': "0x175 1+0x5"},
    "FlowbridgeTransactionsAbort": {'flowbridge_transactions_total{stage="router", outcome="aborted"}': "0+30x180"},
    "FlowbridgeGatewayRefused": {'flowbridge_gateway_requests_total{outcome="not-recorded"}': "0x175 1+0x5"},
}
"""By alert, the series that differ from those of a healthy bridge."""

MAY_BE_EMPTY = {
    "Workflows that ended, by phase",  # nothing runs Workflows here
    "Runs that a storm holds, by trigger",
    "WorkflowTemplates that runs wait for",
    "Records set aside, sent back, or with impossible timestamps",
    "Open dead letters, by reason",
    "Replays in progress",
    "Gateway: connections that were dropped",
}
"""Panels that show nothing of a healthy bridge."""


def _story(name: str, changed: dict[str, str], firing: list[str]) -> dict[str, object]:
    """Return a test of promtool: what fires at the end of a story is exactly this."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in (HEALTHY | changed).items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{HOURS}h",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing],
            }
        ],
    }


@pytest.mark.usefixtures("prometheus")
def test_promtool_accepts_the_rules_and_each_alert_fires_in_its_trouble_and_in_no_other(tmp_path: Path) -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.code == 0, checked.text
    assert f"{len(ALERTS)} rules found" in checked.text

    assert list(TROUBLE) == ALERTS
    stories = [_story(alert, changed, [alert]) for alert, changed in TROUBLE.items()]
    tests = tmp_path / "tests.yaml"
    healthy = _story("a healthy bridge", {}, [])
    tests.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [healthy, *stories]})
    )
    tested = promtool("test", "rules", str(tests))
    assert tested.code == 0, tested.text

    tests.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": "1m",
                "tests": [_story("a wrong expectation", {}, ["FlowbridgeAbsent"])],
            }
        )
    )
    assert promtool("test", "rules", str(tests)).code != 0


@pytest.mark.usefixtures("prometheus")
def test_a_prometheus_that_scrapes_a_bridge_answers_every_panel_and_no_alert_fires(
    installation: Installation, tmp_path: Path
) -> None:
    installation.create_template("job", id=None)
    installation.write_triggers("""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: pair}
spec:
  events: [{name: watched.a, as: a}, {name: watched.b, as: b}]
  key: payload.key
  window: {within: 1h}
  run: {workflowTemplate: job, parameters: {id: a.id}}
""")
    gateway = {"FLOWBRIDGE_GATEWAY": "true", "FLOWBRIDGE_GATEWAY_LISTEN": f"127.0.0.1:{free_port()}"}
    with installation.process(**gateway) as bridge, PrometheusServer(tmp_path, RULES, [bridge.port]) as server:
        installation.wait_triggers("pair")
        bridge.wait_ready()
        with installation.publisher() as publisher:
            for number in range(3):
                publisher.publish("watched.a", {"key": f"k{number}"}, key=f"k{number}")
            publisher.publish("watched.b", {"key": "k0"}, key="k0")
        installation.wait_workflows("pair", 1)
        told = lambda metric: bool(server.query(metric))  # noqa: E731
        for metric in ("flowbridge_oldest_window_timestamp_seconds", 'flowbridge_creates_total{outcome="created"}'):
            wait_for(partial(told, metric), 60, metric)
        wait_for(lambda: told("rate(flowbridge_transactions_total[5s])"), 60, "two samples of each counter")

        empty = set()
        for panel in DASHBOARD["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m").replace("$trigger", ".*")
                assert not re.search(r"\$\w+", query), query
                if not server.query(query):
                    empty.add(panel["title"])
        assert empty <= MAY_BE_EMPTY
        assert {panel["title"] for panel in DASHBOARD["panels"]} >= MAY_BE_EMPTY

        wait_for(lambda: set(server.rules().values()) == {"ok"}, 60, "all rules to be evaluated")
        assert set(server.rules()) == set(ALERTS)
        assert server.alerts() == {}
