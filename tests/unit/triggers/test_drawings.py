"""The promise of the timelines on the pages about triggers: they show what the rules do."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

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
