"""docs/bad-night.md, played through: each command of it is run as it stands there, and what the page tells happens.

A template goes and comes back, a storm is let through in part, a wrong schema is rolled out and back. Argo's own
controller runs the Workflows.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from kubernetes import client

from bridge.cli.runs.commands import runs
from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import DEADLINE
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation
    from servers.choice import AnyKubernetes
    from servers.controller import ArgoController

pytestmark = pytest.mark.timeout(600)

PAGE = (Path(__file__).parents[2] / "docs" / "bad-night.md").read_text("utf-8")
TRIGGERS = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: bill}
spec:
  events: [{name: night.order.paid, as: order}]
  run: {workflowTemplate: bill}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events: [{name: night.order.packed, as: order}]
  run:
    workflowTemplate: ship
    parameters: {order_id: order.payload.order_id}
    limits: {storm: {count: 5, within: 10m}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: notify}
spec:
  events: [{name: night.order.shipped, as: order}]
  run:
    workflowTemplate: notify
    parameters: {order_id: order.payload.order_id}
"""
PACKED = 12
LETTER = "1/0"
"""The letter that the page's commands name."""


def commands(title: str) -> list[str]:
    """Return the commands of a section of the page."""
    (section,) = [part for part in PAGE.split("\n## ")[1:] if part.startswith(title)]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    found = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert found, title
    return found


class Night:
    """The installation, the people who work on it, and what they type."""

    def __init__(self, installation: Installation, kubernetes: AnyKubernetes, bridge: BridgeProcess) -> None:
        self.installation = installation
        self._kubernetes = kubernetes
        self._bridge = bridge
        self._environment = [*in_environment(installation.environment), f"PATH={FLOWBRIDGE.parent}:/usr/bin:/bin"]
        self.left = {command for part in ("1.", "2.", "3.", "In the") for command in commands(part)}

    def types(self, command: str, *expected: str, code: int = 0) -> str:
        """Run a command of the page; its output has all of these texts."""
        self.left.discard(command)
        letter = LETTER
        if LETTER in command:
            done = self.installation.command("dead-letters", "list", "--each", "--state", "all").stdout
            (letter,) = set(re.findall(r"\b\d+/\d+\b(?=.*unrunnable)", done))
        words = [*self._environment, "bash", "-euc", command.replace(LETTER, letter)]
        done_ = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done_.returncode == code, f"{command}: {done_.returncode}\n{done_.stdout}\n{done_.stderr}"
        for text in expected:
            assert text in done_.stdout, f"{command}: no {text!r} in\n{done_.stdout}"
        return done_.stdout

    def publish(self, topic: str, payloads: Mapping[str, Mapping[str, Any]]) -> None:
        """Publish events, each with its id."""
        with self.installation.publisher() as publisher:
            for id_, payload in payloads.items():
                publisher.publish(f"night.order.{topic}", payload, id=id_)

    def wait_metric(self, pattern: str) -> None:
        """Wait until the bridge has a metric that an alert looks at."""
        wait_for(lambda: re.search(pattern, self._bridge.get("/metrics")) is not None, DEADLINE, pattern)

    def succeeded(self, trigger: str) -> int:
        """Return how many runs of a trigger have succeeded, by the ledger; asked often, so inside of this process."""
        place = ["--bootstrap-servers", self.installation.bootstrap, "--internal-prefix", self.installation.prefix]
        name = f"{self.installation.namespace}/{trigger}"
        done = CliRunner().invoke(runs, ["list", "--trigger", name, "--phase", "succeeded", "-o", "json", *place])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return len(done.stdout.splitlines())

    def wait_succeeded(self, trigger: str, number: int) -> None:
        wait_for(lambda: self.succeeded(trigger) >= number, DEADLINE, f"{number} runs of {trigger} to succeed")
        assert self.succeeded(trigger) == number

    def create_template(self, name: str) -> None:
        """Create a template of one step that needs no pod."""
        order = {"parameters": [{"name": "order_id"}]}
        steps = [{"name": "step", "suspend": {"duration": "0s"}}]
        self.installation.create_template_of(name, {"entrypoint": "step", "arguments": order, "templates": steps})

    def delete_template(self, name: str) -> None:
        with self._kubernetes.api() as api:
            place = ("argoproj.io", "v1alpha1", self.installation.namespace, "workflowtemplates", name)
            client.CustomObjectsApi(api).delete_namespaced_custom_object(*place)


