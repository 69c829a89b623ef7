"""What an operator reads in the log of ``flowbridge run``: a line a Workflow, and a few lines an outage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml

from e2e.installation import Installation
from servers.kafka import KafkaServer
from servers.process import wait_for
from servers.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.bridge_process import BridgeProcess
    from servers.choice import AnyKafka, AnyKubernetes

OUTAGE_SECONDS = 30
SOON = 60.0
PAIR = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: pair}
spec:
  events: [{name: logs.a, as: a}, {name: logs.b, as: b}]
  key: payload.key
  window: {within: 1h}
  run: {workflowTemplate: job, parameters: {id: a.id, text: b.id}}
"""


def _publish(installation: Installation, number: int) -> None:
    with installation.publisher() as publisher:
        for name in ("a", "b"):
            publisher.publish(f"logs.{name}", {"key": f"k{number}"}, key=f"k{number}", id=f"{name}{number}")


def _lines(bridge: BridgeProcess) -> list[str]:
    return bridge.text().splitlines()


def _ready(installation: Installation) -> None:
    installation.create_template("job", id=None, text=None)
    installation.write_triggers(PAIR)


@pytest.mark.servers
def test_a_broker_that_is_away_for_half_a_minute_is_a_line_when_it_goes_and_one_when_it_is_back(
    kubernetes: AnyKubernetes, tmp_path: Path
) -> None:
    with KafkaServer() as kafka:
        installation = Installation(kafka, kubernetes, tmp_path)
        _ready(installation)
        with installation.process() as bridge:
            installation.wait_triggers("pair")
            _publish(installation, 1)
            (workflow,) = installation.wait_workflows("pair", 1)
            wait_for(lambda: "created: " in bridge.text(), SOON, "the line about it")
            before = len(_lines(bridge))

            began = time.monotonic()
            kafka.stop()
            time.sleep(OUTAGE_SECONDS)  # how long it is away is what this is about
            kafka.start()
            wait_for(lambda: "Kafka is back" in bridge.text(), SOON, "Kafka to be back")
            outage = _lines(bridge)[before:]
            minutes = (time.monotonic() - began) // 60
            _publish(installation, 2)
            installation.wait_workflows("pair", 2, seconds=2 * SOON)

            wait_for(lambda: bridge.text().count("created: ") == 2, SOON, "the line of the second Workflow")
            created = [line for line in _lines(bridge) if "created: " in line]
            assert f"workflow {installation.namespace}/{workflow['metadata']['name']}" in created[0]
            for text in (f"trigger {installation.namespace}/pair", "key k1", "logs.a a1, logs.b b1", "INFO"):
                assert text in created[0]
    assert ["cannot be reached" in outage[0], "Kafka is back after" in outage[-1]] == [True, True], outage
    between = outage[1:-1]  # none, unless the machine took long to have Kafka back
    assert len(between) <= minutes, outage
    assert all("cannot be reached for" in line for line in between), outage


def test_an_api_server_that_is_away_is_one_warning(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path) -> None:
    installation = Installation(kafka, kubernetes, tmp_path)
    _ready(installation)
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        config = yaml.safe_load(kubernetes.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://{proxy.address}"
        way = tmp_path / "proxied.kubeconfig"
        way.write_text(yaml.safe_dump(config))
        with installation.process(KUBECONFIG=str(way)) as bridge:
            installation.wait_triggers("pair")
            _publish(installation, 1)
            installation.wait_workflows("pair", 1)
            wait_for(lambda: "created: " in bridge.text(), SOON, "the line about it")
            before = len(_lines(bridge))
            proxy.cut()
            for number in range(2, 22):
                _publish(installation, number)
            wait_for(lambda: "does not serve" in bridge.text(), SOON, "the warning")
            wait_for(lambda: installation.decisions(bridge, "pair")["retrying"] >= 5, SOON, "several attempts")
            proxy.restore()
            installation.wait_workflows("pair", 21)
            wait_for(lambda: " again, after " in bridge.text(), SOON, "the line when it is back")
            wait_for(lambda: bridge.text().count("created: ") == 21, SOON, "the lines about them")
            outage = _lines(bridge)[before:]
    assert sum("WARNING" in line for line in outage) == 1, outage
    assert sum("created: " in line for line in outage) == 20, outage
    assert len(outage) == 22, outage
