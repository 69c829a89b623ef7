"""The errors of trigger sources, as stored in the topic ``triggers``.

There it outlives the process that found it, and can be read where no source can: by ``flowbridge status``. One record
a place (a file, a Sensor) holds all that is wrong with it, up to a bound; a tombstone says that nothing is any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bridge.core.event import Micros
from bridge.kafka.records import SOURCE_ERRORS
from bridge.triggers.errors import TriggerError

SourceErrors = Mapping[str, tuple[TriggerError, ...]]
"""What is wrong, by place."""

ERROR_LIMIT = 20
"""Errors of one place that are kept; of those beyond, the number."""
TEXT_LIMIT = 1_000
"""Characters of each of an error's texts that are kept."""


def by_place(errors: Iterable[TriggerError]) -> SourceErrors:
    """Return errors by their place, as much of them as is kept."""
    found: dict[str, list[TriggerError]] = defaultdict(list)
    for error in errors:
        found[error.file].append(error)
    return {place: tuple(_bounded(place, ones)) for place, ones in found.items()}


def encode_errors(place: str, errors: Iterable[TriggerError], now: Micros) -> bytes:
    """Return the record of what is wrong with a place."""
    fields = ("line", "field", "found", "right", "trigger")
    plain = [{name: getattr(error, name) for name in fields} for error in errors]
    return SOURCE_ERRORS.encode({"place": place, "errors": plain, "at": now})


def decode_errors(fields: Mapping[str, Any]) -> tuple[TriggerError, ...]:
    """Return what the fields of such a record say."""
    return tuple(TriggerError(file=fields["place"], **error) for error in fields["errors"])


def _bounded(place: str, errors: list[TriggerError]) -> list[TriggerError]:
    unique = sorted({replace(error, found=_cut(error.found), right=_cut(error.right)) for error in errors})
    if len(unique) <= ERROR_LIMIT:
        return unique
    more = TriggerError(place, 0, "", f"{len(unique) - ERROR_LIMIT} more errors", "put those before right first")
    return [*unique[:ERROR_LIMIT], more]


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 1]}…"
