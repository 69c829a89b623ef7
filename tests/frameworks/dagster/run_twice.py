"""Runs the recipe's job on Dagster, each step in a process of its own, and re-executes the run."""

from __future__ import annotations

import dagster as dg
from dagster_job import definitions


def report_job() -> dg.JobDefinition:
    return definitions.resolve_job_def("report_job")


if __name__ == "__main__":  # steps import this file, too
    with dg.DagsterInstance.get() as instance:
        first = dg.execute_job(dg.reconstructable(report_job), instance)
        assert first.success
        options = dg.ReexecutionOptions(first.run_id)
        again = dg.execute_job(dg.reconstructable(report_job), instance, reexecution_options=options)
        assert again.success
        assert again.run_id != first.run_id
