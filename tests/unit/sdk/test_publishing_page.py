"""docs/publishing.md shows the programs that the tests run, word for word."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_shows_the_programs_of_its_folder() -> None:
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "publishing.md").read_text("utf-8"), re.DOTALL)
    programs = [path.read_text("utf-8") for path in (DOCS / "examples" / "publishing").glob("*.py")]
    assert programs
    assert sorted(shown) == sorted(programs)
