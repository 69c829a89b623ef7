"""Sensors and files are one set of triggers: the real controller, clusters in memory, and what it leaves in the log."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bridge.core.event import HOUR
from bridge.kafka.records import SOURCE_ERRORS, kind_of
from bridge.stages.shared.definitions import Definitions
from bridge.triggers.sensors.compile import SensorRules
from bridge.triggers.sensors.memory import MemorySensorApi
from bridge.triggers.sensors.source import SensorSource
from bridge.triggers.sources.folder import FileSource
from bridge.triggers.sources.source import AllSources
from unit.stages.world import Process, World
from unit.triggers.sensors.given import broken, sensor_of

FILE = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: {event}}}]
  run: {{workflowTemplate: ship}}
"""
HOLD_OFF = 10.0


class Bed:
    """A world whose processes read trigger files and the Sensors of a cluster, each with a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World()
        self.world.source = self._source
        self.clusters: dict[str, MemorySensorApi] = {}
        self.world.api.add_namespace("jobs")
        for template in ("oneevent", "twoevents", "mapping", "windowlines", "ship"):
            self.world.api.add_template("jobs", template)
        self.file("filed")

    def _source(self, process: str) -> AllSources:
        sensors = self.clusters.setdefault(process, MemorySensorApi())
        return AllSources([FileSource([self.folder], "jobs"), SensorSource(sensors, ["jobs"], SensorRules())])

    def start(self, name: str = "p1", *forms: str) -> Process:
        """Start a process whose cluster has the Sensors of these flows."""
        self.clusters.setdefault(name, MemorySensorApi())
        process = self.world.start(name)
        for form in forms:
            self.cluster.put(sensor_of(form))
        self.world.run(3)
        return process

    @property
    def cluster(self) -> MemorySensorApi:
        """Return the cluster of the process that was started last."""
        return next(reversed(self.clusters.values()))

    def file(self, name: str, event: str = "order.created") -> None:
        """Write a trigger file."""
        (self.folder / f"{name}.yaml").write_text(FILE.format(name=name, event=event))

    def written(self) -> Definitions:
        """Return what a stranger reads in ``triggers``."""
        process = self.world.processes[-1]
        definitions = Definitions(process.memory, self.world.topics.triggers, lambda: self.world.now)
        definitions.refresh()
        return definitions

    def in_force(self) -> set[str]:
        """Return the names of the triggers in force."""
        return {identity.removeprefix("jobs/") for identity in self.written().in_force}

    def errors(self) -> dict[str, str]:
        """Return what is wrong, by place."""
        return {place: str(errors[0]) for place, errors in self.written().errors.items()}


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def event(name: str, **payload: Any) -> dict[str, Any]:
    """Return a payload as Metaflow's publisher sends it."""
    return {"name": name, "id": "1", "timestamp": 1, "utc_date": "", "generated-by-metaflow": True} | payload


def test_an_event_starts_the_workflow_of_a_sensor_and_of_a_file(bed: Bed) -> None:
    bed.file("filed", "data.updated")
    bed.start("p1", "mapping")
    bed.world.publish("data.updated", event("data.updated", row_count=3, headline="new"))
    bed.world.run(2)
    runs = {workflow.name.rpartition("-")[0]: workflow for workflow in bed.world.api.workflows()}
    assert runs.keys() == {"mapping", "ship"}
    assert {"rows": "3", "title": '"new"'}.items() <= parameters(runs["mapping"].manifest).items()


def parameters(manifest: Any) -> dict[str, str]:
    return {parameter["name"]: parameter["value"] for parameter in manifest["spec"]["arguments"]["parameters"]}


