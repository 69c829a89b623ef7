"""The bench takes what its page says, and refuses what it cannot measure before it starts a server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import APART, MEASURES, TRIALS, read_options
from bench.scale import FULL, QUICK

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "performance.md").read_text()
COMMANDS = [
    line.partition("#")[0].strip() for line in re.findall(r"^    ((?:make|PYTHONPATH=tests) .*)$", PAGE, re.MULTILINE)
]


def test_the_page_has_commands_of_both_kinds() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"make", "PYTHONPATH=tests"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_are_taken(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        plan = [words[0], "--no-print-directory", "--dry-run", *words[1:]]  # also where make runs these tests
        planned = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
        words = shlex.split(planned.splitlines()[-1])
    assert words[words.index("-m") + 1] == "bench"
    assert set(read_options(words[words.index("-m") + 2 :]).names) <= {*MEASURES, *APART}


def test_a_comparison_measures_the_groups_that_two_revisions_have() -> None:
    assert read_options(["--compare", "main"]).names == list(TRIALS)
    assert read_options([]).names == list(MEASURES)


def test_counts_are_set_one_by_one() -> None:
    assert read_options(["--quick"]).scale == QUICK
    scale = read_options(["--set", "rounds=11", "--set", "events=5"]).scale
    assert (scale.rounds, scale.events, scale.pairs) == (11, 5, FULL.pairs)


def test_routers_and_matchers_have_five_rounds_or_more() -> None:
    assert FULL.rounds >= 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "HEAD", "--only", "latency"], "--compare knows routers, .*, not latency"),
        (["--only", "no-such-group"], "invalid choice: 'no-such-group'"),
        (["--set", "no_such_count=3"], "--set no_such_count=3: expected COUNT=N, with one of .*rounds"),
        (["--set", "rounds=many"], "--set rounds=many: expected COUNT=N"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_options(arguments)
    assert re.search(said, capsys.readouterr().err)


def test_an_unknown_revision_ends_the_bench_before_a_server_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--compare", "no-such-revision"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-revision" in done.stderr
    assert done.stdout == ""
