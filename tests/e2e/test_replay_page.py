"""docs/replay.md: each command of it is run as it stands there."""

from __future__ import annotations

import re
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.replay_bed import Bed, is_under_way
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(300)


PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
LIFE = ("show", "pause", "resume", "cancel", "retry-failed")


@pytest.fixture
def bed(installation: Installation) -> Iterator[Bed]:
    installation.create_template("ship", order="none")
    bed = Bed(installation)
    with installation.process():
        bed.ship("first")  # the topics are read from here on
        bed.pair("other")
        for event in ("part", "bill"):
            bed.publish(event, *[{"pair": f"p-{number}"} for number in range(10)])
        bed.publish("order", *[{"order": f"o-{number}"} for number in range(20)])
        installation.wait_idle()
        yield bed


def test_each_command_of_the_page_runs_as_it_stands_there(bed: Bed, tmp_path: Path) -> None:
    """The page's triggers come after twenty events."""
    bed.ship("report")
    bed.ship("ship")
    bed.pair("pair")
    (tmp_path / "report.yaml").write_text(bed.triggers["report"])
    environment = [*in_environment(bed.installation.environment), "PATH=" + f"{FLOWBRIDGE.parent}:/usr/bin:/bin"]
    slow = ["--trigger", "report", "--from", "earliest", "--name", "monday", "--rate", "1", "--yes"]
    monday: subprocess.Popen[str] | None = None
    try:
        for command in COMMANDS:
            verb = command.split()[2]
            if verb in LIFE and monday is None:
                bed.ship("monday")  # a trigger whose backfill takes long
                slow[1] = "monday"
                monday = subprocess.Popen([*environment, str(FLOWBRIDGE), "replay", *slow], text=True)
                wait_for(partial(is_under_way, bed, "monday", monday), 60, "the replay to run")
            if verb == "resume":
                resumed = subprocess.Popen([*environment, *command.split()], text=True)
                wait_for(partial(is_under_way, bed, "monday", resumed), 60, "the replay to go on")
                resumed.send_signal(signal.SIGINT)
                assert resumed.wait(30) == 130
                continue
            done = subprocess.run(
                [*environment, "bash", "-euc", command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert done.stdout, command
    finally:
        if monday is not None:
            monday.kill()
            monday.wait()
    named = {line["name"]: line["state"] for line in bed.command("list")}
    assert (named["backfill"], named["monday"]) == ("completed", "cancelled")
    assert {command.split()[2] for command in COMMANDS} >= {"--trigger", "list", *LIFE}
