"""``flowbridge dead-letters`` as a person calls it: options and help, and nothing that takes long to import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

_SETTINGS = (Group.KAFKA, "internal_prefix", "partitions", "ledger_horizon", "namespace")
_EVENTS = ("schemas", "schema_registry_url", "shared_topics", "json_topics")
_TIME = "TIME|AGO"

_EXAMPLES = """\b
Examples:
  flowbridge dead-letters list
  flowbridge dead-letters show 3/120
  flowbridge dead-letters retry --trigger ship --reason unkeyed --dry-run
  flowbridge dead-letters retry --all --rate 200 --because "the trigger is corrected"
  flowbridge dead-letters edit 3/120 amount:=12.5
  flowbridge dead-letters discard 3/120 --because "a test event"
"""


def _choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose letters."""
    options = (
        click.option("--trigger", metavar="[NAMESPACE/]NAME", help="Letters that concern this trigger."),
        click.option("--reason", metavar="REASON", help="Letters with this reason, such as unkeyed."),
        click.option("--topic", metavar="TOPIC", help="Letters about records of this topic."),
        click.option("--key", metavar="KEY", help="Letters of events with this key, or of runs with it."),
        click.option(
            "--from",
            "start",
            metavar=_TIME,
            help="Letters written at this time or later: 2026-01-31T12:00Z, or 2h (so long ago).",
        ),
        click.option("--to", "end", metavar=_TIME, help="Letters written before this time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


_STATE = click.option(
    "--state",
    type=click.Choice(["open", "sent", "edited", "discarded", "all"]),
    default="open",
    show_default=True,
    help="Letters in this state.",
)
_LETTERS = click.argument("letters", nargs=-1, metavar="[LETTER]...")
_ALL = click.option("--all", "is_all", is_flag=True, help="All open letters.")
_YES = click.option("--yes", is_flag=True, help="Do it without asking.")


@click.group("dead-letters", epilog=_EXAMPLES)
def dead_letters() -> None:
    """Show what could not be done, send it back when its cause is gone, correct it, or give it up.

    A letter is called PARTITION/OFFSET, as `list --each` prints it. What is done with a letter is recorded: who, when
    and why. It stays in its topic until retention removes it.
    """


@dead_letters.command("list")
@_choice_options
@_STATE
@click.option("--each", is_flag=True, help="Show each letter, and not groups.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show N letters at most, with --each.")
@settings_options(*_SETTINGS)
@output_option
def list_(**options: Any) -> Any:
    """Show dead letters by reason and trigger: how many, the first and the last."""
    from bridge.cli.letters.listing import execute_list  # noqa: PLC0415 - the point of this module

    return execute_list(**options)


@dead_letters.command("show")
@click.argument("letter")
@settings_options(*_SETTINGS, *_EVENTS)
@output_option
def show(**options: Any) -> Any:
    """Show LETTER: what is wrong, its record with the decoded payload, whether it would pass now, what was done."""
    from bridge.cli.letters.showing import execute_show  # noqa: PLC0415

    return execute_show(**options)


@dead_letters.command("retry")
@_LETTERS
@_choice_options
@_ALL
@click.option("--dry-run", is_flag=True, help="Tell for each letter whether it would pass now, and send nothing.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    default=200.0,
    show_default=True,
    help="Letters a second that are sent, at most.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Send N letters at most.")
@click.option("--because", "why", metavar="REASON", default="", help="Why, for the record.")
@_YES
@settings_options(*_SETTINGS, *_EVENTS)
@output_option
def retry(**options: Any) -> Any:
    """Send the events and runs of letters back: of those that are named, or that fit all of the options.

    Each letter is sent once. A command that was killed is started again, and goes on where it ended. An event that
    fails again is a new dead letter. With --dry-run the exit code is 1 if a letter would not pass.
    """
    from bridge.cli.letters.dealing import execute_retry  # noqa: PLC0415

    return execute_retry(**options)


@dead_letters.command("edit")
@click.argument("letter")
@click.argument("fields", nargs=-1, metavar="[FIELD=TEXT | FIELD:=JSON]...")
@click.option(
    "--payload",
    "file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="A file with the whole payload, a JSON object; - is standard input. Else the decoded payload of the letter.",
)
@click.option("--remove", multiple=True, metavar="FIELD", help="Leave this field of the payload out.")
@click.option("--id", "event_id", metavar="ID", help="The id of the new event. Else a random one.")
@click.option("--because", "why", metavar="REASON", default="", help="Why, for the record.")
@_YES
@settings_options(*_SETTINGS, *_EVENTS)
@output_option
def edit(**options: Any) -> Any:
    """Send a corrected event in place of the event of LETTER.

    It is a new event with an id of its own. It has the name, the source, the time and the key of the event that it
    corrects, and names that event as its parent (attribute parentid). The letter is marked as edited.
    """
    from bridge.cli.letters.dealing import execute_edit  # noqa: PLC0415

    return execute_edit(**options)


@dead_letters.command("discard")
@_LETTERS
@_choice_options
@_ALL
@click.option("--because", "why", metavar="REASON", required=True, help="Why, for the record.")
@_YES
@settings_options(*_SETTINGS)
@output_option
def discard(**options: Any) -> Any:
    """Give letters up: those that are named, or that fit all of the options. They are not listed as open any more."""
    from bridge.cli.letters.dealing import execute_discard  # noqa: PLC0415

    return execute_discard(**options)


@dead_letters.command("export")
@_LETTERS
@_choice_options
@_STATE
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Write there, and not to stdout.")
@settings_options(*_SETTINGS, *_EVENTS)
def export(**options: Any) -> Any:
    """Write letters as JSON lines. Their bytes are kept exactly, sensitive fields included."""
    from bridge.cli.letters.files import execute_export  # noqa: PLC0415

    return execute_export(**options)


@dead_letters.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@settings_options(*_SETTINGS)
@output_option
def import_(**options: Any) -> Any:
    """Add the letters of FILE, which `export` wrote; - is standard input. Letters that are there already are left out.

    Added letters are open. Nothing is sent before `retry`.
    """
    from bridge.cli.letters.files import execute_import  # noqa: PLC0415

    return execute_import(**options)
