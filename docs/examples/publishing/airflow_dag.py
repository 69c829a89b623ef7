"""Airflow: a task whose end is an event."""

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from flowbridge_sdk import JobEvent, publishes


@dag(schedule="@daily", catchup=False)
def daily_report() -> None:
    @task(retries=3, retry_delay=timedelta(seconds=5))
    @publishes("report.finished")
    def report() -> None:
        rows = json.loads(Path(os.environ["REPORT_FILE"]).read_text())
        JobEvent.current().add_to_payload("rows", len(rows))

    report()


dag = daily_report()
