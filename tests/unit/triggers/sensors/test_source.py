"""The promises of the source: what is on the cluster is in force within a reading, and no trouble deletes anything."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sensors import source as source_module
from bridge.triggers.sensors.compile import SensorRules
from bridge.triggers.sensors.memory import MemorySensorApi
from bridge.triggers.sensors.source import SensorSource
from flows.bed.fixtures import NAMESPACE
from unit.triggers.sensors.given import broken, sensor_of


class Bed:
    """A source on a cluster in memory, read as the controller reads it."""

    def __init__(self, *namespaces: str) -> None:
        self.api = MemorySensorApi()
        self.in_force: dict[str, LoadedTrigger] = {}
        self.errors: list[str] = []
        self.is_complete = False
        self._namespaces = namespaces or (NAMESPACE,)
        self.restart()

    def restart(self) -> None:
        """Start a new process, which knows what is in force and nothing else."""
        rules = SensorRules(window=60_000_000)
        self.api.rest()
        self._source = SensorSource(self.api, self._namespaces, rules)

    def read(self) -> set[str]:
        """Read, put in force what was read, and return its identities."""
        read = self._source.read(self.in_force)
        self._source.tell(read.errors)
        self.in_force = {trigger.trigger.identity: trigger for trigger in read.triggers}
        self.errors = [str(error) for error in read.errors]
        self.is_complete = read.complete
        return set(self.in_force)


@pytest.fixture
def bed() -> Bed:
    bed = Bed()
    bed.api.put(sensor_of("one_event"))
    bed.api.put(sensor_of("two_events"))
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    return bed


def test_a_sensor_that_is_added_changed_or_deleted_takes_effect_at_the_next_reading(bed: Bed) -> None:
    bed.api.put(sensor_of("mapping"))
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents", "jobs/mapping"}
    changed = sensor_of("two_events")
    changed["metadata"]["annotations"]["flowbridge.dev/window"] = "1h"
    bed.api.put(changed)
    before = dict(bed.in_force)
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents", "jobs/mapping"}
    assert {name for name in before if bed.in_force[name] != before[name]} == {"jobs/twoevents"}
    bed.api.delete("jobs", "mapping")
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    assert not bed.errors


def test_only_the_namespaces_that_were_named_are_read() -> None:
    bed = Bed("jobs", "models")
    for namespace in ("jobs", "models", "others"):
        bed.api.put(sensor_of("one_event", namespace=namespace))
    assert bed.read() == {"jobs/oneevent", "models/oneevent"}


def test_only_metaflows_sensors_are_read() -> None:
    bed = Bed()
    other = sensor_of("one_event")
    other["metadata"]["labels"]["app.kubernetes.io/name"] = "something-else"
    bed.api.put(other)
    assert bed.read() == set()
    assert not bed.errors


def test_a_broken_sensor_is_an_error_of_its_own_alone(bed: Bed) -> None:
    bed.api.put(broken("mapping"))
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    (error,) = bed.errors
    assert error.startswith("Sensor jobs/mapping: spec.triggers[0].template.k8s.operation: found 'delete'")


def test_a_sensor_that_breaks_keeps_the_trigger_that_it_was(bed: Bed) -> None:
    before = bed.in_force["jobs/oneevent"]
    bed.api.put(broken("one_event"))
    for _ in range(2):
        bed.read()
        assert bed.in_force["jobs/oneevent"] == before
        assert len(bed.errors) == 1
    bed.restart()
    bed.read()
    assert bed.in_force["jobs/oneevent"] == before


def test_an_api_that_is_away_deletes_nothing_and_is_caught_up_with(bed: Bed) -> None:
    bed.api.away = "connection refused"
    bed.api.put(sensor_of("mapping"))
    bed.api.delete("jobs", "oneevent")
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    assert "connection refused" in bed.errors[0]
    bed.api.away = None
    assert bed.read() == {"jobs/twoevents", "jobs/mapping"}


def test_an_api_that_is_away_at_the_start_keeps_what_was_in_force(bed: Bed) -> None:
    bed.api.away = "connection refused"
    bed.restart()
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}


def test_what_was_deleted_while_nobody_watched_is_gone(bed: Bed) -> None:
    bed.api.delete("jobs", "oneevent")
    bed.restart()
    assert bed.read() == {"jobs/twoevents"}


def test_changes_that_the_api_has_forgotten_are_listed_anew(bed: Bed) -> None:
    bed.api.delete("jobs", "oneevent")
    bed.api.put(sensor_of("mapping"))
    bed.api.forget_changes()
    assert bed.read() == {"jobs/twoevents", "jobs/mapping"}


def test_a_sensor_that_waits_for_its_finalizer_is_deleted(bed: Bed) -> None:
    waiting = sensor_of("one_event")
    waiting["metadata"]["finalizers"] = ["sensor-controller"]
    bed.api.put(waiting)
    assert "jobs/oneevent" in bed.read()
    bed.api.delete("jobs", "oneevent")
    assert bed.read() == {"jobs/twoevents"}


def test_a_sensor_that_loses_its_label_is_deleted(bed: Bed) -> None:
    plain = sensor_of("one_event")
    del plain["metadata"]["labels"]["app.kubernetes.io/name"]
    bed.api.put(plain)
    assert bed.read() == {"jobs/twoevents"}


def test_a_first_list_that_is_on_its_way_ends_no_trigger_and_puts_no_error_right(bed: Bed) -> None:
    bed.api.is_slow = True
    bed.restart()
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    assert not bed.is_complete
    bed.api.is_slow = False
    bed.api.delete("jobs", "oneevent")
    assert bed.read() == {"jobs/twoevents"}
    assert bed.is_complete


def test_a_cluster_that_loses_the_kind_of_sensors_within_the_hold_off_deletes_nothing(bed: Bed) -> None:
    in_force = dict(bed.in_force)
    for name in ("oneevent", "twoevents"):
        bed.api.delete("jobs", name)
    assert bed.read() == set()
    bed.in_force = in_force  # the controller's hold-off
    bed.api.away = "404 the server could not find the requested resource"
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}


def test_what_is_wrong_with_a_sensor_is_reported_on_it_once(bed: Bed) -> None:
    bed.api.put(broken("mapping"))
    for _ in range(3):
        bed.read()
    ((sensor, message),) = bed.api.reports
    assert sensor == "jobs/mapping"
    assert message.startswith("spec.triggers[0].template.k8s.operation: found 'delete'")
    bed.api.put(sensor_of("mapping"))
    bed.read()
    bed.api.put(broken("mapping"))
    bed.read()
    assert len(bed.api.reports) == 2, "it was right in between"


def test_a_sensor_of_which_nobody_thought_is_an_error_of_its_own(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_sensor(*_: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr(source_module, "compile_sensor", compile_sensor)
    bed.api.put(sensor_of("mapping"))
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
    assert bed.errors[0].startswith("Sensor jobs/mapping: a defect of Flowbridge: RecursionError")


def test_triggers_of_other_sources_are_no_business_of_this_one(bed: Bed) -> None:
    own = bed.in_force["jobs/oneevent"]
    bed.in_force["jobs/filed"] = LoadedTrigger(own.trigger, Origin("triggers/filed.yaml", 1))
    assert bed.read() == {"jobs/oneevent", "jobs/twoevents"}
