"""The README's first trigger, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE = 90.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Return the commands of a block, as started from this environment."""
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    return [
        [sys.executable, "-m", "bridge.cli", *line[3:]] for line in lines if line[:3] == ["uv", "run", "flowbridge"]
    ]


class Dev:
    """``flowbridge dev`` in the background, and what it prints."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.lines: list[str] = []
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} is not in:\n{''.join(self.lines)}")

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self._reader.join(10)
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (trigger,) = blocks("yaml")
    (tmp_path / "shipping.yaml").write_text(trigger, encoding="utf-8")
    return tmp_path


@pytest.fixture
def dev(folder: Path) -> Iterator[Dev]:
    check, start = commands(blocks("sh")[1])
    assert subprocess.run(check, cwd=folder, check=False, timeout=PATIENCE).returncode == 0
    running = Dev(start, folder)
    yield running
    running.stop()


def test_the_first_trigger_runs_as_the_readme_shows_it(dev: Dev, folder: Path) -> None:
    address = dev.wait_for(r"^Kafka: (\S+)")[1]
    environment = {**os.environ, "FLOWBRIDGE_BOOTSTRAP_SERVERS": address}
    dev.wait_for(r"ready")
    for command in commands(blocks("sh")[2]):
        assert subprocess.run(command, cwd=folder, env=environment, check=False, timeout=PATIENCE).returncode == 0
    dev.wait_for(r"submitter created +default/ship-order")


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", README)) - {"install"}
    assert named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def test_every_page_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
