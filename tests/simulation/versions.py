"""A release that comes after this one: a trigger with a field more, and one kind of record in another format.

The field is one that came later (:func:`bridge.core.trigger.later`): where it is not set, both releases write and read
the same. The other format holds the same fields behind another fingerprint. That is all that an older process sees of
a format that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from unittest.mock import patch

from bridge.core.definition import Definition
from bridge.core.trigger import Trigger, later
from bridge.kafka.log import Record
from bridge.kafka.records import (
    ARRIVAL,
    CLOCK,
    DEFINITION,
    FIRED,
    LEDGER_ENTRY,
    PENDING,
    RUN,
    SPENT,
    TICK,
    WAITING,
)
from bridge.stages.shared import definitions

KINDS = {
    kind.name: kind for kind in (ARRIVAL, TICK, RUN, LEDGER_ENTRY, DEFINITION, WAITING, SPENT, CLOCK, FIRED, PENDING)
}
"""Of which the newer release may have another format, by name."""

_PREFIX = b"\xc3\x01newer..."


@dataclass(frozen=True)
class NewerTrigger(Trigger):
    """A trigger as the newer release has it."""

    at_most: int | None = later(None)


def newer(trigger: Trigger, at_most: int | None = None) -> NewerTrigger:
    """Return a trigger as the newer release reads it from a file."""
    given = {field.name: getattr(trigger, field.name) for field in fields(Trigger) if field.init}
    return NewerTrigger(**given, at_most=at_most)


def is_newer(trigger: Trigger) -> bool:
    """Return whether only the newer release can read a trigger."""
    return isinstance(trigger, NewerTrigger) and trigger.at_most is not None


@cache
def definition(spec: str) -> Definition:
    """Return a definition as the newer release reads it, which reads all."""
    return Definition(NewerTrigger.from_json(json.loads(spec)))


@cache
def _definition_of_before(spec: str) -> Definition:
    return Definition(Trigger.from_json(json.loads(spec)))


@contextmanager
def releases(is_newer_now: Callable[[], bool]) -> Iterator[None]:
    """Let each process read definitions as its release does."""

    def compiled(spec: str) -> Definition:
        return definition(spec) if is_newer_now() else _definition_of_before(spec)

    with patch.object(definitions, "_compiled", compiled):
        yield


class Format:
    """How the newer release writes one kind of record; no other where there is no name."""

    def __init__(self, name: str) -> None:
        self._prefix = KINDS[name].prefix if name else b"\0"

    def written(self, value: bytes | None) -> bytes | None:
        """Return a value as the newer release writes it."""
        return _PREFIX + value[10:] if value is not None and value.startswith(self._prefix) else value

    def read(self, record: Record) -> Record:
        """Return a record as who knows the newer format reads it."""
        value = record.value
        if value is None or not value.startswith(_PREFIX):
            return record
        return record._replace(value=self._prefix + value[10:])
