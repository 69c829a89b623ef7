"""``python -m drawings``: draws the timelines of ``docs/triggers`` and the table of a run's life again.

The test files of the timelines are written with them.
"""

from __future__ import annotations

from drawings.examples import EXAMPLES, examples
from drawings.gallery import FOLDER, drawings
from drawings.run_life import PAGE, page_with, run_life


def main() -> None:
    """Write each drawing to its file."""
    for name, svg in drawings():
        (FOLDER / f"{name}.svg").write_text(svg)
        print(f"docs/triggers/{name}.svg")
    EXAMPLES.mkdir(exist_ok=True)
    for name, text in examples():
        (EXAMPLES / name).write_text(text, encoding="utf-8")
        print(f"docs/examples/constructs/{name}")
    PAGE.write_text(page_with(run_life()))
    print("docs/architecture.md")


main()
