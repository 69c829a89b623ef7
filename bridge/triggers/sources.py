"""The sources of triggers as the controller sees them: what is to be in force, given what is.

A source that is broken, or says nothing, keeps the triggers that came from it before; the controller that reads it
first after a restart knows them from ``triggers``, where each definition has its origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bridge.core.trigger import Trigger
from bridge.triggers.cycles import without_cycles
from bridge.triggers.errors import TriggerError
from bridge.triggers.files import Reading, TriggerFolder, merge
from bridge.triggers.resources import LoadedTrigger


class Sourced(NamedTuple):
    """A trigger and where it was read: ``file:line``."""

    trigger: Trigger
    origin: str


class Sources(NamedTuple):
    """What the sources of triggers hold now.

    Attributes:
        triggers: All triggers that are to be in force, those kept from a source that is broken included.
        errors: What is wrong.

    """

    triggers: Sequence[Sourced]
    errors: Sequence[TriggerError]


class FileSource:
    """Files and folders as a source of triggers.

    Args:
        paths: Files and folders.
        namespace: Namespace of triggers that name none.

    """

    def __init__(self, paths: Sequence[str | Path], namespace: str) -> None:
        self._roots = [str(path) for path in paths]
        self._folder = TriggerFolder(paths, namespace)

    def read(self, in_force: Mapping[str, Sourced]) -> Sources:
        """Return what is to be in force, where ``in_force`` (by identity) is now."""
        reading = self._folder.read()
        before = [self._loaded(one) for one in in_force.values()]
        merged = merge([one for one in before if one.root], reading)
        others = _others(before, merged)
        kept, cycles = without_cycles(before, [*others, *merged])
        triggers = [Sourced(one.trigger, f"{one.file}:{one.line}") for one in kept if one.root]
        return Sources(triggers, [*reading.errors, *_silences(reading), *cycles])

    def _loaded(self, one: Sourced) -> LoadedTrigger:
        file, _, line = one.origin.rpartition(":")
        root = next((root for root in self._roots if file == root or Path(root) in Path(file).parents), "")
        return LoadedTrigger(one.trigger, root, file, int(line) if line.isdigit() else 1)


def _others(before: Sequence[LoadedTrigger], merged: Sequence[LoadedTrigger]) -> list[LoadedTrigger]:
    """Return what other sources have put in force: it may be part of a cycle."""
    own = {one.trigger.identity for one in merged}
    return [one for one in before if not one.root and one.trigger.identity not in own]


def _silences(reading: Reading) -> list[TriggerError]:
    """Return an error for each path without a trigger file, where none says so yet."""
    said = {place for error in reading.errors for place in (error.file, *map(str, Path(error.file).parents))}
    found, right = "it holds no trigger file", "write one; until then what came from here before stays in force"
    return [TriggerError(path, 1, "", found, right) for path in sorted(reading.silent - said)]
