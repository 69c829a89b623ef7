"""What is printed and logged: no character that an event or an error brings in is a command to a terminal."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import unicodedata

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.cli import main
from bridge.cli.dev.decision_lines import DecisionLines
from bridge.cli.logs import JsonLines, TextLines
from bridge.cli.output import Output
from bridge.core.decision import Decision, Reason, RunDecision, RunReason
from bridge.core.event import EventIdentity
from bridge.errors import KafkaRefusedError
from bridge.plain_text import visible

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\n10:00:00 submitter created\u202egnp.exe\u2066\x7f\ud800\U000e0041"
ESCAPES = ("\\u001b[2J", "\\u009b31m", "\\r\\n10:00", "\\u202egnp", "\\u2066", "\\u007f", "\\ud800", "\\udb40\\udc41")


def is_harmless(text: str) -> bool:
    return all(
        unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        and unicodedata.bidirectional(character) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for character in text
    )


@given(st.text(st.characters()))
@example(HOSTILE)
def test_visible_text_commands_no_terminal_and_shows_each_character(text: str) -> None:
    assert is_harmless(visible(text))
    assert is_harmless(visible(text, lines=True).replace("\n", ""))
    assert all(escape in visible(HOSTILE) for escape in ESCAPES)


@given(st.text(st.characters()))
def test_json_text_that_is_made_visible_reads_back_as_the_same(text: str) -> None:
    assert json.loads(visible(json.dumps({"id": text}, ensure_ascii=False))) == {"id": text}


@pytest.mark.parametrize(
    "text", ["Grüße", "日本語", "שלום", "नमस्ते", "👩\u200d👩\u200d👧", "क्\u200dष", "C:\\new", "a\u00a0b"]
)
def test_ordinary_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def decisions() -> list[Decision | RunDecision]:
    event = EventIdentity(HOSTILE, HOSTILE, HOSTILE)
    return [
        Decision(Reason.FILTERED, HOSTILE, HOSTILE, event, HOSTILE, {"error": HOSTILE}),
        RunDecision(RunReason.CREATED, HOSTILE, HOSTILE, HOSTILE, {"reason": HOSTILE}),
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_decisions_are_lines_whatever_their_events_hold(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:  # noqa: FBT001 - a parameter of the test
    lines = DecisionLines(Output(as_json=as_json), lambda _workflow: {"note": HOSTILE})
    lines.show("router", decisions())
    printed = click.unstyle(capsys.readouterr().out).splitlines()
    assert len(printed) == (2 if as_json else 3)
    assert all(map(is_harmless, printed))


@pytest.mark.parametrize("as_json", [False, True])
def test_results_and_remarks_are_harmless(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:  # noqa: FBT001 - a parameter of the test
    output = Output(as_json=as_json)
    output.result(HOSTILE, {"id": HOSTILE})
    output.result([HOSTILE, HOSTILE], {"id": HOSTILE})
    output.remark(HOSTILE.replace("\n", " "))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == (2 if as_json else 4)
    assert all(map(is_harmless, printed))


@pytest.mark.parametrize("error", [KafkaRefusedError(HOSTILE, HOSTILE), ValueError(HOSTILE), click.UsageError(HOSTILE)])
@pytest.mark.parametrize("debug", [False, True])
def test_what_ends_a_command_is_printed_harmless(
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    debug: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def run() -> None:
        raise error

    assert main.guarded(run, debug=debug)
    assert is_harmless(capsys.readouterr().err.replace("\n", ""))


def record(error: Exception | None = None) -> logging.LogRecord:
    found = None if error is None else (type(error), error, None)
    return logging.LogRecord("bridge", logging.ERROR, "x.py", 1, "event %s", (HOSTILE,), found)


@pytest.mark.parametrize("formatter", [TextLines("%(levelname)s %(message)s"), JsonLines()])
def test_a_logged_message_is_one_line_and_harmless(formatter: logging.Formatter) -> None:
    assert is_harmless(formatter.format(record()))


def test_no_line_of_a_traceback_reads_as_a_message() -> None:
    first, *others = TextLines("%(levelname)s %(message)s").format(record(ValueError(HOSTILE))).splitlines()
    assert first.startswith("ERROR event a")
    assert all(line.startswith("    ") and is_harmless(line) for line in others)
    assert others


def test_what_is_logged_before_a_log_is_set_up_is_harmless() -> None:
    code = (
        "import logging, sys; from bridge.cli import main\n"
        "sys.argv[1:] = ['--version']\n"
        "try: main.main()\n"
        "finally: logging.getLogger('x').warning('a\\x1b[2J\\nb')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "a\\u001b[2J\\nb\n"
