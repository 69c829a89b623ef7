"""How commands print: lines for people, or with ``-o json`` one JSON object a line, and nothing else on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


class Output:
    """Where a command's results go."""

    def __init__(self, *, as_json: bool) -> None:
        """Choose the format for all that follows."""
        self._as_json = as_json

    def result(self, text: str, record: Mapping[str, Any]) -> None:
        """Print one result: ``text`` for people, or ``record`` as a JSON object in one line."""
        click.echo(json.dumps(record, ensure_ascii=False, default=str) if self._as_json else text)

    def record(self, record: Mapping[str, Any]) -> None:
        """Print what people read elsewhere: as a JSON object, and nothing as text."""
        if self._as_json:
            self.result("", record)

    def remark(self, text: str) -> None:
        """Print what only people want to know; JSON leaves it out."""
        if not self._as_json:
            click.echo(text)


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
