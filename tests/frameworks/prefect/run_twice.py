"""Runs the recipe's flow on Prefect, and the same flow run again."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Scheduled
from prefect.testing.utilities import prefect_test_harness
from prefect_flow import reports

with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
    first = reports(return_state=True)
    run_id = first.state_details.flow_run_id
    assert first.is_completed()
    client.set_flow_run_state(run_id, Scheduled(), force=True)
    again = run_flow(reports, flow_run=client.read_flow_run(run_id), return_type="state")
    assert again.is_completed()
