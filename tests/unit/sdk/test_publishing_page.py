"""docs/publishing.md shows the programs of docs/examples/publishing, which other tests run."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
PROGRAMS = DOCS / "examples" / "publishing"


def test_the_page_shows_each_program_as_it_is() -> None:
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "publishing.md").read_text("utf-8"), re.DOTALL)
    programs = [program.read_text("utf-8") for program in sorted(PROGRAMS.rglob("*.py"))]
    assert programs
    assert sorted(shown) == sorted(programs)