def test_the_night_goes_as_the_page_tells_it(
    installation: Installation, kubernetes: AnyKubernetes, argo_controller: Callable[[str], ArgoController]
) -> None:
    argo_controller(installation.namespace)
    installation.write_triggers(TRIGGERS)
    with installation.process(FLOWBRIDGE_RETRY_FOR="5s") as bridge:
        night = Night(installation, kubernetes, bridge)
        for name in ("ship", "notify"):
            night.create_template(name)
        bridge.wait_ready()
        installation.wait_triggers("bill", "ship", "notify")
        _template_gone(night)
        _flood(night)
        _wrong_schema(night)
        each, show, ran, status = commands("In the")
        night.types(each, "(sent)", "(edited)")
        night.types(show, "edit", "the publisher renamed a field")
        night.types(ran, "succeeded")
        assert "held" not in night.types(status, "0 open", f"{2 + PACKED + 2} created")
        assert not night.left


def _template_gone(night: Night) -> None:
    explain, listed, each, dry, retry, ended = commands("1.")
    night.publish("paid", {"paid-1": {"order_id": "o-1"}, "paid-2": {"order_id": "o-2"}})
    night.wait_metric(r'flowbridge_unread_templates\{template=".*/bill"\} 1\.0')
    night.wait_metric(r'flowbridge_decisions_total\{reason="refused",stage="submitter",trigger=".*/bill"\} 2\.0')
    night.types(explain, "WorkflowTemplate", "bill")
    night.types(listed, "refused", "/bill")
    assert night.types(each, "refused").count("refused") >= 2
    night.types(dry, "fails", code=1)
    night.create_template("bill")
    night.types(dry, "passes")
    night.types(retry, "2 letters sent back")
    night.wait_succeeded("bill", 2)
    night.types(ended, "succeeded")


def _flood(night: Night) -> None:
    status, waiting, first, succeeded, release, holds = commands("2.")
    night.publish("packed", {f"packed-{number}": {"order_id": f"o-{number}"} for number in range(PACKED)})
    # A few runs may have started before more than five were asked for.
    night.installation.wait_processed()
    before = len(night.installation.workflows("ship"))
    assert before <= 5
    held = PACKED - before
    night.wait_metric(rf'flowbridge_held_runs\{{by="storm",trigger=".*/ship"\}} {held}\.0')
    night.types(status, "wait for the end of a storm")
    assert len(night.types(waiting, "waiting").splitlines()) == held
    night.types(first, "all but 2 runs")
    night.wait_succeeded("ship", before + 2)
    night.wait_metric(rf'flowbridge_held_runs\{{by="hold",trigger=".*/ship"\}} {held - 2}\.0')
    night.types(succeeded, "ship")
    night.types(release, "are released")
    night.wait_succeeded("ship", PACKED)
    night.types(holds, "nothing is held by a person")


def _wrong_schema(night: Night) -> None:
    hold, listed, each, explain, edit, release = commands("3.")
    night.publish("shipped", {"shipped-1": {"id": "o-1"}})
    night.wait_metric(r'flowbridge_open_dead_letters\{reason="unrunnable"\} 1\.0')
    night.types(hold, "are held", "wrong events")
    night.types(listed, "unrunnable", "order_id")
    night.types(each, "unrunnable")
    night.types(explain, "order_id")
    night.publish("shipped", {"shipped-2": {"order_id": "o-2"}})
    night.types(edit, "o-1")
    night.wait_metric(r'flowbridge_held_runs\{by="hold",trigger=".*/notify"\} 2\.0')
    assert night.succeeded("notify") == 0
    night.types(release, "are released")
    night.wait_succeeded("notify", 2)
