"""``flowbridge explain``, ``plan``, ``test`` and ``record`` as a person calls them: options and help.

Nothing here takes long to import.
"""

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
_FROM_HELP = (
    "Where the range begins: 2026-01-31T12:00Z, 2h (so long ago), earliest, or offsets as TOPIC/0=120,TOPIC/1=98. "
    "Times are those at which events reached Kafka."
)

_EXPLAIN_EXAMPLES = """\b
Examples:
  flowbridge explain --trigger ship
  flowbridge explain --trigger ship --event o-4711
  flowbridge explain --trigger ship --key o-4711 --from 3h
  flowbridge explain --trigger ship --run ship-order-8c1f0a...
"""


@click.command("explain", epilog=_EXPLAIN_EXAMPLES)
@click.option("--trigger", required=True, metavar="[NAMESPACE/]NAME", help="The trigger.")
@click.option("--event", metavar="ID", help="The event with this id, and its windows.")
@click.option("--key", metavar="KEY", help="All events of this correlation key.")
@click.option("--run", metavar="RUN", help="This run: its key, or the name of its Workflow.")
@click.option("--from", "start", metavar=_TIME, help=f"{_FROM_HELP} Else 24 hours ago.")
@click.option("--to", "end", metavar=_TIME, help="Where it ends, not included. Else the end of the topics.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=50,
    show_default=True,
    help="Events that are told one by one, at most; all are counted.",
)
@settings_options(*_SETTINGS, *_EVENTS)
@output_option
def explain(**options: Any) -> Any:
    """Tell what happened to events, and why a run started or did not.

    What the live bridge has recorded is told as it is. All else is computed again from the topics by the live rules,
    and marked so. Without --event, --key, --run and --from the trigger itself is told about: whether it is in force
    everywhere, when it matched last, what it waits for, and what came nearest to a match.
    """
    from bridge.cli.explain.explaining import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


_PLAN_EXAMPLES = """\b
Examples:
  flowbridge plan triggers/ship.yaml
  flowbridge plan triggers/ship.yaml --last 7d --fail-on removed,errors
"""


@click.command("plan", epilog=_PLAN_EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trigger", metavar="[NAMESPACE/]NAME", help="The trigger of the file, if it has several.")
@click.option("--last", metavar="DURATION", default="24h", show_default=True, help="How far back the log is read.")
@click.option("--from", "start", metavar=_TIME, help=f"{_FROM_HELP} In place of --last.")
@click.option("--to", "end", metavar=_TIME, help="Where it ends, not included. Else the end of the topics.")
@click.option(
    "--examples",
    type=click.IntRange(0, 1_000),
    metavar="N",
    default=3,
    show_default=True,
    help="Examples of each difference.",
)
@click.option(
    "--fail-on",
    metavar="WHAT,...",
    default="",
    help="Exit with 1 if there are such differences: new, removed, changed, filtered, errors.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes that divide the correlation keys of sliding windows between them. Else as many as there are "
    "processors, 8 at most, and fewer for a short range.",
)
@settings_options(*_SETTINGS, *_EVENTS, "sensitive")
@output_option
def plan(**options: Any) -> Any:
    """Show what an edited or a new trigger would do, on the events that came, next to the one that is deployed.

    Both are run over the same events by the live rules. Runs that would be new, runs that would no longer happen, runs
    with other parameters, events that would be filtered, windows left open, and keys that fail are counted first. Then
    come examples. Nothing is touched: no run starts, and nothing is deployed.
    """
    from bridge.cli.explain.planning import execute  # noqa: PLC0415

    return execute(**options)


_TEST_EXAMPLES = """\b
Examples:
  flowbridge test triggers/ship.yaml --events tests/paid-order.yaml
  flowbridge test --events tests/
"""


@click.command("test", epilog=_TEST_EXAMPLES)
@click.argument("triggers", nargs=-1, metavar="[TRIGGER]...", type=click.Path(path_type=Path))
@click.option(
    "--events",
    "files",
    multiple=True,
    required=True,
    metavar="FILE|FOLDER",
    type=click.Path(path_type=Path),
    help="A test file: events, and what is expected (YAML, or JSON lines in *.jsonl); or a folder of them.",
)
@click.option("--verbose", is_flag=True, help="Show all decisions and runs, also of tests that pass.")
@settings_options("namespace", "schemas", "shared_topics")
@output_option
def test(**options: Any) -> Any:
    """Try triggers out on events in files: offline, in milliseconds, by the live rules.

    TRIGGER is a file with triggers. Without it, each test file names its own (triggers: [ship.yaml], next to the file).
    Exits with 1 if an expectation does not hold.
    """
    from bridge.cli.explain.testing import execute  # noqa: PLC0415

    return execute(**options)


_RECORD_EXAMPLES = """\b
Examples:
  flowbridge record --trigger ship --key o-4711 --from 3h > paid-twice.yaml
  flowbridge record --trigger ship --event p-17 --file incident.yaml
"""


@click.command("record", epilog=_RECORD_EXAMPLES)
@click.option("--trigger", required=True, metavar="[NAMESPACE/]NAME", help="The trigger whose events are written.")
@click.option("--event", metavar="ID", help="The event with this id, and the events of its window.")
@click.option("--key", metavar="KEY", help="The events of this correlation key.")
@click.option("--from", "start", metavar=_TIME, help=f"{_FROM_HELP} Else 24 hours ago.")
@click.option("--to", "end", metavar=_TIME, help="Where it ends, not included. Else the end of the topics.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=500,
    show_default=True,
    help="Events that are written, at most.",
)
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Write there, and not to stdout.")
@click.option(
    "--trigger-file",
    multiple=True,
    metavar="FILE",
    help="The file with the trigger, as the test names it: a path from the test's folder.",
)
@settings_options(*_SETTINGS, *_EVENTS)
def record(**options: Any) -> Any:
    """Write a test file from the events of the log, with what happened to them as what is expected.

    So a report of a bug becomes a test: write what should have happened in place of what did, and `flowbridge test`
    fails until the trigger is mended. Sensitive fields are redacted; equal values stay equal, and differ from others.
    """
    from bridge.cli.explain.recording import execute  # noqa: PLC0415

    return execute(**options)
