"""Dagster: an asset, or an op, whose end is an event."""

import json
import os
from pathlib import Path

import dagster as dg

from flowbridge_sdk import JobEvent, publishes


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=3, delay=5))
@publishes("report.finished")
def report() -> None:
    rows = json.loads(Path(os.environ["REPORT_FILE"]).read_text())
    JobEvent.current().add_to_payload("rows", len(rows))


report_job = dg.define_asset_job("report_job", [report])
definitions = dg.Definitions(assets=[report], jobs=[report_job])
