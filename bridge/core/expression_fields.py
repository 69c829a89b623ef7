"""An expression rewritten so that each field that it names is a variable of its own.

The binding converts all that it is given; so it is given these fields and not the mappings around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cel

from bridge.core.expression_source import FieldUse, SourceReading

ABSENT = object()
"""Stands for a field that is not there."""


class Pick(NamedTuple):
    """A field that the rewritten expression takes as a variable of its own."""

    variable: str
    root: str
    steps: tuple[str, ...]
    tested: bool

    def path(self) -> str:
        """Return the field as the expression has it."""
        return ".".join((self.root, *self.steps))

    def value(self, variables: Mapping[str, Any]) -> Any:
        """Return the field, or for ``has()`` whether it is there; ``ABSENT`` where CEL would find no value."""
        value = variables.get(self.root, ABSENT)
        if self.tested:
            return self.steps[0] in value if isinstance(value, Mapping) else ABSENT
        try:
            for step in self.steps:
                value = value[step]
        except (KeyError, TypeError, IndexError):
            return ABSENT
        return value


def narrowed(
    source: str,
    program: cel.Program,
    reading: SourceReading,
    names: frozenset[str],
) -> tuple[tuple[Pick, ...], tuple[str, ...], cel.Program]:
    """Return the fields to pick, the variables to give whole, and the program over both."""
    uses = [use for use in reading.fields if use.root in names and use.root not in reading.bare]
    if not uses or "_v" in source:
        return (), tuple(names), program
    variables: dict[tuple[str, tuple[str, ...], bool], str] = {}
    for use in uses:
        variables.setdefault((use.root, use.steps, use.tested), f"_v{len(variables)}")
    try:
        rewritten = cel.compile(_rewritten(source, uses, variables))
    except ValueError:  # our reader of tokens has erred: then everything is given
        return (), tuple(names), program
    picks = tuple(Pick(variable, *place) for place, variable in variables.items())
    return picks, tuple(names - {use.root for use in uses}), rewritten


def _rewritten(source: str, uses: list[FieldUse], variables: dict[tuple[str, tuple[str, ...], bool], str]) -> str:
    parts: list[str] = []
    end = 0
    for use in uses:
        parts += (source[end : use.start], " ", variables[use.root, use.steps, use.tested], " ")
        end = use.end
    return "".join((*parts, source[end:]))
