"""One set of triggers is in force at a time, whoever leads; and a bad source ends nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.trigger import RunPlan, Trigger
from bridge.triggers.sources.folder import FileSource
from bridge.triggers.sources.source import AllSources
from unit.stages.world import World, one_slot

TEXT = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: order.created}}]
  run: {{workflowTemplate: ship}}
"""


def trigger(name: str, template: str = "ship") -> Trigger:
    return replace(one_slot(), name=name, run=RunPlan(template, "default"))


def in_force(world: World) -> set[str]:
    """Return the triggers in force, on which all stages agree."""
    found = [
        set(process.stage(stage)._definitions.in_force)
        for process in world.processes
        for stage in ("router", "matcher")
        if process.loops[stage] is not None
    ]
    assert all(definitions == found[0] for definitions in found)
    return found[0]


def test_of_two_processes_with_other_trigger_files_one_decides_for_both() -> None:
    world = World(one_slot())
    first = world.start("p1", triggers=[trigger("a"), trigger("both")])
    world.run(3)
    world.start("p2", triggers=[trigger("b"), trigger("both", "other")])
    for _ in range(20):
        world.run(1)
        assert in_force(world) == {"default/a", "default/both"}
    first.stop()
    world.processes.remove(first)
    world.run(2)
    assert "default/b" in in_force(world)
    world.run(12)
    assert in_force(world) == {"default/b", "default/both"}
    both = world.processes[0].stage("controller")._definitions.in_force["default/both"]
    assert both.trigger.run.template == "other"


def test_two_processes_with_other_files_never_take_turns() -> None:
    world = World(one_slot())
    world.start("p1", triggers=[trigger("a")])
    world.start("p2", triggers=[trigger("b")])
    world.run(3)
    written = world.broker.topics["fb.triggers"].logs[0].end
    world.run(60, step=0.5)
    assert world.broker.topics["fb.triggers"].logs[0].end == written


def test_a_trigger_that_is_gone_for_less_than_the_hold_off_was_never_gone() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    gone = world.triggers.pop()
    world.run(8)
    world.publish("order.created", {"order": "1"})
    world.run(1)
    world.triggers.append(gone)
    world.run(20)
    assert len(world.workflows()) == 1
    assert in_force(world) == {"default/ship"}


def test_a_trigger_that_is_gone_for_the_hold_off_ends() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.triggers.clear()
    world.run(13)
    world.publish("order.created", {"order": "1"})
    world.run(3)
    assert in_force(world) == set()
    assert world.workflows() == []


def test_the_hold_off_begins_anew_under_a_new_leader() -> None:
    world = World(one_slot())
    first = world.start()
    world.run(3)
    world.triggers.clear()
    world.run(8)
    first.stop()
    world.processes.clear()
    world.start("p2")
    world.run(8)
    assert in_force(world) == {"default/ship"}
    world.run(8)
    assert in_force(world) == set()


def test_a_broken_or_empty_file_or_folder_ends_no_trigger(tmp_path: Path) -> None:
    world = World(one_slot())
    folder = tmp_path / "triggers"
    folder.mkdir()
    file, other = folder / "a.yaml", folder / "b.yaml"
    file.write_text(TEXT.format(name="a"))
    other.write_text(TEXT.format(name="b"))
    source = FileSource([folder], "default")
    world.source = lambda _: source
    world.start()
    world.run(3)
    both = {"default/a", "default/b"}
    assert in_force(world) == both
    file.write_text("spec: [")
    world.run(20, step=0.5)
    assert in_force(world) == both
    file.unlink()
    other.unlink()
    world.run(20, step=0.5)
    assert in_force(world) == both, "an empty folder says nothing"
    folder.rmdir()
    world.run(20, step=0.5)
    assert in_force(world) == both
    folder.mkdir()
    other.write_text(TEXT.format(name="b"))
    world.run(20, step=0.5)
    assert in_force(world) == {"default/b"}, "what is read whole without it ends it"


def test_a_broken_source_ends_nothing_after_the_leader_changed_either(tmp_path: Path) -> None:
    world = World(one_slot())
    file = tmp_path / "a.yaml"
    file.write_text(TEXT.format(name="a"))
    world.source = lambda _: FileSource([file], "default")
    first = world.start()
    world.run(3)
    file.write_text("spec: [")
    first.stop()
    world.processes.clear()
    world.start("p2")
    world.run(30, step=0.5)
    assert in_force(world) == {"default/a"}
    world.publish("order.created", {"order": "1"})
    world.run(2)
    assert len(world.workflows()) == 1


EMITTING = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: {reads}}}]
  run: {{workflowTemplate: ship, emits: [{emits}]}}
"""


@pytest.mark.parametrize("sensitive", [(), ("card",)])
def test_what_is_in_force_stays_when_another_trigger_would_close_a_cycle_whatever_settings_add(
    tmp_path: Path, sensitive: tuple[str, ...]
) -> None:
    world = World(partitions=1)
    world.sensitive = sensitive
    world.source = lambda _: AllSources([FileSource([tmp_path], "default")])
    (tmp_path / "m.yaml").write_text(EMITTING.format(name="old", reads="ev.x", emits="ev.y"))
    world.start()
    world.run(5)
    (tmp_path / "a.yaml").write_text(EMITTING.format(name="new", reads="ev.y", emits="ev.x"))
    world.run(35)
    assert in_force(world) == {"default/old"}


def test_a_leader_whose_files_stay_the_same_asks_kafka_seldom_and_sees_a_change_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT.format(name="a"))
    world = World(one_slot())
    world.source = lambda _: AllSources([FileSource([tmp_path], "default")])
    process = world.start()
    world.run(15)
    definitions, asked = process.stage("controller")._definitions, []
    refresh = definitions.refresh

    def note(*, to_true_end: bool = False) -> bool:
        asked.append(to_true_end)
        return bool(refresh(to_true_end=to_true_end))

    definitions.refresh = note
    world.run(20)
    assert asked == [True, True]  # with the looks at the topics, every ten seconds
    (tmp_path / "b.yaml").write_text(TEXT.format(name="b"))
    world.run(3)
    assert in_force(world) == {"default/a", "default/b"}
