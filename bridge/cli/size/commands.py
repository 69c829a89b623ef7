"""``flowbridge size`` as a person calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options


@click.command("size")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option(
    "--rate",
    "rates",
    multiple=True,
    metavar="[EVENT=]N",
    help="Events a second of this name; without a name, of each other one. May be given several times.",
)
@click.option(
    "--passes",
    "shares",
    multiple=True,
    metavar="[TRIGGER=]SHARE",
    help="Share of events (0 to 1) that pass the slots of a trigger; without a name, of each other one.  [default: 1]",
)
@click.option("--event-bytes", type=click.IntRange(1), default=1_000, show_default=True, help="Bytes of an event.")
@click.option("--triggers", type=click.IntRange(1), default=1, show_default=True, help="Without PATH: triggers.")
@click.option("--slots", type=click.IntRange(1), default=1, show_default=True, help="Without PATH: slots of each.")
@click.option("--fan-out", type=click.IntRange(1), help="Without PATH: triggers that read an event.  [default: all]")
@click.option("--window", metavar="DURATION", help="Without PATH: the window of each trigger.  [default: none]")
@click.option("--dedupe", metavar="DURATION", help="How long identities are remembered.  [default: as triggers say]")
@click.option("--wait", metavar="DURATION", help="How long an arrival waits on average.  [default: as long as it may]")
@click.option(
    "--runs", type=click.FloatRange(0), metavar="N", help="Runs a second of all triggers.  [default: computed]"
)
@click.option("--run-time", metavar="DURATION", default="10m", show_default=True, help="How long a Workflow runs.")
@click.option("--replicas", type=click.IntRange(1), default=3, show_default=True, help="Copies of internal topics.")
@settings_options("namespace", "trigger_namespaces", "sensors", "sensor_window", "ledger_horizon")
@output_option
def size(**options: Any) -> Any:
    """Tell how much an installation takes: windows, ledger, processes, partitions, topics, and the settings to set.

    With PATH, slots, windows and fan-out are those of the triggers in these files and folders:

    flowbridge size triggers/ --rate order.created=200 --rate payment.done=180 --event-bytes 600

    Without, all triggers are alike:

    flowbridge size --rate 500 --triggers 20 --slots 2 --window 1h --fan-out 5
    """
    from bridge.cli.size.telling import execute  # noqa: PLC0415 - what compiles triggers takes long to import

    return execute(**options)
