"""The life of a run as docs/architecture.md shows it, drawn from the table of the code."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.stages.submitter.run_events import Revoked
from bridge.stages.submitter.run_life import LIFE

PAGE = Path(__file__).parents[2] / "docs/architecture.md"
BEGIN, END = "<!-- a run's life: `make drawings` writes it -->", "<!-- end of a run's life -->"


def run_life() -> str:
    """Return the table of a run's life in Markdown. Its last row stands for all states from which a run is revoked."""
    lines = ["| state | event | next state | effects |", "| --- | --- | --- | --- |"]
    for state, moves in LIFE.items():
        shown = f"**{state}**"
        for event, move in moves.items():
            if event is not Revoked:
                lines.append(f"| {shown} | {_words(event)} | {move.to} | {', '.join(move.effects)} |")
                shown = ""
    revoked = [str(state) for state, moves in LIFE.items() if Revoked in moves]
    lines.append(f"| {', '.join(revoked)} | revoked | dropped | |")
    return "\n".join(lines)


def page_with(table: str) -> str:
    """Return the page with a table between its markers."""
    before, _, rest = PAGE.read_text().partition(f"{BEGIN}\n")
    _, _, after = rest.partition(f"{END}\n")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}\n{after}"


def _words(event: type) -> str:
    return " ".join(re.findall(r"[A-Z][a-z]*", event.__name__)).lower()
