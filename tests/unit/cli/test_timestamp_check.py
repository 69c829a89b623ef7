"""Warnings of topics whose timestamps are what publishers claim, and how topics that the bridge creates are set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cli import status
from bridge.cli.checks import cluster as cluster_checks
from bridge.cli.checks.timestamps import claimed_times, timestamp_findings
from bridge.cli.output import Output
from bridge.cli.wiring.kafka import new_topic
from bridge.errors import ExitCode
from bridge.kafka.log import TopicSpec
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.settings.settings import Settings
from bridge.triggers.sources.folder import TriggerFolder
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from unit.cli.test_check import checked
from unit.stages.world import World, two_slots

STAMPED = {"message.timestamp.type": "LogAppendTime"}
COMMAND = (
    "kafka-configs --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name order.created "
    "--add-config message.timestamp.type=LogAppendTime"
)
TRIGGERS = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events: [{name: payment.done}, {name: order.created}, {name: order.lost}]
  window: {within: 1h}
  run: {workflowTemplate: ship}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: tell}
spec:
  events: [{name: order.created}]
  run: {workflowTemplate: ship}
"""


def broker() -> MemoryBroker:
    """Return a Kafka with one topic of each kind."""
    made = MemoryBroker(clock=lambda: 0)
    made.create(TopicSpec("order.created", 1))
    made.create(TopicSpec("payment.done", 1, config=STAMPED))
    return made


def test_a_topic_whose_timestamps_publishers_set_is_found_with_the_command_that_changes_it() -> None:
    admin = MemoryLog(broker()).admin()
    (claimed,) = claimed_times(admin, ["order.created", "payment.done", "missing"], "kafka:9092")
    assert claimed.topic == "order.created"
    assert "message.timestamp.type=CreateTime" in claimed.found
    assert claimed.expected == COMMAND


def test_a_topic_is_warned_of_once_at_the_first_event_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGERS)
    loaded = TriggerFolder([tmp_path], "default").read().loaded
    (finding,) = timestamp_findings(loaded, SharedTopics(), MemoryLog(broker()).admin(), "kafka:9092")
    assert finding.severity == "warning"
    assert (finding.error.origin.line, finding.error.field) == (1, "spec.events[1].name")
    assert (finding.error.trigger, finding.error.expected) == ("default/ship", COMMAND)


def test_shared_topics_are_looked_at_where_events_share_one(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGERS)
    loaded = TriggerFolder([tmp_path], "default").read().loaded
    made = broker()
    made.create(TopicSpec("orders", 1))
    found = timestamp_findings(loaded, SharedTopics({"order.*": "orders"}), MemoryLog(made).admin(), "kafka:9092")
    assert [finding.error.found.split()[1] for finding in found] == ["orders"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> MemoryWorkflowApi:
    """Return the API server that ``check`` meets; it has the template of the triggers."""
    api = MemoryWorkflowApi(clock=lambda: 0.0)
    api.add_template("default", "ship", parameters=())
    monkeypatch.setattr(cluster_checks, "connect_cluster", lambda _: api)
    return api


@pytest.mark.usefixtures("cluster")
def test_check_warns_and_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGERS)
    monkeypatch.setattr(cluster_checks, "require_kafka", lambda *_: None)
    monkeypatch.setattr(cluster_checks, "connect", lambda _: MemoryLog(broker()))
    result = checked(str(tmp_path), "--cluster", "--bootstrap-servers", "kafka:9092")
    assert result.exit_code == ExitCode.OK, result.output
    assert "t.yaml:1: warning: spec.events[1].name: topic order.created has" in result.stdout
    assert COMMAND in result.stdout
    assert result.stdout.splitlines()[-1].endswith("0 errors, 1 warning")


@pytest.mark.usefixtures("cluster")
def test_check_asks_kafka_only_where_it_is_named_and_goes_on_where_it_is_away(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TRIGGERS)
    unnamed = checked(str(tmp_path), "--cluster")
    assert (unnamed.exit_code, unnamed.stderr) == (ExitCode.OK, "")
    away = checked(str(tmp_path), "--cluster", "--bootstrap-servers", "127.0.0.1:1")
    assert away.exit_code == ExitCode.OK
    assert "warning: the topics of 127.0.0.1:1 are not looked at: no broker answers" in away.stderr


def test_status_warns_of_such_a_topic(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(two_slots())
    world.broker.topics["payment.done"].config.update(STAMPED)
    world.start()
    world.run(3)
    settings = Settings(bootstrap_servers="kafka:9092")
    status._show(MemoryLog(world.broker), world.topics, Output(as_json=True), settings)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warning,) = [line for line in lines if line["kind"] == "warning"]
    assert (warning["topic"], warning["right"]) == ("order.created", COMMAND)
    status._show(MemoryLog(world.broker), world.topics, Output(as_json=False), settings)
    assert f"; {COMMAND}\n" in capsys.readouterr().out


def test_topics_that_the_bridge_creates_have_the_brokers_time() -> None:
    settings = Settings(replication=3, event_topic_partitions=5)
    assert new_topic(settings)("order.created") == TopicSpec("order.created", 5, 3, STAMPED)
