"""The promises of the command line as a whole: help, exit codes, errors without tracebacks, quiet pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bridge
import flowbridge_sdk
from bridge import errors
from bridge.cli.main import COMMANDS, cli, guarded
from bridge.cli.output import Output
from bridge.errors import ExitCode, FlowbridgeError, SettingProblem, SettingsError

HELP = """\
Usage: flowbridge [OPTIONS] COMMAND [ARGS]...

  Start Argo Workflows from events on Kafka, exactly once for each match.
"""
_WITHOUT_OUTPUT = (
    "run",
    "gateway",
    "record",
    "schema",
    "runs",
    "dead-letters",
)  # logs, a file, or commands of their own
FLOWBRIDGE = [sys.executable, "-c", "from bridge.cli.main import main; main()"]


def test_help_names_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(cli, ["--help"], prog_name="flowbridge")
    assert result.exit_code == ExitCode.OK
    assert result.output.startswith(HELP)
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in result.output
        assert summary[:40] in result.output
    assert "Exit codes: 0 done; 1 " in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_to_work_from(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="flowbridge")
    assert result.exit_code == ExitCode.OK
    assert result.output.startswith(f"Usage: flowbridge {name} ")
    assert "-o, --output [text|json]" in result.output or name in _WITHOUT_OUTPUT


def test_help_imports_no_more_than_it_needs() -> None:
    heavy = "pydantic", "confluent_kafka", "kubernetes", "starlette", "yaml", "cel"
    code = (
        "import sys\nfrom bridge.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_the_version_needs_nothing_but_the_command_line() -> None:
    code = "import sys\nfrom bridge.cli.main import main\nsys.argv = ['flowbridge', '--version']\n"
    code += "try:\n    main()\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == f"flowbridge {bridge.__version__}\n"
    imported = set(ended.stderr.split())
    ours = {name for name in imported if name.startswith(("bridge", "flowbridge_sdk"))}
    assert ours == {
        *("bridge", "bridge.errors", "bridge.plain_text", "bridge.kafka", "bridge.kafka.outage"),
        *("bridge.cli", "bridge.cli.main", "bridge.cli.logs"),
    }
    assert not imported & {"asyncio", "email", "importlib.metadata", "ssl"}
    foreign = {name.partition(".")[0] for name in imported - ours} - sys.stdlib_module_names
    assert foreign <= {"__main__", "click", "_virtualenv", "cython_runtime"}


def test_a_check_of_files_imports_no_clients_and_no_stages(tmp_path: Path) -> None:
    (tmp_path / "trigger.yaml").write_text(
        "apiVersion: flowbridge.dev/v1\nkind: Trigger\nmetadata: {name: a}\n"
        "spec:\n  events: [{name: order.created, where: payload.amount > 1}]\n  run: {workflowTemplate: ship}\n"
    )
    heavy = "confluent_kafka", "kubernetes", "starlette", "uvicorn", "asyncio", "bridge.stages.process", "bridge.replay"
    code = (
        "import sys\nfrom bridge.cli.main import cli\n"
        f"cli.main(['check', {str(tmp_path)!r}], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "1 trigger, 1 file, 0 errors, 0 warnings"
    assert ended.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_neither_clients_nor_engines(name: str) -> None:
    heavy = "confluent_kafka", "kubernetes", "starlette", "uvicorn", "cel_expr_python", "re2", "fastavro", "cronsim"
    code = (
        "import sys\nfrom bridge.cli.main import cli\n"
        f"cli.main([{name!r}, '--help'], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_both_packages_have_a_version() -> None:
    assert (bridge.__version__, flowbridge_sdk.__version__) == (version("flowbridge"), version("flowbridge-sdk"))


def test_version_tells_what_runs_here() -> None:
    text = CliRunner().invoke(cli, ["version"])
    assert text.output.startswith("flowbridge 0.")
    as_json = CliRunner().invoke(cli, ["version", "-o", "json"])
    assert set(json.loads(as_json.stdout)) > {"flowbridge", "flowbridge-sdk", "librdkafka", "kubernetes"}
    assert len(as_json.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["nope"], ["--nope"], ["publish"], ["publish", "x", "--nope"], ["version", "-o", "xml"], []],
)
def test_wrong_usage_ends_with_2_and_where_to_look(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments, prog_name="flowbridge")
    assert result.exit_code == ExitCode.USAGE
    if arguments:
        assert result.stderr.startswith("error: ")
        assert "\nwhat to do: see flowbridge" in result.stderr


def test_wrong_settings_end_with_2_and_are_all_named() -> None:
    environment = {"FLOWBRIDGE_PARTITIONS": "many", "FLOWBRIDGE_RELOAD": "10"}
    result = CliRunner(env=environment).invoke(cli, ["publish", "x", "--kafka-property", "acks=0"])
    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""
    for place in ("error: --kafka-property acks: ", "\nFLOWBRIDGE_PARTITIONS: ", "\nFLOWBRIDGE_RELOAD: "):
        assert place in result.stderr


def raising(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


KINDS = [getattr(errors, name) for name in dir(errors) if name.endswith("Error") and name != "FlowbridgeError"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_ends_a_command_with_its_code_and_says_what_to_do(
    kind: type[FlowbridgeError],
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = SettingsError([SettingProblem("a", "b", "c")]) if kind is SettingsError else kind("this was found")
    assert guarded(raising(error), debug=True) == kind.exit_code
    assert capsys.readouterr().err == f"error: {error.found}\nwhat to do: {kind.default_remedy}\n"


def test_a_bug_ends_with_70_in_one_line_and_with_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    bug = raising(RuntimeError("two\nlines"))
    assert guarded(bug, debug=False) == ExitCode.BUG
    shown = capsys.readouterr().err
    assert shown == (
        "error: this is a bug of Flowbridge: RuntimeError: two lines; flowbridge --debug ... shows where\n"
    )
    assert guarded(bug, debug=True) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_ends_with_130() -> None:
    assert guarded(raising(click.Abort()), debug=False) == ExitCode.INTERRUPTED


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ended = subprocess.run(
            [*FLOWBRIDGE, "version"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == ExitCode.BROKEN_PIPE
    assert ended.stderr == ""


def test_without_a_command_the_help_is_shown() -> None:
    result = CliRunner().invoke(cli, [], prog_name="flowbridge")
    assert result.exit_code == ExitCode.USAGE
    assert result.output.startswith(HELP)
    assert "  publish " in result.output


def test_a_misspelt_command_is_met_with_the_closest() -> None:
    ended = subprocess.run([*FLOWBRIDGE, "chek"], capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.USAGE
    assert "there is no command 'chek'. Did you mean check?" in ended.stderr


def test_no_option_of_a_setting_says_text_where_it_means_something_else() -> None:
    shown = CliRunner().invoke(cli, ["run", "--help"], prog_name="flowbridge", terminal_width=200).output
    assert " TEXT " not in shown
    for option in ("--ledger-horizon DURATION", "--partitions INTEGER", "--listen HOST:PORT", "--namespace NAMESPACE"):
        assert option in shown


def test_the_shells_complete_commands() -> None:
    words = {"_FLOWBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "flowbridge che", "COMP_CWORD": "1"}
    ended = subprocess.run([*FLOWBRIDGE], capture_output=True, text=True, check=False, env={**os.environ, **words})
    assert "check" in ended.stdout


def test_status_gives_up_soon_when_kafka_is_away() -> None:
    command = [*FLOWBRIDGE, "status", "--bootstrap-servers", "127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == ExitCode.KAFKA
    assert "no broker answers at 127.0.0.1:1 within 3 s" in ended.stderr


@pytest.mark.parametrize(
    ("words", "completed"), [("flowbridge che", "plain,check"), ("flowbridge check --clu", "plain,--cluster")]
)
def test_a_shell_completes_commands_and_options(words: str, completed: str) -> None:
    place = str(len(words.split()) - 1)
    asked = {"_FLOWBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": place}
    ended = subprocess.run(FLOWBRIDGE, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == [completed]


def test_values_in_help_are_called_what_they_are() -> None:
    for name in COMMANDS:
        text = CliRunner().invoke(cli, [name, "--help"], prog_name="flowbridge").output
        assert " TEXT" not in text.partition("Options:")[2], name


def test_no_color_is_heeded_where_a_terminal_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda _stream, color: color is False)
    output = Output(as_json=False)
    output.result(click.style("wrong", fg="red"), {}, styled=True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.result(click.style("wrong", fg="red"), {}, styled=True)
    assert capsys.readouterr().out.splitlines() == ["\x1b[31mwrong\x1b[0m", "wrong"]
