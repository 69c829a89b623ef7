"""The command ``flowbridge``: finds the command that is called, and ends each in the same way.

Commands are imported only when they are called, so that ``flowbridge --help`` answers at once. An error that a person
can correct is printed with a remedy, and has an exit code of its own (:mod:`bridge.errors`). Any other error is a bug
of ours, which is printed in one line. ``--debug`` shows its traceback.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import click

import bridge
from bridge.cli.logs import TextLines
from bridge.errors import ExitCode, FlowbridgeError, UsageError
from bridge.plain_text import visible

COMMANDS: Mapping[str, tuple[str, str]] = {
    "dev": ("bridge.cli.commands", "Try Flowbridge on this machine, with nothing but Python."),
    "run": ("bridge.cli.commands", "Run the bridge."),
    "gateway": ("bridge.cli.commands", "Take events over HTTP: Argo Events' webhook contract, and CloudEvents."),
    "explain": ("bridge.cli.explain.commands", "Tell why a run started or did not: an event, a key, a run, a trigger."),
    "plan": ("bridge.cli.explain.commands", "Show what an edited trigger would change, on the events of the log."),
    "test": ("bridge.cli.explain.commands", "Try triggers out on events in files, without Kafka."),
    "record": ("bridge.cli.explain.commands", "Write such a file from the events of the log."),
    "replay": ("bridge.cli.replay.commands", "Start the runs of the past that are missing, by the live rules."),
    "runs": ("bridge.cli.runs.commands", "List runs and their phases, show one, make one again, terminate one."),
    "dead-letters": ("bridge.cli.letters.commands", "Show, retry, edit or discard what could not be done."),
    "status": ("bridge.cli.commands", "Show lag, open windows and runs by outcome, read from Kafka."),
    "doctor": (
        "bridge.cli.doctor.commands",
        "Look for what will go wrong in Kafka, in the cluster and on this machine.",
    ),
    "size": ("bridge.cli.size.commands", "Tell how much an installation takes, from the rates of its events."),
    "check": ("bridge.cli.commands", "Validate triggers and, with --cluster, their WorkflowTemplates."),
    "publish": ("bridge.cli.publish", "Publish an event."),
    "schema": ("bridge.cli.schema.commands", "Make, compare and register the Avro schemas of events."),
    "version": ("bridge.cli.commands", "Print the versions of Flowbridge and of its libraries."),
}
"""Each command with the module that has it under its name, and its line in the list of commands."""

_EPILOG = (
    "Settings come from options, FLOWBRIDGE_* variables and the file that --config names, in this order. "
    "Exit codes: 0 done; 1 the answer is no (errors found, runs missing); 2 wrong usage or settings; "
    "3 Kafka, 4 Kubernetes, 5 the schema registry is unreachable or refuses; 70 a bug of Flowbridge."
)


class CommandGroup(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - given by the base
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - given by the base
        """Return the command of that name, None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - given by the base
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name.

        Raises:
            click.UsageError: There is no such command; names the closest one.

        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - only a misspelt command needs it

            close = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A reader that closed our pipe has seen enough."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Without this, the interpreter complains when it ends that it could not write to stdout.
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except (OSError, ValueError):  # a stream without a file, as in tests
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - stays open to the end
            return ExitCode.BROKEN_PIPE
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> Any:
        """Run the command line and exit; with ``standalone_mode`` off, return or raise as click does."""
        arguments = list(sys.argv[1:] if args is None else args)
        run = partial(super().main, arguments, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(guarded(run, debug="--debug" in arguments))


@click.group(
    cls=CommandGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(bridge.__version__, message="flowbridge %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of a bug.")
def cli(*, debug: bool) -> None:
    """Start Argo Workflows from events on Kafka, exactly once for each match."""
    del debug  # the group has read it from the arguments, before click


def guarded(run: Callable[[], Any], *, debug: bool) -> int:
    """Run a command, print its error to stderr if it raises any, and return the exit code.

    Args:
        run: Runs a command. It may return an exit code.
        debug: Show the traceback of a bug.

    """
    try:
        result = run()
    except FlowbridgeError as error:
        _report(error)
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.message)
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "flowbridge"
        _report(UsageError(error.format_message(), f"see {command} --help"))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - nothing above catches it
        if debug:
            click.echo(visible("".join(traceback.format_exception(error)), lines=True), err=True)
        hint = "" if debug else "; flowbridge --debug ... shows where"
        text = visible(" ".join(str(error).split()))
        click.echo(f"error: this is a bug of Flowbridge: {type(error).__name__}: {text}{hint}", err=True)
        return ExitCode.BUG
    return result if isinstance(result, int) else ExitCode.OK


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    if logging.lastResort is not None:  # the log of commands that set up none of their own
        logging.lastResort.setFormatter(TextLines())
    cli.main(prog_name="flowbridge")
    raise AssertionError("cli.main exits")


def _report(error: FlowbridgeError) -> None:
    click.echo(visible(f"error: {error.found}", lines=True), err=True)
    click.echo(visible(f"what to do: {error.remedy}", lines=True), err=True)
