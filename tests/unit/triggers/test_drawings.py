"""The promise of the timelines on the pages about triggers: they show what the rules do."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from bridge.cli.main import cli
from drawings.examples import EXAMPLES, examples
from drawings.gallery import FOLDER, drawings

DRAWN = dict(drawings())


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_drawing_is_what_the_rules_make_of_its_scene(name: str) -> None:
    assert (FOLDER / f"{name}.svg").read_text() == DRAWN[name], "run `make drawings`"


def test_every_picture_on_a_page_is_drawn_and_every_drawing_is_on_its_page() -> None:
    shown = {
        name for page in FOLDER.glob("*.md") for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\.svg\)", page.read_text())
    }
    assert shown == set(DRAWN) == {path.stem for path in FOLDER.glob("*.svg")}


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_drawing_is_whole_and_small(name: str) -> None:
    root = ET.fromstring(DRAWN[name])  # noqa: S314 - our own text
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert len(DRAWN[name]) < 12_000


def test_the_test_files_are_those_of_the_timelines() -> None:
    found = {file.name: file.read_text(encoding="utf-8") for file in EXAMPLES.iterdir()}
    assert found == dict(examples()), "run `make drawings`"


def test_the_engine_makes_of_each_timeline_what_is_drawn() -> None:
    """``flowbridge test`` runs the engine of replays, and the drawings step through the rules themselves."""
    result = CliRunner().invoke(cli, ["test", "--events", str(EXAMPLES)], standalone_mode=False)
    assert result.stdout.splitlines()[-1] == f"{len(DRAWN)} passed", result.stdout
    one = str(EXAMPLES.parent / "refresh-model.test.yaml")
    assert CliRunner().invoke(cli, ["test", "--events", one], standalone_mode=False).return_value == 0


def test_the_page_about_tests_shows_the_example_as_it_stands_in_its_file() -> None:
    page = (FOLDER.parent / "testing.md").read_text(encoding="utf-8")
    block = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    assert f"# What docs/testing.md shows.\n{block}" == (EXAMPLES.parent / "refresh-model.test.yaml").read_text()
