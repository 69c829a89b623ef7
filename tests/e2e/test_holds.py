"""``flowbridge runs hold | release | holds`` against a running bridge, as an operator types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e.installation import DEADLINE, parameters
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

_TRIGGERS = "---".join(
    f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: held.{name}, as: made}}]
  run:
    workflowTemplate: {name}
    parameters: {{order: made.payload.order_id}}
"""
    for name in ("ship", "bill")
)


def started(installation: Installation, name: str) -> set[str]:
    return {parameters(workflow)["order"] for workflow in installation.workflows(name)}


def said(installation: Installation, *words: str) -> dict[str, object]:
    done = installation.command("runs", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def publish(installation: Installation, name: str, orders: Sequence[str]) -> None:
    with installation.publisher() as publisher:
        for order in orders:
            publisher.publish(f"held.{name}", {"order_id": order}, key="of one partition, in order")


def heard(bridge: BridgeProcess, text: str) -> None:
    wait_for(lambda: text in bridge.text(), DEADLINE, f"the log's {text!r}")


def test_runs_are_held_seen_and_released_in_part_and_then_all(installation: Installation) -> None:
    for name in ("ship", "bill"):
        installation.create_template(name, order="")
    installation.write_triggers(_TRIGGERS)
    with installation.process() as bridge:
        bridge.wait_ready()
        installation.wait_triggers("ship", "bill")
        ship = f"{installation.namespace}/ship"

        unknown = installation.command("runs", "hold", "--trigger", "shop", "--because", "a typing error")
        assert unknown.returncode == 2
        assert "there is no trigger" in unknown.stderr
        both = installation.command("runs", "release", "--trigger", "ship", "--all")
        assert both.returncode == 2
        assert "one of --trigger NAME, --all-of NAMESPACE and --all" in both.stderr

        assert said(installation, "hold", "--trigger", "ship", "--because", "the warehouse is closed") | {
            "who": "",
            "at": "",
        } == {
            "kind": "hold",
            "scope": ship,
            "is_held": True,
            "allowed": 0,
            "at": "",
            "who": "",
            "why": "the warehouse is closed",
        }
        heard(bridge, f"the runs of {ship} are held")
        orders = [f"o-{number}" for number in range(6)]
        publish(installation, "ship", orders)
        publish(installation, "bill", ["paid"])
        wait_for(lambda: started(installation, "bill") == {"paid"}, DEADLINE, "the run of the other trigger")
        held = f'flowbridge_held_runs{{by="hold",trigger="{ship}"}} 6.0'
        wait_for(lambda: held in bridge.get("/metrics"), DEADLINE, "the metric")
        assert "held runs: 6, held triggers: 1" in bridge.get("/readyz")
        status = installation.command("status").stdout
        assert f"held       the runs of {ship} are held since" in status
        assert f"6 of {ship} wait for a person to release them" in status
        listed = installation.command("runs", "holds").stdout
        assert ": the warehouse is closed" in listed
        assert started(installation, "ship") == set()

        said(installation, "release", "--trigger", "ship", "--first", "2")
        wait_for(lambda: len(started(installation, "ship")) == 2, DEADLINE, "two runs")
        left = held.replace("6.0", "4.0")
        wait_for(lambda: left in bridge.get("/metrics"), DEADLINE, "four that wait")
        assert started(installation, "ship") == {"o-0", "o-1"}

        whole = installation.command("runs", "release", "--all")
        assert f"still held: all but 2 runs of {ship}" in whole.stdout
        said(installation, "release", "--trigger", "ship", "--because", "it is open again")
        wait_for(lambda: started(installation, "ship") == set(orders), DEADLINE, "all runs")
        assert "nothing is held by a person" in installation.command("runs", "holds").stdout
        wait_for(lambda: "flowbridge_held_runs{" not in bridge.get("/metrics"), DEADLINE, "no metric")