def test_a_sensor_that_is_added_changed_or_deleted_takes_effect_within_seconds(bed: Bed) -> None:
    bed.start("p1", "one_event")
    assert bed.in_force() == {"filed", "oneevent"}
    bed.cluster.put(sensor_of("two_events"))
    bed.world.run(2)
    before = bed.written().in_force
    assert set(before) == {"jobs/filed", "jobs/oneevent", "jobs/twoevents"}
    changed = sensor_of("two_events")
    changed["metadata"]["annotations"]["flowbridge.dev/window"] = "1h"
    bed.cluster.put(changed)
    bed.world.run(2)
    after = bed.written().in_force
    assert {name for name in after if after[name].hash != before[name].hash} == {"jobs/twoevents"}
    window = after["jobs/twoevents"].trigger.window
    assert window is not None
    assert window.length == HOUR
    bed.cluster.delete("jobs", "twoevents")
    bed.world.run(HOLD_OFF - 2)
    assert "twoevents" in bed.in_force(), "the hold-off is not over"
    bed.world.run(4)
    assert bed.in_force() == {"filed", "oneevent"}


def test_a_sensor_that_cannot_be_compiled_is_an_error_in_the_log_of_triggers_and_disturbs_nobody(bed: Bed) -> None:
    bed.start("p1", "two_events")
    offsets = bed.written().changed
    bed.cluster.put(broken("mapping"))
    bed.world.run(2)
    assert bed.in_force() == {"filed", "twoevents"}
    assert bed.written().changed == offsets
    (error,) = bed.errors().values()
    assert error.startswith("Sensor jobs/mapping: spec.triggers[0].template.k8s.operation: found 'delete'")
    bed.cluster.put(sensor_of("mapping"))
    bed.world.run(2)
    assert bed.in_force() == {"filed", "twoevents", "mapping"}
    assert not bed.errors()


