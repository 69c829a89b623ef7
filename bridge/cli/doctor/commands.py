"""``flowbridge doctor`` as a person calls it."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

_SETTINGS = (
    Group.KAFKA,
    Group.TOPICS,
    Group.TRIGGERS,
    Group.EVENTS,
    Group.INSTALLATION,
    "clock_skew",
    "window_bytes",
    "window_disk_bytes",
    "waiting_bytes",
    "followed_runs",
)


@click.command("doctor")
@click.option("--cluster/--no-cluster", default=True, help="Look at rights and WorkflowTemplates, too.  [default: yes]")
@click.option("--fix", is_flag=True, help="Set the settings of internal topics that can be set safely.")
@settings_options(*_SETTINGS)
@output_option
def doctor(**options: Any) -> Any:
    """Look for what will go wrong: in Kafka, in the cluster, and on this machine. Nothing is changed without --fix.

    Run it where the bridge runs, with its settings and its accounts. The exit code is 1 if there is an error. Warnings
    alone leave it 0.
    """
    from bridge.cli.doctor.examining import execute  # noqa: PLC0415 - its clients take long to import

    return execute(**options)
