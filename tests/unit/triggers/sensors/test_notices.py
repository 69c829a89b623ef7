"""The promises of the Kubernetes Events that tell the owners of Sensors what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.triggers.sensors.notices import event_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_thing_said_of_a_sensor_again_is_the_same_event() -> None:
    plain = {"kind": "Sensor", "metadata": {"name": "a" * 253, "namespace": "jobs", "resourceVersion": "7"}}
    first, again, other = (event_of(plain, text, NOW) for text in ("wrong", "wrong", "worse" * 1_000))
    assert first["metadata"]["name"] == again["metadata"]["name"] != other["metadata"]["name"]
    assert len(first["metadata"]["name"]) <= 253
    assert len(other["message"]) == 1_024
