"""The interface of every source of triggers, and the union of several sources.

A source returns the triggers that should be in force, given those that are. A source that is broken, or silent, keeps
the triggers that it gave before. After a restart the controller knows these from the topic ``triggers``, where each
definition has its origin. The union is a source again. Of two triggers with one identity it keeps the one in force,
and it refuses a trigger that would close a cycle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridge.triggers.checks.cycles import without_cycles
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger


class Sources(NamedTuple):
    """What a source of triggers holds now.

    Attributes:
        triggers: All triggers that should be in force, including those kept from a source that is broken.
        errors: What is wrong.
        complete: The source was read whole. If it was not, an error that is missing here may still stand.

    """

    triggers: Sequence[LoadedTrigger]
    errors: Sequence[TriggerError]
    complete: bool = True


class TriggerSource(ABC):
    """A place that triggers come from. Only the leader reads it, from one thread, again and again."""

    @abstractmethod
    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return the triggers that should be in force, given those in force now (by identity).

        This never waits for a network. If it is given the same mapping as before, and nothing has changed, it may
        return the same object as before, so that nobody looks through all triggers again.
        """

    def tell(self, errors: Sequence[TriggerError]) -> None:  # noqa: B027  (most sources have nobody to tell)
        """Take all errors of a reading, so that the source can show them to the owners of its triggers."""

    def rest(self) -> None:  # noqa: B027  (most sources have nothing open)
        """Close connections and watches, because this process lost leadership. The next reading starts from nothing."""


class AllSources(TriggerSource):
    """Several sources as one.

    Args:
        sources: The sources. If two of them hold one identity and neither is in force, the earlier source wins.

    """

    def __init__(self, sources: Sequence[TriggerSource]) -> None:
        self._sources = tuple(sources)
        self._last: tuple[list[Sources], Mapping[str, LoadedTrigger], Sources] | None = None

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return the union of all readings (:meth:`TriggerSource.read`)."""
        readings = [source.read(in_force) for source in self._sources]
        if self._last is not None and self._last[0] == readings and self._last[1] is in_force:
            return self._last[2]
        wanted: dict[str, LoadedTrigger] = {}
        errors: list[TriggerError] = []
        for loaded in (trigger for reading in readings for trigger in reading.triggers):
            identity = loaded.trigger.identity
            rival = wanted.setdefault(identity, loaded)
            if rival is loaded:
                continue
            holder = in_force.get(identity)
            if holder is not None and holder.origin.file == loaded.origin.file:
                wanted[identity] = loaded
                errors.append(rival_error(rival, loaded))
            else:
                errors.append(rival_error(loaded, rival))
        kept, cycles = without_cycles(tuple(in_force.values()), tuple(wanted.values()))
        errors += [error for reading in readings for error in reading.errors] + cycles
        sources = Sources(kept, errors, complete=all(reading.complete for reading in readings))
        self._last = readings, in_force, sources
        return sources

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Give the errors to every source."""
        for source in self._sources:
            source.tell(errors)

    def rest(self) -> None:
        """Rest every source."""
        for source in self._sources:
            source.rest()


def rival_error(loser: LoadedTrigger, winner: LoadedTrigger) -> TriggerError:
    """Return the error of a trigger whose identity another trigger has."""
    identity = loser.trigger.identity
    found = f"{identity} is also defined at {winner.origin}; only one of them is in force"
    return TriggerError(loser.origin, "metadata.name", found, "keep one, or give this one another name", identity)
