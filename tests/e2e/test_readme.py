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


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a block as it stands, in a folder that has the environment that ``make demo`` makes."""
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


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
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def dev(folder: Path) -> Iterator[Dev]:
    *before, start = blocks("sh")[1].strip().splitlines()
    checked = bash("\n".join(before), folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    running = Dev(["bash", "-euc", f"{before[0]}\nexec {start}"], folder)
    yield running
    running.stop()


def test_the_first_trigger_runs_as_the_readme_shows_it(dev: Dev, folder: Path) -> None:
    address = dev.wait_for(r"^Kafka: (\S+)")[1]  # not the default port where something else of the machine has it
    dev.wait_for(r"^ready: .* flowbridge publish order.created order_id=")
    published = bash(blocks("sh")[2], folder, FLOWBRIDGE_BOOTSTRAP_SERVERS=address)
    assert published.returncode == 0, published.stdout + published.stderr
    dev.wait_for(r"submitter created +default/ship-order")
    dev.wait_for(r"^ +order = o-1$")
    (program,) = blocks("python")
    from_a_job = program.replace("localhost:9092", address)
    job = subprocess.run([sys.executable, "-c", from_a_job], check=False, timeout=PATIENCE)
    assert job.returncode == 0
    dev.wait_for(r"waiting +default/ship-order .* key o-2 ")


def test_dev_tells_of_an_edit_and_of_an_event_that_no_trigger_reads(dev: Dev, folder: Path) -> None:
    address = dev.wait_for(r"^Kafka: (\S+)")[1]
    dev.wait_for(r"^ready")
    file = folder / "shipping.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("within: 1h", "within: 2h"), encoding="utf-8")
    dev.wait_for(r"^trigger default/ship-order: changed, in force \(shipping.yaml:1\)")
    publish = "source .venv/bin/activate; flowbridge publish payment.don order_id=o-1"
    assert bash(publish, folder, FLOWBRIDGE_BOOTSTRAP_SERVERS=address).returncode == 0
    dev.wait_for(r"^no trigger reads payment.don \(1 event\); did you mean payment.done\?")


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", README)) - {"install"}
    assert named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def test_every_page_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