def test_what_is_wrong_is_said_once(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    bed.start("p1", "one_event")
    with caplog.at_level(logging.ERROR):
        bed.cluster.put(broken("mapping"))
        bed.world.run(10)
        bed.cluster.put(broken("two_events"))
        bed.world.run(10)
    said = [record.getMessage().partition(":")[0] for record in caplog.records if record.levelno == logging.ERROR]
    assert said == ["Sensor jobs/mapping", "Sensor jobs/twoevents"]
    assert [name for name, _ in bed.cluster.reports] == ["jobs/mapping", "jobs/twoevents"]
    values = list(bed.world.values(bed.world.topics.triggers))
    assert sum(kind_of(value) == SOURCE_ERRORS.name for value in values) == 2


def test_a_file_that_is_broken_is_an_error_in_the_log_of_triggers_too(bed: Bed) -> None:
    bed.start("p1", "one_event")
    path = bed.folder / "filed.yaml"
    path.write_text("spec: [")
    bed.world.run(2)
    assert set(bed.errors()) == {str(path)}
    bed.file("filed")
    bed.world.run(2)
    assert not bed.errors()


def test_an_api_that_is_away_ends_nothing_not_even_after_the_leader_changed(bed: Bed) -> None:
    first = bed.start("p1", "one_event", "two_events")
    bed.cluster.put(broken("mapping"))
    bed.world.run(2)
    bed.cluster.away = "connection refused"
    bed.cluster.delete("jobs", "oneevent")
    bed.world.run(30)
    assert bed.in_force() == {"filed", "oneevent", "twoevents"}
    assert "the Sensors cannot be read: connection refused" in bed.errors()["Sensors of jobs"]
    assert "Sensor jobs/mapping" in bed.errors()
    bed.clusters["p2"] = cluster = MemorySensorApi()
    cluster.away = "connection refused"
    first.stop()
    bed.world.processes.clear()
    bed.start("p2")
    bed.world.run(30)
    assert bed.in_force() == {"filed", "oneevent", "twoevents"}
    assert "Sensor jobs/mapping" in bed.errors(), "nobody knows whether it was put right"
    cluster.away = None
    cluster.put(sensor_of("two_events"))
    bed.world.run(HOLD_OFF + 4)
    assert bed.in_force() == {"filed", "twoevents"}
    assert not bed.errors()


def test_a_first_list_that_takes_long_ends_nothing_and_keeps_nobody_waiting(bed: Bed) -> None:
    first = bed.start("p1", "one_event")
    first.stop()
    bed.world.processes.clear()
    bed.clusters["p2"] = cluster = MemorySensorApi()
    cluster.is_slow = True
    bed.start("p2")
    bed.file("another")
    bed.world.run(30)
    assert bed.in_force() == {"filed", "another", "oneevent"}


def test_of_a_file_and_a_sensor_with_one_identity_the_one_in_force_stays(bed: Bed) -> None:
    bed.start("p1", "one_event")
    bed.file("oneevent")
    bed.world.run(3)
    assert bed.written().in_force["jobs/oneevent"].trigger.run.template == "oneevent"
    (error,) = bed.errors().values()
    assert "jobs/oneevent is also defined at Sensor jobs/oneevent" in error
    bed.cluster.delete("jobs", "oneevent")
    bed.world.run(3)
    assert bed.written().in_force["jobs/oneevent"].trigger.run.template == "ship"
    bed.cluster.put(sensor_of("one_event"))
    bed.world.run(3)
    assert bed.written().in_force["jobs/oneevent"].trigger.run.template == "ship"
    assert [name for name, _ in bed.cluster.reports] == ["jobs/oneevent"]


def test_a_namespace_that_is_named_no_more_gives_up_its_triggers(bed: Bed) -> None:
    first = bed.start("p1", "one_event")
    first.stop()
    bed.world.processes.clear()
    bed.world.source = lambda _: AllSources([FileSource([bed.folder], "jobs")])
    bed.world.start("p2")
    bed.world.run(HOLD_OFF + 4)
    assert bed.in_force() == {"filed"}


def test_events_of_a_flow_meet_where_its_docstring_says_that_they_agree(bed: Bed) -> None:
    bed.start("p1", "window_lines")
    for name, customer in (("data.updated", "a"), ("model.approved", "b"), ("model.approved", "a")):
        bed.world.publish(name, event(name, customer=customer, rows=len(name)))
        bed.world.run(2)
    (workflow,) = bed.world.api.workflows()
    given = parameters(workflow.manifest)
    assert given["rows"] == "12"
    assert '"customer": "a"' in given["modelapproved_f2pg"].replace('":"', '": "')


def test_a_process_that_leads_no_longer_begins_with_a_list_when_it_leads_again(bed: Bed) -> None:
    process = bed.start("p1", "one_event")
    assert bed.cluster._taken
    process.stop()
    assert not bed.cluster._taken


def test_a_topic_that_kafka_refuses_is_an_error_of_those_who_read_it_alone(bed: Bed) -> None:
    bed.start("p1", "two_events")
    colliding = json.dumps(sensor_of("one_event")).replace("report_done", "data_updated")
    bed.cluster.put(json.loads(colliding))  # Kafka takes data_updated for data.updated in its metrics
    bed.cluster.put(sensor_of("mapping"))
    bed.world.run(15)
    (error,) = bed.errors().values()
    assert error.startswith("Sensor jobs/oneevent: topic data_updated cannot be created: ")
    assert [name for name, _ in bed.cluster.reports] == ["jobs/oneevent"]
    assert not bed.world.processes[0].troubles
    bed.world.publish("data.updated", event("data.updated", row_count=3, headline="new"))
    bed.world.run(2)
    assert len(bed.world.api.workflows()) == 1


def test_an_error_that_is_long_or_one_of_many_is_cut(bed: Bed) -> None:
    many = sensor_of("one_event")
    (dependency,) = many["spec"]["dependencies"]
    many["spec"]["dependencies"] = [dependency | {"x" * 3_000: number} for number in range(30)]
    bed.start("p1")
    bed.cluster.put(many)
    bed.world.run(2)
    (errors,) = bed.written().errors.values()
    assert len(errors) <= 21
    assert max(len(error.found) for error in errors) <= 1_000
