"""The promises of folders of triggers: what is in force while files come, break and go."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources import folder as folders
from bridge.triggers.sources.folder import FileSource, Reading, TriggerFolder, merge
from bridge.triggers.sources.source import AllSources
from bridge.triggers.topic_mapping import with_shared_topics
from flowbridge_sdk.attributes.shared_topics import SharedTopics

BROKEN = "kind: [\n"


def trigger(name: str, template: str = "w", event: str = "a") -> str:
    return (
        f"apiVersion: flowbridge.dev/v1\nkind: Trigger\nmetadata: {{name: {name}}}\n"
        f"spec:\n  events: [{{name: {event}}}]\n  run: {{workflowTemplate: {template}}}\n---\n"
    )


def names(in_force: tuple[LoadedTrigger, ...]) -> list[str]:
    return [sourced.trigger.name for sourced in in_force]


def templates(in_force: tuple[LoadedTrigger, ...]) -> dict[str, str]:
    return {sourced.trigger.name: sourced.trigger.run.template for sourced in in_force}


def in_force_after(folder: TriggerFolder, *changes: Callable[[], object]) -> tuple[LoadedTrigger, ...]:
    in_force = merge((), folder.read())
    for change in changes:
        change()
        in_force = merge(in_force, folder.read())
    return in_force


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "one.yaml").write_text(trigger("a") + trigger("b"))
    (tmp_path / "two.yml").write_text(trigger("c"))
    return tmp_path


@pytest.fixture
def folder(home: Path) -> TriggerFolder:
    return TriggerFolder([home], "default")


def test_files_are_found_at_any_depth_and_by_their_suffix(home: Path, folder: TriggerFolder) -> None:
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "three.yaml").write_text(trigger("d"))
    (home / "README.md").write_text(BROKEN)
    (home / ".hidden.yaml").write_text(BROKEN)
    reading = folder.read()
    assert names(merge((), reading)) == ["a", "b", "c", "d"]
    assert reading.complete
    assert not reading.errors
    assert len(reading.seen_files) == 3


def test_a_mounted_config_map_is_read_once_and_follows_its_update(tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "a.yaml").write_text(trigger("a", template=f"w{number}"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    folder = TriggerFolder([tmp_path], "default")
    first = folder.read()
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert templates(first.loaded) == {"a": "w1"}
    assert templates(folder.read().loaded) == {"a": "w2"}
    assert not folder.read().errors


def test_a_folder_that_has_not_changed_gives_the_same_reading(home: Path, folder: TriggerFolder) -> None:
    first = folder.read()
    os.utime(home / "one.yaml")
    assert folder.read() is first
    (home / "one.yaml").write_text(trigger("a"))
    assert folder.read() is not first


@pytest.mark.parametrize(("count", "noticed"), [(500, 0.0), (1_000, 2.0), (1_800, 5.0)])
def test_many_files_that_are_the_same_are_examined_less_often(tmp_path: Path, count: int, noticed: float) -> None:
    for number in range(count):
        (tmp_path / f"{number}.yaml").write_text("# nothing yet\n")
    (tmp_path / "0.yaml").write_text(trigger("a"))
    clock = Clock()
    folder = TriggerFolder([tmp_path], "default", clock=clock)
    reading = folder.read()
    clock.now = 60.0
    assert folder.read() is reading  # they have settled
    (tmp_path / "0.yaml").write_text(trigger("other"))
    if noticed:
        clock.now += noticed - 0.01
        assert folder.read() is reading
        clock.now += 0.01
    assert names(folder.read().loaded) == ["other"]
    (tmp_path / "0.yaml").write_text(trigger("another"))
    assert names(folder.read().loaded) == ["another"]  # until they have settled, each reading examines them


def test_an_edit_is_in_force(home: Path, folder: TriggerFolder) -> None:
    in_force = in_force_after(folder, lambda: (home / "two.yml").write_text(trigger("c", template="other")))
    assert templates(in_force) == {"a": "w", "b": "w", "c": "other"}


def test_a_broken_file_keeps_its_triggers_and_the_others_work_on(home: Path, folder: TriggerFolder) -> None:
    in_force = in_force_after(
        folder,
        lambda: (home / "one.yaml").write_text(BROKEN),
        lambda: (home / "two.yml").write_text(trigger("c", template="other")),
    )
    assert templates(in_force) == {"a": "w", "b": "w", "c": "other"}
    assert [Path(error.origin.file).name for error in folder.read().errors] == ["one.yaml"]


def test_a_bad_trigger_keeps_its_last_good_form(home: Path, folder: TriggerFolder) -> None:
    text = trigger("a", template="Bad_Name") + trigger("b", template="other")
    in_force = in_force_after(folder, lambda: (home / "one.yaml").write_text(text))
    assert templates(in_force) == {"a": "w", "b": "other", "c": "w"}


def test_a_trigger_that_is_taken_out_of_a_file_is_gone(home: Path, folder: TriggerFolder) -> None:
    assert names(in_force_after(folder, lambda: (home / "one.yaml").write_text(trigger("b")))) == ["b", "c"]


def test_a_file_that_is_deleted_beside_others_takes_its_triggers_with_it(home: Path, folder: TriggerFolder) -> None:
    assert names(in_force_after(folder, (home / "one.yaml").unlink)) == ["c"]


def test_nothing_is_gone_while_a_file_does_not_tell_what_is_in_it(home: Path, folder: TriggerFolder) -> None:
    def move_and_break() -> None:
        (home / "one.yaml").unlink()
        (home / "new.yaml").write_text(BROKEN)

    def repair() -> None:
        (home / "new.yaml").write_text(trigger("a"))

    assert names(in_force_after(folder, move_and_break)) == ["a", "b", "c"]
    (home / "one.yaml").write_text(trigger("a") + trigger("b"))
    (home / "new.yaml").unlink()
    assert names(in_force_after(folder, move_and_break, repair)) == ["a", "c"]


def _empty(home: Path) -> None:
    for file in home.iterdir():
        file.unlink()


def _remove(home: Path) -> None:
    _empty(home)
    home.rmdir()


def _truncate(home: Path) -> None:
    for file in home.iterdir():
        file.write_text("")


@pytest.mark.parametrize("change", [_empty, _remove, _truncate])
def test_an_empty_or_missing_folder_is_no_deletion(
    home: Path, folder: TriggerFolder, change: Callable[[Path], None]
) -> None:
    assert names(in_force_after(folder, lambda: change(home))) == ["a", "b", "c"]


def test_a_missing_path_is_told_and_holds_up_no_other(home: Path) -> None:
    missing = str(home / "nowhere")
    folder = TriggerFolder([home, missing], "default")
    assert names(in_force_after(folder, (home / "one.yaml").unlink)) == ["c"]
    assert [str(error) for error in folder.read().errors] == [
        f"{missing}:1: there is no such file or folder; name one that exists",
    ]


def test_of_two_with_one_name_the_first_counts_and_the_second_is_told(home: Path, folder: TriggerFolder) -> None:
    (home / "two.yml").write_text(trigger("a", template="second"))
    reading = folder.read()
    assert templates(merge((), reading)) == {"a": "w", "b": "w"}
    assert [str(error) for error in reading.errors] == [
        (
            f"{home}/two.yml:1: metadata.name: default/a is also defined at {home}/one.yaml:1; only one of them is in "
            "force; keep one, or give this one another name"
        ),
    ]


def test_of_two_with_one_name_the_one_in_force_stays(home: Path, folder: TriggerFolder) -> None:
    (home / "one.yaml").unlink()

    def add_before() -> None:
        (home / "before.yaml").write_text(trigger("c", template="second"))

    def edit() -> None:
        (home / "two.yml").write_text(trigger("c", template="edited"))

    assert templates(in_force_after(folder, add_before)) == {"c": "w"}
    (home / "before.yaml").unlink()
    assert templates(in_force_after(folder, add_before, edit)) == {"c": "edited"}


def test_bytes_that_are_no_text_are_told(home: Path, folder: TriggerFolder) -> None:
    (home / "two.yml").write_bytes(b"kind: \xff")
    assert [str(error) for error in folder.read().errors] == [
        f"{home}/two.yml:1: no UTF-8 at byte 6; write YAML in UTF-8",
    ]


def test_a_file_given_by_name_needs_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "triggers").write_text(trigger("a"))
    assert names(TriggerFolder([tmp_path / "triggers"], "default").read().loaded) == ["a"]


def test_nothing_read_yet_changes_nothing(folder: TriggerFolder) -> None:
    in_force = merge((), folder.read())
    assert merge(in_force, Reading(complete=False)) == in_force


ELSEWHERE = "metadata: {name: e, namespace: elsewhere}"


def test_a_namespace_that_files_may_not_name_is_refused_where_it_stands(tmp_path: Path) -> None:
    own = trigger("a") + trigger("b").replace("{name: b}", "{name: b, namespace: team}")
    (tmp_path / "own.yaml").write_text(own)
    (tmp_path / "e.yaml").write_text(trigger("e").replace("metadata: {name: e}", ELSEWHERE))
    (tmp_path / "r.yaml").write_text(
        trigger("r").replace("{workflowTemplate: w}", "{workflowTemplate: w, namespace: x}")
    )
    indented = "".join(f"    {line}\n" for line in trigger("m").splitlines()[:-1])
    (tmp_path / "map.yaml").write_text(
        "kind: ConfigMap\nmetadata: {name: m, namespace: elsewhere}\ndata:\n  m.yaml: |\n" + indented
    )
    reading = TriggerFolder([tmp_path], "default", namespaces=["default", "team"]).read()
    assert names(merge((), reading)) == ["a", "b"]
    found = {
        Path(error.origin.file).name: (error.origin.line, error.field, error.found, error.expected)
        for error in reading.errors
    }
    told = "a namespace that trigger files may not name"
    right = "write default or team, or add the namespace to the setting trigger_namespaces"
    assert found["e.yaml"] == (3, "metadata.namespace", f"found 'elsewhere', {told}", right)
    assert found["r.yaml"] == (6, "spec.run.namespace", f"found 'x', {told}", right)
    assert found["map.yaml"][1:3] == ("data.m.yaml metadata.namespace", f"found 'elsewhere', {told}")
    assert len(TriggerFolder([tmp_path], "default").read().loaded) == 5


def test_a_trigger_in_force_whose_namespace_files_may_no_longer_name_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(trigger("a") + trigger("e").replace("metadata: {name: e}", ELSEWHERE))
    before = {sourced.trigger.identity: sourced for sourced in FileSource([tmp_path], "default").read({}).triggers}
    assert set(before) == {"default/a", "elsewhere/e"}
    now = FileSource([tmp_path], "default", namespaces=["default"]).read(before)
    assert [sourced.trigger.identity for sourced in now.triggers] == ["default/a"]
    assert [error.trigger for error in now.errors] == ["elsewhere/e"]


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_files_that_stay_as_they_are_are_opened_until_they_have_settled(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, opened = Clock(), list[Path]()
    plain = Path.open

    def open_and_note(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "rb":
            opened.append(path)
        return plain(path, mode, **options)

    monkeypatch.setattr(Path, "open", open_and_note)
    folder = TriggerFolder([home], "default", clock=clock)
    first = folder.read()
    clock.now = 4.0
    assert folder.read() is first
    clock.now = 6.0
    assert folder.read() is first
    assert opened == 3 * sorted(home.iterdir())
    for clock.now in (7.0, 60.0, 3_600.0):
        assert folder.read() is first
    assert opened == 3 * sorted(home.iterdir())
    (home / "two.yml").write_text(trigger("d"))
    assert names(merge((), folder.read())) == ["a", "b", "d"]


def test_a_change_within_the_tick_of_a_coarse_file_system_is_seen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(folders, "_states_of", lambda files: tuple((file, 1, 1, 1, 1) for file in files))
    folder = TriggerFolder([home], "default", clock=clock)
    folder.read()
    (home / "two.yml").write_text(trigger("d"))  # its size and its times stay the same
    clock.now = 0.5
    assert names(merge((), folder.read())) == ["a", "b", "d"]
    (home / "two.yml").write_text(trigger("e"))
    clock.now = 9.0
    assert names(merge((), folder.read())) == ["a", "b", "e"]


def test_a_file_that_could_not_be_read_is_tried_again(home: Path) -> None:
    clock = Clock()
    folder = TriggerFolder([home], "default", clock=clock)
    (home / "three.yaml").symlink_to(home / "absent.yaml")
    for clock.now in (0.0, 10.0, 20.0):
        assert [error.found for error in folder.read().errors] == ["cannot be read: No such file or directory"]
    (home / "absent.yaml").write_text(trigger("d"))
    assert names(merge((), folder.read())) == ["a", "b", "c", "d"]


def test_sources_that_have_not_changed_are_the_same_object(home: Path) -> None:
    shared = SharedTopics({"a*": "events"})
    source = with_shared_topics(AllSources([FileSource([home], "default")]), shared)
    in_force: dict[str, LoadedTrigger] = {}
    first = source.read(in_force)
    assert [loaded.trigger.slots[0].shared_topic for loaded in first.triggers] == ["events"] * 3
    assert source.read(in_force) is first
    now_in_force = {loaded.trigger.identity: loaded for loaded in first.triggers}
    second = source.read(now_in_force)
    assert second is not first
    assert second == first
    (home / "two.yml").write_text(BROKEN)
    third = source.read(now_in_force)
    assert names(tuple(third.triggers)) == ["a", "b", "c"]
    assert third.errors
    assert not first.errors
