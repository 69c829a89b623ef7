"""The pages say what files of dead letters hold, and each reason has a place to link to."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bridge.letters.letter_file import line_of
from bridge.letters.way_back import BY_NAME
from bridge.stages.shared.dead_letters import UNKNOWN_SCHEMA
from unit.letters.test_letters import letter

DOCS = Path(__file__).parents[3] / "docs"


def test_each_field_of_an_exported_line_is_on_the_page_and_no_other_is() -> None:
    page = (DOCS / "dead-letters.md").read_text("utf-8")
    table = page[page.index("| field | meaning |") : page.index("## Correct one event")]
    written = set(re.findall(r"`([a-z_0-9]+)`", table)) - {"name", "import"}
    assert written == set(json.loads(line_of(letter(), None)))


def test_each_reason_has_a_place_of_its_own_on_the_page_of_errors() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    section = page[page.index("## Dead letters") :]
    rows = re.findall(r"^\| (?!reason |---)(.*?) \|", section, re.MULTILINE)
    names = [re.fullmatch(r'<a id="letter-([a-z-]+)"></a>`\1`', row) for row in rows]
    assert all(names)
    assert {UNKNOWN_SCHEMA, *BY_NAME, "undecodable", "unkeyed", "refused"} <= {name[1] for name in names if name}
