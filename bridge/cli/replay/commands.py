"""``flowbridge replay`` as a person calls it: its options and help, and nothing that takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

_SETTINGS = (Group.KAFKA, "internal_prefix", "partitions", "ledger_horizon", "namespace")
_EVENTS = ("schemas", "schema_registry_url", "shared_topics", "json_topics", "clock_skew")
_TIME = "TIME|AGO|OFFSETS"

_EXAMPLES = """\b
Examples:
  flowbridge replay --trigger ship --from 2h --dry-run
  flowbridge replay --trigger jobs/ship --from 2026-11-27T00:00Z --to 2026-11-28T00:00Z --reason "filter was wrong"
  flowbridge replay --trigger ship --from earliest --only suspended --yes
  flowbridge replay list
"""


@click.group("replay", invoke_without_command=True, epilog=_EXAMPLES)
@click.option("--trigger", metavar="[NAMESPACE/]NAME", help="The trigger whose past is read.")
@click.option(
    "--from",
    "start",
    metavar=_TIME,
    help="Where the range begins: 2026-01-31T12:00Z, 2h (so long ago), earliest, or offsets as TOPIC/0=120,TOPIC/1=98. "
    "Times are those at which events reached Kafka.",
)
@click.option("--to", "end", metavar=_TIME, help="Where it ends, not included. Else where the live bridge has read to.")
@click.option("--key", metavar="KEY", help="Only this correlation key.")
@click.option("--where", metavar="CEL", help="Only matches with an event of which this is true (payload and event).")
@click.option(
    "--only",
    type=click.Choice(["suspended", "filtered"]),
    help="Only matches with an event that the trigger of that time decided so.",
)
@click.option(
    "--mode",
    type=click.Choice(["missing", "missing+failed", "all"]),
    default="missing",
    show_default=True,
    help="Which matches get a run: those without one, also those whose run is dead, was skipped or has failed, or all "
    "(with --replay-id).",
)
@click.option(
    "--definition",
    type=click.Choice(["now", "then"]),
    default="now",
    show_default=True,
    help="Decide by the definition in force, or by the one that was in force at that time.",
)
@click.option(
    "--file", type=click.Path(path_type=Path), metavar="FILE", help="A file with the trigger, if it is not deployed."
)
@click.option(
    "--replay-id",
    metavar="ID",
    default="",
    help="Make a second set of runs under this id, whether or not the live ones ran.",
)
@click.option("--name", metavar="NAME", help="Name of the replay. Else the trigger's name and the time.")
@click.option("--reason", metavar="REASON", default="", help="Why, for people who see it in the list.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and stop.")
@click.option("--yes", is_flag=True, help="Carry the plan out without asking.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Start N runs at most.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    default=10.0,
    show_default=True,
    help="Runs a second that are sent, at most.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    metavar="N",
    default=4,
    show_default=True,
    help="Runs that are on their way to a Workflow at a time, at most.",
)
@click.option("--newest-first", is_flag=True, help="The newest match gets the first run.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="Processes that read a trigger of one event, without a window, side by side.",
)
@settings_options(*_SETTINGS, *_EVENTS, "sensitive")
@output_option
@click.pass_context
def replay(context: click.Context, /, **options: Any) -> Any:
    """Read the past of a trigger by the live rules, and start the runs that are missing.

    The plan comes first: what would run, what ran already, what waits, what is dead. Nothing is started before it is
    agreed to. The live bridge may run, be suspended or be down meanwhile. Run keys are the same as live ones, so a
    second replay of the same range makes no run a second time.
    """
    if context.invoked_subcommand is not None:
        return None
    from bridge.cli.replay.new import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@replay.command("list")
@settings_options(*_SETTINGS)
@output_option
def list_(**options: Any) -> Any:
    """Show all replays, the oldest first."""
    from bridge.cli.replay.existing import execute_list  # noqa: PLC0415

    return execute_list(**options)


@replay.command("show")
@click.argument("name")
@settings_options(*_SETTINGS)
@output_option
def show(**options: Any) -> Any:
    """Show the replay NAME: what was asked for, what its plan found, and how far it has come."""
    from bridge.cli.replay.existing import execute_show  # noqa: PLC0415

    return execute_show(**options)


@replay.command("pause")
@click.argument("name")
@settings_options(*_SETTINGS)
@output_option
def pause(**options: Any) -> Any:
    """Stop sending runs of the replay NAME until it is resumed. It survives every restart."""
    from bridge.cli.replay.existing import execute_pause  # noqa: PLC0415

    return execute_pause(**options)


@replay.command("resume")
@click.argument("name")
@settings_options(*_SETTINGS)
@output_option
def resume(**options: Any) -> Any:
    """Go on with the replay NAME, which was paused, or whose process died. A process that still runs it stops."""
    from bridge.cli.replay.existing import execute_resume  # noqa: PLC0415

    return execute_resume(**options)


@replay.command("cancel")
@click.argument("name")
@click.option("--terminate", is_flag=True, help="Also stop the Workflows that it started and that have not ended.")
@settings_options(*_SETTINGS)
@output_option
def cancel(**options: Any) -> Any:
    """Stop the replay NAME for good. Runs of it that wait are forgotten, so a later replay may make them."""
    from bridge.cli.replay.existing import execute_cancel  # noqa: PLC0415

    return execute_cancel(**options)


@replay.command("retry-failed")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@settings_options(*_SETTINGS)
@output_option
def retry_failed(**options: Any) -> Any:
    """Make a new run in place of each run of the replay NAME that is dead, was skipped, or whose Workflow failed."""
    from bridge.cli.replay.existing import execute_retry_failed  # noqa: PLC0415

    return execute_retry_failed(**options)
