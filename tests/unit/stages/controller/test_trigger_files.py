"""Trigger files that move, break and fall silent while a bridge runs: what they held stays in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.kafka.memory.partition import Message
from bridge.triggers.sources.folder import FileSource
from unit.stages.world import World

SHIP = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship, namespace: default}
spec:
  events:
    - {name: order.created, as: order, key: payload.order}
    - {name: payment.done, as: payment, key: payload.order}
  window: {within: 10m}
  run:
    workflowTemplate: ship
    parameters: {order: order.payload.order}
"""
OTHER = SHIP.replace("name: ship,", "name: other,")


@pytest.fixture
def world() -> World:
    """A world without triggers, whose events have topics."""
    world = World()
    for event in ("order.created", "payment.done"):
        world.topic(event)
    world.api.add_template("default", "ship", parameters=("order",))
    return world


def in_force(world: World) -> list[str]:
    names: list[str] = sorted(world.processes[-1].stage("controller")._definitions.in_force)
    return names


def start(world: World, name: str, *paths: Path) -> None:
    for process in world.processes:
        process.stop()
    world.processes.clear()
    world.source = lambda _: FileSource(paths, "default")
    world.start(name)
    world.run(5)


def test_triggers_that_were_mounted_elsewhere_outlast_a_folder_that_is_empty_for_a_while(
    world: World, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "ship.yaml").write_text(SHIP)
    start(world, "p1", first)
    start(world, "p2", second)
    order = world.publish("order.created", {"order": 7})
    world.run(2)
    (second / "ship.yaml").rename(tmp_path / "kept")
    world.run(30, step=0.5)
    assert in_force(world) == ["default/ship"]
    payment = world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(5)
    assert world.reasons_of(order)[-1] == "matched"
    assert world.reasons_of(payment) == ["matched"]


def test_triggers_of_a_path_that_is_no_longer_named_stay_while_the_new_one_is_silent_and_then_go(
    world: World, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "ship.yaml").write_text(SHIP)
    start(world, "p1", first)
    start(world, "p2", second)
    world.run(30, step=0.5)
    assert in_force(world) == ["default/ship"]
    (second / "other.yaml").write_text(OTHER)
    world.run(30, step=0.5)
    assert in_force(world) == ["default/other"]


def test_triggers_of_a_path_that_is_no_longer_named_stay_while_a_file_of_the_new_one_cannot_be_read(
    world: World, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "ship.yaml").write_text(SHIP)
    start(world, "p1", first)
    (second / "other.yaml").write_text(OTHER)
    (second / "ship.yaml").write_text("")
    start(world, "p2", second)
    world.run(30, step=0.5)
    assert in_force(world) == ["default/other", "default/ship"]
    (second / "ship.yaml").unlink()
    world.run(30, step=0.5)
    assert in_force(world) == ["default/other"]


def test_a_trigger_that_moved_to_another_file_stays_in_force_when_that_file_breaks(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(SHIP)
    start(world, "p1", tmp_path)
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    (tmp_path / "a.yaml").write_text(OTHER)
    world.run(5)
    assert in_force(world) == ["default/other", "default/ship"]
    (tmp_path / "b.yaml").write_text(SHIP.replace("within: 10m", "within: ["))
    world.run(30, step=0.5)
    start(world, "p2", tmp_path)  # also for a process that never read the file while it was whole
    world.run(30, step=0.5)
    assert in_force(world) == ["default/other", "default/ship"]


def test_a_definition_that_was_written_again_is_read_after_compaction_took_its_older_record(
    world: World, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "ship.yaml").write_text(SHIP)
    start(world, "p1", first)
    order = world.publish("order.created", {"order": 7})
    world.run(2)
    start(world, "p2", second)
    log = world.broker.topics["fb.triggers"].logs[0]
    written = list(world.records("fb.triggers"))
    definitions = [record for record in written if (record.key or b"").startswith(b"definition:")]
    enforced = [record for record in written if record.key == b"trigger:default/ship"]
    assert len(definitions) == 2
    assert enforced[-1].offset > definitions[-1].offset  # 0.1.0 needs them in this order
    definition = definitions[-1]
    log.append(world.now // 1000, Message(definition.key, definition.value, ()), None)  # as an older version left it
    log.compact(0)
    start(world, "p3", second)
    assert in_force(world) == ["default/ship"]
    payment = world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(5)
    assert (world.reasons_of(order)[-1], world.reasons_of(payment)) == ("matched", ["matched"])
    assert world.processes[0].troubles == []
