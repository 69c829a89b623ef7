"""The promise of the page of errors: it holds every error that a person can see, and the module says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bridge import errors
from bridge.errors import ExitCode, FlowbridgeError

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def kinds(parent: type[FlowbridgeError] = FlowbridgeError) -> Iterator[type[FlowbridgeError]]:
    for kind in parent.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from kinds(kind)


def test_every_error_is_on_the_page_with_its_exit_code_and_no_other_is() -> None:
    written = dict(re.findall(r"^### (\S+)\n\nExit code (\d+)\.", PAGE, re.MULTILINE))
    assert written == {kind.code: str(int(kind.exit_code)) for kind in kinds()}
    assert len(re.findall(r"^### ", PAGE, re.MULTILINE)) == len(written)


def test_every_exit_code_is_on_the_page_and_no_other_is() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == set(ExitCode)


def test_every_error_says_what_to_do() -> None:
    for kind in kinds():
        assert kind.default_remedy


def test_the_tree_at_the_top_of_the_module_is_complete() -> None:
    tree = re.findall(r"─ (\w+) +(\d+) ", errors.__doc__ or "")
    assert tree == [(kind.__name__, str(int(kind.exit_code))) for kind in kinds()]
