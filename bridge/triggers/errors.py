"""What is wrong with a trigger, as a value: where, what was found, what would be right.

Sources of triggers never raise for what somebody wrote; they return these, as many as there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from flowbridge_sdk.misfit import MisfitError

_SHOWN = 60  # characters of a value in an error


class Origin(NamedTuple):
    """Where a trigger was read.

    Attributes:
        file: Path of the file, as it was given; or ``Sensor namespace/name``.
        line: Line in it, from 1; 0 where there are no lines.

    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the origin that a record of ``triggers`` holds as text. Nothing else needs to parse one."""
        file, _, line = text.rpartition(":")
        return cls(file, int(line)) if file and line.isdigit() else cls(text)


@dataclass(frozen=True, slots=True, order=True)
class TriggerError:
    """One thing that is wrong.

    Attributes:
        file: Path of the file, as it was given; or ``Sensor namespace/name``.
        line: Line in it, from 1; 0 where there are no lines.
        field: Path of the field (``spec.events[0].where``); empty for the document as a whole.
        found: What was found.
        right: What would be right.
        trigger: ``namespace/name``, where it could be read; empty where not even that is known.

    """

    file: str
    line: int
    field: str
    found: str
    right: str
    trigger: str = ""

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{Origin(self.file, self.line)}: {field}{self.found}; {self.right}"


FieldPath = tuple[str | int, ...]
"""Where a value stands in a document: names and list indexes."""

Misfit = tuple[FieldPath, MisfitError]
"""A value that does not fit, and where it stands."""


def path_text(path: FieldPath) -> str:
    """Return ``path`` as people write it: ``spec.events[0].where``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def quote_value(value: Any) -> str:
    """Return a value for an error: its repr, cut, on one line; of lists and mappings only what they are."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
