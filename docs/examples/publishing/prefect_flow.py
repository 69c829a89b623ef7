"""Prefect: a task, and a flow, whose ends are events."""

import json
import os
from pathlib import Path

from prefect import flow, task

from flowbridge_sdk import JobEvent, publishes


@task(retries=3, retry_delay_seconds=5)
@publishes("report.finished")
def report(file: str) -> int:
    rows = json.loads(Path(file).read_text())
    JobEvent.current().add_to_payload("rows", len(rows))
    return len(rows)


@flow
@publishes("reports.done")
def reports() -> None:
    report(os.environ["REPORT_FILE"])


if __name__ == "__main__":
    reports()
