"""docs/publishing.md shows the programs of docs/examples/publishing, and those that need no framework run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowbridge_sdk import event_id
from frameworks.golden import read_all

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "publishing.md"
RECIPES = DOCS / "examples" / "publishing"


@pytest.mark.parametrize(("language", "suffix"), [("python", ".py"), ("yaml", ".yaml")])
def test_the_page_shows_the_programs(language: str, suffix: str) -> None:
    shown = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    files = {file.read_text("utf-8"): file.name for file in RECIPES.glob(f"*{suffix}")}
    assert files
    assert not [name for text, name in files.items() if text not in shown]
    if language == "python":
        assert not [text for text in shown if text not in files]


def test_a_job_of_cron_publishes_for_its_day(bootstrap: str) -> None:
    environment = {**os.environ, "FLOWBRIDGE_BOOTSTRAP_SERVERS": bootstrap}
    for _ in range(2):
        command = [sys.executable, str(RECIPES / "job_block.py"), "2026-01-31"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert (done.stdout, done.stderr) == ("19.5\n", "")
    for name, job in (("sales.loaded", "load-sales"), ("sales.summed", "sum-sales")):
        ids = {dict(record.headers())["ce_id"].decode() for record in read_all(bootstrap, name, 2)}
        assert ids == {event_id("job", "given", job, "2026-01-31", None, "succeeded")}
