"""``python -m drawings``: draws the timelines of ``docs/triggers`` anew."""

from __future__ import annotations

from drawings.gallery import FOLDER, drawings


def main() -> None:
    """Write each drawing to its file."""
    for name, svg in drawings():
        (FOLDER / f"{name}.svg").write_text(svg)
        print(f"docs/triggers/{name}.svg")


main()
