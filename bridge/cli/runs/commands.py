"""``flowbridge runs`` as a person calls it: its options and help, and nothing that takes long to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

_SETTINGS = (Group.KAFKA, "internal_prefix", "partitions", "ledger_horizon", "namespace", "argo_url")
_PHASES = (
    "waiting",
    "starting",
    "running",
    "succeeded",
    "failed",
    "error",
    "gone",
    "unknown",
    "skipped",
    "dead",
)
_EXAMPLES = """\b
Examples:
  flowbridge runs list --trigger ship --phase failed --from 24h
  flowbridge runs show ship-order-8c1f0a...
  flowbridge runs rerun ship-order-8c1f0a... --id after-the-fix
  flowbridge runs terminate ship-order-8c1f0a...
  flowbridge runs hold --trigger ship --because "the warehouse is closed"
  flowbridge runs release --trigger ship --first 100
"""


@click.group("runs", epilog=_EXAMPLES)
def runs() -> None:
    """List runs, show them, make one again, terminate one, hold and release them.

    RUN is a run key or the name of a Workflow.
    """


def _scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which runs are held or released."""
    options = (
        click.option("--trigger", metavar="[NAMESPACE/]NAME", help="The runs of this trigger, and of its replays."),
        click.option(
            "--all-of", "namespace_of", metavar="NAMESPACE", help="All runs whose Workflows go to this namespace."
        ),
        click.option("--all", "is_all", is_flag=True, help="All runs of the installation."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@runs.command("list")
@click.option("--trigger", metavar="[NAMESPACE/]NAME", help="Only runs of this trigger. Without it all are read.")
@click.option(
    "--phase", "phases", multiple=True, type=click.Choice(_PHASES), help="Only runs in this phase; several times."
)
@click.option("--from", "start", metavar="TIME|AGO", help="Only runs that were taken up since: 2026-01-31T12:00Z, 2h.")
@click.option("--to", "end", metavar="TIME|AGO", help="Only runs that were taken up before.")
@click.option("--key", metavar="KEY", help="Only runs of this correlation key.")
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only runs whose Workflow has this parameter; several times.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=50,
    show_default=True,
    help="The newest runs that are shown, at most; all are counted.",
)
@settings_options(*_SETTINGS)
@output_option
def list_(**options: Any) -> Any:
    """Show runs, the oldest first, with the phases of their Workflows.

    All is read from the ledger, in Kafka, so no cluster is asked. The ledger has a run for the setting ledger_horizon.
    """
    from bridge.cli.runs.looking import execute_list  # noqa: PLC0415 - the point of this module

    return execute_list(**options)


@runs.command("show")
@click.argument("run", metavar="RUN")
@settings_options(*_SETTINGS)
@output_option
def show(**options: Any) -> Any:
    """Show the run RUN: the events that asked for it, its parameters, its Workflow, and the runs made again of it."""
    from bridge.cli.runs.looking import execute_show  # noqa: PLC0415

    return execute_show(**options)


@runs.command("rerun")
@click.argument("run", metavar="RUN")
@click.option(
    "--id",
    "rerun_id",
    metavar="ID",
    default="1",
    show_default=True,
    help="Names this rerun of RUN. The same id again makes no second Workflow.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3_600),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long to wait for the Workflow to be created.",
)
@settings_options(*_SETTINGS)
@output_option
def rerun(**options: Any) -> Any:
    """Make a new run with the parameters of the run RUN, which has ended.

    The new run goes through the submitter as any other, with the limits of its trigger. Its key follows from the key of
    RUN and from ID.
    """
    from bridge.cli.runs.changing import execute_rerun  # noqa: PLC0415

    return execute_rerun(**options)


@runs.command("terminate")
@click.argument("run", metavar="RUN")
@settings_options(*_SETTINGS)
@output_option
def terminate(**options: Any) -> Any:
    """Stop the Workflow of the run RUN at once, as `argo terminate` does. Exit handlers do not run."""
    from bridge.cli.runs.changing import execute_terminate  # noqa: PLC0415

    return execute_terminate(**options)


@runs.command("hold")
@_scope_options
@click.option("--because", "why", required=True, metavar="TEXT", help="The reason, for the people who see the hold.")
@settings_options(*_SETTINGS)
@output_option
def hold(**options: Any) -> Any:
    """Have runs wait until they are released. Events are matched meanwhile, and none is lost.

    Workflows that exist go on. So do creates that are on their way, a second or two of them.
    """
    from bridge.cli.runs.holding import execute_hold  # noqa: PLC0415

    return execute_hold(**options)


@runs.command("release")
@_scope_options
@click.option(
    "--first",
    type=click.IntRange(min=1),
    metavar="N",
    help="Release the N runs of the trigger that wait longest, and hold the others.",
)
@click.option("--because", "why", default="", metavar="TEXT", help="The reason.")
@settings_options(*_SETTINGS)
@output_option
def release(**options: Any) -> Any:
    """Let runs start that a person holds, in their order, and with --trigger also those that a storm holds."""
    from bridge.cli.runs.holding import execute_release  # noqa: PLC0415

    return execute_release(**options)


@runs.command("holds")
@settings_options(*_SETTINGS)
@output_option
def holds(**options: Any) -> Any:
    """Show what people hold: since when, by whom, and why."""
    from bridge.cli.runs.holding import execute_holds  # noqa: PLC0415

    return execute_holds(**options)
