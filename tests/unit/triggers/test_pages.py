"""The promises of the pages about triggers: their examples load, their links lead somewhere, none is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.triggers.model import BatchPart, CronPart, LimitsPart, RunPart, SlotPart, SpecPart, StormPart, WindowPart
from bridge.triggers.resources import read_text

FOLDER = Path(__file__).parents[3] / "docs" / "triggers"
PAGES = sorted(FOLDER.glob("*.md"))
REFERENCE = FOLDER / "README.md"
CONSTRUCTS = [page for page in PAGES if page.stem not in {"README", "combinations"}]
EDGE_CASES = ("- **A late event**", "two equal events**", "**the day the clocks change**", "- **it goes with**")

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_EXAMPLE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "combinations"], ids=lambda page: page.stem)
def test_every_example_loads(page: Path) -> None:
    examples = _EXAMPLE.findall(page.read_text())
    assert examples
    for example in examples:
        triggers, errors = read_text(example, str(page), str(page), "default")
        assert (len(triggers), errors) == (1, [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_the_reference_leads_to_every_page() -> None:
    linked = set(_LINK.findall(REFERENCE.read_text()))
    assert [page.name for page in PAGES if page != REFERENCE and page.name not in linked] == []


@pytest.mark.parametrize("page", CONSTRUCTS, ids=lambda page: page.stem)
def test_every_page_tells_the_edge_cases(page: Path) -> None:
    text = page.read_text().lower()
    assert [case for case in EDGE_CASES if case.lower() not in text] == []


@pytest.mark.parametrize("part", [SpecPart, SlotPart, WindowPart, CronPart, BatchPart, RunPart, LimitsPart, StormPart])
def test_the_reference_names_every_field(part: type[SpecPart]) -> None:
    reference = REFERENCE.read_text()
    names = [info.alias or name for name, info in part.model_fields.items()]
    assert [name for name in names if not re.search(rf"`(\w+\.|events\[\]\.)*{name}(\.\w+)*`", reference)] == []


def test_the_reference_shows_an_example_as_it_stands_in_its_file() -> None:
    block = _EXAMPLE.findall(REFERENCE.read_text())[0]
    assert block == (FOLDER.parent / "examples" / "refresh-model.yaml").read_text()
