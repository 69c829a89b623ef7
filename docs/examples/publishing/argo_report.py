"""A step of Argo whose end is an event; its run is FLOWBRIDGE_RUN (argo-step.yaml)."""

import json
import os
from pathlib import Path

from flowbridge_sdk import JobEvent

with JobEvent("report.finished") as event:
    rows = json.loads(Path(os.environ["REPORT_FILE"]).read_text())
    event.add_to_payload("rows", len(rows))
