"""The error for a value that does not fit its place: its path, the value that was found, and what was expected.

Writers raise it at the value, and each container on the way out adds its part of the path. So a payload that fits pays
nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Self

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
_SHOWN = 40  # characters of a value in an error: enough to recognise it, too few to spill what it holds


def described(value: object) -> str:
    """Return a value's type, and the value itself where it is short and plain."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, str | bytes | bytearray | Mapping | Sequence | set | frozenset):
        shown = f" of length {len(value)}"
        if isinstance(value, str) and len(value) <= _SHOWN:
            shown = f" {value!r}"
    elif isinstance(value, int) and value.bit_length() > 128:  # noqa: PLR2004 - too long to show
        shown = f" of {value.bit_length()} bits"
    else:
        shown = f" {str(value)[:_SHOWN]}"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}{shown}"


def path_text(path: Sequence[str | int]) -> str:
    """Return a path of names and indexes as text: ``order.lines[3].price``, ``["odd key"]``; empty for none."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part[:_SHOWN]!r}]"
    return text


class MisfitError(ValueError):
    """A value that does not fit.

    Attributes:
        found: The value that was found, described.
        expected: The expected value, described.
        text_line: For a text of several lines the line in it, from 1; 0 for the value as a whole.
        path: Keys and indexes from the payload or the document down to the value, as far as they are known.

    """

    def __init__(self, found: str, expected: str, text_line: int = 0) -> None:
        super().__init__(f"{found}; {expected}")
        self.found = found
        self.expected = expected
        self.text_line = text_line
        self.path: tuple[str | int, ...] = ()

    @staticmethod
    def of(value: object, expected: str) -> MisfitError:
        """Return the misfit of a value, :func:`described`."""
        return MisfitError(described(value), expected)

    @staticmethod
    def missing(expected: str = "the schema asks for it and gives no default") -> MisfitError:
        """Return the misfit of a field that is not there and has no default that helps."""
        return MisfitError("no such field", expected)

    def inside(self, part: str | int) -> Self:
        """Add the key or index of the value in the container that the error leaves."""
        self.path = (part, *self.path)
        return self

    def where(self) -> str:
        """Return the path as text."""
        return path_text(self.path)
