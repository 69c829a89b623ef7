"""How commands print: lines for people, or with ``-o json`` one JSON object a line, and nothing else on stdout.

Nothing that is printed is a command to the terminal, even if an id or an error holds one (:func:`visible`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import click

from bridge.plain_text import visible

P = ParamSpec("P")
R = TypeVar("R")


class Output:
    """Prints the results of a command."""

    def __init__(self, *, as_json: bool) -> None:
        """Choose the format for all that follows."""
        self._as_json = as_json

    def result(self, text: str | Sequence[str], record: Mapping[str, Any], *, styled: bool = False) -> None:
        """Print one result: ``text`` for people, or ``record`` as a JSON object in one line.

        Args:
            text: A line, or several.
            record: Plain values.
            styled: The text has colours of ours. All foreign parts of it have gone through :func:`visible`.

        """
        if self._as_json:
            _print(visible(json.dumps(record, ensure_ascii=False, default=str)))
            return
        for line in [text] if isinstance(text, str) else text:
            _print(line if styled else visible(line))

    def record(self, record: Mapping[str, Any]) -> None:
        """Print a JSON object for a result that people read elsewhere, and nothing as text."""
        if self._as_json:
            self.result("", record)

    def remark(self, text: str) -> None:
        """Print a text for people. JSON leaves it out."""
        if not self._as_json:
            _print(visible(text, lines=True))


def _print(text: str) -> None:
    """Print with colours if the terminal shows them and NO_COLOR is not set (no-color.org)."""
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def output_option(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command ``-o text|json``, which arrives as its argument ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        callback=lambda _context, _option, value: Output(as_json=value == "json"),
        show_default=True,
        help="Lines for people, or one JSON object a line.",
    )(command)
