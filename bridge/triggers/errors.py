"""The errors of a trigger, as values: the place, what was found, and what is expected.

Sources of triggers never raise for the content of a file or a Sensor. They return all errors in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from flowbridge_sdk.avro.misfit import MisfitError

_SHOWN = 60  # characters of a value in an error


class Origin(NamedTuple):
    """The place that a trigger was read from.

    Attributes:
        file: Path of the file, below the configured path; or ``Sensor namespace/name``.
        line: Line in the file, from 1; 0 for a place without lines.

    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the origin that a definition's record holds as text. Only the reader of these records parses it."""
        file, _, line = text.rpartition(":")
        return cls(file, int(line)) if file and line.isdigit() else cls(text)


@dataclass(frozen=True, slots=True, order=True)
class TriggerError:
    """One error of a trigger or of its file.

    Attributes:
        origin: Where it is.
        field: Path of the field (``spec.events[0].where``); empty for the document as a whole.
        found: What was found.
        expected: What is expected.
        trigger: ``namespace/name``; empty if the name cannot be read.

    """

    origin: Origin
    field: str
    found: str
    expected: str
    trigger: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"

    @property
    def message(self) -> str:
        """Return the error without its origin."""
        field = f"{self.field}: " if self.field else ""
        return f"{field}{self.found}; {self.expected}"

    def texts(self) -> dict[str, str]:
        """Return the texts of the error, by the names that they have in records and in JSON output."""
        return {"field": self.field, "found": self.found, "right": self.expected, "trigger": self.trigger}


FieldPath = tuple[str | int, ...]
"""The place of a value in a document: names and list indexes."""

Misfit = tuple[FieldPath, MisfitError]
"""A value that does not fit, with its place."""


def path_text(path: FieldPath) -> str:
    """Return ``path`` as people write it: ``spec.events[0].where``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def quote_value(value: Any) -> str:
    """Return a value for an error: its repr on one line, cut to 60 characters; only the kind of a list or mapping."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
