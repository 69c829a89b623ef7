"""The sources of triggers as the controller sees them: what is to be in force, given what is.

A source that is broken, or says nothing, keeps the triggers that came from it before; the controller that reads it
first after a restart knows them from ``triggers``, where each definition has its origin. All sources together are one
source again: of two with one identity the one in force stays, and nothing that would close a cycle comes in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bridge.triggers.checks.cycles import without_cycles
from bridge.triggers.checks.event_types import Schemas
from bridge.triggers.checks.namespaces import namespace_misfits
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.files import Reading, TriggerFolder, merge


class Sources(NamedTuple):
    """What the sources of triggers hold now.

    Attributes:
        triggers: All triggers that are to be in force, those kept from a source that is broken included.
        errors: What is wrong.
        complete: All was looked at; else an error that is missing here is not known to be put right.

    """

    triggers: Sequence[LoadedTrigger]
    errors: Sequence[TriggerError]
    complete: bool = True


class TriggerSource(ABC):
    """Where triggers come from. Only the process that leads reads it, from one thread, again and again."""

    @abstractmethod
    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return what is to be in force, where ``in_force`` (by identity) is now. Never waits for a network."""

    def tell(self, errors: Sequence[TriggerError]) -> None:  # noqa: B027  (most sources have nobody to tell)
        """Hear all that is wrong after a reading, so that those who wrote a trigger there can be told."""

    def rest(self) -> None:  # noqa: B027  (most sources have nothing open)
        """Let go of what is open: this process leads no longer. The next reading begins anew."""


class FileSource(TriggerSource):
    """Files and folders as a source of triggers.

    Args:
        paths: Files and folders.
        namespace: Namespace of triggers that name none.
        schemas: Avro schemas by event name, as far as they are known.
        namespaces: Namespaces that files may name; empty for any. A trigger elsewhere is refused, and one that is in
            force from before is retired: here a file that is wrong keeps nothing.

    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        namespace: str,
        schemas: Schemas | None = None,
        namespaces: Collection[str] = (),
    ) -> None:
        self._roots = [str(path) for path in paths]
        self._namespaces = namespaces
        self._folder = TriggerFolder(paths, namespace, schemas=schemas, namespaces=namespaces)

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return what the files hold, and what is kept of those that are broken (:meth:`TriggerSource.read`)."""
        reading = self._folder.read()
        before = [
            self._under_root(known, reading)
            for known in in_force.values()
            if known.origin.line and not namespace_misfits(known.trigger, self._namespaces)
        ]
        # A file that cannot be read may hold a trigger that stood under another path before.
        merged = merge([loaded for loaded in before if loaded.root or not reading.complete], reading)
        return Sources(merged, [*reading.errors, *_silences(reading)])

    def _under_root(self, known: LoadedTrigger, reading: Reading) -> LoadedTrigger:
        """Return a trigger of a file with the path under which it was found.

        A trigger of another path counts as one of a path that is silent now: that path may be where it was mounted
        since. While all paths hold files, such a trigger has no path. It is gone once all files were read.
        """
        file = known.origin.file
        roots = (root for root in self._roots if file == root or Path(root) in Path(file).parents)
        root = next(roots, min(reading.silent, default=""))
        return replace(known, root=root)


class AllSources(TriggerSource):
    """Several sources as one.

    Args:
        sources: The sources; of two that hold one identity, none of them in force, the earlier counts.

    """

    def __init__(self, sources: Sequence[TriggerSource]) -> None:
        self._sources = tuple(sources)

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return what all hold together (:meth:`TriggerSource.read`)."""
        readings = [source.read(in_force) for source in self._sources]
        wanted, errors = _without_rivals([trigger for reading in readings for trigger in reading.triggers], in_force)
        kept, cycles = without_cycles(tuple(in_force.values()), wanted)
        errors += [error for reading in readings for error in reading.errors] + cycles
        return Sources(kept, errors, complete=all(reading.complete for reading in readings))

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Tell all."""
        for source in self._sources:
            source.tell(errors)

    def rest(self) -> None:
        """Let go of what any has open."""
        for source in self._sources:
            source.rest()


def _without_rivals(
    read: Sequence[LoadedTrigger], in_force: Mapping[str, LoadedTrigger]
) -> tuple[list[LoadedTrigger], list[TriggerError]]:
    """Return one trigger of each identity, and an error for each other."""
    wanted: dict[str, LoadedTrigger] = {}
    errors: list[TriggerError] = []
    for loaded in read:
        identity = loaded.trigger.identity
        winner = loser = wanted.setdefault(identity, loaded)
        if winner is loaded:
            continue
        holder = in_force.get(identity)
        if holder is not None and holder.origin.file == loaded.origin.file:
            winner = wanted[identity] = loaded
        else:
            loser = loaded
        found = f"{identity} is also defined at {winner.origin}; only one of them is in force"
        right = "keep one, or give this one another name"
        errors.append(TriggerError(*loser.origin, "metadata.name", found, right, identity))
    return list(wanted.values()), errors


def _silences(reading: Reading) -> list[TriggerError]:
    """Return an error for each path without a trigger file, where none says so yet."""
    said = {place for error in reading.errors for place in (error.file, *map(str, Path(error.file).parents))}
    found, right = "it holds no trigger file", "write one; until then what came from here before stays in force"
    return [TriggerError(path, 1, "", found, right) for path in sorted(reading.silent - said)]
