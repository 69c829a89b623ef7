"""The promises of deploy/monitoring: alerts and panels ask for metrics that exist, by values that they can have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bridge.console.metrics import Metrics
from bridge.core.decision import Reason, RunReason
from bridge.core.runs.run import RunPhase
from bridge.gateway.metrics import GatewayMetrics

TOP = Path(__file__).parents[3]
FOLDER = TOP / "deploy" / "monitoring"
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
VALUES = {
    "stage": {"controller", "router", "matcher", "submitter"},
    "reason": {*(reason.value for reason in Reason), *(reason.value for reason in RunReason)},
    "phase": {phase.value for phase in RunPhase},
}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def metrics() -> set[str]:
    """Return the names of all time series that the bridge and the gateway tell."""
    registry = CollectorRegistry()
    told = Metrics(registry)
    GatewayMetrics(registry)
    families = text_string_to_metric_families(told.text().decode())
    return {
        family.name + suffix
        for family in families
        if not family.name.endswith("_created")
        for suffix in SUFFIXES.get(family.type, ())
    }


def queries() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in ALERTS), *panels]


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_that_exist_by_values_that_they_can_have(query: str) -> None:
    asked = set(re.findall(r"\bflowbridge_\w+", query))
    assert asked
    assert asked <= metrics()
    for label, text in re.findall(r'(\w+)=~?"([^"]*)"', query):
        if label in VALUES:
            assert set(text.split("|")) <= VALUES[label], (label, text)


def test_each_metric_is_on_the_dashboard() -> None:
    asked = {name for query in queries() for name in re.findall(r"\bflowbridge_\w+", query)}
    assert {name for name in metrics() if not name.endswith(("_sum", "_count"))} <= asked


def test_each_alert_has_a_summary_a_severity_and_a_row_in_the_documentation() -> None:
    page = (TOP / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(Flowbridge\w+)` \|", page, re.MULTILINE)
    assert documented == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_lie_side_by_side_and_have_ids_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"]) for panel in panels for x in range(panel["gridPos"]["w"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
