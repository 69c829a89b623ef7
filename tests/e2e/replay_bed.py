"""An installation whose past is replayed, and what the commands of replays say."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from e2e.installation import parameters

if TYPE_CHECKING:
    import subprocess

    from e2e.installation import Installation

SHIP = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  suspend: {suspend}
  events: [{{name: {prefix}order}}]
  run: {{workflowTemplate: ship}}
"""

PAIR = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events:
    - {{name: {prefix}part, as: part, key: payload.pair}}
    - {{name: {prefix}bill, as: bill, key: payload.pair}}
  window: {{within: 2h}}
  collect: {collect}
  run: {{workflowTemplate: ship, parameters: {{order: part.payload.pair}}}}
"""


class Bed:
    """The installation, and what its commands say."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.names = f"shop-{installation.prefix}"  # the bridge reads no topic with its own prefix
        self.triggers: dict[str, str] = {}

    def ship(self, name: str, *, suspend: bool = False) -> None:
        """Write a trigger of one event, or change it."""
        self.triggers[name] = SHIP.format(name=name, prefix=self.names, suspend=str(suspend).lower())
        self._write()

    def pair(self, *names: str) -> None:
        """Write triggers of two events that belong together."""
        for name in names:
            collect = "first" if name.endswith("first") else "latest"
            self.triggers[name] = PAIR.format(name=name, prefix=self.names, collect=collect)
        self._write()

    def _write(self) -> None:
        self.installation.write_triggers("---\n".join(self.triggers.values()))
        self.installation.wait_triggers_as_written()

    def publish(self, event: str, *payloads: dict[str, Any]) -> None:
        """Publish events, and wait until Kafka has them."""
        with self.installation.publisher() as publisher:
            for payload in payloads:
                publisher.publish(f"{self.names}{event}", payload)
            publisher.flush()

    def replay(self, trigger: str, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a replay to its end; return what it prints."""
        return self.command("--trigger", trigger, "--from", "earliest", *words, code=code)

    def command(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run ``flowbridge replay``; return what it prints."""
        done = self.installation.command("replay", *words, "-o", "json")
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ran(self, trigger: str) -> Counter[str]:
        """Return the orders for which Workflows of a trigger exist."""
        return Counter(parameters(workflow)["order"] for workflow in self.installation.workflows(trigger))


def plan_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (plan,) = [line for line in lines if line["kind"] == "plan"]
    return plan


def named(lines: list[dict[str, Any]]) -> int:
    return sum(line["kind"] == "run" for line in lines)


def state(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next(line for line in reversed(lines) if line["kind"] == "replay")


def is_under_way(bed: Bed, name: str, process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None or any(
        line["name"] == name and line["state"] == "running" for line in bed.command("list")
    )
