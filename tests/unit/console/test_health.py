"""The promises of health: a stage that hangs is dead, one that restores is not ready."""

from __future__ import annotations

import pytest

from bridge.console.health import Health, StageState, liveness, readiness


class Clock:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_process_lives_while_every_stage_beats() -> None:
    states = {"router": StageState(90.0), "matcher": StageState(95.0)}
    assert liveness(states, 100.0, patience=10.0).ok
    verdict = liveness(states, 100.5, patience=10.0)
    assert not verdict.ok
    assert verdict.stages == {"router": "silent for 10 s", "matcher": "alive"}


def test_a_process_is_ready_when_every_stage_has_joined_and_restored() -> None:
    states = {"router": StageState(0.0, ready=True), "matcher": StageState(0.0)}
    verdict = readiness(states)
    assert not verdict.ok
    assert verdict.stages == {"router": "ready", "matcher": "joining its group, or restoring"}
    assert readiness({"router": StageState(0.0, ready=True)}).ok


def test_a_stage_that_just_started_has_its_time() -> None:
    clock = Clock()
    health = Health(["router"], patience=10.0, clock=clock)
    assert health.live().ok
    assert not health.is_ready().ok
    clock.now += 11.0
    assert not health.live().ok
    health.stage("router").beat()
    assert health.live().ok


def test_a_process_that_hangs_is_not_ready_either() -> None:
    clock = Clock()
    health = Health(["router", "matcher"], patience=10.0, clock=clock)
    for stage in ("router", "matcher"):
        health.stage(stage).ready(ready=True)
    assert health.is_ready().ok
    clock.now += 11.0
    health.stage("router").beat()
    assert health.is_ready().stages["matcher"] == "silent for 11 s"


def test_a_stage_that_gives_up_its_partitions_to_restore_others_is_unready_meanwhile() -> None:
    health = Health(["matcher"])
    matcher = health.stage("matcher")
    matcher.ready(ready=True)
    matcher.ready(ready=False)
    assert not health.is_ready().ok


def test_a_stage_of_another_process_has_no_health_here() -> None:
    with pytest.raises(KeyError):
        Health(["router"]).stage("matcher")
