"""docs/dead-letters.md: each command of it is run as it stands there, next to letters as the page has them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import parameters

if TYPE_CHECKING:
    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(300)

PAGE = (Path(__file__).parents[2] / "docs" / "dead-letters.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
VERBS = {"list", "show", "export", "import", "edit", "discard", "retry"}
TRIGGER = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: ship}}
spec:
  events: [{{name: order.created}}]
  run: {{workflowTemplate: ship, parameters: {{order: order_created.payload.{field}}}}}
"""


def test_each_command_of_the_page_runs_as_it_stands_there(installation: Installation, tmp_path: Path) -> None:
    """The page's first letters are those of partition 1, where the letters of order.created are among four."""
    installation.create_template("ship", order=None)
    environment = [*in_environment(installation.environment), "PATH=" + f"{FLOWBRIDGE.parent}:/usr/bin:/bin"]
    printed: dict[str, str] = {}
    with installation.process():
        installation.write_triggers(TRIGGER.format(field="order_id"))
        installation.wait_triggers_as_written()
        with installation.publisher() as publisher:
            for number in range(6):
                publisher.publish("order.created", {"id": f"o-{number}"}, key="c-7")  # of one partition, in order
        installation.wait_dead_letters("order.created", 6)
        for command in COMMANDS:
            verb = command.split()[2]
            if verb == "retry" and verb not in printed:
                installation.write_triggers(TRIGGER.format(field="id"))
                installation.wait_triggers_as_written()
            done = subprocess.run(
                [*environment, "bash", "-euc", command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert done.stdout or verb == "export", command
            printed[verb] = done.stdout
        installation.wait_idle()
        orders = sorted(parameters(workflow)["order"] for workflow in installation.workflows("ship"))
    assert printed.keys() == VERBS
    assert orders == ["o-1", "o-2", "o-3", "o-4", "o-5"]  # the first by its edit; that of the second was discarded
    assert printed["import"].strip() == "0 letters were added; 6 are there already"
    assert "3 letters sent back" in printed["retry"]
