"""Runs the recipe's DAG on Airflow, and the same DAG run again."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_dag import dag

at = datetime(2026, 1, 31, tzinfo=UTC)
for _ in range(2):
    run = dag.test(run_after=at, logical_date=at)
    assert run.state == "success", run.state
